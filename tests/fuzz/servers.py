"""Mutated bytes over raw sockets on a gateway's HTTP and gRPC ports, and a look at whether it is still well.

    ./dev fuzz servers [--seconds 60] [--seed 1]

A gateway runs in a process of its own, one that asks for keys when the seed is even. Clients send requests
that are cut, spliced, repeated, delayed and broken off in the middle. Every so often a well-behaved sender must get its
answer within a few seconds over both protocols, no file descriptor may be left over, no defect may be logged, and
resident memory may not grow beyond a bound. A line of figures each minute and at the end; any of these failing is an
AssertionError.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from otel_llm.testing import unused_port
from tests.hosts.running import post
from tests.spans import SpanSpec, chat, request

_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_BODY = request([SpanSpec(chat()), SpanSpec({"http.route": "/"}, scope="http", span=2)])
_CONFIG = """
receivers:
  otlp:
    protocols:
      http: {{endpoint: "127.0.0.1:{http}", read_header_timeout_seconds: 1, read_timeout_seconds: 1{auth}}}
      grpc: {{endpoint: "127.0.0.1:{grpc}"{auth}}}
processors: {{normalize: , cost: , metrics: }}
exporters:
  file: {{path: {folder}/out.jsonl, sending_queue: {{on_full: drop}}, rotation: {{max_size_mib: 1, max_backups: 1}}}}
service:
  admin: {{endpoint: "127.0.0.1:{admin}"}}
  pipelines:
    traces: {{receivers: [otlp], processors: [normalize, cost, metrics], exporters: [file]}}
    logs: {{receivers: [otlp], processors: [normalize], exporters: [file]}}
    metrics: {{receivers: [otlp], exporters: [file]}}
"""
_KEY = "Bearer fuzz-0123456789abcdef"
_PIECES = (
    f"Authorization: {_KEY}\r\n".encode(),
    b"POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-protobuf\r\n",
    b"POST /v1/logs HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n",
    b"Content-Length: %d\r\n\r\n" % len(_BODY),
    b"Transfer-Encoding: chunked\r\n\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Expect: 100-continue\r\n",
    b"%x\r\n%b\r\n0\r\n\r\n" % (len(_BODY), _BODY),
    _BODY,
    b"\r\n",
    b'{"resourceLogs":[]}',
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
)
_MOST_MEBIBYTES = 400
_RECOVERY_SECONDS = 10.0
_CLIENTS = 8


@dataclass
class Ports:
    http: int
    grpc: int
    admin: int


@contextlib.contextmanager
def gateway(folder: Path, *, auth: bool) -> Iterator[tuple[subprocess.Popen[bytes], Ports]]:
    """A gateway as a process; its log lines are in `folder/log`."""
    ports = Ports(unused_port(), unused_port(), unused_port())
    config = folder / "gateway.yaml"
    (folder / "token").write_text(_KEY.partition(" ")[2])
    keys = f", auth: {{keys: [{{token_file: {folder}/token, tenant: fuzz}}]}}" if auth else ""
    config.write_text(_CONFIG.format(folder=folder, auth=keys, **vars(ports)))
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "otel_llm.cli.main", "run", "--config", str(config)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        try:
            yield process, ports
        finally:
            process.terminate()
            process.wait(20)


def recorded_grpc_call() -> bytes:
    """The bytes that a real client sends for one Export call, taken down by a server that says what HTTP/2 must."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        channel = grpc.insecure_channel(f"127.0.0.1:{listening.getsockname()[1]}")
        call = channel.unary_unary(_METHOD).future(_BODY, timeout=5, metadata=(("authorization", _KEY),))
        client, _ = listening.accept()
        with client:
            client.settimeout(0.5)
            client.sendall(b"\0\0\0\x04\0\0\0\0\0" + b"\0\0\0\x04\x01\0\0\0\0")  # SETTINGS, and its acknowledgement
            taken = bytearray()
            with contextlib.suppress(TimeoutError):
                while data := client.recv(65536):
                    taken += data
        call.cancel()
        channel.close()
    assert _BODY in taken
    return bytes(taken)


class Mutator:
    """Makes hostile bytes of good ones.

    Args:
        rng: the randomness.
        good: what to begin with.
    """

    def __init__(self, rng: random.Random, good: Sequence[bytes]) -> None:
        self._rng = rng
        self._good = good

    def stream(self) -> bytes:
        """What one client sends."""
        rng = self._rng
        data = bytearray(b"".join(rng.choice(self._good) for _ in range(rng.randrange(1, 8))))
        for _ in range(rng.choice((0, 0, 1, 2, 5, 20))):
            self._change(data)
        return bytes(data)

    def _change(self, data: bytearray) -> None:
        rng = self._rng
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at:at] = rng.randbytes(rng.choice((1, 4, 60)))
            case 2:
                del data[at : at + rng.choice((1, 9, 200))]
            case 3:
                data[at:at] = data[: rng.randrange(300)]
            case 4:
                data[at:at] = rng.choice((b"\0" * 9, b"\xff" * 9, b"\r\n", b"9" * 30, b"\x80" * 11))
            case _:
                del data[at:]


