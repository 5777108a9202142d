"""A first-in-first-out log of records in a folder: what was appended is read, and what was settled is removed.

    00000000000000000001.log   segments, named after their first record
    cursor                     how far records are settled, and which batch was on its way
    spare                      a segment that is settled; the next new one takes its place on disk
    quarantine/                damaged segments, as they were found

Nothing found on disk keeps a log from opening: a torn end is cut off, records between damage are read, what is damaged
is linked into quarantine and reported. Nothing is appended to a segment that was left behind.

Not thread-safe: whoever owns it holds a lock. Only the reading at a `spot` and `sync` need none.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otel_llm.delivery.cursor import CursorFile, Place
from otel_llm.delivery.quarantine import quarantine
from otel_llm.delivery.records import Record, Spot, encode_header, find_record, read_record
from otel_llm.delivery.segment import HEADER_BYTES, Segment, new_id, segment_files, sync_data, sync_folder
from otel_llm.signals import Payload

_logger = logging.getLogger(__name__)

_CURSOR: Final = "cursor"
_SPARE: Final = "spare"


class SealError(OSError):
    """A segment could not be synced when it was full: what of it was not synced before may be lost."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a log found when it was opened.

    Attributes:
        items: what is there and not settled.
        lost_items: what was there once and cannot be read, as far as known.
        damaged_segments: how many segments hold damage.
    """

    items: int = 0
    lost_items: int = 0
    damaged_segments: int = 0


@dataclass(slots=True)
class _Reader:
    """Where reading goes on. `left_items` are those of the segment that were not read yet."""

    segment: Segment
    offset: int
    left_items: int


class SegmentLog:
    """An open log.

    Args:
        folder: where it is; made when it is not there.
        segment_bytes: how long a segment may become; one longer record gets a segment of its own.
        sync: whether files survive the loss of power when `sync` was called, and folders when they are made.
        seals_later: whether a segment that is full is synced by the next call of `sync_all`, and not at once.

    Attributes:
        recovery: what was found.
        id: tells this log from every other.
        next_sequence: of the next record that is appended.

    Raises:
        OSError: the folder or its cursor cannot be made or opened.
    """

    def __init__(self, folder: Path, segment_bytes: int, *, sync: bool, seals_later: bool = False) -> None:
        self._folder = folder
        self._seals_later = seals_later
        self._sealed: list[Segment] = []
        self._segment_bytes = segment_bytes
        self._sync = sync
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if sync:
            _keep_folder(folder)
        self._cursor = CursorFile(folder / _CURSOR)
        self.id = self._cursor.id
        self._segments: list[Segment] = []
        self._active: Segment | None = None
        self._spare: Segment | None = None
        self._lost_items = 0
        self.next_sequence = max(self._cursor.place.next_sequence, self._cursor.place.batch_end, 1)
        with contextlib.suppress(OSError):  # left by a process that was killed
            (folder / _SPARE).unlink(missing_ok=True)
        self.recovery = self._recover()
        self._reader: _Reader | None = None
        self.rewind()

    def _recover(self) -> Recovery:
        settled = self._cursor.place.next_sequence
        items = lost = damaged = 0
        for path in segment_files(self._folder):
            segment = self._open(path)
            if segment is None:
                damaged += 1
                self.next_sequence = max(self.next_sequence, int(path.stem) + 1)
                continue
            damaged += self._examine(segment)
            self.next_sequence = max(self.next_sequence, segment.next_sequence)
            if segment.next_sequence <= max(settled, segment.first_sequence):  # all of it is settled, or it is empty
                self._remove(segment)
                continue
            self._segments.append(segment)
            items += segment.items - sum(r.payload.items for r in self._settled_in(segment, settled))
            lost += segment.lost_items
        return Recovery(items, lost, damaged)

    def _examine(self, segment: Segment) -> bool:
        """Whether a segment is damaged, or the one before it ends too early; either is reported."""
        before = self._segments[-1] if self._segments else None
        if before is not None and segment.first_sequence > before.next_sequence:
            missing = segment.first_sequence - before.next_sequence
            quarantine(before.path, f"{missing} records between it and {segment.path.name} are missing")
            return True
        if segment.damaged_bytes or segment.lost_items:
            quarantine(segment.path, f"{segment.damaged_bytes} bytes of it hold no whole record")
            return True
        with contextlib.suppress(OSError):  # then it takes more room than it needs
            segment.cut()
        return False

    def _open(self, path: Path) -> Segment | None:
        segment = None
        try:
            segment = Segment.open(path)
            if not segment.records and not segment.is_whole and segment.holds_anything():
                segment.damaged_bytes = segment.allocated
        except (OSError, ValueError) as error:
            quarantine(path, f"it cannot be read ({type(error).__name__})")
            if segment is not None:
                segment.close()
            return None
        return segment

    def _settled_in(self, segment: Segment, settled: int) -> Iterator[Record]:
        if segment.first_sequence < settled:
            for _, record in segment.walk(HEADER_BYTES, segment.end):
                if record.sequence >= settled:
                    return
                yield record

    def _remove(self, segment: Segment) -> None:
        segment.close()
        with contextlib.suppress(OSError):  # it is removed after the next start, for the cursor has passed it
            segment.path.unlink(missing_ok=True)

    @property
    def disk_bytes(self) -> int:
        """What the segments take on disk, reserved room included."""
        return sum(segment.allocated for segment in self._segments) + self._spare_bytes

    @property
    def _spare_bytes(self) -> int:
        return 0 if self._spare is None else self._spare.allocated

    @property
    def batch(self) -> Place:
        """The settled place, and the batch that was on its way when the log was closed or the process ended."""
        return self._cursor.place

    def unread(self) -> tuple[int, int]:
        """Items and bytes between the reader and the end; damage counts as both."""
        reader = self._readable()
        if reader is None:
            return 0, 0
        following = self._segments[self._segments.index(reader.segment) + 1 :]
        items = reader.left_items + sum(segment.items for segment in following)
        size = reader.segment.end - reader.offset + sum(segment.end - HEADER_BYTES for segment in following)
        return items, size

    def growth(self, size_bytes: int) -> int:
        """How many bytes the log would grow on disk to have room for so many bytes of records; 0 when it has."""
        if self._has_room(size_bytes):
            return 0
        return max(HEADER_BYTES + max(size_bytes, self._segment_bytes) - self._spare_bytes, 0)

    def _has_room(self, size_bytes: int) -> bool:
        return self._active is not None and self._active.free_bytes >= size_bytes

    def make_room(self, size_bytes: int) -> None:
        """See to it that so many bytes can be appended without the disk's saying no.

        Raises:
            SealError: the segment so far cannot be synced.
            OSError: there is no room.
        """
        if self._has_room(size_bytes):
            return
        self._drop_empty()
        segment = self._create(size_bytes)
        try:
            if self._sync:
                sync_folder(self._folder)
            self._seal()
        except OSError:
            self._remove(segment)
            raise
        self._active = segment
        self._segments.append(segment)

    def _create(self, size_bytes: int) -> Segment:
        """A new segment of the usual length; on a disk that is nearly full, of the length that is needed."""
        id_ = new_id()
        spare, self._spare = self._spare, None
        if spare is not None:
            with contextlib.suppress(OSError):
                length = max(size_bytes, self._segment_bytes)
                sync = self._sync and not self._seals_later
                return spare.renew(self._folder, self.next_sequence, id_, length, sync=sync)
        try:
            return Segment.create(self._folder, self.next_sequence, id_, max(size_bytes, self._segment_bytes))
        except OSError:
            if size_bytes >= self._segment_bytes:
                raise
            return Segment.create(self._folder, self.next_sequence, id_, size_bytes)

    def _seal(self) -> None:
        if self._active is None:
            return
        try:
            self._active.seal(sync=self._sync and not self._seals_later)
        except OSError as error:
            raise SealError(*error.args) from error
        if self._seals_later:
            self._sealed.append(self._active)

    def _drop_empty(self) -> None:
        """Remove an active segment that nothing was put into: the next one would have its name."""
        empty = self._active
        if empty is not None and not empty.records:
            self._segments.remove(empty)
            if self._reader is not None and self._reader.segment is empty:
                # Back to the end of the one before, which was read to its end.
                last = self._segments[-1] if self._segments else None
                self._reader = None if last is None else _Reader(last, last.end, 0)
            self._remove(empty)
            self._active = None

    def append(self, payload: Payload, crc: int, accepted_unix_nano: int, note: bytes = b"") -> int:
        """Write a record for which there is room; returns its sequence number. It is not synced.

        Raises:
            OSError: it could not be written; nothing was appended.
        """
        segment = self._active
        if segment is None:
            raise OSError("no room was made")
        sequence = self.next_sequence
        header = encode_header(segment.magic, payload, sequence, accepted_unix_nano, crc, note)
        size = len(header) + len(note) + payload.size_bytes
        segment.append((header, note, *payload.buffers), size, payload.items)
        if self._reader is not None and self._reader.segment is segment:
            self._reader.left_items += payload.items
        self.next_sequence = sequence + 1
        return sequence

    def active(self) -> Segment | None:
        """The segment that is appended to."""
        return self._active

    def take_back(self, segment: Segment, end: int, records: int, items: int) -> None:
        """Forget what was appended behind the first `records`, for it cannot be synced.

        The numbers of what is taken back are not used again, and nothing more is appended to the segment.

        Raises:
            OSError: the file cannot be cut either; then they may be delivered although they were refused.
        """
        if self._reader is not None and self._reader.segment is segment:
            self._reader.left_items -= segment.items - items
        if segment is self._active:
            self._active = None
        segment.truncate(end, records, items)

    def sync(self, segment: Segment) -> None:
        """Sync what was appended to a segment.

        Raises:
            OSError: the disk says no; whether it is there after a loss of power is unknown.
        """
        sync_data(segment.file)

    def take_unsynced(self) -> list[Segment]:
        """The segments that `sync_all` has to sync: those that were sealed since the last call, and the active one."""
        unsynced, self._sealed = self._sealed, []
        return unsynced if self._active is None else [*unsynced, self._active]

    def give_back(self, segments: list[Segment]) -> None:
        """What was taken by `take_unsynced` could not be synced: the next call gives it again."""
        sealed = [segment for segment in segments if segment is not self._active]
        self._sealed = [*sealed, *(segment for segment in self._sealed if segment not in sealed)]

    def sync_all(self, segments: list[Segment]) -> None:
        """Sync them; without the lock. One whose file was given to another segment meanwhile needs it no more.

        Raises:
            OSError: the disk says no; `give_back` them.
        """
        for segment in segments:
            file = segment.file
            if file >= 0:
                sync_data(file)

    def rewind(self) -> None:
        """Read again from the first record that is not settled."""
        settled = self._cursor.place.next_sequence
        self._reader = None
        for segment in self._segments:
            if segment.next_sequence <= settled and segment is not self._active:
                continue
            reader = _Reader(segment, HEADER_BYTES, segment.items)
            for offset, record in segment.walk(HEADER_BYTES, segment.end):
                if record.sequence >= settled:
                    reader.offset = offset
                    break
                reader.left_items -= record.payload.items
                reader.offset = offset + record.size_bytes
            self._reader = reader
            return

    def skip(self, size_bytes: int, items: int) -> None:
        """Go on behind the next record, which the caller has at hand."""
        reader = self._readable()
        if reader is not None:
            reader.offset += size_bytes
            reader.left_items -= items

    def spot(self) -> Spot | None:
        """Where `read_record` finds the next record; None when everything was read."""
        reader = self._readable()
        return None if reader is None else reader.segment.spot(reader.offset)

    def read(self) -> Record | None:
        """The next record; None when there is none. Damage is passed over, and what it held counted as lost."""
        while (spot := self.spot()) is not None:
            record = read_record(spot)
            if record is not None:
                self.skip(record.size_bytes, record.payload.items)
                return record
            self.pass_damage()
        return None

    def _readable(self) -> _Reader | None:
        """The reader, in a segment that has something more; None when everything was read."""
        if self._reader is None:
            if not self._segments:
                return None
            self._reader = _Reader(self._segments[0], HEADER_BYTES, self._segments[0].items)
        while self._reader.offset >= self._reader.segment.end:
            following = self._segments.index(self._reader.segment) + 1
            if following == len(self._segments):
                return None
            self._lost_items += max(self._reader.left_items, 0)
            segment = self._segments[following]
            self._reader = _Reader(segment, HEADER_BYTES, segment.items)
        return self._reader

    def pass_damage(self) -> None:
        """Go on behind what cannot be read at the reader's place."""
        reader = self._readable()
        if reader is None:
            return
        segment = reader.segment
        found = find_record(segment.spot(reader.offset + 1))
        quarantine(segment.path, f"no whole record at byte {reader.offset}")
        reader.offset = segment.end if found is None else found
        if found is None:
            self._lost_items += max(reader.left_items, 0)
            reader.left_items = 0

    def take_lost(self) -> int:
        """Items found unreadable since the last call."""
        lost, self._lost_items = self._lost_items, 0
        return lost

    def mark_batch(self, next_sequence: int, batch_end: int) -> None:
        """Note which records are on their way. A failure to write it costs the same id after a restart."""
        self._place(Place(next_sequence, batch_end))

    def settle(self, next_sequence: int) -> list[Segment]:
        """Note that everything before a record is settled.

        Returns:
            segments that are not needed any more, for `discard`.
        """
        self._place(Place(next_sequence))
        done = [s for s in self._segments if s is not self._active and s.next_sequence <= next_sequence]
        if self._reader is not None and self._reader.segment in done:
            self._lost_items += max(self._reader.left_items, 0)
            self._reader = None
        self._segments = [segment for segment in self._segments if segment not in done]
        return [segment for segment in done if not self._keeps(segment)]

    def _keeps(self, segment: Segment) -> bool:
        """Keep a settled segment for the next new one, when it is of a good length and there is none yet."""
        is_fit = self._segment_bytes // 2 <= segment.allocated <= HEADER_BYTES + self._segment_bytes
        if self._spare is not None or not is_fit:
            return False
        with contextlib.suppress(OSError):
            if segment.is_linked():
                return False
            segment.path = segment.path.replace(self._folder / _SPARE)
            self._spare = segment
        return self._spare is segment

    def _place(self, place: Place) -> None:
        try:
            self._cursor.write(place)
        except OSError as error:
            _logger.debug("cursor in %s not written: %s", self._folder, error.strerror)

    def discard(self, segments: list[Segment]) -> None:
        """Delete segments; nobody may be syncing them."""
        for segment in segments:
            self._remove(segment)

    def close(self) -> None:
        """Seal and close everything, and remove what is settled. Idempotent."""
        with contextlib.suppress(OSError):
            self.sync_all(self._sealed)
        self._sealed = []
        for segment in self._segments:
            if segment.next_sequence <= max(self._cursor.place.next_sequence, segment.first_sequence):
                self._remove(segment)
            elif segment is self._active:
                with contextlib.suppress(OSError):
                    segment.seal(sync=self._sync)
            segment.close()
        if self._spare is not None:
            self._remove(self._spare)
        self._active = self._reader = self._spare = None
        self._segments = []
        self._cursor.close()


def _keep_folder(folder: Path) -> None:
    """See to it that a folder that may be new survives the loss of power: its exporter's and the directory as well."""
    for parent in list(folder.parents)[:3]:
        with contextlib.suppress(OSError):  # it may not be ours to read, and then it is not new either
            sync_folder(parent)
