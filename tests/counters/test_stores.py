"""What holds for every store of counters: the file and the server."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_llm.budget.batch import Batch, CounterStore, Wish
from otel_llm.clock import SystemClock
from otel_llm.counters.redis import RedisAddress, RedisCounters
from otel_llm.counters.sqlite import SqliteCounters
from otel_llm.errors import StoreError
from tests.counters.redis_server import RedisServer, needs_redis

FAR = 4_000_000_000
Opener = Callable[[], CounterStore]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as started:
        yield started


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=needs_redis)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of a store, as `opened` takes it; empty."""
    if request.param == "sqlite":
        return str(tmp_path / "counters.db")
    server: RedisServer = request.getfixturevalue("server")
    server.command("FLUSHALL")
    return server.address.url


def opened(place: str) -> CounterStore:
    if place.startswith("unix:"):
        return RedisCounters(RedisAddress(place, timeout_seconds=20.0))
    return SqliteCounters(place, SystemClock(), busy_timeout_seconds=20.0)


def batch(sequence: int, writer: str = "w", wishes: tuple[Wish, ...] = (), lease: int = 30, **deltas: int) -> Batch:
    return Batch(writer, sequence, deltas, dict.fromkeys(deltas, FAR), ("a", "b"), wishes, lease)


def wish(want: int, limit: int = 100, floor: int = 0) -> tuple[Wish, ...]:
    return (Wish("pool", want, floor, limit, ("a",)),)


def test_counters_add_up_and_those_nobody_wrote_are_zero(place: str) -> None:
    with closing(opened(place)) as store:
        assert store.apply(batch(1, a=5)).values == {"a": 5, "b": 0}
        assert store.apply(batch(2, a=7, c=1)).values == {"a": 12, "b": 0, "c": 1}
    with closing(opened(place)) as store:
        assert store.apply(batch(1, writer="reader")).values == {"a": 12, "b": 0}


def test_a_batch_that_is_sent_again_is_written_once(place: str) -> None:
    """The answer may have been lost on its way."""
    with closing(opened(place)) as store:
        first = batch(1, a=5)
        assert [store.apply(first).values["a"] for _ in range(3)] == [5, 5, 5]
        assert store.apply(batch(2, a=1)).values["a"] == 6


def test_counters_are_exact_where_doubles_are_not(place: str) -> None:
    large = 2**53
    with closing(opened(place)) as store:
        store.apply(batch(1, a=large))
        assert store.apply(batch(2, a=1)).values["a"] == large + 1
        assert store.apply(batch(3, a=2**62)).values["a"] == large + 1 + 2**62


def test_leases_and_what_is_spent_stay_within_the_limit(place: str) -> None:
    with closing(opened(place)) as store:
        assert store.apply(batch(1, "one", wish(60), a=10)).granted == {"pool": 60}
        assert store.apply(batch(1, "two", wish(60))).granted == {"pool": 30}
        assert store.apply(batch(1, "three", wish(60))).granted == {"pool": 0}
        # The first has spent 20 of its 60, and needs no more than 15.
        assert store.apply(batch(2, "one", wish(15), a=20)).granted == {"pool": 15}
        assert store.apply(batch(2, "two", wish(90))).granted == {"pool": 55}


def test_calls_under_way_keep_their_lease_even_where_the_limit_is_overspent(place: str) -> None:
    with closing(opened(place)) as store:
        assert store.apply(batch(1, "one", wish(50, floor=20), a=150)).granted == {"pool": 20}


def test_a_lease_that_is_not_renewed_ends(place: str) -> None:
    with closing(opened(place)) as store:
        assert store.apply(batch(1, "one", wish(100), lease=0)).granted == {"pool": 100}
        assert store.apply(batch(1, "two", wish(100))).granted == {"pool": 100}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(amounts=st.lists(st.integers(0, 10**15), max_size=20), wants=st.lists(st.integers(0, 200), max_size=8))
def test_sums_are_those_of_integers_and_grants_never_exceed_what_is_left(
    place: str, amounts: list[int], wants: list[int]
) -> None:
    with closing(opened(place)) as store:
        writer = f"w{abs(hash((tuple(amounts), tuple(wants))))}"
        begun = store.apply(Batch(f"{writer}-", 10**6, {}, {}, ("a",))).values["a"]
        for number, amount in enumerate(amounts, 1):
            last = store.apply(batch(number, writer, a=amount)).values["a"]
        assert not amounts or last == begun + sum(amounts)
        total = begun + sum(amounts)
        pool = (Wish(f"pool-{writer}", 0, 0, total + 100, ("a",)),)
        granted = 0
        for number, want in enumerate(wants):
            asked = (Wish(pool[0].pool, want, 0, total + 100, ("a",)),)
            granted += store.apply(Batch(f"{writer}-{number}", 1, {}, {}, ("a",), asked)).granted[pool[0].pool]
        assert granted <= 100
        assert granted == min(100, sum(wants))


def _count(place: str, writer: str, times: int) -> None:
    with closing(opened(place)) as store:
        for number in range(1, times + 1):
            store.apply(batch(number, writer, a=3, b=1))
            store.apply(batch(number, writer, a=3, b=1))


def test_several_processes_count_into_one_store(place: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_count, args=(place, f"w{number}", 100)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(50)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with closing(opened(place)) as store:
        assert store.apply(batch(1, "reader")).values == {"a": 900, "b": 300}


def test_a_file_that_is_none_of_ours_is_a_store_error(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_text("something else, long enough to be taken for a file of a data base")
    with pytest.raises(StoreError, match="not a database"):
        opened(str(path))


@needs_redis
def test_one_trip_a_batch(server: RedisServer) -> None:
    with closing(opened(server.address.url)) as store:
        store.apply(batch(1, "trips", a=1))  # connects, and brings the script
        before = _commands(server)
        store.apply(batch(2, "trips", a=1, b=2))
        assert _commands(server) - before == 1


def _commands(server: RedisServer) -> int:
    """How many commands clients have sent, by Redis' own count; those within a script are not among them."""
    stats = server.command("INFO", "commandstats")
    return int(stats.split("cmdstat_evalsha:calls=")[1].split(",")[0])


@needs_redis
def test_counters_of_redis_expire_and_carry_one_hash_tag(server: RedisServer) -> None:
    server.command("FLUSHALL")
    with closing(opened(server.address.url)) as store:
        store.apply(batch(1, "one", wish(5), a=1))
    keys = set(server.command("KEYS", "*").split()[2::2])
    assert keys == {"{otel_llm}:a", "{otel_llm}:writer:one", "{otel_llm}:pool"}
    assert all(int(server.command("TTL", key).strip(":\r\n")) > 0 for key in keys)


@needs_redis
def test_a_wrong_password_is_said_without_it(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--requirepass", "geheim") as server:
        address = RedisAddress(server.address.url, password="falsch-und-geheim")
        with closing(RedisCounters(address)) as store, pytest.raises(StoreError) as caught:
            store.apply(batch(1, a=1))
        assert "falsch" not in str(caught.value)
        assert str(server.socket) in str(caught.value)
        with closing(RedisCounters(RedisAddress(server.address.url, password="geheim"))) as store:
            assert store.apply(batch(1, a=1)).values["a"] == 1
