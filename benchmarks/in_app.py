"""What our delivery costs an app at the end of a span, with a healthy destination and with dead ones.

    python -m benchmarks.in_app

10,000 spans with ten attributes, with 2 KB of content and without, each ended on the caller's thread beside the SDK's
BatchSpanProcessor with its OTLP exporter and the same destinations; microseconds of wall time at the end of a span, the
least of five rounds in turns for each part of the distribution. Acceptance 31 wants the 99th percentiles with a dead
destination less than 1 ms above that with a healthy one.
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
ROUNDS = 5
KINDS = ("healthy", "refused", "black hole", "503", "429")
CONTENT = {"gen_ai.output.messages": "x" * 2000}
FACTS: dict[str, str | int] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.response.id": "chatcmpl-0123456789",
    "gen_ai.conversation.id": "0123456789",
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.output_tokens": 300,
    "server.address": "api.openai.com",
    "server.port": 443,
}
PARTS = {"median": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


def ours(endpoint: str) -> SpanProcessor:
    metrics = Metrics()
    context = Context("app", metrics, SystemClock())

    def make() -> Delivery:
        exporter = otlp_http.create(otlp_http.Config(endpoint=endpoint), context)
        return Delivery("app", exporter, Config(sending_queue=QueueConfig(on_full="drop")), metrics)

    return AtOnce(Delivering(AppDelivery(make, metrics, exit_seconds=0.1, on_sigterm=False)))


def theirs(endpoint: str) -> SpanProcessor:
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=1))


def measure(processor: SpanProcessor, attributes: dict[str, str | int]) -> list[float]:
    """Parts of the distribution, in microseconds, of ending a span."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("app")
    times = []
    for _ in range(SPANS):
        span = tracer.start_span("call", attributes=attributes)
        start = time.perf_counter()
        span.end()
        times.append(time.perf_counter() - start)
    provider.shutdown()
    times.sort()
    return [times[int(SPANS * part)] * 1e6 for part in PARTS.values()]


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
    heads = "".join(f"{part:>9}" for part in PARTS)
    for content, attributes in (("no content", FACTS), ("2 KB of content", {**FACTS, **CONTENT})):
        rows = [(kind, name, make) for kind in KINDS for name, make in (("otel_llm", ours), ("SDK's batches", theirs))]
        found: list[list[list[float]]] = [[] for _ in rows]
        for _ in range(ROUNDS):
            for row, (kind, _name, make) in enumerate(rows):
                with destination(kind) as endpoint:
                    found[row].append(measure(make(endpoint), attributes))
        print(f"{content:18}{'delivery':16}{heads}   us")
        for (kind, name, _make), rounds in zip(rows, found, strict=True):
            least = "".join(f"{min(values):9.0f}" for values in zip(*rounds, strict=True))
            print(f"{kind:18}{name:16}{least}", flush=True)


if __name__ == "__main__":
    main()
