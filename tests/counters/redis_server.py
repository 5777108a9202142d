"""A Redis of one's own, on a Unix socket in a temporary folder, or on a port."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from otel_llm.counters.redis import RedisAddress

BINARY = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(BINARY is None, reason="redis-server is not installed")
_DEADLINE_SECONDS = 20.0


class RedisServer:
    """A server that can be stopped and started again, with what it had. Nothing is kept on disk but at `stop`.

    Args:
        folder: for its socket and its data.
        arguments: further settings.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._folder = folder
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        # Paths of sockets are short: 107 bytes.
        self._sockets = tempfile.TemporaryDirectory(prefix="redis-")
        self.socket = Path(self._sockets.name) / "s"

    @property
    def address(self) -> RedisAddress:
        return RedisAddress(f"unix://{self.socket}", timeout_seconds=5.0)

    def start(self) -> None:
        assert BINARY is not None
        settings = ["--port", "0", "--unixsocket", str(self.socket), "--dir", str(self._folder), "--save", ""]
        self._process = subprocess.Popen(
            [BINARY, *settings, *self._arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._wait_until_ready(self._process)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """It says so on its standard output; what it says later is read and forgotten."""
        is_ready = threading.Event()
        assert process.stdout is not None
        output = process.stdout

        def read() -> None:
            for line in output:
                if b"ready to accept connections" in line.lower():
                    is_ready.set()
            output.close()

        threading.Thread(target=read, daemon=True).start()
        assert is_ready.wait(_DEADLINE_SECONDS), "redis-server does not start"

    def stop(self, *, keep: bool = False) -> None:
        """Stop it; with `keep`, it comes back with what it has."""
        process, self._process = self._process, None
        if process is None:
            return
        if keep:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_DEADLINE_SECONDS)
                connection.connect(str(self.socket))
                connection.sendall(b"SAVE\r\n")
                assert connection.recv(100).startswith(b"+OK")
        process.kill()
        process.wait(_DEADLINE_SECONDS)

    def command(self, *words: str) -> str:
        """Ask it something, in its own way; the reply as it comes."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_DEADLINE_SECONDS)
            connection.connect(str(self.socket))
            connection.sendall(" ".join(words).encode() + b"\r\n")
            return connection.recv(65536).decode()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        self._sockets.cleanup()


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[RedisServer]:
    """A server while the block runs."""
    with RedisServer(folder, *arguments) as server:
        yield server
