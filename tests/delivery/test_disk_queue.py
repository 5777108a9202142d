"""A delivery whose queue is on disk: crashes, full disks, restarts, reloads."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_llm.clock import SystemClock
from otel_llm.delivery.config import BatchConfig, Config, DiskConfig, QueueConfig, RetryConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.delivery.fan_out import Acceptance, FanOut
from otel_llm.delivery.segment import Segment, segment_files
from otel_llm.delivery.storage import Storage
from otel_llm.errors import ConfigError, RefusedError
from otel_llm.signals import Payload
from otel_llm.telemetry import Metrics
from otel_llm.testing import HANG, Answer, Destination, InMemoryExporter
from tests.delivery.requests import numbers, payload

FAST = RetryConfig(initial_interval_seconds=0.001, max_interval_seconds=0.002)
MIB = 1024 * 1024


def config(  # noqa: PLR0913 - what tests vary
    folder: Path,
    *,
    sync: str = "always",
    memory: int = MIB,
    disk: int = 16 * MIB,
    batch: int = 100_000,
    dead: int = MIB,
    on_full: str = "refuse",
) -> Config:
    on_disk = DiskConfig(
        directory=str(folder),
        size_bytes=disk,
        sync=sync,  # type: ignore[arg-type]
        sync_interval_seconds=0.01,
        dead_letters_size_bytes=dead,
    )
    limits = BatchConfig(max_size_bytes=batch, flush_timeout_seconds=0.01)
    queue = QueueConfig(size_bytes=memory, disk=on_disk, batch=limits, on_full=on_full)  # type: ignore[arg-type]
    return Config(sending_queue=queue, retry_on_failure=FAST)


def delivery(destination: Destination, settings: Config, metrics: Metrics | None = None) -> Delivery:
    return Delivery("test/1", InMemoryExporter(destination), settings, metrics or Metrics())


@contextmanager
def running(destination: Destination, settings: Config, seconds: float = 5) -> Iterator[Delivery]:
    made = delivery(destination, settings)
    made.start()
    try:
        yield made
    finally:
        made.shutdown(seconds)
        assert made.balance().is_balanced


def offer_until_refused(made: Delivery, first: int, size: int) -> tuple[int, str]:
    """How many spans were taken, and what the refusal said."""
    taken = 0
    while True:
        try:
            made.offer(payload(first + taken, 1, size=size))
        except RefusedError as error:
            return taken, str(error)
        taken += 1


def arrived(destination: Destination) -> list[int]:
    return [number for request in destination.accepted for number in numbers(request.signal, request.body)]


@pytest.mark.parametrize("sync", ["always", "interval", "never"])
def test_what_is_offered_arrives_in_order_and_leaves_nothing_on_disk(tmp_path: Path, sync: str) -> None:
    destination = Destination()
    with running(destination, config(tmp_path, sync=sync)) as made:
        for number in range(1, 301):
            made.offer(payload(number, 1))
        made.offer(payload(1, 2, signal="logs"))
        assert made.force_flush(5)
        assert made.balance().accepted == made.balance().exported == 302
    assert [number for number in arrived(destination) if number > 2] == list(range(3, 301))
    assert segment_files(tmp_path / "test%2F1" / "traces") == []


@pytest.mark.parametrize("memory", [1024, MIB], ids=["from disk", "from memory"])
def test_what_was_not_delivered_is_delivered_by_the_next_process(tmp_path: Path, memory: int) -> None:
    dead = Destination(default=Answer.unavailable())
    with running(dead, config(tmp_path, memory=memory), 0.05) as made:
        for number in range(1, 501):
            made.offer(payload(number, 1))
    assert made.balance().queued == 500
    destination = Destination()
    with running(destination, config(tmp_path, memory=memory)) as made:
        assert made.force_flush(5)
        assert made.balance().accepted == 500
    assert arrived(destination) == list(range(1, 501))


def test_a_batch_that_was_on_its_way_is_sent_again_as_the_same_batch(tmp_path: Path) -> None:
    ids: list[tuple[str, bytes]] = []

    class Remembers(InMemoryExporter):
        def export(self, payload, timeout_seconds):
            ids.append((payload.batch_id, payload.join()))
            return super().export(payload, timeout_seconds)

    dead = Destination(default=Answer.unavailable())
    made = Delivery("test/1", Remembers(dead), config(tmp_path, batch=2000), Metrics())
    for number in range(1, 101):
        made.offer(payload(number, 1))
    made.start()
    dead.wait_for(lambda: len(dead.received) > 1)
    made.shutdown(0)
    first = ids[-1]
    ids.clear()
    made = Delivery("test/1", Remembers(Destination()), config(tmp_path, batch=50_000), Metrics())
    made.offer(payload(101, 1))
    made.start()
    assert made.force_flush(5)
    made.shutdown(5)
    assert ids[0] == first
    assert len({id_ for id_, _ in ids}) == len(ids)


def test_memory_holds_no_more_than_its_limit_while_disk_holds_the_rest(tmp_path: Path) -> None:
    destination = Destination(default=HANG)
    with running(destination, config(tmp_path, memory=50_000, batch=20_000), 0) as made:
        for number in range(1, 401):
            made.offer(payload(number, 1, size=1000))
        shelf = made._queue.shelf  # type: ignore[attr-defined]
        with shelf.changed:
            assert shelf.cached_bytes() <= 50_000 + 20_000
        destination.default = Answer()
        destination.release()
        assert made.force_flush(5)
    assert arrived(destination) == list(range(1, 401))


def test_a_full_quota_refuses_until_there_is_room_again(tmp_path: Path) -> None:
    destination = Destination(default=HANG)
    with running(destination, config(tmp_path, disk=MIB)) as made:
        taken, said = offer_until_refused(made, 1, 10_000)
        assert "is full" in said
        on_disk = sum(path.stat().st_size for path in tmp_path.rglob("*.log"))
        assert 0.8 * MIB < on_disk <= MIB
        destination.default = Answer()
        destination.release()
        assert made.force_flush(5)
        made.offer(payload(taken + 1, 1, size=10_000))
    assert arrived(destination) == list(range(1, taken + 2))


def test_a_full_quota_drops_when_told_to(tmp_path: Path) -> None:
    destination = Destination(default=HANG)
    with running(destination, config(tmp_path, disk=MIB, on_full="drop"), 0) as made:
        for number in range(1, 200):
            made.offer(payload(number, 1, size=10_000))
        balance = made.balance()
    assert balance.dropped["queue_full"] > 50
    assert balance.accepted == 199


def test_a_full_disk_refuses_loses_nothing_and_is_over_when_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    resource = pytest.importorskip("resource")
    destination = Destination()
    made = delivery(destination, config(tmp_path))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    made.offer(payload(1, 1, size=10_000))
    accepted = 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # no file may grow: as on a disk that is full
    try:
        more, said = offer_until_refused(made, accepted + 1, 100_000)
        accepted += more
        assert "cannot be written: File too large" in said
        assert made.balance().accepted == accepted
        assert made.status().problem == "File too large"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    made.offer(payload(accepted + 1, 1, size=100_000))
    assert made.status().problem == ""
    made.start()
    made.shutdown(5)
    assert sorted(arrived(destination)) == list(range(1, accepted + 2))
    assert caplog.text.count("senders are told to wait") == 1


class FailingSync:
    """Lets the sync of the queue fail as a broken disk would, the first so many times."""

    def __init__(self, made: Delivery, times: int) -> None:
        self._line = made._queue.shelf.lines["traces"]  # type: ignore[attr-defined]
        self._sync = self._line.log.sync
        self.left = times
        self._line.log.sync = self  # a seam of the test: there is no disk that fails on demand

    def __call__(self, segment: Segment) -> None:
        if self.left:
            self.left -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._sync(segment)


def test_what_the_disk_will_not_keep_is_refused_and_never_delivered(tmp_path: Path) -> None:
    destination = Destination()
    made = delivery(destination, config(tmp_path))
    made.offer(payload(1, 1))
    FailingSync(made, 1)
    with pytest.raises(RefusedError, match="cannot be synced"):
        made.offer(payload(2, 1))
    made.offer(payload(3, 1))
    assert made.balance().accepted == 2
    made.start()
    made.shutdown(5)
    assert arrived(destination) == [1, 3]


def test_what_the_disk_will_not_keep_is_refused_also_when_its_file_was_sealed_meanwhile(tmp_path: Path) -> None:
    destination = Destination()
    made = delivery(destination, config(tmp_path, disk=MIB))
    line = made._queue.shelf.lines["traces"]  # type: ignore[attr-defined]
    made.offer(payload(1, 1))
    real = line.log.sync
    others: list[tuple[Payload, int]] = []

    def fails_late(_segment: Segment) -> None:
        line.log.sync = real
        for number in (3, 4, 5):  # each fills a segment: the one that is synced is sealed, and the next as well
            taken = made.reserve(payload(number, 1, size=60_000))
            assert taken is not None
            others.append((taken, made.put(taken)))
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    line.log.sync = fails_late
    with pytest.raises(RefusedError, match="cannot be synced"):
        made.offer(payload(2, 1))
    with pytest.raises(RefusedError, match="cannot be synced"):
        made.secure(*others[0])
    for one in others[1:]:
        made.secure(*one)
    made.offer(payload(6, 1))
    assert made.balance().accepted == 4
    made.start()
    made.shutdown(5)
    assert arrived(destination) == [1, 4, 5, 6]


def test_the_status_says_that_the_disk_does_not_sync_until_it_does(tmp_path: Path) -> None:
    made = delivery(Destination(), config(tmp_path))
    FailingSync(made, 1)
    with pytest.raises(RefusedError, match="cannot be synced") as refused:
        made.offer(payload(1, 1))
    assert refused.value.reason == "disk_failing"
    assert made.status().problem == f"cannot be synced: {os.strerror(errno.EIO)}"
    made.offer(payload(2, 1))
    assert made.status().problem == ""
    made.shutdown(5)


def test_a_fan_out_with_a_failing_disk_accepts_nothing_in_memory(tmp_path: Path) -> None:
    destination = Destination()
    on_disk = delivery(Destination(), config(tmp_path))
    in_memory = Delivery("memory", InMemoryExporter(destination), Config(), Metrics())
    both = FanOut([in_memory, on_disk])
    both.offer(payload(1, 1))
    FailingSync(on_disk, 1)
    with pytest.raises(RefusedError, match="cannot be synced"):
        both.offer(payload(2, 1))
    both.offer(payload(3, 1))
    for made in (in_memory, on_disk):
        made.start()
        made.shutdown(5)
    assert arrived(destination) == [1, 3]
    assert in_memory._queue.size_bytes() == 0


def test_senders_that_wait_at_the_same_time_share_a_sync(tmp_path: Path) -> None:
    made = delivery(Destination(), config(tmp_path))
    line = made._queue.shelf.lines["traces"]  # type: ignore[attr-defined]
    syncs: list[int] = []
    entered, go_on = threading.Event(), threading.Event()
    real = line.log.sync

    def slow(segment: Segment) -> None:
        syncs.append(line.log.next_sequence)
        entered.set()
        go_on.wait(5)
        real(segment)

    line.log.sync = slow
    threads = [threading.Thread(target=made.offer, args=(payload(number, 1),)) for number in range(1, 21)]
    threads[0].start()
    entered.wait(5)
    for thread in threads[1:]:
        thread.start()
    end = time.monotonic() + 5
    while line.log.next_sequence < 21 and time.monotonic() < end:
        go_on.wait(0.001)
    go_on.set()
    for thread in threads:
        thread.join(5)
    assert syncs == [2, 21]
    assert made.balance().accepted == 20
    made.shutdown(0)


def test_nothing_is_delivered_before_the_disk_has_it(tmp_path: Path) -> None:
    destination = Destination()
    with running(destination, config(tmp_path)) as made:
        line = made._queue.shelf.lines["traces"]  # type: ignore[attr-defined]
        go_on = threading.Event()
        real = line.log.sync

        def slow(segment: Segment) -> None:
            go_on.wait(5)
            real(segment)

        line.log.sync = slow
        sender = threading.Thread(target=made.offer, args=(payload(1, 1),))
        sender.start()
        assert made.force_flush(0.1)  # nothing was accepted yet
        assert destination.received == []
        assert made.balance().accepted == 0
        go_on.set()
        sender.join(5)
        assert made.force_flush(5)
    assert arrived(destination) == [1]


class Held:
    """Holds up the sync of the queue until it is let go."""

    def __init__(self, made: Delivery) -> None:
        self._log = made._queue.shelf.lines["traces"].log  # type: ignore[attr-defined]
        self._sync = self._log.sync
        self._log.sync = self
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.syncs: list[int] = []

    def __call__(self, segment: Segment) -> None:
        self.syncs.append(self._log.next_sequence)
        self.entered.set()
        assert self.go_on.wait(5)
        self._sync(segment)


def test_who_does_not_wait_is_woken_once_when_the_disk_has_it(tmp_path: Path) -> None:
    made = delivery(Destination(), config(tmp_path))
    held = Held(made)
    woken = threading.Semaphore(0)
    first = Acceptance([(FanOut([made]), payload(1, 1))])
    assert not first.is_complete(woken.release)
    assert held.entered.wait(5)
    others = [Acceptance([(FanOut([made]), payload(number, 1))]) for number in range(2, 21)]
    assert not any(one.is_complete(woken.release) for one in others)
    assert made.balance().accepted == 0
    assert not woken.acquire(blocking=False)
    held.go_on.set()
    assert all(woken.acquire(timeout=5) for _ in range(20))
    assert all(one.is_complete(woken.release) for one in [first, *others])
    assert held.syncs == [2, 21]
    made.shutdown(0)
    assert not woken.acquire(blocking=False)
    assert made.balance().accepted == 20


def test_who_does_not_wait_is_refused_when_the_disk_will_not_keep_it(tmp_path: Path) -> None:
    destination = Destination()
    made, in_memory = delivery(destination, config(tmp_path)), Delivery("m", InMemoryExporter(), Config(), Metrics())
    FailingSync(made, 1)
    woken = threading.Event()
    refused = Acceptance([(FanOut([in_memory, made]), payload(1, 1))])
    assert not refused.is_complete(woken.set)
    assert woken.wait(5)
    with pytest.raises(RefusedError, match="cannot be synced"):
        refused.is_complete(woken.set)
    Acceptance([(FanOut([in_memory, made]), payload(2, 1))]).wait()
    for one in (made, in_memory):
        one.start()
        one.shutdown(5)
        assert one.balance().accepted == one.balance().exported == 1
    assert arrived(destination) == [2]


def test_who_does_not_wait_is_answered_also_when_no_thread_can_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = delivery(Destination(), config(tmp_path))
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "otel-llm-commit":
            raise RuntimeError("can't start new thread")  # what Python says at the limit of processes
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    woken = threading.Semaphore(0)
    for number in (1, 2):
        acceptance = Acceptance([(FanOut([made]), payload(number, 1))])
        assert not acceptance.is_complete(woken.release)
        assert woken.acquire(timeout=5)
        assert acceptance.is_complete(woken.release)
    monkeypatch.undo()
    acceptance = Acceptance([(FanOut([made]), payload(3, 1))])
    assert acceptance.is_complete(woken.release) or woken.acquire(timeout=5)
    made.shutdown(5)
    assert made.balance().accepted == 3


def test_with_two_disks_nobody_is_told_before_both_have_it(tmp_path: Path) -> None:
    fast, slow = (delivery(Destination(), config(tmp_path / name)) for name in ("fast", "slow"))
    held = Held(slow)
    woken = threading.Event()
    both = Acceptance([(FanOut([fast, slow]), payload(1, 1))])
    assert not both.is_complete(woken.set)
    assert woken.wait(5)
    woken.clear()
    assert not both.is_complete(woken.set)  # the first has it, and the second is asked for
    held.go_on.set()
    assert woken.wait(5)
    assert both.is_complete(woken.set)
    for one in (fast, slow):
        one.shutdown(0)


@pytest.mark.parametrize("failures", [0, 1])
def test_closing_tells_those_who_do_not_wait(tmp_path: Path, failures: int) -> None:
    made = delivery(Destination(), config(tmp_path))
    held = Held(made)
    woken = threading.Semaphore(0)
    acceptances = [Acceptance([(FanOut([made]), payload(1, 1))])]
    assert not acceptances[0].is_complete(woken.release)
    assert held.entered.wait(5)
    acceptances.append(Acceptance([(FanOut([made]), payload(2, 1))]))
    assert not acceptances[1].is_complete(woken.release)
    closing = threading.Thread(target=made.shutdown, args=(0,))
    closing.start()
    FailingSync(made, failures)  # the second sync, that of the second record
    held.go_on.set()
    closing.join(5)
    assert woken.acquire(timeout=5)
    assert woken.acquire(timeout=5)
    assert acceptances[0].is_complete(woken.release)
    if failures:
        with pytest.raises(RefusedError, match="cannot be synced"):
            acceptances[1].is_complete(woken.release)
    else:
        assert acceptances[1].is_complete(woken.release)
    with running(Destination(), config(tmp_path)) as after:
        assert after.balance().accepted == 2 - failures


def test_a_defect_while_syncing_leaves_nobody_without_an_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = delivery(Destination(), config(tmp_path))
    log = made._queue.shelf.lines["traces"].log  # type: ignore[attr-defined]
    real = log.sync

    def defective(_segment: Segment) -> None:
        log.sync = real
        raise KeyError("secret")

    log.sync = defective
    woken = threading.Semaphore(0)
    acceptance = Acceptance([(FanOut([made]), payload(1, 1))])
    assert not acceptance.is_complete(woken.release)
    assert woken.acquire(timeout=5)
    assert acceptance.is_complete(woken.release) or woken.acquire(timeout=5)
    made.shutdown(0)
    assert made.balance().accepted == 1
    assert "commit failed with KeyError" in caplog.text
    assert "secret" not in caplog.text


def test_who_asks_too_late_whether_a_failing_disk_has_it_must_send_it_again(tmp_path: Path) -> None:
    made = delivery(Destination(), config(tmp_path))
    sync = FailingSync(made, 100)
    acceptances = []
    for number in range(1, 101):
        woken = threading.Event()
        acceptances.append(Acceptance([(FanOut([made]), payload(number, 1))]))
        with pytest.raises(RefusedError):
            made.offer(payload(1000 + number, 1))
        if number > 90:
            with pytest.raises(RefusedError):
                acceptances[-1].is_complete(woken.set)
    assert not sync.left
    made.offer(payload(101, 1))
    for one in acceptances:
        with pytest.raises(RefusedError):
            one.is_complete(threading.Event().set)
    assert made.balance().accepted == 1
    made.shutdown(0)


def test_what_the_destination_refuses_for_good_is_parked_and_the_rest_arrives(tmp_path: Path) -> None:
    destination = picky(17, 400)
    with running(destination, config(tmp_path)) as made:
        made.offer(payload(1, 512))
        assert made.force_flush(5)
        assert made.balance().dropped == {"parked": 2}
        letters = made._queue.shelf.dead_letters  # type: ignore[attr-defined]
        assert letters.items() == 2
    assert sorted(arrived(destination)) == [number for number in range(1, 513) if number not in (17, 400)]
    assert len(destination.received) < 50


def picky(*bad: int) -> Destination:
    """Answers 400 to a request that holds one of the bad numbers, and does not say which."""
    return Destination(refuses=lambda signal, body: not set(bad).isdisjoint(numbers(signal, body)))


def test_dead_letters_are_dropped_when_there_is_no_room_for_them(tmp_path: Path) -> None:
    destination = picky(3)
    with running(destination, config(tmp_path, dead=0)) as made:
        made.offer(payload(1, 8))
        assert made.force_flush(5)
        assert made.balance().dropped == {"permanent_error": 1}


def test_a_corrupt_record_is_dropped_with_its_reason_and_the_rest_arrives(tmp_path: Path) -> None:
    dead = Destination(default=Answer.unavailable())
    with running(dead, config(tmp_path, memory=1024), 0) as made:
        for number in range(1, 101):
            made.offer(payload(number, 1))
    (segment,) = segment_files(tmp_path / "test%2F1" / "traces")
    data = bytearray(segment.read_bytes())
    at = data.index((50).to_bytes(8, "big"), 300)
    data[at] ^= 1
    segment.write_bytes(data)
    destination = Destination()
    with running(destination, config(tmp_path)) as made:
        assert made.force_flush(5)
        assert made.balance().dropped == {"corrupt": 1}
        assert made.balance().accepted == 100
    assert len(arrived(destination)) == 99


def test_a_second_process_is_told_that_the_queue_is_in_use(tmp_path: Path) -> None:
    made = delivery(Destination(), config(tmp_path))
    script = f"""
