"""The trips to the store, with a Redis that goes away and comes back. Bad input: "broker or Redis gone and back"."""

from __future__ import annotations

import logging
import socket
import threading
from pathlib import Path

import pytest

from otel_llm.budget.batch import Answer, Batch
from otel_llm.budget.book import Book, Entry, Limits
from otel_llm.budget.model import Budget, Crossing
from otel_llm.budget.periods import Period
from otel_llm.clock import SystemClock
from otel_llm.counters.keeper import Keeper, Source
from otel_llm.counters.redis import RedisAddress, RedisCounters
from otel_llm.errors import StoreError
from otel_llm.testing import FakeClock
from tests.counters.redis_server import RedisServer, needs_redis
from tests.spans import NOON

ALL = Budget("all", {}, 100 * 10**9, "USD", Period("month"))
DAILY = Budget("daily", {}, 100 * 10**9, "USD", Period("day"))
UNIT = 10**12
DAY = 86_400 * 10**9


class Scripted:
    """A store that fails as told: before it has written, or after."""

    place = "a store"

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.seen: dict[str, int] = {}
        self.fails: list[str] = []
        self.trips = 0
        self.is_closed = False

    def apply(self, batch: Batch) -> Answer:
        self.trips += 1
        failure = self.fails.pop(0) if self.fails else ""
        if failure == "before":
            raise StoreError("a store: refuses")
        if self.seen.get(batch.writer, 0) < batch.sequence:
            self.seen[batch.writer] = batch.sequence
            for key, delta in batch.deltas.items():
                self.values[key] = self.values.get(key, 0) + delta
        if failure == "after":
            raise StoreError("a store: timed out")
        return Answer({key: self.values.get(key, 0) for key in batch.keys}, {w.pool: w.want for w in batch.wishes})

    def close(self) -> None:
        self.is_closed = True


def keeper_of(store: object, book: Book, **more: object) -> Keeper:
    return Keeper(book, Source(lambda: store, "processors.budget.path"), FakeClock(NOON), **more)  # type: ignore[arg-type, return-value] # a store, and arguments of Keeper


def book_of(*budgets: Budget, **limits: int) -> Book:
    return Book(budgets or (ALL,), "w", FakeClock(NOON).monotonic, limits=Limits(**limits))


def pay(book: Book, units: int, budget: Budget = ALL, start: int = NOON) -> int:
    return book.add([Entry(budget, start, units * UNIT)], NOON)


def test_what_was_not_answered_is_sent_again_as_it_is_and_written_once() -> None:
    store, book = Scripted(), book_of()
    keeper = keeper_of(store, book)
    store.fails = ["after", "before", "after"]
    pay(book, 1)
    assert not keeper.flush()
    pay(book, 2)
    assert not keeper.flush()
    assert book.waiting == 4  # two sums on their way, and two that came since
    assert not keeper.flush()
    assert keeper.flush()
    assert keeper.flush()
    assert (book.waiting, book.statuses(NOON)[0].spent_nano) == (0, 3 * 10**9)
    assert store.values[ALL.spent_key(ALL.period.slice_of(NOON))] == 3 * 10**9


def test_what_waits_is_bounded_and_what_has_no_room_is_counted() -> None:
    book = book_of(DAILY, sums=3)
    starts = [NOON - day * DAY for day in range(5)]
    assert [pay(book, 1, DAILY, start) for start in starts] == [0, 0, 0, 1, 1]
    assert [pay(book, 1, DAILY, start) for start in starts] == [0, 0, 0, 1, 1]  # sums that are there go on growing
    store = Scripted()
    assert keeper_of(store, book).flush()
    assert sum(value for key, value in store.values.items() if key.endswith("spent")) == 6 * 10**9


