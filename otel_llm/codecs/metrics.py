"""Our own metrics as an OTLP request, and as Prometheus text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)

from otel_llm._generated.metrics import Metric as Definition
from otel_llm.signals import Payload
from otel_llm.telemetry import OVERFLOW_KEY, Distribution, Family, Series

if TYPE_CHECKING:
    from prometheus_client.core import Metric as PrometheusMetric

_SCOPE: Final = "otel_llm"
# A sum beyond this goes out as a double: not exact, but not an exception either.
_LARGEST_INT: Final = (1 << 63) - 1


def encode_metrics(
    families: Iterable[Family], resource: Mapping[str, str], start_unix_nano: int, now_unix_nano: int
) -> Payload:
    """Cumulative data points of all series, as one OTLP request.

    Args:
        families: the metrics.
        resource: attributes of the process that measured.
        start_unix_nano: since when the sums were counted: the start of the process.
        now_unix_nano: the time of this collection.
    """
    request = ExportMetricsServiceRequest()
    holder = request.resource_metrics.add()
    holder.resource.attributes.extend(_attributes(resource.items()))
    group = holder.scope_metrics.add()
    group.scope.name = _SCOPE
    points = 0
    for family in families:
        if family.series:
            _write(family, group.metrics.add(), start_unix_nano, now_unix_nano)
            points += len(family.series)
    return Payload.of("metrics", (request.SerializeToString(),), points)


def _attributes(pairs: Iterable[tuple[str, str]]) -> list[KeyValue]:
    attributes = []
    for key, value in pairs:
        attribute = KeyValue(key=key)
        if key == OVERFLOW_KEY:
            attribute.value.bool_value = True
        else:
            attribute.value.string_value = value.encode("utf-8", "replace").decode()
        if value:  # "" stands for an attribute that is absent
            attributes.append(attribute)
    return attributes


def _write(family: Family, metric: Metric, start: int, now: int) -> None:
    definition = family.definition
    metric.name, metric.unit, metric.description = definition.name, definition.unit, definition.description
    if definition.instrument == "histogram":
        metric.histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
        metric.histogram.data_points.extend(
            _histogram_point(series, definition.buckets, start, now) for series in family.series
        )
    elif definition.instrument == "gauge":
        metric.gauge.data_points.extend(
            _number_point(series, definition.value_type, 0, now) for series in family.series
        )
    else:
        metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
        metric.sum.is_monotonic = definition.instrument == "counter"
        metric.sum.data_points.extend(
            _number_point(series, definition.value_type, start, now) for series in family.series
        )


def _number_point(series: Series, value_type: str, start: int, now: int) -> NumberDataPoint:
    point = NumberDataPoint(start_time_unix_nano=start, time_unix_nano=now, attributes=_attributes(series.attributes))
    if isinstance(series.value, Distribution):
        raise TypeError("a distribution is not a number")
    if value_type == "int" and series.value <= _LARGEST_INT:
        point.as_int = int(series.value)
    else:
        point.as_double = series.value
    return point


def _histogram_point(series: Series, buckets: tuple[float, ...], start: int, now: int) -> HistogramDataPoint:
    if not isinstance(series.value, Distribution):
        raise TypeError("a number is not a distribution")
    return HistogramDataPoint(
        start_time_unix_nano=start,
        time_unix_nano=now,
        attributes=_attributes(series.attributes),
        count=series.value.count,
        sum=series.value.total,
        bucket_counts=series.value.counts,
        explicit_bounds=buckets,
    )


def prometheus_text(families: Iterable[Family]) -> bytes:
    """All series in the Prometheus text format; names and units are written as OpenTelemetry's specification has it."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - only the admin endpoint needs it

    class Collector:
        def collect(self) -> Iterable[PrometheusMetric]:
            return map(_prometheus_metric, families)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    return generate_latest(registry)


_PROMETHEUS_UNITS: Final = {"s": "seconds", "By": "bytes"}


def prometheus_name(definition: Definition) -> str:
    """Name of a metric in Prometheus, without the `_total` of counters.

    As OTLP metrics are called in Prometheus, so that one query serves both: a unit in braces is left out, and only a
    gauge of unit 1 is called a ratio. Source: OpenTelemetry specification, Prometheus and OpenMetrics compatibility.
    """
    name = definition.name.replace(".", "_")
    is_ratio = definition.unit == "1" and definition.instrument == "gauge"
    unit = "ratio" if is_ratio else _PROMETHEUS_UNITS.get(definition.unit)
    return name if unit is None or name.endswith(unit) else f"{name}_{unit}"


def _prometheus_metric(family: Family) -> PrometheusMetric:
    from prometheus_client.core import Metric as PrometheusMetric  # noqa: PLC0415 - as above

    definition = family.definition
    name = prometheus_name(definition)
    kind = {"counter": "counter", "histogram": "histogram"}.get(definition.instrument, "gauge")
    metric = PrometheusMetric(name, definition.description, kind)
    for series in family.series:
        labels = {key.replace(".", "_"): value for key, value in series.attributes if value}
        if not isinstance(series.value, Distribution):
            metric.add_sample(f"{name}_total" if kind == "counter" else name, labels, series.value)
            continue
        running = 0
        for bound, count in zip((*definition.buckets, float("inf")), series.value.counts, strict=True):
            running += count
            le = "+Inf" if bound == float("inf") else str(bound)
            metric.add_sample(f"{name}_bucket", {**labels, "le": le}, running)
        metric.add_sample(f"{name}_count", labels, series.value.count)
        metric.add_sample(f"{name}_sum", labels, series.value.total)
    return metric
