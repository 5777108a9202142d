"""The records of one signal in a queue on disk: appended, made safe, cut into batches, settled.

The law of this module: a record is visible to the worker when, and not before, its sender may be told that it was
accepted. With `sync: always` that is when the disk has it; senders that wait at the same time share one sync.

The newest records are also kept in memory, as long as there is room and no record before them is on disk only: a queue
that is nearly empty reads nothing back.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from otel_llm.delivery.config import BatchConfig
from otel_llm.delivery.records import checksum, read_record, record_bytes
from otel_llm.delivery.segment import HEADER_BYTES, Segment
from otel_llm.delivery.segment_log import SealError, SegmentLog
from otel_llm.errors import RefusedError
from otel_llm.signals import Payload, Signal

_LONG_AGO: Final = float("-inf")
# How many ranges of records are remembered that the disk would not keep.
_MOST_VOID: Final = 64


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A record at the head of the line, in memory. `came` is by the monotonic clock."""

    sequence: int
    payload: Payload
    size_bytes: int
    came: float


@dataclass(frozen=True, slots=True)
class _Unsynced:
    sequence: int
    items: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Mark:
    """What of a segment is known to be safe."""

    segment: Segment
    end: int
    records: int
    items: int


class DiskLine:
    """One signal's log, and what is known about it in memory.

    Methods whose name begins with an underscore, and those that say so, need the lock held by the caller.

    Args:
        signal: whose.
        log: where.
        lock: guards everything here; notified when something becomes visible.
        accept: told the items of what becomes visible.
        note_sync: told what became of each sync: None, or why the disk refused; without the lock.
        ask_commit: asks for a call of `commit` on another thread, soon. With it, records become visible only when the
            disk has them; with None, when they are written.

    Attributes:
        limits: when a batch is complete.
        reserved_bytes: room that was promised and not used yet.
        cached_bytes: what is held in memory.
        unread_items, unread_bytes: visible and not taken.
        taken_bytes: taken and not settled.
    """

    def __init__(
        self,
        signal: Signal,
        log: SegmentLog,
        lock: threading.Condition,
        accept: Callable[[Signal, int], None],
        note_sync: Callable[[OSError | None], None],
        ask_commit: Callable[[DiskLine], None] | None,
    ) -> None:
        self.limits = BatchConfig()
        self.signal = signal
        self.log = log
        self._lock = lock
        self._accept = accept
        self._note_sync = note_sync
        self._ask_commit = ask_commit
        self._always = ask_commit is not None
        self._watchers: list[Callable[[], None]] = []
        self._syncing = threading.Lock()
        self.reserved_bytes = 0
        self.cached_bytes = 0
        self.unread_items, self.unread_bytes = log.unread()
        self.taken_bytes = 0
        self._visible = log.next_sequence
        self._cached: deque[_Waiting] = deque()
        self._ahead: _Waiting | None = None
        self._unsynced: deque[_Unsynced] = deque()
        self._last_put = 0
        self._mark: _Mark | None = None
        self._void: deque[tuple[int, int]] = deque()
        self._forgotten = 0
        self._is_dirty = False
        self._taken: tuple[int, int] | None = None
        # The batch that was on its way when the log was closed is made again as it was.
        self._again = log.batch.batch_end
        self.is_flushed = False

    @property
    def is_empty(self) -> bool:
        """Whether everything was settled; with the lock."""
        return self._taken is None and self._ahead is None and self.log.spot() is None

    def make_room(self, size_bytes: int) -> None:
        """Promise room for so many bytes more; with the lock.

        Raises:
            OSError: the disk has no room.
        """
        try:
            self.log.make_room(self.reserved_bytes + size_bytes)
        except SealError:
            self._take_back(self.log.active())
            raise
        self.reserved_bytes += size_bytes

    def put(self, payload: Payload, crc: int, unix_nano: int, now: float, memory_bytes: int) -> int:
        """Append a record; with the lock. Returns its sequence number.

        Args:
            payload: what to keep.
            crc: its `checksum`.
            unix_nano: the time.
            now: the same by the monotonic clock.
            memory_bytes: how much more may be held in memory.

        Raises:
            OSError: it could not be written.
        """
        last = self._cached[-1].sequence if self._cached else 0
        is_next = last == self._last_put if last else self._ahead is None and self.log.spot() is None
        sequence = self._last_put = self.log.append(payload, crc, unix_nano)
        size = record_bytes(payload)
        if is_next and payload.size_bytes <= memory_bytes:
            self._cached.append(_Waiting(sequence, payload, size, now))
            self.cached_bytes += payload.size_bytes
        self._unsynced.append(_Unsynced(sequence, payload.items, size))
        self._is_dirty = True
        if not self._always:
            self._show(sequence + 1)
        return sequence

    def _show(self, target: int) -> None:
        """Records before `target` are accepted: count them, and let the worker have them."""
        items = 0
        was_ready = self._is_full() or not self.unread_bytes
        while self._unsynced and self._unsynced[0].sequence < target:
            shown = self._unsynced.popleft()
            items += shown.items
            self.unread_bytes += shown.size_bytes
        self._visible = max(self._visible, target)
        segment = self.log.active()
        if segment is not None and self._always:
            left = self._unsynced_in(segment)
            end = segment.end - sum(one.size_bytes for one in left)
            items_left = sum(one.items for one in left)
            self._mark = _Mark(segment, end, segment.records - len(left), segment.items - items_left)
        if items:
            self.unread_items += items
            self._accept(self.signal, items)
        # Waking the worker for each payload would cost more than putting it.
        if was_ready or self._is_full():
            self._lock.notify_all()

    def _unsynced_in(self, segment: Segment) -> list[_Unsynced]:
        return [one for one in self._unsynced if one.sequence >= segment.first_sequence]

    def _is_full(self) -> bool:
        """Whether there is enough for a whole batch."""
        return self.unread_bytes >= self.limits.max_size_bytes or self.unread_items >= self.limits.max_items

    def secure(self, ticket: int) -> None:
        """Return when the record of this sequence number is safe; without the lock.

        Raises:
            RefusedError: the disk would not have it; it is not accepted and will not be delivered.
        """
        if not self._always:
            return
        while True:
            with self._syncing:  # whoever waits here finds its record synced with others, most of the time
                with self._lock:
                    if self._is_visible(ticket):
                        return
                    segment, target = self.log.active(), self.log.next_sequence
                self._sync(segment, target)

    def is_secure(self, ticket: int, wake: Callable[[], None]) -> bool:
        """Whether the record of this sequence number is safe; without the lock.

        False when nobody knows yet: then it is synced with others soon, and `wake` is called after that, once.

        Raises:
            RefusedError: the disk would not have it; it is not accepted and will not be delivered.
        """
        if self._ask_commit is None:
            return True
        with self._lock:
            if self._is_visible(ticket):
                return True
            self._watchers.append(wake)
            is_first = len(self._watchers) == 1
        if is_first:
            self._ask_commit(self)
        return False

    def _is_visible(self, ticket: int) -> bool:
        # Who asks so late that it is forgotten whether the disk has it, must send it again.
        if ticket < self._forgotten or any(first <= ticket < end for first, end in self._void):
            raise RefusedError(f"the queue on disk for {self.signal} cannot be synced", reason="disk_failing")
        return ticket < self._visible

    def commit(self) -> None:
        """Sync for those who watch, and wake them; without the lock."""
        with self._syncing:
            with self._lock:
                watchers, self._watchers = self._watchers, []
                segment, target = self.log.active(), self.log.next_sequence
                is_all_visible = self._visible >= target
            try:
                if not is_all_visible:
                    self._sync(segment, target)
            finally:  # after a defect they ask again
                for wake in watchers:
                    wake()

    def sync(self) -> None:
        """Sync what is not; without the lock.

        Raises:
            OSError: the disk says no.
        """
        with self._syncing:
            with self._lock:
                if not self._is_dirty:
                    return
                self._is_dirty = False
                segments = self.log.take_unsynced()
            try:
                self.log.sync_all(segments)
            except OSError as error:
                with self._lock:
                    self._is_dirty = True
                    self.log.give_back(segments)
                self._note_sync(error)
                raise
            self._note_sync(None)

    def _sync(self, segment: Segment | None, target: int) -> None:
        """Sync what was appended before `target`, in the active segment, and show it, or take it back.

        Without the lock, with `_syncing`.
        """
        try:
            if segment is not None:
                self.log.sync(segment)
        except OSError as error:
            with self._lock:
                self._take_back(segment)
            self._note_sync(error)
            return
        self._note_sync(None)
        with self._lock:
            self._show(target)

    def close(self) -> None:
        """Sync and close the log; whoever has put something is told what became of it. Idempotent; without the lock."""
        self.commit()
        with self._syncing, self._lock:
            if self._unsynced:  # put since then: nobody would sync it
                self._take_back(self.log.active())
            self.log.close()
        self.commit()

    def _take_back(self, segment: Segment | None) -> None:
        """The disk refuses to promise: what was not shown yet is refused, and none of it is delivered.

        When the segment was sealed meanwhile, that is what it holds: the disk says once only that it has failed, so the
        sync of the seal says nothing.
        """
        is_sealed = segment is not None and self.log.active() not in (segment, None)
        first, end = self._visible, segment.next_sequence if segment and is_sealed else self.log.next_sequence
        self._void.append((first, end))
        if len(self._void) > _MOST_VOID:
            self._forgotten = self._void.popleft()[1]
        failed = [one for one in self._unsynced if one.sequence < end]
        for _ in failed:
            self._unsynced.popleft()
        kept = [one for one in self._cached if not first <= one.sequence < end]
        self.cached_bytes -= sum(one.payload.size_bytes for one in self._cached if first <= one.sequence < end)
        self._cached = deque(kept)
        if self._ahead is not None and first <= self._ahead.sequence < end:
            self._ahead = None
        self._visible = end
        if segment is None or not failed:
            return
        mark = self._mark if self._mark is not None and self._mark.segment is segment else None
        keep = (mark.end, mark.records, mark.items) if mark is not None else (HEADER_BYTES, 0, 0)
        # When it cannot be cut either, these may be delivered although their senders repeat them.
        with contextlib.suppress(OSError):
            self.log.take_back(segment, *keep)

    def ready_at(self) -> float | None:
        """When a batch is ready by the monotonic clock; None when nothing waits. With the lock."""
        if not self.unread_items and not self.unread_bytes:
            return None
        if self.is_flushed or self._again or self._is_full():
            return _LONG_AGO
        return self.oldest() + self.limits.flush_timeout_seconds

    def oldest(self) -> float:
        """When the record at the head came, long ago for one that is on disk only. With the lock."""
        head = self._ahead or (self._cached[0] if self._cached else None)
        return _LONG_AGO if head is None else head.came

    def pop_batch(self) -> Payload | None:
        """Take as many records as fit into one batch, at least one; None when what waited cannot be read.

        Without the lock; on the worker's thread.
        """
        taken: list[_Waiting] = []
        size = items = 0
        while (head := self._peek()) is not None:
            if taken and not self._fits(head, size, items):
                break
            if self._again and head.sequence >= self._again:
                self._again = 0
                if taken:
                    break
            size += head.payload.size_bytes
            items += head.payload.items
            taken.append(head)
            self._consume(head)
        with self._lock:
            self._again = 0
            if not taken:
                self._nothing_left()
                return None
            if not self.unread_items:
                self.is_flushed = False
            self.taken_bytes = size
            first, end = taken[0].sequence, taken[-1].sequence + 1
            self.log.mark_batch(first, end)
        pieces = tuple(piece for one in taken for piece in one.payload.buffers)
        batch_id = f"{self.log.id}-{first:x}-{end:x}"
        return Payload(self.signal, pieces, items, size, batch_id)

    def _fits(self, head: _Waiting, size: int, items: int) -> bool:
        if self._again:
            return head.sequence < self._again
        size += head.payload.size_bytes
        return size <= self.limits.max_size_bytes and items + head.payload.items <= self.limits.max_items

    def _peek(self) -> _Waiting | None:
        """The record at the head of the line, read from disk when it is nowhere else; without the lock."""
        while True:
            with self._lock:
                head = self._ahead or (self._cached[0] if self._cached else None)
                if head is not None:
                    return head if head.sequence < self._visible else None
                spot = self.log.spot()
            if spot is None:
                return None
            record = read_record(spot)
            with self._lock:
                now = self.log.spot()
                if record is None:
                    if now == spot:
                        self.log.pass_damage()
                elif now is not None and now.holds(spot, record.size_bytes):  # it may have been taken back meanwhile
                    self._ahead = _Waiting(record.sequence, record.payload, record.size_bytes, _LONG_AGO)

    def _consume(self, head: _Waiting) -> None:
        with self._lock:
            if head is self._ahead:
                self._ahead = None
            else:
                self._cached.popleft()
                self.cached_bytes -= head.payload.size_bytes
            self._taken = (self._taken[0] if self._taken else head.sequence, head.sequence + 1)
            self.log.skip(head.size_bytes, head.payload.items)
            self.unread_items = max(self.unread_items - head.payload.items, 0)
            self.unread_bytes = max(self.unread_bytes - head.size_bytes, 0)

    def _nothing_left(self) -> None:
        """What the counts say is waiting cannot be read: it is lost. With the lock."""
        head = self._ahead or (self._cached[0] if self._cached else None)
        if head is None if self.log.spot() is None else head is not None and head.sequence >= self._visible:
            self.unread_items = self.unread_bytes = 0
            self.is_flushed = False

    def take_lost(self) -> int:
        """Items found unreadable since the last call; with the lock."""
        lost = self.log.take_lost()
        self.unread_items = max(self.unread_items - lost, 0)
        return lost

    def settle(self) -> list[Segment]:
        """What was taken is exported or given up; returns what to `discard`. With the lock."""
        if self._taken is None:
            return []
        done = self.log.settle(self._taken[1])
        self._taken, self.taken_bytes = None, 0
        return done

    def discard(self, done: list[Segment]) -> None:
        """Delete what is settled; without the lock."""
        if done:
            with self._syncing:
                self.log.discard(done)

    def leave(self) -> None:
        """What was taken and not settled waits again, as the same batch; with the lock."""
        if self._taken is None:
            return
        self._again = self._taken[1]
        self._taken, self.taken_bytes = None, 0
        self.log.rewind()
        # Memory holds no record behind one that is on disk only.
        self._cached.clear()
        self._ahead, self.cached_bytes = None, 0
        items, size = self.log.unread()
        self.unread_items = items - sum(one.items for one in self._unsynced)
        self.unread_bytes = size - sum(one.size_bytes for one in self._unsynced)


def payload_checksum(payload: Payload) -> int:
    """What `DiskLine.put` wants; apart, for it takes time and needs no lock."""
    return checksum(payload.buffers)
