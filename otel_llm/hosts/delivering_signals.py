"""Metrics and log records of the app's OpenTelemetry SDK into our own delivery, which they share with its spans.

Needs an SDK whose log exporters have the names of today (1.38 or so); with an older one the SDK's exporters are used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import Counter, Histogram, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.metrics.view import Aggregation, ExponentialBucketHistogramAggregation

from otel_llm.codecs.wire_logs import count_metrics
from otel_llm.delivery.in_app import AppDelivery
from otel_llm.signals import Payload

_TEMPORALITY: Final = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
_HISTOGRAMS: Final = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
# What is reported as differences, by preference. Source: OpenTelemetry specification, OTLP metric exporter.
_DELTA: Final[Mapping[str, tuple[type, ...]]] = {
    "delta": (Counter, Histogram, ObservableCounter),
    "lowmemory": (Counter, Histogram),
}


class DeliveringMetrics(MetricExporter):
    """Hands metrics over to a delivery.

    It does so in the process that made it only: a forked child would repeat its parent's sums.

    Args:
        delivery: where they go.
        environment: the OTLP exporter's preferences for temporality and histograms.
    """

    def __init__(self, delivery: AppDelivery, environment: Mapping[str, str] = os.environ) -> None:
        super().__init__(_temporality(environment), _aggregation(environment))
        self._delivery = delivery
        self._made_in = os.getpid()

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002 - nothing is waited for
        **kwargs: object,  # noqa: ARG002 - the SDK's call
    ) -> MetricExportResult:
        """Encode and offer."""
        if os.getpid() != self._made_in or not metrics_data.resource_metrics:
            return MetricExportResult.SUCCESS
        body: bytes = encode_metrics(metrics_data).SerializeToString()
        is_taken = self._delivery.offer(Payload.of("metrics", (body,), count_metrics(body)))
        return MetricExportResult.SUCCESS if is_taken else MetricExportResult.FAILURE

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        """Nothing: others share the delivery."""

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Deliver what was taken so far; whether that was in time."""
        return self._delivery.force_flush(timeout_millis / 1000)


class DeliveringLogs(LogRecordExporter):
    """Hands log records over to a delivery.

    Args:
        delivery: where they go.
    """

    def __init__(self, delivery: AppDelivery) -> None:
        self._delivery = delivery

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Encode and offer."""
        if not batch:
            return LogRecordExportResult.SUCCESS
        body: bytes = encode_logs(batch).SerializeToString()
        is_taken = self._delivery.offer(Payload.of("logs", (body,), len(batch)))
        return LogRecordExportResult.SUCCESS if is_taken else LogRecordExportResult.FAILURE

    def shutdown(self) -> None:
        """Nothing: others share the delivery."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Deliver what was taken so far; whether that was in time."""
        return self._delivery.force_flush(timeout_millis / 1000)


def _temporality(environment: Mapping[str, str]) -> dict[type, AggregationTemporality]:
    kinds = _DELTA.get(environment.get(_TEMPORALITY, "").strip().lower(), ())
    return dict.fromkeys(kinds, AggregationTemporality.DELTA)


def _aggregation(environment: Mapping[str, str]) -> dict[type, Aggregation]:
    if environment.get(_HISTOGRAMS, "").strip().lower() != "base2_exponential_bucket_histogram":
        return {}
    return {Histogram: ExponentialBucketHistogramAggregation()}
