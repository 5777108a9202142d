"""Records in a file, read in pieces of any size: lines, or bytes after their length in four bytes, big end first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_PREFIX_BYTES: Final = 4


class Splitter:
    """Cuts what is read into records. Keeps at most one incomplete record, and nothing of one that is too long.

    Args:
        limit_bytes: how long a record may be.
        prefixed: whether each record follows its length; lines otherwise.
    """

    def __init__(self, limit_bytes: int, *, prefixed: bool) -> None:
        self._limit = limit_bytes
        self._prefixed = prefixed
        self._rest = bytearray()
        self._skip = 0  # bytes of a prefixed record that is too long
        self._skip_line = False

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Complete records; None for each that is too long."""
        self._rest += data
        if self._prefixed:
            return self._prefixed_records()
        # A line that is not complete, however long it gets, is looked through only once.
        return self._lines() if b"\n" in data or len(self._rest) > self._limit else iter(())

    def end(self) -> bytes:
        """What is left when no more will come: a last line without its end, or a record that was cut short."""
        rest = b"" if self._skip_line or self._skip else bytes(self._rest)
        self._rest.clear()
        self._skip_line = False
        self._skip = 0
        return rest

    def _lines(self) -> Iterator[bytes | None]:
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest
        for line in lines:
            too_long = self._skip_line or len(line) > self._limit
            if not self._skip_line:
                yield None if too_long else bytes(line)
            self._skip_line = False
        if self._skip_line or len(rest) > self._limit:
            if not self._skip_line:
                yield None
            self._skip_line = True
            self._rest = bytearray()

    def _prefixed_records(self) -> Iterator[bytes | None]:
        rest = self._rest
        while True:
            dropped = min(self._skip, len(rest))
            del rest[:dropped]
            self._skip -= dropped
            if self._skip or len(rest) < _PREFIX_BYTES:
                return
            end = _PREFIX_BYTES + int.from_bytes(rest[:_PREFIX_BYTES], "big")
            if end - _PREFIX_BYTES > self._limit:
                self._skip = end
                yield None
            elif len(rest) < end:
                return
            else:
                record = bytes(rest[_PREFIX_BYTES:end])
                del rest[:end]
                yield record
