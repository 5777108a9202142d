"""What a supervisor and a worker say to each other, over a pair of sockets that nobody else has.

    worker      READY once it takes telemetry
    supervisor  a question (metrics, status) with a number
    worker      the answer with that number

A frame is: kind 1 byte | number 4 bytes | length 4 bytes | body. When the supervisor is gone, the worker sees the end
of the stream and stops as told by SIGTERM; that is the only way in which it could know.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from typing import Final

_FRAME: Final = struct.Struct("<cII")
_READY: Final = b"R"
METRICS: Final = b"M"
STATUS: Final = b"S"
# Metrics of a gateway are some 100 KB.
_MOST_BYTES: Final = 64 * 1024 * 1024


class WorkerEnd:
    """The worker's end: answers questions on a thread of its own.

    Args:
        connection: to the supervisor.
        answers: what makes the answer to each kind of question.
        ended: called when the supervisor is gone.
    """

    def __init__(
        self, connection: socket.socket, answers: Mapping[bytes, Callable[[], bytes]], ended: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._answers = answers
        self._ended = ended

    def start(self) -> None:
        """Say that the worker takes telemetry, and answer from now on."""
        with contextlib.suppress(OSError):  # the supervisor is gone, as the thread will find out
            self._connection.sendall(_FRAME.pack(_READY, 0, 0))
        threading.Thread(target=self._serve, name="otel-llm-supervised", daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while (asked := _receive(self._connection)) is not None:
                kind, number, _ = asked
                answer = self._answers.get(kind)
                body = b"" if answer is None else answer()
                self._connection.sendall(_FRAME.pack(kind, number, len(body)) + body)
        self._ended()


class SupervisorEnd:
    """The supervisor's end; all methods are thread-safe.

    Args:
        connection: to the worker.

    Attributes:
        is_ready: the worker takes telemetry.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._number = 0
        self.is_ready = False

    def wait_ready(self, timeout_seconds: float) -> bool:
        """Wait until the worker takes telemetry; false when it ended or does not in time."""
        with self._lock, contextlib.suppress(OSError):
            self._connection.settimeout(timeout_seconds)
            said = _receive(self._connection)
            self.is_ready = said is not None and said[0] == _READY
        return self.is_ready

    def ask(self, kind: bytes, timeout_seconds: float) -> bytes | None:
        """The answer to a question; None when there is none in time, or no worker."""
        if not self.is_ready:  # before the lock, which is held while the worker starts
            return None
        with self._lock, contextlib.suppress(OSError):
            self._number += 1
            self._connection.settimeout(timeout_seconds)
            self._connection.sendall(_FRAME.pack(kind, self._number, 0))
            while (said := _receive(self._connection)) is not None:
                if said[1] == self._number:  # else it answers a question that was given up
                    return said[2]
        return None

    def close(self) -> None:
        """The worker has ended. Idempotent."""
        self.is_ready = False
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def _receive(connection: socket.socket) -> tuple[bytes, int, bytes] | None:
    """The next frame; None at the end of the stream.

    Raises:
        OSError: the connection is broken, or nothing came in time.
    """
    head = _read(connection, _FRAME.size)
    if head is None:
        return None
    kind, number, length = _FRAME.unpack(head)
    if length > _MOST_BYTES:
        raise OSError("a frame is too long")
    body = _read(connection, length)
    return None if body is None else (kind, number, body)


def _read(connection: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        received = connection.recv(min(size - len(data), 1 << 20))
        if not received:
            return None
        data += received
    return bytes(data)
