"""A consumer that keeps what it is given, and a raw HTTP client."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from otel_llm.http.message import Reason
from otel_llm.signals import ConsumeResult, Signal

DEADLINE_SECONDS = 10.0


class RecordingConsumer:
    """Keeps every request; answers with what `answer` returns or raises. Thread-safe."""

    def __init__(self, answer: Callable[[Signal, bytes], ConsumeResult] | None = None) -> None:
        self._answer = answer or (lambda signal, body: ConsumeResult())  # noqa: ARG005
        self._changed = threading.Condition()
        self.requests: list[tuple[Signal, bytes]] = []

    def consume(self, signal: Signal, body: bytes) -> ConsumeResult:
        result = self._answer(signal, body)
        with self._changed:
            self.requests.append((signal, body))
            self._changed.notify_all()
        return result

    def wait_for(self, count: int) -> list[tuple[Signal, bytes]]:
        """The requests, once there are that many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.requests) >= count, DEADLINE_SECONDS), self.requests
            return list(self.requests)


class RecordingObserver:
    """Keeps what an HTTP server tells. Written on the server's thread only."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, int]] = []
        self.refusals: list[tuple[str, Reason]] = []

    def answered(self, path: str, seconds: float, body_bytes: int) -> None:
        assert 0 <= seconds < DEADLINE_SECONDS
        self.answers.append((path, body_bytes))

    def refused(self, path: str, reason: Reason, message: str) -> None:
        assert message
        self.refusals.append((path, reason))


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds that another thread brings about."""
    end = time.monotonic() + DEADLINE_SECONDS
    turn = threading.Event()
    while not condition():
        assert time.monotonic() < end, "the condition did not come about"
        turn.wait(0.002)


class RawClient:
    """A socket, and just enough HTTP to read answers."""

    def __init__(self, port: int, *, read_buffer_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if read_buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, read_buffer_bytes)
        self.socket.settimeout(DEADLINE_SECONDS)
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = bytearray()

    def send(self, data: bytes) -> Self:
        self.socket.sendall(data)
        return self

    def finish(self) -> Self:
        """Send no more."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, fields and body of the next answer."""
        while b"\r\n\r\n" not in self._read:
            self._more()
        head, _, rest = bytes(self._read).partition(b"\r\n\r\n")
        status_line, *lines = head.decode().split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(fields.get("content-length", "0"))
        self._read = bytearray(rest)
        while len(self._read) < length:
            self._more()
        body = bytes(self._read[:length])
        del self._read[:length]
        return int(status_line.split()[1]), fields, body

    def statuses(self) -> list[int]:
        """The statuses of all answers until the server closes."""
        while data := self._receive():
            self._read += data
        statuses = []
        while self._read:
            statuses.append(self.answer()[0])
        return statuses

    def closed(self) -> bool:
        """Whether the server closes without a further answer."""
        return not self._read and not self._receive()

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""

    def _more(self) -> None:
        data = self._receive()
        assert data, f"the server closed within an answer: {bytes(self._read)!r}"
        self._read += data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()