def attack(port: int, data: bytes, rng: random.Random) -> None:
    """One client: sends in pieces, and ends in one of several rude ways."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as client:
        client.settimeout(rng.choice((0.01, 0.05, 0.2)))
        start = 0
        while start < len(data):
            size = rng.choice((1, 10, 1000, len(data)))
            client.sendall(data[start : start + size])
            start += size
        match rng.randrange(4):
            case 0:
                client.shutdown(socket.SHUT_WR)
                client.recv(4096)
            case 1:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
            case 2:
                client.recv(4096)
            case _:
                pass


def check_alive(ports: Ports) -> float:
    """Whether good senders are served, over both protocols; the seconds until they were."""
    begin = time.monotonic()
    end = begin + _RECOVERY_SECONDS
    while True:
        try:
            status, _ = post(ports.http, "/v1/traces", _BODY, {"authorization": _KEY})
            with grpc.insecure_channel(f"127.0.0.1:{ports.grpc}") as channel:
                channel.unary_unary(_METHOD)(_BODY, timeout=5, metadata=(("authorization", _KEY),))
        except (OSError, grpc.RpcError):
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            assert status == 200
            return time.monotonic() - begin


def resident_mebibytes(process: subprocess.Popen[bytes]) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def threads_of(process: subprocess.Popen[bytes]) -> int:
    """Threads of a process."""
    return len(list(Path(f"/proc/{process.pid}/task").iterdir()))


def open_files(process: subprocess.Popen[bytes]) -> int:
    """Open file descriptors of a process."""
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


@dataclass
class Figures:
    """What was seen of the gateway: mebibytes, numbers and seconds."""

    resident: float
    files: int
    threads: int
    clients: int = 0
    highest: float = 0.0
    most_files: int = 0
    slowest: float = 0.0

    def look(self, process: subprocess.Popen[bytes], ports: Ports) -> None:
        """Asks for an answer, and notes the worst of everything.

        Raises:
            AssertionError: the gateway is not well.
        """
        assert process.poll() is None, "the gateway has ended"
        self.slowest = max(self.slowest, check_alive(ports))
        self.most_files = max(self.most_files, open_files(process))
        self.highest = max(self.highest, resident_mebibytes(process))
        assert self.highest < _MOST_MEBIBYTES, f"{self.highest:.0f} MiB resident"

    def text(self, process: subprocess.Popen[bytes]) -> str:
        """One line."""
        return (
            f"{self.clients} clients; resident {self.resident:.0f} -> {resident_mebibytes(process):.0f} MiB, at most"
            f" {self.highest:.0f}; files {self.files} -> {open_files(process)}, at most {self.most_files}; threads"
            f" {self.threads} -> {threads_of(process)}; good senders answered within {self.slowest:.2f} s"
        )


def fuzz(seconds: float, seed: int, folder: Path) -> str:
    """Attack for a time; the figures.

    Raises:
        AssertionError: the gateway is not well.
    """
    good = _PIECES, (recorded_grpc_call(), *_PIECES[-2:])
    with gateway(folder, auth=seed % 2 == 0) as (process, ports):
        check_alive(ports)
        figures = Figures(resident_mebibytes(process), open_files(process), threads_of(process))
        begin = shown = time.monotonic()
        while time.monotonic() < begin + seconds:
            _wave(ports, good, seed * 1_000_003 + figures.clients)
            figures.clients += _CLIENTS
            if figures.clients % 400 == 0:
                figures.look(process, ports)
            if time.monotonic() > shown + 60:
                shown = time.monotonic()
                sys.stderr.write(f"{shown - begin:.0f} s: {figures.text(process)}\n")
        figures.look(process, ports)
        _check_files(process, figures.files)
        log = (folder / "log").read_text(errors="replace")
        assert "a request failed" not in log, log[-3000:]
        assert "Traceback" not in log, log[-3000:]
        return f"{seconds:g} s: {figures.text(process)}; all well"


def _wave(ports: Ports, good: tuple[Sequence[bytes], Sequence[bytes]], seed: int) -> None:
    """Some clients at once."""
    threads = [threading.Thread(target=_client, args=(ports, good, seed + number)) for number in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _client(ports: Ports, good: tuple[Sequence[bytes], Sequence[bytes]], seed: int) -> None:
    rng = random.Random(seed)
    over_http = rng.random() < 0.6
    data = Mutator(rng, good[0] if over_http else good[1]).stream()
    attack(ports.http if over_http else ports.grpc, data, rng)


def _check_files(process: subprocess.Popen[bytes], before: int) -> None:
    end = time.monotonic() + _RECOVERY_SECONDS
    while open_files(process) > before + 4:
        assert time.monotonic() < end, f"{open_files(process)} files are open, {before} were"
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev fuzz servers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(f"{fuzz(options.seconds, options.seed, Path(folder))}\n")


if __name__ == "__main__":
    main()
