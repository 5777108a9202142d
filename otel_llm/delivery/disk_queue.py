"""The queue of a delivery on disk: what was accepted is there after a crash, an outage or a restart.

    DIRECTORY/EXPORTER/lock             held by the process that uses it
    DIRECTORY/EXPORTER/traces/ ...      a log for each signal; see segment_log.py
    DIRECTORY/EXPORTER/dead_letters/    what the destination refuses for good; see dead_letters.py

`Shelf` is what is on disk, once for each exporter and process; `DiskQueue` is one delivery's use of it. After a reload
two deliveries of one name share a shelf for a moment: both may put, and the newer one takes when the older has left.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from otel_llm._generated.attributes import OtelLlmDropReasonValues as DropReason
from otel_llm.clock import Clock
from otel_llm.delivery.account import Account
from otel_llm.delivery.committer import Committer
from otel_llm.delivery.config import DiskConfig, QueueConfig
from otel_llm.delivery.dead_letters import FOLDER, DeadLetters
from otel_llm.delivery.disk_line import DiskLine, payload_checksum
from otel_llm.delivery.folder_lock import FolderLock
from otel_llm.delivery.records import record_bytes
from otel_llm.delivery.segment_log import SegmentLog
from otel_llm.errors import RefusedError
from otel_llm.signals import SIGNALS, Payload, Signal
from otel_llm.telemetry import LogLimiter

_logger = logging.getLogger(__name__)

_SMALLEST_SEGMENT: Final = 64 * 1024
_LARGEST_SEGMENT: Final = 64 * 1024 * 1024
# A quota is that many segments at least, so that room comes back in steps that are small beside it.
_SEGMENTS: Final = 16
_LONGEST_WAIT_SECONDS: Final = 3600.0


class Shelf:
    """The files of one exporter, open; all methods are thread-safe.

    Args:
        folder: where they are.
        config: how they are kept; each queue that uses it has its own quota.
        account: told what is accepted, found again and lost.
        clock: for times.

    Attributes:
        users: the queues that use it, newest last.
        taker, is_popping: the one of them that takes, and whether it is reading a batch, without the lock.
        dead_letters: what the destination refused for good.
        damaged_segments: how many damaged segments were found at the start.
        write_problem, sync_problem: what the disk says to what is written and synced; empty while it takes it.

    Raises:
        OSError: the folder cannot be made or locked.
    """

    def __init__(self, folder: Path, config: DiskConfig, account: Account, clock: Clock) -> None:
        self.folder = folder
        self.config = config
        self.account = account
        self.clock = clock
        self.changed = threading.Condition()
        self.users: list[DiskQueue] = []
        self.taker: DiskQueue | None = None
        self.is_popping = False
        self.write_problem = self.sync_problem = ""
        self._lock = FolderLock(folder)
        self._log = LogLimiter(_logger, clock.monotonic)
        self.lines: dict[Signal, DiskLine] = {}
        self._committer = Committer(folder)
        segment_bytes = min(max(config.size_bytes // _SEGMENTS, _SMALLEST_SEGMENT), _LARGEST_SEGMENT)
        try:
            for signal in SIGNALS:
                log = SegmentLog(
                    folder / signal,
                    segment_bytes,
                    sync=config.sync != "never",
                    # 64 MiB of it at once would hold up senders, who do not wait for the disk with this setting.
                    seals_later=config.sync == "interval",
                )
                always = config.sync == "always"
                self.lines[signal] = DiskLine(
                    signal, log, self.changed, account.accept, self._note_sync, self._committer.ask if always else None
                )
            self.dead_letters = DeadLetters(folder / FOLDER, config.dead_letters_size_bytes, clock)
        except OSError:
            self._close_logs()
            raise
        self.damaged_segments = sum(line.log.recovery.damaged_segments for line in self.lines.values())
        for signal, line in self.lines.items():
            account.recover(signal, line.unread_items, line.log.recovery.lost_items)
        self._ended = threading.Event()
        self._syncer: threading.Thread | None = None
        if config.sync == "interval":
            self._syncer = threading.Thread(
                target=self._sync_now_and_then, args=(config.sync_interval_seconds,), name="otel-llm-sync", daemon=True
            )
            self._syncer.start()

    def _sync_now_and_then(self, seconds: float) -> None:
        while not self._ended.wait(seconds):
            self._sync()

    def _sync(self) -> None:
        for line in self.lines.values():
            with contextlib.suppress(OSError):  # it was noted, and is tried again
                line.sync()

    def _note_sync(self, error: OSError | None) -> None:
        """What became of a sync; without the lock."""
        self.sync_problem = "" if error is None else f"cannot be synced: {_said(error)}"
        if error is not None:
            self._log.warning("sync", "%s: %s", self.folder, self.sync_problem)

    def disk_bytes(self) -> int:
        """What the logs take on disk; with the lock."""
        return sum(line.log.disk_bytes for line in self.lines.values())

    def cached_bytes(self) -> int:
        """What is held in memory; with the lock."""
        return sum(line.cached_bytes + line.taken_bytes for line in self.lines.values())

    def note_write_error(self, error: OSError) -> None:
        """The disk would not take a record."""
        self.write_problem = _said(error)
        self._log.warning("write", "%s: %s; senders are told to wait", self.folder, self.write_problem)

    def close(self) -> None:
        """Sync and close everything. Idempotent."""
        self._ended.set()
        if self._syncer is not None:
            self._syncer.join()
        self._committer.close()
        self.dead_letters.close()
        self._close_logs()

    def _close_logs(self) -> None:
        for line in self.lines.values():
            line.close()
        self.lines = {}
        self._lock.release()


class DiskQueue:
    """A Queue on disk.

    Args:
        shelf: the files.
        config: limits of memory and batches, and the quota on disk.
        released: called when this queue is released.
    """

    is_durable = True

    def __init__(self, shelf: Shelf, config: QueueConfig, disk: DiskConfig, released: Callable[[Shelf], None]) -> None:
        self.shelf = shelf
        self.damaged_segments = shelf.damaged_segments
        self._changed = shelf.changed
        self._memory_bytes = config.size_bytes
        self._capacity = disk.size_bytes
        self._released = released
        self._lines = shelf.lines  # also when the shelf is closed: who has put something is told what became of it
        self._reservations = 0
        self._closed = False
        self._is_released = False
        with self._changed:
            shelf.users.append(self)
            for line in shelf.lines.values():
                line.limits = config.batch
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    @property
    def has_successor(self) -> bool:
        """Whether a newer queue of the same shelf waits to take."""
        with self._changed:
            return self._is_released or self.shelf.users[-1] is not self

    @property
    def capacity_bytes(self) -> int:
        """Most bytes it may take on disk."""
        return self._capacity

    def size_bytes(self) -> int:
        """Bytes that its logs take on disk."""
        with self._changed:
            return self.shelf.disk_bytes()

    def sizes(self) -> dict[Signal, int]:
        """Bytes waiting or taken and not settled, by signal; those of signals that have none left out."""
        with self._changed:
            sizes = {line.signal: line.unread_bytes + line.taken_bytes for line in self.shelf.lines.values()}
        return {signal: size for signal, size in sizes.items() if size}

    def problem(self) -> str:
        """What the disk says while it says no."""
        return self.shelf.write_problem or self.shelf.sync_problem

    def reserve(self, payload: Payload) -> bool:
        """Keep room free, on the disk itself: what is reserved can be written."""
        size = record_bytes(payload)
        with self._changed:
            if self._closed:
                return False
            line = self.shelf.lines[payload.signal]
            growth = line.log.growth(line.reserved_bytes + size)
            is_empty = all(one.is_empty and not one.reserved_bytes for one in self.shelf.lines.values())
            if growth and not is_empty and self.shelf.disk_bytes() + growth > self._capacity:
                self.shelf.write_problem = ""
                return False
            try:
                line.make_room(size)
            except OSError as error:
                self.shelf.note_write_error(error)
                return False
            self._reservations += 1
        return True

    def cancel(self, payload: Payload) -> None:
        """Give back room that was reserved."""
        with self._changed:
            self._give_back(payload)

    def _give_back(self, payload: Payload) -> None:
        line = self.shelf.lines.get(payload.signal)
        if line is not None:
            line.reserved_bytes -= record_bytes(payload)
        self._reservations -= 1
        if self._closed:
            self._changed.notify_all()

    def put(self, payload: Payload) -> int:
        """Append a payload for which room was reserved.

        Raises:
            RefusedError: the disk says no.
        """
        if len(payload.buffers) > 1:  # 140 pieces of 4 KB cost 0.3 ms more to sum and write than to join first
            payload = Payload(payload.signal, (payload.join(),), payload.items, payload.size_bytes)
        crc = payload_checksum(payload)
        now, clock = self.shelf.clock.monotonic(), self.shelf.clock
        with self._changed:
            self._give_back(payload)
            line = self.shelf.lines.get(payload.signal)
            if line is None:
                raise RefusedError("the queue on disk is closed", reason="shutting_down")
            memory_bytes = self._memory_bytes - self.shelf.cached_bytes()
            try:
                sequence = line.put(payload, crc, clock.unix_nano(), now, memory_bytes)
            except OSError as error:
                self.shelf.note_write_error(error)
                text = f"the queue on disk cannot be written: {_said(error)}"
                raise RefusedError(text, reason="disk_failing") from error
            self.shelf.write_problem = ""
            return sequence

    def secure(self, signal: Signal, ticket: int) -> None:
        """Return when the disk has it, with `sync: always`; else at once."""
        self._lines[signal].secure(ticket)

    def is_secure(self, signal: Signal, ticket: int, wake: Callable[[], None]) -> bool:
        """Whether `secure` would return at once; if not, `wake` is called once when it would."""
        return self._lines[signal].is_secure(ticket, wake)

    def take(self) -> Payload | None:
        """Wait for a batch; the signal whose first record has waited longest comes first."""
        while True:
            with self._changed:
                line = self._next_line()
                if line is None:
                    return None
                self.shelf.is_popping = True
            is_read = False
            try:
                batch = line.pop_batch()
                is_read = True
            finally:
                with self._changed:
                    self.shelf.is_popping = False
                    if not is_read:
                        line.leave()
                    self._changed.notify_all()
            self._count_lost(line)
            if batch is not None:
                return batch

    def _next_line(self) -> DiskLine | None:
        """Wait for a line that has a batch ready; None when this queue is closed and has no more. With the lock."""
        while True:
            if self._is_released or (self._closed and self.shelf.users[-1] is not self):
                return None
            now = self.shelf.clock.monotonic()
            soonest = now + _LONGEST_WAIT_SECONDS
            if self.shelf.taker in (None, self):
                self.shelf.taker = self
                waiting = [(at, line) for line in self.shelf.lines.values() if (at := line.ready_at()) is not None]
                ready = [line for at, line in waiting if at <= now or self._closed]
                if ready:
                    return min(ready, key=DiskLine.oldest)
                if self._closed and not self._reservations:
                    return None
                soonest = min((at for at, _ in waiting), default=soonest)
            self._changed.wait(soonest - now)

    def _count_lost(self, line: DiskLine) -> None:
        with self._changed:
            lost = line.take_lost()
        if lost:
            self.shelf.account.drop(line.signal, lost, DropReason.CORRUPT)

    def settle(self, batch: Payload) -> None:
        """A batch is exported or given up: it is not sent again after a restart."""
        with self._changed:
            line = self.shelf.lines.get(batch.signal) if self.shelf.taker is self else None
            if line is None:
                return
            done = line.settle()
        line.discard(done)
        self._count_lost(line)

    def leave(self) -> None:
        """Take no more; what was taken and not settled waits again. A batch that is being read is read first."""
        with self._changed:
            while self.shelf.taker is self and self.shelf.is_popping:
                self._changed.wait()
            if self.shelf.taker is self:
                self.shelf.taker = None
                for line in self.shelf.lines.values():
                    line.leave()
                self._changed.notify_all()

    def flush(self) -> None:
        """Hand out what is there without waiting for more."""
        with self._changed:
            for line in self.shelf.lines.values():
                line.is_flushed = bool(line.unread_items)
            self._changed.notify_all()

    def close(self) -> None:
        """Reserve nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def release(self) -> bool:
        """Give back the shelf; what waits stays on disk. Idempotent."""
        self.leave()
        with self._changed:
            if not self._is_released:
                self._is_released = self._closed = True
                self.shelf.users.remove(self)
            is_last = not self.shelf.users
            self._changed.notify_all()
        self._released(self.shelf)
        return is_last


def _said(error: OSError) -> str:
    return error.strerror or type(error).__name__
