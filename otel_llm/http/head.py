"""Request line and header fields. Sans-I/O: bytes in, Head or HttpError out.

Strict on purpose: folded lines, bare CR or LF, blanks before a colon, two lengths, or a length beside a transfer coding
are how requests are smuggled past whatever stands in front of us, so each of them is a 400.
Source: RFC 9112 sections 2.2, 3, 5, 6.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import msgspec

from otel_llm.http.message import HttpError

_NAME: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE: Final = re.compile(rf"({_NAME}) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
_FIELD: Final = re.compile(rf"({_NAME}):([^\r\n\0]*)")
_MAX_LENGTH_DIGITS: Final = 18
# Clients send the same lines again and again; reading one anew takes ten times as long as finding it. Long lines are
# not kept, so that the cache stays below half a megabyte whatever is sent.
_CACHED_LINES: Final = 2048
_CACHED_LINE_CHARS: Final = 200
_MAX_FIELDS: Final = 100
# Fields that say where a request ends or whom it is for: twice is a contradiction, even when both agree.
_ONCE: Final = frozenset({"content-length", "transfer-encoding", "host", "content-type", "content-encoding", "expect"})


class Head(msgspec.Struct, frozen=True, gc=False):
    """What stands before the body.

    Attributes:
        method: as sent.
        path: of the target, without the query.
        query: what follows `?`, empty when there is none.
        headers: field names in lower case.
        content_length: bytes of the body, None when it is chunked.
        keep_alive: whether another request may follow.
        expects_continue: whether the client waits for `100 Continue` before it sends the body.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    content_length: int | None
    keep_alive: bool
    expects_continue: bool


def parse_head(data: bytes | bytearray) -> Head:
    """Read a head.

    Args:
        data: from the first byte of the request line to the CRLF of the last field line, both included.

    Raises:
        HttpError: 400 malformed, 431 too many fields, 417, 501 or 505 for what is legal but not supported.
    """
    lines = data.decode("latin-1").split("\r\n")
    method, path, query, modern = _parse_request_line(lines[0])
    headers = _parse_fields(lines)
    if modern and "host" not in headers:
        raise HttpError(400, "malformed", "the host field is missing")
    return Head(
        method,
        path,
        query,
        headers,
        _content_length(headers, modern=modern),
        modern and _keep_alive(headers),
        modern and "expect" in headers and _expects_continue(headers["expect"]),
    )


def check_beginning(first: int, size_bytes: int) -> None:
    """Refuse at once what will never be a head, such as a TLS handshake on a plain port.

    Args:
        first: the first byte.
        size_bytes: how many there are so far.

    Raises:
        HttpError: 400.
    """
    # A to Z are the only letters of the methods that exist; a CR alone may become an empty line.
    if not (65 <= first <= 90 or (first == 13 and size_bytes == 1)):  # noqa: PLR2004 - ASCII, as said
        raise HttpError(400, "malformed", "this is not HTTP; this port speaks plain HTTP/1.1")


@lru_cache(64)
def _parse_request_line(line: str) -> tuple[str, str, str, bool]:
    """Method, path, query, and whether it is HTTP/1.1 or a later minor version."""
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise HttpError(400, "malformed", "the request line is malformed")
    method, target, major, minor = match.groups()
    if major != "1":
        raise HttpError(505, "unsupported", f"HTTP/{major}.{minor} is not supported here; gRPC has a port of its own")
    return method, *_parse_target(target), minor != "0"


def _parse_fields(lines: list[str]) -> dict[str, str]:
    """The fields; `lines` starts with the request line and ends with what follows the last CRLF, which is nothing."""
    count = len(lines) - 2
    if count > _MAX_FIELDS:
        raise HttpError(431, "too_large", f"there are more than {_MAX_FIELDS} header fields")
    pairs = [
        _parse_field(line) if len(line) <= _CACHED_LINE_CHARS else _parse_field.__wrapped__(line)
        for line in lines[1:-1]
    ]
    headers = dict(pairs)
    return headers if len(headers) == count else _join_repeated(pairs)


@lru_cache(_CACHED_LINES)
def _parse_field(line: str) -> tuple[str, str]:
    """Name in lower case, and value."""
    match = _FIELD.fullmatch(line)
    if match is None:
        raise HttpError(400, "malformed", "a header field is malformed")
    return match[1].lower(), match[2].strip(" \t")


def _join_repeated(pairs: list[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in pairs:
        if name not in headers:
            headers[name] = value
        elif name in _ONCE:
            raise HttpError(400, "malformed", f"the header field {name} is there twice")
        else:
            headers[name] = f"{headers[name]}, {value}"
    return headers


def _parse_target(target: str) -> tuple[str, str]:
    """Path and query of `/path?query`, of `http://host/path?query` (which a server must take), or of `*`."""
    if not target.startswith("/") and target != "*":
        try:
            parts = urlsplit(target)
        except ValueError:
            raise HttpError(400, "malformed", "the request target is malformed") from None
        if parts.scheme.lower() not in ("http", "https") or not parts.netloc:
            raise HttpError(400, "malformed", "the request target is neither a path nor an http URL")
        return parts.path or "/", parts.query
    path, _, query = target.partition("?")
    return path, query


def _content_length(headers: Mapping[str, str], *, modern: bool) -> int | None:
    length = headers.get("content-length")
    coding = headers.get("transfer-encoding")
    if coding is not None:
        if length is not None:
            raise HttpError(400, "malformed", "content-length and transfer-encoding exclude each other")
        if not modern:
            raise HttpError(400, "malformed", "HTTP/1.0 has no transfer-encoding")
        if coding.lower() != "chunked":
            raise HttpError(501, "unsupported", "the only transfer-encoding supported is chunked")
        return None
    if length is None:
        return 0
    # Latin-1 has no decimal digits but those of ASCII.
    if not length.isdecimal() or len(length) > _MAX_LENGTH_DIGITS:
        raise HttpError(400, "malformed", "content-length is not a number of bytes")
    return int(length)


def _keep_alive(headers: Mapping[str, str]) -> bool:
    """For HTTP/1.1; older clients that ask for it do not get it: they would need another form of answer."""
    connection = headers.get("connection")
    if connection is None or connection == "keep-alive":
        return True
    return "close" not in {option.strip() for option in connection.lower().split(",")}


def _expects_continue(expect: str) -> bool:
    if expect.lower() != "100-continue":
        raise HttpError(417, "unsupported", "the only expectation supported is 100-continue")
    return True