def test_a_crossing_is_told_though_the_answer_was_lost() -> None:
    store, book = Scripted(), book_of()
    told: list[Crossing] = []
    keeper = keeper_of(store, book, on_crossings=told.extend)
    store.fails = ["after"]
    pay(book, 60)
    assert not keeper.flush()
    assert keeper.flush()
    assert [(one.threshold, one.spent_nano) for one in told] == [(0.5, 60 * 10**9)]


def test_the_thread_writes_on_its_own_when_woken_and_at_the_end() -> None:
    store, book = Scripted(), book_of()
    told: list[Crossing] = []
    is_told = threading.Event()

    def tell(crossings: list[Crossing]) -> None:
        told.extend(crossings)
        is_told.set()

    keeper = keeper_of(store, book, interval_seconds=3600.0, on_crossings=tell)
    keeper.start()
    pay(book, 60)
    keeper.wake()
    assert is_told.wait(20)
    pay(book, 30)
    keeper.shutdown(20)
    keeper.shutdown(20)
    assert [one.threshold for one in told] == [0.5, 0.8]
    assert store.is_closed


def test_the_thread_outlives_what_nobody_has_thought_of(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Scripted):
        def apply(self, batch: Batch) -> Answer:
            if not self.trips:
                self.trips += 1
                raise ZeroDivisionError
            return super().apply(batch)

    store, book = Broken(), book_of()
    keeper = keeper_of(store, book)
    pay(book, 60)
    keeper.start()
    keeper.wake()
    keeper.shutdown(20)
    assert "a trip failed with ZeroDivisionError" in caplog.text
    assert book.waiting == 0 or "sums are lost" in caplog.text


def test_what_is_lost_at_the_end_is_said(caplog: pytest.LogCaptureFixture) -> None:
    store, book = Scripted(), book_of()
    store.fails = ["before"] * 1000
    keeper = keeper_of(store, book)
    pay(book, 60)
    keeper.start()
    keeper.shutdown(20)
    assert "processors.budget.path: 2 sums are lost, for the store did not answer before the end" in caplog.text


def test_a_store_that_has_lost_its_counters_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    store, book = Scripted(), book_of()
    keeper = keeper_of(store, book)
    pay(book, 3)
    assert keeper.flush()
    assert "lost" not in caplog.text
    store.values.clear()
    assert keeper.flush()
    assert "processors.budget.path: a store has lost what it had counted" in caplog.text
    assert book.statuses(NOON)[0].spent_nano == 0


@needs_redis
def test_redis_gone_and_back_loses_nothing_and_says_which_setting_and_host(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with RedisServer(tmp_path) as server:
        address = RedisAddress(server.address.url, password=None, timeout_seconds=5.0)
        book = Book((ALL,), "w", SystemClock().monotonic)
        keeper = Keeper(book, Source(lambda: RedisCounters(address), "processors.budget.redis.url"), SystemClock())
        pay(book, 1)
        assert keeper.flush()
        server.stop(keep=True)
        for _ in range(3):
            pay(book, 2)
            assert not keeper.flush()
        assert "processors.budget.redis.url: Redis at unix://" in caplog.text
        assert "budgets go on counting here, 2 sums wait until it is back" in caplog.text
        [status] = book.statuses(NOON)
        assert status.spent_nano == 7 * 10**9  # what it knows, and what it has counted since
        server.start()
        assert keeper.flush()
        assert keeper.flush()
        assert "processors.budget.redis.url: Redis at unix://" in caplog.text
        assert "is back after 3 attempts" in caplog.text
        assert book.waiting == 0
        assert book.statuses(NOON)[0].spent_nano == 7 * 10**9


@needs_redis
def test_a_redis_that_does_not_answer_is_given_up_at_its_deadline(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        path = tmp_path / "s"
        deaf.bind(str(path))
        deaf.listen()
        store = RedisCounters(RedisAddress(f"unix://{path}", timeout_seconds=0.05))
        with pytest.raises(StoreError, match="Timeout"):
            store.apply(Batch("w", 1))
        store.close()
