"""Content codings, undone within a limit."""

from __future__ import annotations

import importlib
import importlib.util
import zlib
from collections.abc import Callable
from typing import Final, Protocol

from otel_llm.errors import MalformedError, OtelLlmError

# What the Content-Encoding field may say; `ACCEPTED` is how an Accept-Encoding field lists them.
CODINGS: Final = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
ACCEPTED: Final = "gzip, deflate"

_GZIP_WINDOW: Final = 31
_ZLIB_WINDOW: Final = 15
_RAW_WINDOW: Final = -15
# A gzip file may have many members; a request has one. Some slack for senders that concatenate, none for a body made
# of a million empty members, each of which costs a copy of the rest.
_MAX_MEMBERS: Final = 16
_ZLIB_METHOD: Final = 8


class InflateLimitError(OtelLlmError):
    """A body grows over the limit when it is inflated."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def _fastest() -> tuple[Callable[[int], _Decompressor], tuple[type[Exception], ...]]:
    """What makes decompressors, and what they raise: isal (extra `fast`) takes half the time of zlib."""
    if importlib.util.find_spec("isal") is None:
        return zlib.decompressobj, (zlib.error,)
    isal_zlib = importlib.import_module("isal.isal_zlib")
    return isal_zlib.decompressobj, (zlib.error, isal_zlib.error)


_decompressor, _ERRORS = _fastest()


def inflate(body: bytes, coding: str, limit_bytes: int) -> bytes:
    """Undo a content coding. Never holds more than the limit and a little.

    Args:
        body: as received.
        coding: one of CODINGS.
        limit_bytes: how large the result may be.

    Raises:
        MalformedError: the body is not in that coding, or it is cut short.
        InflateLimitError: the result would be larger.
    """
    if coding in ("", "identity"):
        return body
    window = _GZIP_WINDOW if coding != "deflate" else _deflate_window(body)
    parts: list[bytes] = []
    left = limit_bytes
    for _ in range(_MAX_MEMBERS):
        part, body = _inflate_member(body, window, left, coding)
        parts.append(part)
        left -= len(part)
        if left < 0:
            raise InflateLimitError(f"the body is larger than {limit_bytes} bytes when inflated")
        if not body:
            return parts[0] if len(parts) == 1 else b"".join(parts)
    raise MalformedError(f"the {coding} body has more than {_MAX_MEMBERS} members")


def _inflate_member(body: bytes, window: int, limit_bytes: int, coding: str) -> tuple[bytes, bytes]:
    """One member, one byte longer than the limit if it exceeds it, and what follows the member."""
    decompressor = _decompressor(window)
    try:
        part = decompressor.decompress(body, limit_bytes + 1)
    except _ERRORS as error:
        raise MalformedError(f"the body is not valid {coding}") from error
    if len(part) <= limit_bytes and not decompressor.eof:
        raise MalformedError(f"the {coding} body is cut short")
    return part, decompressor.unused_data


def _deflate_window(body: bytes) -> int:
    """`deflate` means the zlib format, and yet some senders leave its two-byte header out: RFC 9110 section 8.4.1.2."""
    header = len(body) > 1 and body[0] & 15 == _ZLIB_METHOD and int.from_bytes(body[:2], "big") % 31 == 0
    return _ZLIB_WINDOW if header else _RAW_WINDOW