from otel_llm.clock import SystemClock
from otel_llm.delivery.config import DiskConfig, QueueConfig
from otel_llm.delivery.storage import Storage
from otel_llm.telemetry import Metrics
Storage(Metrics(), SystemClock()).open("test/1", QueueConfig(), DiskConfig(directory={str(tmp_path)!r}))
"""
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    made.shutdown(0)
    assert "exporters.test/1.sending_queue.disk.directory" in other.stderr
    assert "is used by another process" in other.stderr


def test_a_directory_that_cannot_be_used_is_a_problem_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"disk\.directory: cannot use"):
        delivery(Destination(), config(tmp_path / "file"))


def test_after_a_reload_the_new_delivery_goes_on_where_the_old_one_left(tmp_path: Path) -> None:
    metrics, clock = Metrics(), SystemClock()
    storage = Storage(metrics, clock)
    old_destination, new_destination = Destination(default=Answer.unavailable()), Destination()
    old = Delivery("x", InMemoryExporter(old_destination), config(tmp_path), metrics, storage=storage)
    old.start()
    for number in range(1, 51):
        old.offer(payload(number, 1))
    old_destination.wait_for(lambda: bool(old_destination.received))
    new = Delivery("x", InMemoryExporter(new_destination), config(tmp_path), metrics, storage=storage)
    new.start()
    new.offer(payload(51, 1))
    old.shutdown(0.1)
    assert new.force_flush(5)
    assert arrived(new_destination) == list(range(1, 52))
    assert arrived(old_destination) == []
    balance = new.balance()
    assert (balance.accepted, balance.exported, balance.queued) == (51, 51, 0)
    new.shutdown(5)
    assert storage._shelves == {}


def test_what_cannot_change_while_the_files_are_open_is_refused_by_a_reload(tmp_path: Path) -> None:
    storage = Storage(Metrics(), SystemClock())
    settings = config(tmp_path, sync="interval").sending_queue
    assert settings.disk is not None
    running = storage.open("x", settings, settings.disk)
    other = config(tmp_path, sync="always", dead=2 * MIB, disk=32 * MIB).sending_queue
    assert other.disk is not None
    with pytest.raises(ConfigError) as refused:
        storage.open("x", other, other.disk)
    setting = "exporters.x.sending_queue.disk"
    assert [problem.replace(setting, "") for problem in refused.value.problems] == [
        ".sync: is interval while the gateway runs and cannot become always by a reload; restart it",
        ".dead_letters_size_bytes: is 1048576 while the gateway runs and cannot become 2097152 by a reload; restart it",
    ]
    assert running.shelf.users == [running]
    running.release()
    storage.open("x", other, other.disk).release()


def test_a_queue_that_is_left_in_the_middle_of_a_batch_loses_and_settles_nothing_of_its_successors(
    tmp_path: Path,
) -> None:
    storage, settings = Storage(Metrics(), SystemClock()), config(tmp_path, batch=200).sending_queue
    assert settings.disk is not None
    old, new = (storage.open("x", settings, settings.disk) for _ in range(2))
    taken: list[Payload | None] = []
    thread = threading.Thread(target=lambda: (old.release(), taken.append(new.take())))

    class Interrupting(BatchConfig):
        def __getattribute__(self, name: str) -> object:
            if name == "max_size_bytes" and is_reading and line.unread_items < 10:  # the first is taken
                is_reading.clear()
                thread.start()
                thread.join(0.3)  # it waits for the end of the batch, or takes the rest of it
            return super().__getattribute__(name)

    is_reading: list[bool] = []
    line = old.shelf.lines["traces"]
    line.limits = Interrupting(max_size_bytes=100_000, flush_timeout_seconds=0)
    for number in range(1, 11):
        one = payload(number, 1)
        assert old.reserve(one)
        line.secure(old.put(one))
    is_reading.append(True)
    first = old.take()
    thread.join()
    assert first is not None
    old.settle(first)
    again = taken[0]
    assert again is not None
    assert numbers(again.signal, again.join()) == list(range(1, 11))
    new.settle(again)
    assert line.is_empty
    new.release()


def test_clock_jumps_drop_and_hold_up_nothing(tmp_path: Path) -> None:
    class Jumping(SystemClock):
        jump = 0

        def unix_nano(self) -> int:
            self.jump = -self.jump or 10**18
            return max(super().unix_nano() + self.jump, 0)

    destination = Destination()
    made = Delivery("test", InMemoryExporter(destination), config(tmp_path), Metrics(), clock=Jumping())
    made.start()
    for number in range(1, 51):
        made.offer(payload(number, 1))
    assert made.force_flush(5)
    made.shutdown(5)
    assert arrived(destination) == list(range(1, 51))


@pytest.mark.parametrize(("before", "after"), [(10**18, 0), (0, 10**18)], ids=["back", "on"])
def test_a_clock_that_jumps_between_two_processes_loses_nothing(tmp_path: Path, before: int, after: int) -> None:
    class Standing(SystemClock):
        def __init__(self, now: int) -> None:
            self.now = now

        def unix_nano(self) -> int:
            return self.now

    dead, destination = Destination(default=Answer.unavailable()), Destination()
    for to, now, numbered in ((dead, before, range(1, 51)), (destination, after, range(51, 101))):
        made = Delivery("test", InMemoryExporter(to), config(tmp_path), Metrics(), clock=Standing(now))
        made.start()
        for number in numbered:
            made.offer(payload(number, 1))
        assert made.force_flush(5 if to is destination else 0.01) is (to is destination)
        made.shutdown(5 if to is destination else 0)
    assert arrived(destination) == list(range(1, 101))


def test_acceptance_30_the_account_balances_at_every_instant_with_the_queue_on_disk(tmp_path: Path) -> None:
    destination = picky(50, 1033, 2070)
    stop = threading.Event()
    wrong: list[object] = []
    refused = [0] * 4
    with running(destination, config(tmp_path, disk=2 * MIB, memory=20_000, batch=5000), 20) as made:

        def watch() -> None:
            while not stop.is_set():
                balance = made.balance()
                if not balance.is_balanced or balance.queued < 0:
                    wrong.append(balance)

        def send(sender: int) -> None:
            for number in range(100):
                try:
                    made.offer(payload(sender * 1000 + number * 3 + 1, 3, size=20 if number % 7 else 3_500))
                except RefusedError:
                    refused[sender] += 3
                if number % 10 == 0:
                    destination.will(Answer.unavailable(), Answer.throttled(0.001))

        threads = [threading.Thread(target=send, args=(sender,)) for sender in range(4)]
        watcher = threading.Thread(target=watch)
        watcher.start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert made.force_flush(20)
        stop.set()
        watcher.join()
        balance = made.balance()
    assert not wrong
    assert balance.queued == 0
    assert balance.accepted + sum(refused) == 1200
    assert balance.exported == destination.items == 1197
