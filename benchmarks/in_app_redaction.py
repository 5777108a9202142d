"""What redaction costs an app without a gateway (OTEL_LLM_REDACTION=true), beside what exporting costs it anyway.

    python -m benchmarks.in_app_redaction

CPU time of this process for each span, in two places: at its end, on the caller's thread, with the SDK's
BatchSpanProcessor behind; and on the thread that exports, from the ended span to the bytes of its request, with the
SDK's own encoding as the peer. Spans with ten attributes, and the same with 4 KB of messages. `new` texts were never
seen before, `again` were: a chat repeats its history. The least of several rounds in turns.
"""

from __future__ import annotations

import gc
import itertools
import json
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks.detectors import CHAT
from benchmarks.in_app import FACTS
from otel_llm.hosts.redacting import Redaction
from otel_llm.hosts.sdk import Enriching

SPANS = 512
ROUNDS = 7
_texts = itertools.count()


class Encoding(SpanExporter):
    """Goes as far as the bytes."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


EXPORTERS: dict[str, Callable[[], SpanExporter]] = {
    "SDK alone": Encoding,
    "off": lambda: Enriching(Encoding()),
    "on": lambda: Enriching(Redaction().spans(Encoding())),
}


def small() -> dict[str, str | int]:
    return {**FACTS, "gen_ai.conversation.id": f"conv-{next(_texts):06d}"}


def content() -> dict[str, str | int]:
    text = f"Order number {next(_texts):06d}. {CHAT * 20}"[:4096]
    message = json.dumps([{"role": "user", "parts": [{"type": "text", "content": text}]}])
    return {**small(), "gen_ai.input.messages": message}


def ended(attributes: Callable[[], dict[str, str | int]]) -> Sequence[ReadableSpan]:
    provider, spans = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    for _ in range(SPANS):
        provider.get_tracer("app").start_span("chat", attributes=attributes()).end()
    return spans.get_finished_spans()


def exporting(exporter: SpanExporter, spans: Sequence[ReadableSpan]) -> float:
    """Microseconds of CPU a span."""
    gc.collect()
    started = time.process_time()
    exporter.export(spans)
    return (time.process_time() - started) / SPANS * 1e6


def ending(exporter: SpanExporter, attributes: Callable[[], dict[str, str | int]]) -> float:
    """Microseconds of CPU at the end of a span, of the thread that ends it."""
    provider = TracerProvider(shutdown_on_exit=False)
    batches = BatchSpanProcessor(exporter, max_queue_size=2 * SPANS, max_export_batch_size=2 * SPANS)
    provider.add_span_processor(batches)
    spans = [provider.get_tracer("app").start_span("chat", attributes=attributes()) for _ in range(SPANS)]
    gc.collect()
    started = time.thread_time()
    for span in spans:
        span.end()
    taken = time.thread_time() - started
    provider.shutdown()
    return taken / SPANS * 1e6


def main() -> None:
    print(f"Python {platform.python_version()}, opentelemetry-sdk {version('opentelemetry-sdk')}; us CPU a span")
    print("| span | | at its end | exporting, new | exporting, again |\n|---|---|---|---|---|")
    for label, attributes in (("small", small), ("4 KB of content", content)):
        least: dict[str, list[float]] = {name: [float("inf")] * 3 for name in EXPORTERS}
        for _ in range(ROUNDS):
            for name, make in EXPORTERS.items():
                exporter, spans = make(), ended(attributes)
                found = [ending(make(), attributes), exporting(exporter, spans), exporting(exporter, spans)]
                least[name] = list(map(min, least[name], found))
        for name, (end, new, again) in least.items():
            print(f"| {label} | {name} | {end:.1f} | {new:.0f} | {again:.0f} |", flush=True)


if __name__ == "__main__":
    main()
