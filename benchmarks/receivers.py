"""What receiving costs: CPU time of the receiving process per request, nothing done with what is received.

    python benchmarks/receivers.py [--rounds 3]

The receiver runs in a process of its own; the load comes from this one, over loopback, on four connections, each with
one request in flight. CPU time is user plus system time of the receiving process, best of the rounds.
Compare two revisions by running both in turn on a quiet machine; compare ratios between lines, not machines.
"""

from __future__ import annotations

import argparse
import gzip
import os
import platform
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import grpc

from otel_llm.receivers import otlp_grpc, otlp_http
from otel_llm.signals import ConsumeResult, Signal

SIZES = {"8.7 KB": 8_700, "500 KB": 500_000, "3.3 MB": 3_300_000}
REQUESTS = {"8.7 KB": 4_000, "500 KB": 600, "3.3 MB": 120}
CONNECTIONS = 4
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
ROOT = Path(__file__).resolve().parents[1]


def payload(size: int) -> bytes:
    """Bytes that compress about as well as spans do: 10 to 1."""
    unit = b"".join(b"gen_ai.request.model\x12\x08gpt-%05d attribute value " % (n * 7919 % 99_991) for n in range(2000))
    return (unit * (size // len(unit) + 1))[:size]


def serve(protocol: str) -> None:
    """Run a receiver that throws everything away, until stdin closes."""

    class Nothing:
        def consume(self, signal: Signal, body: bytes) -> ConsumeResult:  # noqa: ARG002 - the Consumer protocol
            return ConsumeResult()

    if protocol == "http":
        receiver = otlp_http.create(otlp_http.Config(endpoint="127.0.0.1:0"), name="otlp")
    else:
        receiver = otlp_grpc.create(otlp_grpc.Config(endpoint="127.0.0.1:0"), name="otlp")
    receiver.start(Nothing())
    print(receiver.endpoint, flush=True)
    sys.stdin.read()
    receiver.shutdown(1.0)


def http_client(endpoint: str, body: bytes, count: int, coding: str) -> None:
    host, _, port = endpoint.rpartition(":")
    head = (
        f"POST /v1/traces HTTP/1.1\r\nHost: {endpoint}\r\nUser-Agent: OTel-OTLP-Exporter-Python/1.45\r\n"
        f"Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n{coding}"
        f"Content-Type: application/x-protobuf\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    with socket.create_connection((host, int(port))) as connection:
        for _ in range(count):
            connection.sendall(head + body)
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def plain(endpoint: str, body: bytes, count: int) -> None:
    http_client(endpoint, body, count, "")


def gzipped(endpoint: str, body: bytes, count: int) -> None:
    http_client(endpoint, gzip.compress(body, 1), count, "Content-Encoding: gzip\r\n")


def grpc_client(endpoint: str, body: bytes, count: int) -> None:
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(endpoint, options=options) as channel:
        call = channel.unary_unary(METHOD)
        for _ in range(count):
            call(body)


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mebibytes(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def measure(process: int, endpoint: str, client: Callable[[str, bytes, int], None], name: str) -> float:
    """CPU microseconds per request."""
    body, count = payload(SIZES[name]), REQUESTS[name] // CONNECTIONS
    client(endpoint, body, 5)
    before = cpu_seconds(process)
    threads = [threading.Thread(target=client, args=(endpoint, body, count)) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (cpu_seconds(process) - before) / (count * CONNECTIONS) * 1e6


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--serve", choices=["http", "grpc"])
    options = arguments.parse_args()
    if options.serve:
        serve(options.serve)
        return
    print_versions()
    print(f"{'CPU us per request':24}" + "".join(f"{name:>12}" for name in SIZES) + f"{'peak MiB':>12}")
    for label, protocol, client in (
        ("HTTP", "http", plain),
        ("HTTP, gzip", "http", gzipped),
        ("gRPC", "grpc", grpc_client),
    ):
        command = [sys.executable, __file__, "--serve", protocol]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            endpoint = process.stdout.readline().strip()
            best = [min(measure(process.pid, endpoint, client, name) for _ in range(options.rounds)) for name in SIZES]
            row = "".join(f"{figure:12.0f}" for figure in best)
            print(f"{label:24}{row}{peak_mebibytes(process.pid):12}", flush=True)
            process.stdin.close()


def print_versions() -> None:
    found = []
    for package in ("uvloop", "isal", "grpcio"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    print(f"Python {platform.python_version()}, {', '.join(found)}, {os.cpu_count()} CPUs")


if __name__ == "__main__":
    main()
