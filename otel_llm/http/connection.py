"""One connection: finds requests in what arrives, answers them in order, keeps to the limits.

    HEAD ──▶ BODY ──▶ (handler) ──▶ HEAD …        DISCARD: refused; read and throw away until the client is done

From the end of a request until its answer is written, and while the client does not read its answers, the connection
is blocked: what arrives is kept (one read at most, then reading is paused) and used when it is unblocked. A handler on
the event loop runs in a callback of its own, so that a client that pipelines does not keep the others waiting, and a
defect in a handler costs its request a 500 and nothing else. What a handler answers later is asked for again, on the
loop, whenever it wakes us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Final, cast

from otel_llm.http.chunked import ChunkedBody
from otel_llm.http.head import Head, check_beginning, parse_head
from otel_llm.http.message import HttpError, Later, Reason, Request, Response, Route, find_route
from otel_llm.http.shared import Shared
from otel_llm.http.sized import SizedBody

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_INTERNAL_ERROR: Final = Response(500, b"internal error\n", "text/plain; charset=utf-8")
_NEVER: Final = float("inf")


class _Phase(Enum):
    HEAD = auto()
    BODY = auto()
    DISCARD = auto()


class Connection(asyncio.BufferedProtocol):
    """The protocol of one connection.

    Args:
        shared: what it shares with the others.

    Attributes:
        deadline: in the loop's time, when `expire` is due.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._transport: asyncio.Transport
        self._phase = _Phase.HEAD
        self._pending = bytearray()  # arrived and not used: a part of a head, or everything while blocked
        self._head: Head
        self._route: Route
        self._body: SizedBody | ChunkedBody | None = None
        self._reads_body = False  # the read under way goes into the body itself
        self._held_bytes = 0  # our part of shared.in_flight_bytes
        self._account = ""  # whose part that is
        self._started: float | None = None  # first byte of the request now being read
        self._path = ""  # of the request now being read, once it is known
        self._head_only = False
        self._handling = False  # a request is complete and not answered
        self._unread = False  # the client leaves answers unread
        self._paused = False  # reading is paused
        self._ended = False  # the client will send no more
        self._closing = False  # close after the answer
        self.deadline = _NEVER

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast("asyncio.Transport", transport)
        self._shared.connections.add(self)
        self._await_request()
        limit = self._shared.limits.connections
        if self._shared.draining:
            self._turn_away("shutting_down", "the server is shutting down")
        elif len(self._shared.connections) > limit:
            self._turn_away("queue_full", f"there are more than {limit} connections")

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the base class's signature
        """Where the next read goes."""
        body = self._body
        buffer = body.buffer() if isinstance(body, SizedBody) else None
        self._reads_body = buffer is not None
        return self._shared.scratch_view if buffer is None else buffer

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` have arrived."""
        if self._phase is _Phase.DISCARD:
            return
        if self._reads_body:
            self._read_body(nbytes)
        elif self._blocked():
            self._pending += self._shared.scratch_view[:nbytes]
            if not self._paused:
                self._paused = True
                self._transport.pause_reading()
        elif self._pending:
            self._pending += self._shared.scratch_view[:nbytes]
            self._read_on()
        else:
            used = self._use(self._shared.scratch, nbytes)
            if used < nbytes and not self._over():
                self._pending += self._shared.scratch_view[used:nbytes]

    def eof_received(self) -> bool:
        """The client will send no more; it may still wait for an answer (not under TLS, which cannot be half open)."""
        self._ended = True
        if self._blocked() and self._transport.can_write_eof():
            return True
        self._note_end()
        return False

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - the base class's signature
        """The connection is gone, for whatever reason."""
        if not self._handling:
            self._forget_body()
        self._pending.clear()
        self._phase = _Phase.DISCARD
        self.deadline = _NEVER
        self._shared.closed(self)

    def pause_writing(self) -> None:
        """The client does not read what we answer."""
        self._unread = True
        self.deadline = self._in(self._shared.limits.answer_seconds)

    def resume_writing(self) -> None:
        """The client has read."""
        self._unread = False
        if self._phase is not _Phase.DISCARD:
            self._await_request()
            self._unblock()

    # What the server calls.

    def expire(self) -> None:
        """The deadline has passed: say so if the client is in the middle of a request, and close."""
        if self._unread or self._phase is _Phase.DISCARD:
            self._transport.abort()
        elif self._phase is _Phase.BODY or self._pending:
            what = "body" if self._phase is _Phase.BODY else "head"
            self._refuse(HttpError(408, "timeout", f"the {what} of the request took too long to arrive"))
        else:
            self._transport.close()

    def drain(self) -> None:
        """Finish what is in flight, then close."""
        idle = self._phase is _Phase.HEAD and not self._handling and not self._pending
        if idle or self._phase is _Phase.DISCARD:
            self._transport.close()
        else:
            self._closing = True

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()

    # Finding requests.

    def _read_on(self) -> None:
        """Use what is pending."""
        pending = self._pending
        used = self._use(pending, len(pending))
        if self._over():
            pending.clear()
        else:
            del pending[:used]

    def _use(self, data: bytearray, end: int) -> int:
        """Use what has arrived, as far as it goes; the index up to which it was used."""
        start = 0
        try:
            while start < end and not self._blocked():
                if self._phase is _Phase.HEAD:
                    used = self._use_head(data, start, end)
                elif self._phase is _Phase.BODY:
                    used = self._use_body(data, start, end)
                else:
                    break
                if used == start:
                    break
                start = used
        except HttpError as error:
            self._refuse(error)
        return start

    def _use_head(self, data: bytearray, start: int, end: int) -> int:
        if self._started is None:
            self._started = self._shared.loop.time()
            self.deadline = self._started + self._shared.limits.head_seconds
        # A server should be lenient about an empty line in front of the request line: RFC 9112 section 2.2.
        if data.startswith(b"\r\n", start, end):
            start += 2
            if start == end:
                return start
        stop = data.find(b"\r\n\r\n", start, end)
        limit = self._shared.limits.head_bytes
        if (end if stop < 0 else stop) - start > limit:
            raise HttpError(431, "too_large", f"request line and header fields are larger than {limit} bytes")
        if stop < 0:
            check_beginning(data[start], end - start)
            return start
        self._check(parse_head(data[start : stop + 2]))
        return self._use_small_body(data, stop + 4, end)

    def _use_small_body(self, data: bytearray, start: int, end: int) -> int:
        """Use a body that arrived together with its head, as nearly all small ones do; else prepare for the rest."""
        head = self._head
        shared = self._shared
        length = head.content_length
        if length is not None and length <= end - start:
            self._hold(length)
            self._complete(bytes(memoryview(data)[start : start + length]))
            return start + length
        self._body = ChunkedBody(shared.limits.body_bytes) if length is None else SizedBody(length, shared.blocks)
        self._phase = _Phase.BODY
        self.deadline = self._in(shared.limits.body_seconds)
        if head.expects_continue and start == end:
            self._transport.write(_CONTINUE)
        return start

    def _check(self, head: Head) -> None:
        """Refuse what will be refused anyway before the body comes."""
        self._head = head
        self._path = head.path
        self._head_only = head.method == "HEAD"
        self._route = find_route(self._shared.routes, head.method, head.path)
        self._account = self._route.admit(head.headers)
        limit = self._shared.limits.body_bytes
        if (head.content_length or 0) > limit:
            raise HttpError(413, "too_large", f"the body is larger than {limit} bytes")

    def _use_body(self, data: bytearray, start: int, end: int) -> int:
        body = self._body
        if body is None:
            return start
        used = body.feed(data, start, end)
        self._hold(body.size_bytes - self._held_bytes)
        if body.complete:
            self._complete(body.take())
        return used

    def _read_body(self, size_bytes: int) -> None:
        """A read went into the body itself."""
        body = self._body
        if not isinstance(body, SizedBody):
            return
        body.filled(size_bytes)
        try:
            self._hold(size_bytes)
        except HttpError as error:
            self._refuse(error)
        else:
            if body.complete:
                self._complete(body.take())

    def _hold(self, size_bytes: int) -> None:
        """Account for a part of a body."""
        self._held_bytes += size_bytes
        self._shared.hold(self._account, size_bytes)

    def _forget_body(self) -> None:
        if self._body is not None:
            self._body.release()
            self._body = None
        self._shared.release(self._account, self._held_bytes)
        self._held_bytes = 0

    # Answering them.

    def _complete(self, body: bytes) -> None:
        """A request is complete: let its handler answer, here or on a worker thread."""
        self._body = None
        self._phase = _Phase.HEAD
        self._handling = True
        self.deadline = _NEVER
        head = self._head
        request = Request(head.method, head.path, head.query, head.headers, body, self._account)
        if self._route.inline(request):
            self._shared.loop.call_soon(self._settle, partial(self._route.handler, request))
        else:
            work = self._shared.loop.run_in_executor(self._shared.pool, self._route.handler, request)
            work.add_done_callback(self._handled)

    def _settle(self, find: Callable[[], Response | Later]) -> None:
        """Answer if that is possible; when it raises, the loop's exception handler is told after the client."""
        response: Response | Later = _INTERNAL_ERROR
        try:
            response = find()
        finally:
            if isinstance(response, Response):
                self._finish(response)
        if not isinstance(response, Response):
            # In its turn, when what has arrived from others is handled: so that they can wait for the same thing.
            self._shared.loop.call_soon(self._ask, response)

    def _ask(self, later: Later) -> None:
        """Ask for an answer that was not known; as `_settle` does."""
        response: Response | None = _INTERNAL_ERROR
        try:
            response = later.ask(partial(self._shared.mailbox.put, partial(self._ask, later)))
        finally:
            if response is not None:
                self._finish(response)

    def _handled(self, future: asyncio.Future[Response | Later]) -> None:
        """A worker thread is done."""
        if future.cancelled():
            self._finish(_INTERNAL_ERROR)
        else:
            self._settle(future.result)

    def _finish(self, response: Response) -> None:
        """Answer, unless the client is gone, and go on."""
        self._handling = False
        size_bytes = self._held_bytes
        self._forget_body()
        if self._phase is not _Phase.DISCARD:
            now = self._shared.loop.time()
            self._shared.observer.answered(self._path, now - (self._started or now), size_bytes)
            self._answer(response)
            self._unblock()

    def _answer(self, response: Response) -> None:
        shared = self._shared
        if len(response.body) >= shared.limits.gzip_bytes:
            response = response.compressed_for(self._head.headers.get("accept-encoding", ""))
        close = self._closing or shared.draining or not self._head.keep_alive or response is _INTERNAL_ERROR
        head_only = self._head_only
        self._await_request()
        self._transport.write(response.encode(shared.date, close=close, head_only=head_only))
        if close:
            self._phase = _Phase.DISCARD
            self.deadline = self._in(shared.limits.answer_seconds)
            self._transport.close()

    def _refuse(self, error: HttpError) -> None:
        """Answer with an error; then read and throw away what the client still sends, until it is done."""
        shared = self._shared
        self._count(error.reason, str(error))
        self._forget_body()
        self._phase = _Phase.DISCARD
        self._transport.write(error.response().encode(shared.date, close=True, head_only=self._head_only))
        self.deadline = self._in(shared.limits.linger_seconds)
        if self._ended or not self._transport.can_write_eof():
            self._transport.close()
        else:
            self._transport.write_eof()

    def _turn_away(self, reason: Reason, message: str) -> None:
        """Refuse a connection before it has said anything, without lingering: these may be many."""
        self._count(reason, message)
        self._phase = _Phase.DISCARD
        response = HttpError(503, reason, message, (("retry-after", "1"),)).response()
        self._transport.write(response.encode(self._shared.date, close=True))
        self._transport.close()

    def _count(self, reason: Reason, message: str) -> None:
        self._shared.observer.refused(self._path, reason, message)

    # Waiting.

    def _blocked(self) -> bool:
        return self._handling or self._unread

    def _over(self) -> bool:
        return self._phase is _Phase.DISCARD

    def _await_request(self) -> None:
        self._started = None
        self._path = ""
        self._head_only = False
        self.deadline = self._in(self._shared.limits.idle_seconds)

    def _in(self, seconds: float) -> float:
        return self._shared.loop.time() + seconds

    def _note_end(self) -> None:
        if self._phase is _Phase.BODY or (self._phase is _Phase.HEAD and self._pending):
            self._count("malformed", "the client stopped within a request")

    def _unblock(self) -> None:
        """Go on with what came in while blocked."""
        if self._blocked() or self._over():
            return
        if self._pending:
            self._read_on()
        if self._blocked() or self._over():
            return
        if self._ended:
            self._note_end()
            self._transport.close()
        elif self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
