"""What our delivery costs an app at the end of a span, with a healthy destination and with dead ones.

    python -m benchmarks.in_app

10,000 spans of 2 KB, each ended on the caller's thread; microseconds of wall time at the end of a span, median and 99th
percentile, the least of seven rounds in turns, beside the SDK's BatchSpanProcessor with its OTLP exporter and a healthy
destination. Acceptance 31 wants the 99th percentiles with a dead destination less than 1 ms above that with a healthy
one.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.delivery.config import Config, QueueConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.delivery.in_app import AppDelivery
from otel_llm.exporters import otlp_http
from otel_llm.hosts.delivering import AtOnce, Delivering
from otel_llm.telemetry import Metrics
from otel_llm.testing import Answer, Destination, OtlpHttpSink, unused_port

SPANS = 10_000
ROUNDS = 7
KINDS = ("healthy", "refused", "black hole", "503", "429")
CONTENT = "x" * 2000


def ours(endpoint: str) -> SpanProcessor:
    metrics = Metrics()
    context = Context("app", metrics, SystemClock())

    def make() -> Delivery:
        exporter = otlp_http.create(otlp_http.Config(endpoint=endpoint), context)
        return Delivery("app", exporter, Config(sending_queue=QueueConfig(on_full="drop")), metrics)

    return AtOnce(Delivering(AppDelivery(make, metrics, exit_seconds=0.1, on_sigterm=False)))


def theirs(endpoint: str) -> SpanProcessor:
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces"))


def measure(processor: SpanProcessor) -> tuple[float, float]:
    """Median and 99th percentile, in microseconds, of ending a span."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("app")
    times = []
    for _ in range(SPANS):
        span = tracer.start_span("call", attributes={"gen_ai.output.messages": CONTENT})
        start = time.perf_counter()
        span.end()
        times.append(time.perf_counter() - start)
    provider.shutdown()
    times.sort()
    return times[SPANS // 2] * 1e6, times[SPANS * 99 // 100] * 1e6


@contextmanager
def destination(kind: str) -> Iterator[str]:
    if kind == "refused":
        yield f"http://127.0.0.1:{unused_port()}"
    elif kind == "black hole":
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
    else:
        answer = {"healthy": Answer(), "503": Answer.unavailable(), "429": Answer.throttled(3600)}[kind]
        with OtlpHttpSink(Destination(default=answer)) as sink:
            yield sink.endpoint


def main() -> None:
    logging.disable(logging.CRITICAL)
    print(f"{'destination':14}{'delivery':24}{'median us':>10}{'p99 us':>10}")
    rows = [(kind, "otel_llm", ours) for kind in KINDS] + [("healthy", "BatchSpanProcessor", theirs)]
    found: list[list[tuple[float, float]]] = [[] for _ in rows]
    for _ in range(ROUNDS):
        for row, (kind, _name, make) in enumerate(rows):
            with destination(kind) as endpoint:
                found[row].append(measure(make(endpoint)))
    for (kind, name, _make), figures in zip(rows, found, strict=True):
        median, slow = (min(one[index] for one in figures) for index in (0, 1))
        print(f"{kind:14}{name:24}{median:10.0f}{slow:10.0f}", flush=True)


if __name__ == "__main__":
    main()
