"""How far the records of a log are settled, in a small file beside it.

Two slots are written in turn, each with a counter and a checksum, so that a write that is cut off leaves the one
before. A cursor that is lost, unreadable or behind costs duplicates, never records: reading begins further back.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otel_llm.delivery.records import read_at

_SLOT: Final = struct.Struct("<QQQI")
_SLOT_BYTES: Final = 64
_ID: Final = struct.Struct("<8sI")
_ID_OFFSET: Final = 128


@dataclass(frozen=True, slots=True)
class Place:
    """How far a log is settled.

    Attributes:
        next_sequence: everything before it is.
        batch_end: the records up to this one, itself not included, were on their way to the destination as one batch;
            0 when there was none.
    """

    next_sequence: int = 0
    batch_end: int = 0


class CursorFile:
    """The file; guarded by whoever owns it.

    Args:
        path: where it is; made when it is not there.

    Attributes:
        place: as last written, or as found.
        id: tells this log from every other, as long as its cursor exists.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._count, self.place = _latest(self._file)
        self.id = self._read_id()

    def _read_id(self) -> str:
        id_: bytes
        crc: int
        id_, crc = _ID.unpack(read_at(self._file, _ID.size, _ID_OFFSET).ljust(_ID.size, b"\0"))
        if crc != zlib.crc32(id_) or not any(id_):
            id_ = os.urandom(8)
            with contextlib.suppress(OSError):  # on a full disk, a log is another one after each start
                os.pwrite(self._file, _ID.pack(id_, zlib.crc32(id_)), _ID_OFFSET)
        return id_.hex()

    def write(self, place: Place) -> None:
        """Remember a place.

        Raises:
            OSError: it could not be written; after a restart, reading begins at the place before.
        """
        self.place = place
        self._count += 1
        data = _SLOT.pack(self._count, place.next_sequence, place.batch_end, 0)[:-4]
        os.pwrite(self._file, data + struct.pack("<I", zlib.crc32(data)), self._count % 2 * _SLOT_BYTES)

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read_place(path: Path) -> Place:
    """The place in a cursor's file, which is left as it is; the beginning when there is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return Place()
    try:
        return _latest(file)[1]
    finally:
        os.close(file)


def _latest(file: int) -> tuple[int, Place]:
    """The counter and the place of the slot that was written last."""
    return max((_slot(file, 0), _slot(file, 1)), key=lambda slot: slot[0])


def _slot(file: int, slot: int) -> tuple[int, Place]:
    data = read_at(file, _SLOT.size, slot * _SLOT_BYTES).ljust(_SLOT.size, b"\0")
    count, following, batch_end, crc = _SLOT.unpack(data)
    return (count, Place(following, batch_end)) if crc == zlib.crc32(data[:-4]) else (0, Place())
