"""What delivery and each exporter cost: CPU microseconds per payload, minimum over rounds, on the exporting process.

    python -m benchmarks.delivery

| row | what is measured |
|---|---|
| offer | taking over a payload: compacting, reserving, accounting; and handing it to the worker's batch |
| otlp_http, otlp_grpc | one export on an open connection; the sink is another process that answers and keeps nothing |
| ledger, debug, file | one export |
| split | cutting a payload into two |

The payloads: 8 GenAI spans without content (8.7 KB) and 512 (500 KB). CPU time of the whole process, so gRPC's threads
count. What must not be concluded: wall time, or the cost of a destination.
"""

from __future__ import annotations

import io
import multiprocessing
import platform
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import msgspec
from google.protobuf import __version__ as protobuf_version

from benchmarks.payloads import request
from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.delivery.config import Config as DeliveryConfig
from otel_llm.delivery.config import QueueConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.delivery.split import split
from otel_llm.exporters import debug, file, ledger, otlp_grpc, otlp_http
from otel_llm.exporters.compression import gzip_pieces
from otel_llm.exporters.exporter import Exporter, ExportResult
from otel_llm.signals import SIGNALS, Payload
from otel_llm.telemetry import Metrics

ROUNDS = 7
CONTEXT = Context("benchmark", Metrics(), SystemClock())
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


def serve_http(ports: multiprocessing.Queue[int]) -> None:
    """Read requests by their length and answer at once; one connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ports.put(server.getsockname()[1])
        while True:
            connection, _ = server.accept()
            with connection:
                buffer = bytearray()
                while data := connection.recv(1 << 20):
                    buffer += data
                    while (end := buffer.find(b"\r\n\r\n")) >= 0:
                        start = buffer.index(b"content-length: ") + 16
                        whole = end + 4 + int(buffer[start : buffer.index(b"\r", start)])
                        if len(buffer) < whole:
                            break
                        del buffer[:whole]
                        connection.sendall(ANSWER)


def serve_grpc(ports: multiprocessing.Queue[int]) -> None:
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.max_receive_message_length", -1)])
    handler = grpc.unary_unary_rpc_method_handler(lambda body, context: b"")  # noqa: ARG005 - gRPC's call
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
    ports.put(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    server.wait_for_termination()


class Nowhere:
    """An exporter that takes everything and does nothing."""

    signals = frozenset(SIGNALS)

    def export(self, payload: Payload, timeout_seconds: float) -> ExportResult:  # noqa: ARG002 - the Exporter's call
        return ExportResult()

    def shutdown(self) -> None:
        """Nothing is held."""


def cpu_us(run: Callable[[], object], times: int) -> float:
    """CPU microseconds of one call."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(times):
            run()
        best = min(best, time.process_time() - start)
    return best / times * 1e6


def exporters(http_port: int, grpc_port: int, folder: Path) -> dict[str, Exporter]:
    http = {"endpoint": f"http://127.0.0.1:{http_port}"}
    plain = {"endpoint": f"http://127.0.0.1:{grpc_port}"}
    return {
        "otlp_http": otlp_http.create(msgspec.convert({**http, "compression": "none"}, otlp_http.Config), CONTEXT),
        "otlp_http, gzip": otlp_http.create(msgspec.convert(http, otlp_http.Config), CONTEXT),
        "otlp_grpc": otlp_grpc.create(msgspec.convert({**plain, "compression": "none"}, otlp_grpc.Config), CONTEXT),
        "otlp_grpc, gzip": otlp_grpc.create(msgspec.convert(plain, otlp_grpc.Config), CONTEXT),
        "ledger": ledger.create(ledger.Config(path=str(folder / "ledger.db")), CONTEXT),
        "debug": debug.DebugExporter(debug.Config(), io.StringIO()),
        "file": file.create(file.Config(path=str(folder / "out.jsonl")), CONTEXT),
    }


def offered(payload: Payload, times: int) -> float:
    """Offer and deliver to nowhere; the worker's share is in it, spread over its batches."""
    config = DeliveryConfig(sending_queue=QueueConfig(size_bytes=2**31))

    def run() -> None:
        delivery = Delivery("benchmark", Nowhere(), config, Metrics())
        delivery.start()
        for _ in range(times):
            delivery.offer(payload)
        delivery.shutdown(60)

    return cpu_us(run, 1) / times


def pieces(body: bytes, size: int) -> Payload:
    """A payload as a codec leaves it: slices of the body of a span's size, with small pieces of our own between."""
    view = memoryview(body)
    cut = tuple(view[start : start + size] for start in range(0, len(body), size))
    return Payload.of("traces", cut, max(1, len(body) // 1000))


def main() -> None:
    small, large = request("genai", spans=8), request("genai", spans=512)
    payloads = [(pieces(small, 500), 200), (pieces(large, 500), 10)]
    spawn = multiprocessing.get_context("spawn")
    ports: multiprocessing.Queue[int] = spawn.Queue()
    sinks = [spawn.Process(target=serve, args=(ports,), daemon=True) for serve in (serve_http, serve_grpc)]
    found = []
    for sink in sinks:
        sink.start()
        found.append(ports.get(timeout=30))
    print(
        f"Python {platform.python_version()}, grpcio {grpc.__version__}, protobuf {protobuf_version}, "
        f"gzip by {'ISA-L' if 'isal' in sys.modules else 'zlib'}; CPU us per payload, minimum of {ROUNDS}"
    )
    rows: dict[str, list[float]] = {"offer": [offered(payload, times) for payload, times in payloads]}
    with tempfile.TemporaryDirectory() as folder:
        for name, exporter in exporters(*found, Path(folder)).items():
            rows[name] = [
                cpu_us(lambda e=exporter, p=payload: e.export(p, 30), times)  # type: ignore[misc] # defaults bind
                for payload, times in payloads
            ]
            exporter.shutdown()
    rows["gzip alone"] = [cpu_us(lambda p=payload: gzip_pieces(p.buffers), t) for payload, t in payloads]  # type: ignore[misc]
    rows["split"] = [cpu_us(lambda p=payload: split(p), times) for payload, times in payloads]  # type: ignore[misc]
    print(f"{'':20}{f'{len(small) / 1000:.1f} KB':>12}{f'{len(large) / 1000:.0f} KB':>12}")
    for name, figures in rows.items():
        print(f"{name:20}{figures[0]:12.1f}{figures[1]:12.1f}")
    for sink in sinks:
        sink.terminate()


if __name__ == "__main__":
    main()
