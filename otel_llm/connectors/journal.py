"""What a connector holds, on disk as well: a kill loses none of it.

    FOLDER/ID/    a log of one connector in one process, an id for each; see delivery/segment_log.py
    FOLDER/ID/lock

A record is a payload as it came. It stays until nothing of it is held any more, nor of those before it: a log is
settled from its beginning. A journal that its process left behind is taken over by the next connector, record by
record, each kept in a journal of its own first. So nothing is lost, and what came after the oldest that was held comes
again, let go of or not.

Not thread-safe: the connector holds a lock.
"""

from __future__ import annotations

import contextlib
import shutil
from collections import OrderedDict
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

from otel_llm.clock import Clock
from otel_llm.delivery.config import DiskConfig
from otel_llm.delivery.folder_lock import FolderLock
from otel_llm.delivery.records import checksum, record_bytes
from otel_llm.delivery.segment import new_id
from otel_llm.delivery.segment_log import SegmentLog
from otel_llm.signals import Payload

_SEGMENTS: Final = 16
_SMALLEST_SEGMENT: Final = 64 * 1024
_LARGEST_SEGMENT: Final = 64 * 1024 * 1024


class Journal:
    """An open journal.

    Args:
        folder: of the connector's journals; made when it is not there.
        disk: how much, and whether the disk is told to keep it; with `interval` as with `always`.
        clock: for the time of each record.

    Raises:
        OSError: the folder cannot be used.
    """

    def __init__(self, folder: Path, disk: DiskConfig, clock: Clock) -> None:
        self._folder = folder / new_id().hex()
        self._capacity = disk.size_bytes
        self._sync = disk.sync != "never"
        self._clock = clock
        self._lock = FolderLock(self._folder)
        segment_bytes = min(max(disk.size_bytes // _SEGMENTS, _SMALLEST_SEGMENT), _LARGEST_SEGMENT)
        try:
            self._log = SegmentLog(self._folder, segment_bytes, sync=self._sync)
        except OSError:
            self._lock.release()
            raise
        # Parts that are held of each record, oldest record first.
        self._held: OrderedDict[int, int] = OrderedDict()
        self._settled = self._log.next_sequence

    @property
    def disk_bytes(self) -> int:
        """What it takes on disk."""
        return self._log.disk_bytes

    @property
    def has_records(self) -> bool:
        """Whether it keeps anything."""
        return bool(self._held)

    def has_room(self, payload: Payload) -> bool:
        """Whether a payload fits; whatever its size when nothing else is kept."""
        growth = self._log.growth(record_bytes(payload))
        return not growth or not self._held or self._log.disk_bytes + growth <= self._capacity

    def append(self, payload: Payload) -> int:
        """Keep a payload, and hold it once; returns its number. On return the disk has it.

        Raises:
            OSError: the disk says no; it may come again after a crash all the same.
        """
        self._log.make_room(record_bytes(payload))
        record = self._log.append(payload, checksum(payload.buffers), self._clock.unix_nano())
        self._held[record] = 1
        if self._sync:
            try:
                self._log.sync_all(self._log.take_unsynced())
            except OSError:
                self.let_go(record)
                raise
        return record

    def hold(self, record: int) -> None:
        """Something of a record is held."""
        self._held[record] += 1

    def let_go(self, record: int) -> None:
        """Something of a record is held no more."""
        self._held[record] -= 1
        if not self._held[record]:
            del self._held[record]

    def settle(self) -> None:
        """Remove from the disk what is before everything that is held."""
        oldest = next(iter(self._held), self._log.next_sequence)
        if oldest > self._settled:
            self._settled = oldest
            self._log.discard(self._log.settle(oldest))

    def close(self) -> None:
        """Close the files; those of a journal that keeps nothing are removed. Idempotent."""
        self._log.close()
        if not self._held:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.release()


class Estate:
    """The journals that processes left behind, as one row of payloads, oldest journal first.

    Args:
        folder: of the connector's journals.

    Attributes:
        lost_items: what was there once and could not be read, as far as known.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._payloads = self._walk()
        self.lost_items = 0

    def next(self) -> Payload | None:
        """The next payload, None when there is no more. The one before it is removed from its old place."""
        return next(self._payloads, None)

    def close(self) -> None:
        """Leave the rest, and the payload that was got last, to the next one. Idempotent."""
        self._payloads.close()

    def _walk(self) -> Generator[Payload]:
        for folder in sorted(_folders(self._folder), key=_changed):
            with contextlib.suppress(OSError):  # in use, or gone by now
                lock = FolderLock(folder)
                try:
                    yield from self._read(folder)
                finally:
                    lock.release()

    def _read(self, folder: Path) -> Generator[Payload]:
        log = SegmentLog(folder, _SMALLEST_SEGMENT, sync=False)
        self.lost_items += log.recovery.lost_items
        try:
            while (record := log.read()) is not None:
                yield record.payload
                log.discard(log.settle(record.sequence + 1))
            self.lost_items += log.take_lost()
        finally:
            log.close()
        if not log.recovery.damaged_segments:  # what is in quarantine is for people
            shutil.rmtree(folder, ignore_errors=True)


def _folders(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from (one for one in folder.iterdir() if one.is_dir())


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
