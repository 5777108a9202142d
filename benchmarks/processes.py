"""Processes under load: start, wait for a port, CPU and memory, and a sender that does nothing but send."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Load:
    """What a sender did: requests answered 200, others, seconds, and the slowest of 99 % of the answers."""

    ok: int
    refused: int
    seconds: float
    p99_ms: float


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def process(arguments: Sequence[str], port: int, environment: dict[str, str] | None = None) -> Iterator[int]:
    """A child process that listens on the port; yields its id."""
    child = subprocess.Popen(
        list(arguments), env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(port, child)
        yield child.pid
    finally:
        child.terminate()
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def wait_for(port: int, child: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if child.poll() is not None:
            raise SystemExit(f"{child.args} ended with {child.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_memory_mb(pid: int) -> float:
    """The most resident memory since the last `forget_peak`."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def send(port: int, body: bytes, seconds: float, connections: int = 4) -> Load:
    """POST the body to /v1/traces over and over, on raw sockets; a refused one waits a little, as clients do."""
    head = (
        f"POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/x-protobuf\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode()
    results: list[list[float]] = [[] for _ in range(connections)]
    refused = [0] * connections
    end = time.monotonic() + seconds

    def work(number: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (started := time.monotonic()) < end:
                connection.sendall(head)
                connection.sendall(body)
                if read_status(connection) == 200:
                    results[number].append(time.monotonic() - started)
                else:
                    refused[number] += 1
                    time.sleep(0.02)

    started = time.monotonic()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = sorted(one for result in results for one in result)
    p99 = times[int(len(times) * 0.99)] if times else float("nan")
    return Load(len(times), sum(refused), time.monotonic() - started, p99 * 1000)


def read_status(connection: socket.socket) -> int:
    """The status of the next answer; its body is read and thrown away."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        if not received:
            raise ConnectionError("the server closed the connection")
        data += received
    head, _, rest = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(rest) < length:
        rest += connection.recv(65536)
    return int(head.split(b" ", 2)[1])


def sink(port: int) -> None:
    """A destination that costs next to nothing: reads requests and says 200. Runs until it is ended."""
    listening = socket.create_server(("127.0.0.1", port))
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
    buffer = bytearray(1 << 20)
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            received = connection.recv(65536)
            if not received:
                return
            data += received
        head, _, rest = data.partition(b"\r\n\r\n")
        left = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]) - len(rest)
        while left > 0:
            count = connection.recv_into(buffer, min(left, len(buffer)))
            if not count:
                return
            left -= count
        data = b"" if left >= 0 else rest[left:]
        connection.sendall(answer)


if __name__ == "__main__":
    sink(int(sys.argv[1]))
