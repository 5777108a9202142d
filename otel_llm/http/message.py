"""A request, a response, and the error that is an answer."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final, Literal, Protocol

import msgspec

# Why a request was turned away before a handler saw it; the words of `otel_llm.refusal.reason`.
Reason = Literal[
    "malformed",
    "unsupported",
    "too_large",
    "queue_full",
    "disk_failing",
    "unauthorized",
    "over_quota",
    "overload",
    "shutting_down",
    "timeout",
]

_GZIP_WINDOW: Final = 31
# Weights of a content coding that mean: not this one.
_REFUSED: Final = frozenset({"q=0", "q=0.0", "q=0.00", "q=0.000"})
_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


# A msgspec struct and not a dataclass: one is made per request, and a frozen dataclass takes five times as long.
class Request(msgspec.Struct, frozen=True, gc=False):
    """One request, body complete and still in its content coding.

    Attributes:
        method: as sent, e.g. `POST`.
        path: of the target, without the query, not percent-decoded.
        query: what follows `?`, empty when there is none.
        headers: field names in lower case; the values of a repeated field are joined with `, `.
        body: after the transfer coding was removed.
        account: what the route's `admit` returned.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    account: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer.

    Attributes:
        status: the status code.
        body: sent as it is, or gzipped by the server when it is large and the client takes that.
        content_type: of the body; empty for a body that has no type because it is empty.
        headers: further fields; names in lower case.
    """

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def encode(self, date: str, *, close: bool = False, head_only: bool = False) -> bytes:
        """The bytes for the wire.

        Args:
            date: a complete `date` field line, CRLF included, or an empty string.
            close: tell the client that the connection ends here.
            head_only: leave the body out, as the answer to HEAD must.
        """
        lines = [_STATUS_LINES[self.status], date]
        if self.content_type:
            lines.append(f"content-type: {self.content_type}\r\n")
        lines += [f"{name}: {value}\r\n" for name, value in self.headers]
        if close:
            lines.append("connection: close\r\n")
        lines.append(f"content-length: {len(self.body)}\r\n\r\n")
        head = "".join(lines).encode("latin-1")
        return head if head_only else head + self.body

    def compressed_for(self, accept_encoding: str) -> Response:
        """The answer in gzip when the client's `accept-encoding` has it, else as it is."""
        if not _accepts_gzip(accept_encoding):
            return self
        compressor = zlib.compressobj(1, zlib.DEFLATED, _GZIP_WINDOW)
        body = compressor.compress(self.body) + compressor.flush()
        headers = (*self.headers, ("content-encoding", "gzip"), ("vary", "accept-encoding"))
        return replace(self, body=body, headers=headers)


def _accepts_gzip(accept_encoding: str) -> bool:
    codings = (coding.partition(";") for coding in accept_encoding.lower().replace(" ", "").split(","))
    return any(name == "gzip" and weight not in _REFUSED for name, _, weight in codings)


class HttpError(Exception):
    """A request is answered with an error, and the connection is closed after it.

    Attributes:
        status: the status code of the answer.
        reason: what is counted.
        headers: fields of the answer.
    """

    def __init__(self, status: int, reason: Reason, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.reason: Reason = reason
        self.headers = headers

    def response(self) -> Response:
        """The answer in plain text."""
        return Response(self.status, f"{self}\n".encode(), "text/plain; charset=utf-8", self.headers)


class Later(Protocol):
    """An answer that nobody knows yet, and for which no thread has to wait. Asked on the event loop."""

    def ask(self, wake: Callable[[], None]) -> Response | None:
        """The answer, or None: then `wake` is called once, on any thread, when it is worth asking again."""
        ...


Handler = Callable[[Request], Response | Later]


def admit_anybody(headers: Mapping[str, str]) -> str:  # noqa: ARG001 - the signature of Route.admit
    """For routes that are open to everybody."""
    return ""


def always_inline(request: Request) -> bool:  # noqa: ARG001 - the signature of Route.inline
    """For handlers that take next to no time."""
    return True


@dataclass(frozen=True, slots=True)
class Route:
    """What answers a method on a path.

    Attributes:
        handler: makes the answer; called on the event loop or on a worker thread.
        inline: whether a request is cheap enough for the event loop, where nothing else moves meanwhile.
        admit: asked with the header fields before the body is read; raises HttpError to refuse, returns whose account
            the body goes on. Called on the event loop.
    """

    handler: Handler
    inline: Callable[[Request], bool] = always_inline
    admit: Callable[[Mapping[str, str]], str] = admit_anybody


Routes = Mapping[tuple[str, str], Route]


def find_route(routes: Routes, method: str, path: str) -> Route:
    """What answers the method on the path.

    Raises:
        HttpError: 404 or 405.
    """
    route = routes.get((method, path))
    if route is not None:
        return route
    allowed = sorted(other for other, known in routes if known == path)
    if not allowed:
        known = ", ".join(dict.fromkeys(known for _, known in routes))
        raise HttpError(404, "unsupported", f"there is nothing at this path; what is here: {known}")
    raise HttpError(405, "unsupported", f"use {' or '.join(allowed)}", (("allow", ", ".join(allowed)),))


class Observer(Protocol):
    """Who is told what becomes of requests. Called on the event loop; must be quick and must not raise."""

    def answered(self, path: str, seconds: float, body_bytes: int) -> None:
        """A handler answered; the time runs from the first byte of the request, `body_bytes` is as sent."""
        ...

    def refused(self, path: str, reason: Reason, message: str) -> None:
        """The server itself turned a request away; `path` is empty when it was not read."""
        ...
