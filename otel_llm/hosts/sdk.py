"""The in-app host: the same pipeline as in the gateway, where spans leave the app's OpenTelemetry SDK.

A span that has ended cannot be changed (the SDK freezes it before `on_end`), so the pipeline runs in the exporter, on
the thread that exports, and the exporter below gets new spans. Other exporters of the app get what they always got.

    provider.add_span_processor(BatchSpanProcessor(Enriching(OTLPSpanExporter())))
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from opentelemetry._logs import LoggerProvider
from opentelemetry.context import Context as OtelContext
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_llm.clock import Clock, SystemClock
from otel_llm.codecs.sdk import decode_span, encode_span
from otel_llm.components import Context, find_type
from otel_llm.errors import ConfigError
from otel_llm.hosts.anchor_events import AnchorEvents
from otel_llm.instrumentation import ambient
from otel_llm.instrumentation.boundary import Boundary
from otel_llm.operation import Operation
from otel_llm.pipeline import Pipeline, Processor, Running, Starting
from otel_llm.processors.uncounted import COUNTING, leave_to
from otel_llm.telemetry import Metrics

DEFAULT_PROCESSORS = ("normalize", "cost")
# How long processors may take to finish what they do beside the pipeline.
_SHUTDOWN_SECONDS: Final = 5.0


def default_pipeline(metrics: Metrics | None = None, clock: Clock | None = None) -> Pipeline:
    """What runs in an app without configuration: every convention becomes the current one, and calls are priced.

    Metrics are left to the hooks, which see unsampled calls too.
    """
    metrics, clock = metrics or Metrics(), clock or SystemClock()
    processors: list[Processor] = []
    for name in DEFAULT_PROCESSORS:
        kind = find_type("processor", name)
        processors.append(kind.create(kind.config(), Context(name, metrics, clock)))  # type: ignore[arg-type] # the kind says what comes back
    return Pipeline(processors, metrics, clock)


class Ambient(SpanProcessor):
    """Puts what `otel_llm.context` says onto every span of an app, whoever makes it. Add it before other processors."""

    def on_start(self, span: Span, parent_context: OtelContext | None = None) -> None:
        """A span has started."""
        span.set_attributes(ambient.attributes(parent_context))


class Enriching(SpanExporter):
    """A span exporter whose GenAI spans pass a pipeline first.

    Args:
        exporter: where spans go.
        pipeline: what runs; normalising and cost by default. Its processors start here and end with this exporter, so
            it is this exporter's alone.
        boundary: what catches failures of ours; spans then go on as they came.

    Raises:
        ConfigError: a file of a processor cannot be used.
    """

    def __init__(
        self, exporter: SpanExporter, pipeline: Pipeline | None = None, boundary: Boundary | None = None
    ) -> None:
        self._exporter = exporter
        self._pipeline = pipeline or default_pipeline()
        self._boundary = boundary or Boundary()
        self._anchors = AnchorEvents(self._boundary)
        self._start()
        here = {processor.name.partition("/")[0] for processor in self._pipeline.processors}
        self._uncounted = tuple(word for word in COUNTING if word not in here)

    def send_anchors_to(self, loggers: LoggerProvider) -> None:
        """Send anchors of the audit logs of this process there; else they go to the app's global provider."""
        self._anchors.send_to(loggers)

    def _start(self) -> None:
        started: list[Processor] = []
        try:
            for processor in self._pipeline.processors:
                if isinstance(processor, Starting):
                    processor.start()
                    started.append(processor)
        except ConfigError:
            self._stop(started)
            raise

    def _stop(self, processors: Sequence[Processor]) -> None:
        """Let processors finish what they do beside the pipeline."""
        for processor in processors:
            if isinstance(processor, Running):
                self._boundary.run("exporter.shutdown", processor.shutdown, _SHUTDOWN_SECONDS)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Enrich and hand on; a span that a processor dropped stays behind."""
        enriched = self._boundary.run("exporter", self._enriched, spans)
        self._anchors.keep_up()
        return self._exporter.export(spans if enriched is None else enriched)

    def _enriched(self, spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
        decoded: list[tuple[ReadableSpan, Operation | None]] = [(span, decode_span(span)) for span in spans]
        operations = [operation for _, operation in decoded if operation is not None]
        self._pipeline.process(operations)
        for operation in operations:
            leave_to(operation, self._uncounted)
        encoded = (span if operation is None else encode_span(span, operation) for span, operation in decoded)
        return [span for span in encoded if span is not None]

    def shutdown(self) -> None:
        """Let the processors finish, send the last anchors, and shut the exporter down.

        Audit logs stay open, for others in this process may write them.
        """
        self._stop(self._pipeline.processors)
        self._anchors.keep_up(is_ending=True)
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the exporter."""
        return self._exporter.force_flush(timeout_millis)


def otlp() -> SpanExporter:
    """The OTLP exporter that OTEL_EXPORTER_OTLP_* names, enriching: `OTEL_TRACES_EXPORTER=otel_llm`.

    With OTEL_LLM_REDACTION, what leaves is redacted.

    Raises:
        ConfigError: there is no way to export, or to redact as asked.
    """
    from otel_llm.hosts.otlp import span_exporter  # noqa: PLC0415 - needs the exporter package
    from otel_llm.hosts.redaction_asked import redaction_of  # noqa: PLC0415 - only where it is asked for

    redaction = redaction_of(os.environ)
    return Enriching(span_exporter() if redaction is None else redaction.spans(span_exporter()))
