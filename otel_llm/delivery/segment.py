"""One file of a log on disk: a header of 128 bytes, then records.

    magic 8 | first sequence 8 | id 8 | crc32 4 | 0 ...
    at 64: records 8 | items 8 | end 8 | following sequence 8 | crc32 4 | 0 ...

The second half of the header is written when the segment is sealed, so that a start need not read what is known. A
segment that was not sealed is read to find its end.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from otel_llm.delivery.records import HEADER_BYTES as RECORD_HEADER_BYTES
from otel_llm.delivery.records import MAGIC_BYTES, Record, Spot, find_record, read_record
from otel_llm.signals import Buffer

HEADER_BYTES: Final = 128
_MAGIC: Final = b"OTELLLM\x01"
_IDENTITY: Final = struct.Struct("<8sQ8sI")
_SUMMARY: Final = struct.Struct("<QQQQI")
_SUMMARY_OFFSET: Final = 64
_SUFFIX: Final = ".log"
# Linux takes at most 1024 pieces in one call.
_MAX_PIECES: Final = 1000
# What file systems say that cannot reserve space ahead.
_NO_PREALLOCATION: Final = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTSUP})


class Segment:
    """An open segment; guarded by whoever owns it. Use `create` or `open`.

    Attributes:
        path: the file.
        first_sequence: of its first record.
        id: eight random bytes, none of them 0, that tell it from every other segment, also from one of the same name.
        end: where its last record ends.
        allocated: bytes that the file takes, reserved ones included.
        records, items: what is in it.
        next_sequence: what the segment after it begins with; numbers that were taken back are left out between them.
        is_sealed: nothing more is appended.
        is_whole: its header could be read.
        damaged_bytes: bytes among its records that hold none.
        lost_items: items it once held and which are not in it any more, as far as known.
    """

    def __init__(self, path: Path, file: int, first_sequence: int, id_: bytes) -> None:
        self.path = path
        self.file = file
        self.first_sequence = first_sequence
        self.id = id_
        self.end = HEADER_BYTES
        self.allocated = 0
        self.records = 0
        self.items = 0
        self.next_sequence = first_sequence
        self.is_sealed = False
        self.is_whole = True
        self.damaged_bytes = 0
        self.lost_items = 0

    @classmethod
    def create(cls, folder: Path, first_sequence: int, id_: bytes, size_bytes: int) -> Segment:
        """A new file with room for `size_bytes` of records.

        Raises:
            OSError: there is no room, or it cannot be written; then there is no file either.
        """
        path = folder / f"{first_sequence:020d}{_SUFFIX}"
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        segment = cls(path, file, first_sequence, id_)
        try:
            _preallocate(file, HEADER_BYTES + size_bytes)
            _write(file, [_head(first_sequence, id_)], 0)
        except OSError:
            segment.close()
            path.unlink(missing_ok=True)
            raise
        segment.allocated = HEADER_BYTES + size_bytes
        return segment

    def renew(self, folder: Path, first_sequence: int, id_: bytes, size_bytes: int, *, sync: bool) -> Segment:
        """A new segment in the file of this one, whose records nobody needs; this one is not to be used again.

        Writing over blocks that the file system has in memory and on disk costs a quarter of what new blocks cost. What
        is left of the old records is behind the new ones and has another magic, so that nobody reads it.

        Raises:
            OSError: there is no room, or it cannot be written; then there is no file either.
        """
        path = folder / f"{first_sequence:020d}{_SUFFIX}"
        try:
            # Before it has its name: whatever a crash leaves, there is no old record at the place of the first.
            _write(self.file, [_head(first_sequence, id_), bytes(RECORD_HEADER_BYTES)], 0)
            if sync:
                sync_data(self.file)
            _preallocate(self.file, HEADER_BYTES + size_bytes)
            self.path.replace(path)
        except OSError:
            self.close()
            self.path.unlink(missing_ok=True)
            raise
        segment = Segment(path, self.file, first_sequence, id_)
        segment.allocated = max(HEADER_BYTES + size_bytes, self.allocated)
        self.file = -1
        return segment

    def is_linked(self) -> bool:
        """Whether the file has another name beside its own: in quarantine."""
        return os.fstat(self.file).st_nlink > 1

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Segment:
        """A file that was left behind; reads as much of it as is needed to know what is in it.

        Raises:
            OSError: it cannot be opened or read.
        """
        file = os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
        try:
            head = os.pread(file, HEADER_BYTES, 0).ljust(HEADER_BYTES, b"\0")
            size = os.fstat(file).st_size
            magic, first, id_, crc = _IDENTITY.unpack_from(head)
            is_whole = magic == _MAGIC and crc == zlib.crc32(head[: _IDENTITY.size - 4])
            segment = cls(path, file, first if is_whole else int(path.stem), id_ if is_whole else bytes(8))
            segment.allocated = size
            segment.is_whole = is_whole
            if not is_whole:  # its first record may be there all the same
                segment.id = os.pread(file, MAGIC_BYTES, HEADER_BYTES).ljust(len(id_), b"\0")
            segment._measure(head, size)
        except (OSError, ValueError):
            os.close(file)
            raise
        segment.is_sealed = True
        return segment

    def _measure(self, head: bytes, size: int) -> None:
        """Count what is in the file: by the summary when it has one and is as long as that says, else by reading."""
        records, items, end, following, crc = _SUMMARY.unpack_from(head, _SUMMARY_OFFSET)
        is_summed = crc == zlib.crc32(head[_SUMMARY_OFFSET : _SUMMARY_OFFSET + _SUMMARY.size - 4]) and end > 0
        if is_summed and size >= end:
            self.records, self.items, self.end, self.next_sequence = records, items, end, following
            return
        last = HEADER_BYTES
        for offset, record in self.walk(HEADER_BYTES, size):
            self.damaged_bytes += offset - last
            last = offset + record.size_bytes
            self.records += 1
            self.items += record.payload.items
            self.next_sequence = record.sequence + 1
        self.end = last
        if is_summed:
            self.lost_items = max(items - self.items, 0)
            self.damaged_bytes = max(self.damaged_bytes, end - size)
            self.next_sequence = following

    def walk(self, offset: int, end: int) -> Iterator[tuple[int, Record]]:
        """Every whole record from `offset` on, with where it begins; what is damaged is passed over."""
        start = self.spot(0, end)
        while offset < end:
            record = read_record(start.at(offset))
            if record is None:
                found = find_record(start.at(offset + 1))
                if found is None:
                    return
                offset = found
                continue
            yield offset, record
            offset += record.size_bytes

    def spot(self, offset: int, end: int | None = None) -> Spot:
        """A place among its records."""
        return Spot(self.file, offset, self.end if end is None else end, self.magic)

    @property
    def magic(self) -> bytes:
        """What each of its records begins with."""
        return self.id[:MAGIC_BYTES]

    def holds_anything(self) -> bool:
        """Whether there is something else behind the header than the zeros of reserved room."""
        offset = HEADER_BYTES
        while data := os.pread(self.file, 1024 * 1024, offset):
            if data.strip(b"\0"):
                return True
            offset += len(data)
        return False

    @property
    def free_bytes(self) -> int:
        """Room for further records."""
        return 0 if self.is_sealed else self.allocated - self.end

    def append(self, pieces: Sequence[Buffer], size_bytes: int, items: int) -> None:
        """Write a record behind the last one.

        Raises:
            OSError: it is sealed, or the record could not be written; nothing was appended.
        """
        if self.is_sealed:
            raise OSError(errno.EIO, "the segment is sealed")
        _write(self.file, pieces, self.end)
        self.end += size_bytes
        self.allocated = max(self.allocated, self.end)
        self.records += 1
        self.items += items
        self.next_sequence += 1

    def truncate(self, end: int, records: int, items: int) -> None:
        """Keep the first records only, which end there, and append nothing more.

        Raises:
            OSError: the file cannot be cut; what is behind stays there, but is not read before a restart.
        """
        self.end, self.records, self.items = end, records, items
        self.is_sealed = True
        os.ftruncate(self.file, end)
        self.allocated = end
        self._write_summary()

    def seal(self, *, sync: bool) -> None:
        """Append nothing more: write the summary, give back the room that was not used.

        Raises:
            OSError: it could not be written or synced. Nothing is appended all the same, for the summary may be there,
                and a start reads nothing behind the end that it gives. It can be called again.
        """
        self.is_sealed = True
        self._write_summary()
        os.ftruncate(self.file, self.end)
        if sync:
            sync_data(self.file)
        self.allocated = self.end

    def _write_summary(self) -> None:
        summary = _SUMMARY.pack(self.records, self.items, self.end, self.next_sequence, 0)[:-4]
        _write(self.file, [summary + struct.pack("<I", zlib.crc32(summary))], _SUMMARY_OFFSET)

    def cut(self) -> None:
        """Give back what lies behind the last record of a segment that was left behind."""
        if self.allocated > self.end:
            os.ftruncate(self.file, self.end)
            self.allocated = self.end

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1


def _head(first_sequence: int, id_: bytes) -> bytes:
    """The header of a segment that is not sealed."""
    identity = _IDENTITY.pack(_MAGIC, first_sequence, id_, 0)[:-4]
    return (identity + struct.pack("<I", zlib.crc32(identity))).ljust(HEADER_BYTES, b"\0")


def new_id() -> bytes:
    """An id for a segment. Without zeros, so that no reserved room looks like the beginning of a record."""
    return bytes(byte or 1 for byte in os.urandom(8))


def segment_files(folder: Path) -> list[Path]:
    """The segments of a folder, oldest first."""
    return sorted(path for path in folder.glob(f"*{_SUFFIX}") if path.stem.isdigit())


def sync_data(file: int) -> None:
    """See to it that what was written survives the loss of power."""
    # macOS has no fdatasync.
    getattr(os, "fdatasync", os.fsync)(file)


def sync_folder(folder: Path) -> None:
    """See to it that created files survive the loss of power."""
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _preallocate(file: int, size_bytes: int) -> None:
    """Reserve disk space, so that a full disk shows before anything is accepted and not in the middle of it."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file, 0, size_bytes)
    except OSError as error:
        if error.errno not in _NO_PREALLOCATION:
            raise


def _write(file: int, pieces: Sequence[Buffer], offset: int) -> None:
    """Write all pieces one after the other from `offset` on."""
    waiting = list(pieces)
    position = 0
    while position < len(waiting):
        written = os.pwritev(file, waiting[position : position + _MAX_PIECES], offset)
        offset += written
        while position < len(waiting) and written >= len(waiting[position]):
            written -= len(waiting[position])
            position += 1
        if written:
            waiting[position] = memoryview(waiting[position])[written:]
