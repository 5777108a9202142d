"""The chunked transfer coding. Sans-I/O: bytes in, body out.

Source: RFC 9112 section 7.1. Chunk extensions and trailer fields are read over, as the RFC allows.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

from otel_llm.http.message import HttpError

_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_MAX_LINE_BYTES: Final = 256
_MAX_TRAILER_BYTES: Final = 8192


class _Expect(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    NOTHING = auto()


class ChunkedBody:
    """A body that arrives in chunks.

    Args:
        limit_bytes: how large the body may become.

    Attributes:
        size_bytes: how much of the body has arrived.
    """

    __slots__ = ("_expect", "_left", "_limit", "_parts", "_trailer_bytes", "size_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._parts: list[bytes] = []
        self.size_bytes = 0
        self._limit = limit_bytes
        self._expect = _Expect.SIZE
        self._left = 0
        self._trailer_bytes = 0

    @property
    def complete(self) -> bool:
        """Whether the last chunk and the trailer were read."""
        return self._expect is _Expect.NOTHING

    def take(self) -> bytes:
        """The whole body in one piece."""
        body = b"".join(self._parts)
        self.release()
        return body

    def release(self) -> None:
        """Forget the body."""
        self._parts.clear()

    def feed(self, data: bytearray, start: int, end: int) -> int:
        """Read on.

        Returns:
            The index up to which `data` was used; what lies behind must be fed again together with what arrives next,
            or belongs to the next request when the body is complete.

        Raises:
            HttpError: 400 when the coding is broken, 413 when the body grows over the limit.
        """
        while self._expect is not _Expect.NOTHING:
            used = self._take_data(data, start, end) if self._expect is _Expect.DATA else self._line(data, start, end)
            if used == start:
                break
            start = used
        return start

    def _take_data(self, data: bytearray, start: int, end: int) -> int:
        stop = min(end, start + self._left)
        if stop > start:
            self._parts.append(bytes(memoryview(data)[start:stop]))
            self.size_bytes += stop - start
            self._left -= stop - start
            if not self._left:
                self._expect = _Expect.DATA_END
        return stop

    def _line(self, data: bytearray, start: int, end: int) -> int:
        """Use one line that ends in CRLF; nothing is used when it is not complete."""
        stop = data.find(b"\r\n", start, end)
        if (end if stop < 0 else stop) - start > _MAX_LINE_BYTES and self._expect is not _Expect.TRAILER:
            raise HttpError(400, "malformed", "a line of the chunked coding is too long")
        if stop < 0:
            self._check_trailer(end - start)
            return start
        line = bytes(data[start:stop])
        if self._expect is _Expect.SIZE:
            self._start_chunk(line)
        elif self._expect is _Expect.DATA_END:
            if line:
                raise HttpError(400, "malformed", "a chunk is longer than it says")
            self._expect = _Expect.SIZE
        elif line:
            self._trailer_bytes += len(line)
            self._check_trailer(0)
        else:
            self._expect = _Expect.NOTHING
        return stop + 2

    def _check_trailer(self, more_bytes: int) -> None:
        if self._expect is _Expect.TRAILER and self._trailer_bytes + more_bytes > _MAX_TRAILER_BYTES:
            raise HttpError(431, "too_large", f"the trailer is larger than {_MAX_TRAILER_BYTES} bytes")

    def _start_chunk(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise HttpError(400, "malformed", "a chunk size is malformed")
        self._left = int(match[1], 16)
        if self.size_bytes + self._left > self._limit:
            raise HttpError(413, "too_large", f"the body is larger than {self._limit} bytes")
        self._expect = _Expect.DATA if self._left else _Expect.TRAILER
