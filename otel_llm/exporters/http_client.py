"""A small HTTP/1.1 client for posting telemetry: kept connections, one deadline for each exchange, nothing more.

A third of what sending costs with the standard library's client is spent before the first byte leaves; here a request
is one `sendmsg` of the head and the pieces of the body. An answer is read up to 64 KiB; redirects are not followed.
Source: RFC 9112.
"""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401 - the first look-up of a name imports it; a fork in that moment would leave a lock behind
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from otel_llm.exporters.tls import ClientTls
from otel_llm.signals import Buffer

_MAX_ANSWER_BYTES = 64 * 1024
_READ_BYTES = 16 * 1024
# Linux takes at most 1024 pieces in one call.
_MAX_PIECES = 1000


class AnswerError(OSError):
    """What came back is not an HTTP/1.1 answer, or the connection ended before it was complete."""


class NoAnswerError(AnswerError):
    """The connection ended before anything came back."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request.

    Attributes:
        status: the status code.
        headers: field values by name in lower case; the last of each.
        body: at most 64 KiB of it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Connection:
    """One connection; used by one thread, may be cut by another."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._received = bytearray()
        self._deadline = 0.0
        self._is_cut = False
        # Whether another exchange may follow, and whether one went before.
        self.is_reusable = True
        self.is_used = False

    def open(self, address: tuple[str, int], tls: ssl.SSLContext | None, server_name: str, deadline: float) -> None:
        """Connect. Looking up the name has the system's timeouts, not ours."""
        self._deadline = deadline
        opened = self._connect(address)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            opened.settimeout(self._remaining())
            self._socket = tls.wrap_socket(opened, server_hostname=server_name)

    def _connect(self, address: tuple[str, int]) -> socket.socket:
        """Try each address of the name in turn, within the deadline for all of them."""
        last: OSError | None = None
        for family, kind, protocol, _, place in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            candidate = self._socket = socket.socket(family, kind, protocol)
            try:
                candidate.settimeout(self._remaining())
                candidate.connect(place)
            except OSError as error:
                candidate.close()
                last = error
            else:
                return candidate
        raise last or AnswerError("the name has no address")

    def exchange(self, head: bytes, body: Sequence[Buffer], deadline: float) -> Answer:
        """Send a request and read the answer."""
        self._deadline = deadline
        self._received.clear()
        try:
            self._send([head, *body])
        except (BrokenPipeError, ConnectionResetError):
            # A server that refuses a body for its size answers and closes while we are still sending.
            with contextlib.suppress(OSError):
                return self._read_answer()
            raise
        return self._read_answer()

    def cut(self) -> None:
        """End what is going on in another thread; it fails with an OSError."""
        self._is_cut = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Not the method of an SSLSocket, which is not made for two threads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Give back the socket."""
        if self._socket is not None:
            self._socket.close()

    def _remaining(self) -> float:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0 or self._is_cut:
            raise TimeoutError("timed out")
        return remaining

    def _send(self, pieces: list[Buffer]) -> None:
        connection = self._open_socket()
        if isinstance(connection, ssl.SSLSocket) or not hasattr(connection, "sendmsg"):
            connection.settimeout(self._remaining())
            connection.sendall(b"".join(pieces))
            return
        position = 0
        while position < len(pieces):
            connection.settimeout(self._remaining())
            sent = connection.sendmsg(pieces[position : position + _MAX_PIECES])
            while position < len(pieces) and sent >= len(pieces[position]):
                sent -= len(pieces[position])
                position += 1
            if sent:
                pieces[position] = memoryview(pieces[position])[sent:]

    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise AnswerError("the connection is not open")
        return self._socket

    def _receive(self) -> bool:
        """Read more; false at the end of the connection."""
        connection = self._open_socket()
        connection.settimeout(self._remaining())
        data = connection.recv(_READ_BYTES)
        self._received += data
        return bool(data)

    def _need(self, size: int) -> None:
        while len(self._received) < size:
            if not self._receive():
                raise AnswerError("the connection was closed within an answer")

    def _read_line(self) -> bytes:
        while (end := self._received.find(b"\r\n")) < 0:
            if len(self._received) > _MAX_ANSWER_BYTES:
                raise AnswerError("a line of the answer is too long")
            if not self._receive():
                ended = AnswerError if self._received else NoAnswerError
                raise ended("the connection was closed before a complete answer")
        line = bytes(self._received[:end])
        del self._received[: end + 2]
        return line

    def _read_answer(self) -> Answer:
        status, headers = self._read_head()
        while 100 <= status < 200:  # noqa: PLR2004 - interim answers, RFC 9110 section 15.2
            status, headers = self._read_head()
        body = self._read_body(status, headers)
        self.is_used = True
        if headers.get("connection", "").lower() == "close":
            self.is_reusable = False
        return Answer(status, headers, body)

    def _read_head(self) -> tuple[int, dict[str, str]]:
        words = self._read_line().split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():  # noqa: PLR2004
            raise AnswerError("the answer is not HTTP/1.1")
        headers: dict[str, str] = {}
        size = 0
        while line := self._read_line():
            size += len(line)
            if size > _MAX_ANSWER_BYTES:
                raise AnswerError("the head of the answer is too long")
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(words[1]), headers

    def _read_body(self, status: int, headers: Mapping[str, str]) -> bytes:
        if status in (204, 304):
            return b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._read_chunks()
        length = headers.get("content-length", "")
        if not length.isascii() or not length.isdigit():  # then it goes on until the connection ends
            self.is_reusable = False
            while len(self._received) < _MAX_ANSWER_BYTES and self._receive():
                pass
            return bytes(self._received[:_MAX_ANSWER_BYTES])
        size = int(length)
        if size > _MAX_ANSWER_BYTES:
            self.is_reusable = False
            size = _MAX_ANSWER_BYTES
        self._need(size)
        return self._consume(size)

    def _consume(self, size: int) -> bytes:
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while size := self._chunk_size():
            if len(body) + size > _MAX_ANSWER_BYTES:
                self.is_reusable = False
                return bytes(body)
            self._need(size + 2)
            body += self._consume(size + 2)[:-2]
        while self._read_line():  # trailers
            pass
        return bytes(body)

    def _chunk_size(self) -> int:
        text = self._read_line().split(b";", 1)[0].strip()
        try:
            return int(text, 16)
        except ValueError:
            raise AnswerError("a chunk of the answer has no size") from None


class HttpClient:
    """Posts to one server, over connections it keeps; thread-safe.

    Args:
        host: name or address.
        port: port.
        tls: speaks HTTPS when given; connections that are made later have the files' newest content.
        server_name: what the certificate is checked against; the host without it.
    """

    def __init__(self, host: str, port: int, tls: ClientTls | None = None, server_name: str | None = None) -> None:
        self._address = (host, port)
        self._tls = tls
        self._server_name = server_name or host
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._is_closed = False

    def post(self, head: bytes, body: Sequence[Buffer], timeout_seconds: float) -> Answer:
        """One exchange.

        Args:
            head: request line, header fields and the empty line.
            body: the body in pieces, as long as the head says.
            timeout_seconds: for all of it.

        Raises:
            OSError: it did not come to an answer: refused, cut off, timed out, TLS failed.
        """
        deadline = time.monotonic() + timeout_seconds
        connection = self._acquire()
        if connection.is_used:
            try:
                return self._exchange(connection, head, body, deadline)
            except (BrokenPipeError, ConnectionResetError, NoAnswerError):
                # A server may close a connection that it kept just when we use it. A fresh one tells.
                connection = self._acquire(fresh=True)
        try:
            tls = None if self._tls is None else self._tls.context()
            connection.open(self._address, tls, self._server_name, deadline)
        except OSError:
            self._release(connection, keep=False)
            raise
        return self._exchange(connection, head, body, deadline)

    def close(self) -> None:
        """Close all connections; exchanges that are on fail. Idempotent."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
            for connection in self._busy:
                connection.cut()
        for connection in idle:
            connection.close()

    def _acquire(self, *, fresh: bool = False) -> _Connection:
        with self._lock:
            if self._is_closed:
                raise ConnectionAbortedError("the exporter is shut down")
            connection = self._idle.pop() if self._idle and not fresh else _Connection()
            self._busy.add(connection)
        return connection

    def _exchange(self, connection: _Connection, head: bytes, body: Sequence[Buffer], deadline: float) -> Answer:
        keep = False
        try:
            answer = connection.exchange(head, body, deadline)
            keep = connection.is_reusable
        finally:
            self._release(connection, keep=keep)
        return answer

    def _release(self, connection: _Connection, *, keep: bool) -> None:
        with self._lock:
            self._busy.discard(connection)
            if keep and not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()
