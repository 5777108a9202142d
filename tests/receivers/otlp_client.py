"""What the tests of the receivers send, and what they read from the counts."""

from __future__ import annotations

import http.client

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_llm.receivers import otlp_http
from otel_llm.signals import Signal
from otel_llm.telemetry import Metrics
from tests.receivers.recording import DEADLINE_SECONDS

PROTOBUF = "application/x-protobuf"
Answer = tuple[int, dict[str, str], bytes]


def send(
    receiver: otlp_http.OtlpHttpReceiver, body: bytes, signal: Signal = "traces", *, method: str = "POST", **fields: str
) -> Answer:
    fields.setdefault("content_type", PROTOBUF)
    connection = http.client.HTTPConnection(receiver.endpoint, timeout=DEADLINE_SECONDS)
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    connection.request(method, f"/v1/{signal}", body, headers)
    answer = connection.getresponse()
    result = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return result


def refusals(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Refused requests by signal, when it was known, and reason."""
    families = [family for family in metrics.collect() if family.definition.name.endswith("requests.refused")]
    return {
        tuple(value for key, value in series.attributes if not key.endswith("name")): series.value
        for family in families
        for series in family.series
        if isinstance(series.value, (int, float))
    }


def some_spans(count: int) -> tuple[ReadableSpan, ...]:
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for number in range(count):
        provider.get_tracer("test").start_span(f"span {number}").end()
    return memory.get_finished_spans()
