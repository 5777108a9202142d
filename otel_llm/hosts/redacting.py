"""Redaction in an app: what its OpenTelemetry SDK exports leaves without personal data and secrets, whoever made it.

    redaction = Redaction(Config(types=("personal", "secrets")))
    provider.add_span_processor(BatchSpanProcessor(redaction.spans(OTLPSpanExporter())))
    loggers.add_log_record_processor(BatchLogRecordProcessor(redaction.records(OTLPLogExporter())))
    meters = MeterProvider([PeriodicExportingMetricReader(redaction.metrics(OTLPMetricExporter()))])

The law of this module: what could not be rewritten does not leave. A span or record that fails is left out and
counted; the others go. Needs an SDK whose log exporters have the names of today (1.38 or so).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from opentelemetry._logs import LoggerProvider
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_llm.clock import Clock, SystemClock
from otel_llm.components import Context
from otel_llm.hosts.anchor_events import AnchorEvents
from otel_llm.instrumentation.boundary import Boundary
from otel_llm.processors.redact import Config, Redact, create
from otel_llm.signals import Payload
from otel_llm.telemetry import Metrics

_SITE: Final = "redaction"

Item = TypeVar("Item")


class Redaction:
    """Wraps the exporters of an app; opens the audit log of its settings. Thread-safe.

    Args:
        config: the settings, as of the `redact` processor. `raw_exporters` says nothing here: an exporter that is not
            wrapped gets what came.
        metrics: where findings and failures are counted.
        clock: for times.
        loggers: where anchors of audit logs go; the app's global provider by default.

    Raises:
        ConfigError: the settings or the audit log cannot be used; with every problem.
    """

    def __init__(
        self,
        config: Config | None = None,
        metrics: Metrics | None = None,
        clock: Clock | None = None,
        loggers: LoggerProvider | None = None,
    ) -> None:
        metrics, clock = metrics or Metrics(), clock or SystemClock()
        self._redact: Redact = create(config or Config(), Context("redact", metrics, clock))
        self._redact.start()
        self._boundary = Boundary(metrics, clock)
        self._anchors = AnchorEvents(self._boundary, loggers)

    def spans(self, exporter: SpanExporter) -> SpanExporter:
        """A span exporter that gets what is left."""
        return _Spans(self, exporter)

    def records(self, exporter: LogRecordExporter) -> LogRecordExporter:
        """An exporter of log records that gets what is left."""
        return _Records(self, exporter)

    def metrics(self, exporter: MetricExporter) -> MetricExporter:
        """A metric exporter that gets what is left."""
        return _Metrics(self, exporter)

    def send_anchors_to(self, loggers: LoggerProvider) -> None:
        """Send anchors of audit logs there from now on."""
        self._anchors.send_to(loggers)

    def rewritten_spans(self, spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
        """What is left of spans, and which of them are left."""
        return self._each(self._redact.rewrite_span, spans)

    def rewritten_records(self, records: Sequence[ReadableLogRecord]) -> list[ReadableLogRecord]:
        """What is left of log records, and which of them are left."""
        return self._each(self._redact.rewrite_record, records)

    def rewritten_metrics(self, data: MetricsData) -> MetricsData | None:
        """What is left of metrics; None when that cannot be said."""
        return self._boundary.run(_SITE, self._redact.rewrite_metrics, data)

    def rewritten_payload(self, payload: Payload) -> Payload | None:
        """What is left of a request that was made without the SDK; None when that cannot be said. Needs protobuf."""
        return self._boundary.run(_SITE, self._redact.rewrite, payload)

    def _each(self, rewrite: Callable[[Item], Item], items: Sequence[Item]) -> list[Item]:
        left = (self._boundary.run(_SITE, rewrite, item) for item in items)
        return [item for item in left if item is not None]

    def keep_up(self, *, is_ending: bool = False) -> None:
        """Sync the audit logs of this process where that is due, and send their anchors."""
        self._anchors.keep_up(is_ending=is_ending)


class _Spans(SpanExporter):
    def __init__(self, redaction: Redaction, exporter: SpanExporter) -> None:
        self._redaction = redaction
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Rewrite and hand on; a failure when nothing could be rewritten."""
        left = self._redaction.rewritten_spans(spans)
        self._redaction.keep_up()
        if spans and not left:
            return SpanExportResult.FAILURE
        return self._exporter.export(left)

    def shutdown(self) -> None:
        """Send the last anchors, and shut the exporter down."""
        self._redaction.keep_up(is_ending=True)
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the exporter."""
        return self._exporter.force_flush(timeout_millis)


class _Records(LogRecordExporter):
    def __init__(self, redaction: Redaction, exporter: LogRecordExporter) -> None:
        self._redaction = redaction
        self._exporter = exporter

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Rewrite and hand on; a failure when nothing could be rewritten."""
        left = self._redaction.rewritten_records(batch)
        if batch and not left:
            return LogRecordExportResult.FAILURE
        return self._exporter.export(left)

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call] # the SDK's

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the exporter, where it can be."""
        flush: Callable[[int], bool] | None = getattr(self._exporter, "force_flush", None)
        return True if flush is None else bool(flush(timeout_millis))


class _Metrics(MetricExporter):
    def __init__(self, redaction: Redaction, exporter: MetricExporter) -> None:
        # What the reader asks its exporter for; the SDK has no public way to it.
        super().__init__(exporter._preferred_temporality, exporter._preferred_aggregation)  # noqa: SLF001
        self._redaction = redaction
        self._exporter = exporter

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object) -> MetricExportResult:
        """Rewrite and hand on; a failure when that cannot be done."""
        left = self._redaction.rewritten_metrics(metrics_data)
        self._redaction.keep_up()
        return MetricExportResult.FAILURE if left is None else self._exporter.export(left, timeout_millis, **kwargs)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown(timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Flush the exporter."""
        return self._exporter.force_flush(timeout_millis)
