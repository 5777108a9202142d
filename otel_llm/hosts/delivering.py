"""Spans of the app's OpenTelemetry SDK into our own delivery: bounded in bytes, safe across fork, flushed at exit.

    delivery = AppDelivery(make, metrics)
    provider.add_span_processor(AtOnce(Delivering(delivery)))

Each span is encoded where it ends and accounted for from then on; nothing waits in the own queue of the SDK, which is
bounded in spans and not in bytes. Under a `BatchSpanProcessor` `Delivering` works as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from otel_llm.delivery.in_app import AppDelivery
from otel_llm.signals import Payload


class Delivering(SpanExporter):
    """Hands spans over to a delivery and waits for no destination.

    Args:
        delivery: where they go.
    """

    def __init__(self, delivery: AppDelivery) -> None:
        self._delivery = delivery

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Encode and offer; a failure means that the delivery takes nothing more, not that the destination is away."""
        if not spans:
            return SpanExportResult.SUCCESS
        body: bytes = encode_spans(spans).SerializeToString()
        is_taken = self._delivery.offer(Payload.of("traces", (body,), len(spans)))
        return SpanExportResult.SUCCESS if is_taken else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Deliver what was taken, within what is left of the exit budget, and take nothing more."""
        self._delivery.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Deliver what was taken so far; whether that was in time."""
        return self._delivery.force_flush(timeout_millis / 1000)


class AtOnce(SimpleSpanProcessor):
    """Exports each span where it ends. Flushing flushes the exporter, which the SDK's processor leaves out."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the exporter; whether that was in time."""
        return self.span_exporter.force_flush(timeout_millis)
