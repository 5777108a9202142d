"""One record of a log on disk, as bytes: a header of 36 bytes, a note, the payload.

    magic 4 | crc32 4 | payload length 4 | items 4 | sequence 8 | accepted 8 | note length 2 | signal 1 | spare 1

The checksum covers payload, note and header (from the payload's length on), so a record is read as it was written or
not at all. Numbers are little-endian. The magic makes it possible to go on after damage, see `find_record`; it is drawn
by lot for each file, so that no payload can hold what looks like records and keep a start busy.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from otel_llm.signals import SIGNALS, Buffer, Payload, Signal

# The same sum; ISA-L takes a tenth of the time or less.
_crc32: Callable[[Buffer, int], int] = (
    importlib.import_module("isal.isal_zlib").crc32 if importlib.util.find_spec("isal") else zlib.crc32
)
_FRAME: Final = struct.Struct("<4sI")
_FIELDS: Final = struct.Struct("<IIQQHBB")
HEADER_BYTES: Final = _FRAME.size + _FIELDS.size
# The longest note that is kept; see Record.note.
NOTE_BYTES: Final = 1000
MAGIC_BYTES: Final = 4
_SCAN_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in an open file that holds records.

    Attributes:
        file: the descriptor.
        offset: where a record begins or may begin.
        end: where records end.
        magic: what each of them begins with.
    """

    file: int
    offset: int
    end: int
    magic: bytes

    def at(self, offset: int) -> Spot:
        """Another place in the same file."""
        return Spot(self.file, offset, self.end, self.magic)

    def holds(self, before: Spot, size_bytes: int) -> bool:
        """Whether this is the place it was before, and so many bytes are still there."""
        return (self.file, self.offset) == (before.file, before.offset) and self.offset + size_bytes <= self.end


@dataclass(frozen=True, slots=True)
class Record:
    """A payload in a log.

    Attributes:
        sequence: its number in the log; grows by one from record to record.
        payload: what was accepted.
        accepted_unix_nano: when, by the wall clock; shown, never decided upon.
        note: why it is where it is, for dead letters; else empty.
        size_bytes: its length in the log.
    """

    sequence: int
    payload: Payload
    accepted_unix_nano: int
    note: str
    size_bytes: int


def record_bytes(payload: Payload, note: bytes = b"") -> int:
    """The length of a payload's record."""
    return HEADER_BYTES + len(note) + payload.size_bytes


def checksum(pieces: Iterable[Buffer], note: bytes = b"") -> int:
    """The part of a record's checksum that does not depend on its place in the log."""
    crc = 0
    for piece in pieces:
        crc = _crc32(piece, crc)
    return zlib.crc32(note, crc)


def encode_header(
    magic: bytes, payload: Payload, sequence: int, accepted_unix_nano: int, crc: int, note: bytes = b""
) -> bytes:
    """The header of a payload's record; `crc` is what `checksum` says."""
    signal = SIGNALS.index(payload.signal)
    fields = _FIELDS.pack(payload.size_bytes, payload.items, sequence, accepted_unix_nano, len(note), signal, 0)
    return _FRAME.pack(magic, zlib.crc32(fields, crc)) + fields


def read_record(spot: Spot) -> Record | None:
    """The record at a place; None when there is no whole one, or the disk does not give it."""
    if spot.offset + HEADER_BYTES > spot.end:
        return None
    head = read_at(spot.file, HEADER_BYTES, spot.offset)
    if len(head) < HEADER_BYTES or not head.startswith(spot.magic):
        return None
    crc = _FRAME.unpack_from(head)[1]
    length, items, sequence, accepted, note_length, signal, _ = _FIELDS.unpack_from(head, _FRAME.size)
    size = HEADER_BYTES + note_length + length
    if spot.offset + size > spot.end or signal >= len(SIGNALS):
        return None
    rest = read_at(spot.file, note_length + length, spot.offset + HEADER_BYTES)
    note, body = rest[:note_length], rest[note_length:] if note_length else rest
    if len(body) != length or zlib.crc32(head[_FRAME.size :], checksum((body,), note)) != crc:
        return None
    payload = Payload(_signal(signal), (body,), items, length)
    return Record(sequence, payload, accepted, note.decode("utf-8", "replace"), size)


def read_at(file: int, size: int, offset: int) -> bytes:
    """What is there; zeros in the place of what the disk does not give, so that it counts as damage."""
    try:
        return os.pread(file, size, offset)
    except OSError:
        return bytes(size)


def _signal(number: int) -> Signal:
    return SIGNALS[number]


def find_record(spot: Spot) -> int | None:
    """Where the next whole record at or after a place begins; None when there is none."""
    offset = spot.offset
    while any(spot.magic) and offset < spot.end:
        data = read_at(spot.file, min(_SCAN_BYTES, spot.end - offset), offset)
        if not data:
            return None
        index = data.find(spot.magic)
        while index >= 0:
            if read_record(spot.at(offset + index)) is not None:
                return offset + index
            index = data.find(spot.magic, index + 1)
        # A magic may lie across the border of two reads.
        offset += max(len(data) - len(spot.magic) + 1, 1)
    return None
