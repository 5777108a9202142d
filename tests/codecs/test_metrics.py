from __future__ import annotations

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from otel_llm._generated.metrics import Metric
from otel_llm.codecs.metrics import encode_metrics, prometheus_name, prometheus_text
from otel_llm.telemetry import Metrics

CALLS = Metric("app.calls", "counter", "{call}", "int", "Calls.")
SECONDS = Metric("app.duration", "histogram", "s", "double", "Time.", buckets=(0.1, 1.0))
LEVEL = Metric("app.level", "gauge", "By", "int", "Level.")


def store() -> Metrics:
    metrics = Metrics()
    calls = metrics.counter(CALLS, ["model", "error"], limit=2)
    calls.add(2, "a", "")
    calls.add(3, "b", "timeout")
    calls.add(4, "c", "")
    calls.add(5, "d", "")
    duration = metrics.histogram(SECONDS, ["model"])
    for value in (0.1, 0.5, 5.0):
        duration.record(value, "a")
    metrics.gauge(LEVEL, [], lambda: {(): 7.0})
    return metrics


def test_otlp_has_every_series_with_the_overflow_last_and_absent_attributes_left_out() -> None:
    payload = encode_metrics(store().collect(), {"service.name": "gateway"}, 10, 20)
    request = ExportMetricsServiceRequest.FromString(payload.join())
    (holder,) = request.resource_metrics
    assert holder.resource.attributes[0].value.string_value == "gateway"
    metrics = {metric.name: metric for metric in holder.scope_metrics[0].metrics}
    points = metrics["app.calls"].sum.data_points
    assert [{a.key: a.value.string_value or a.value.bool_value for a in p.attributes} for p in points] == [
        {"model": "a"},
        {"model": "b", "error": "timeout"},
        {"otel.metric.overflow": True},
    ]
    assert [point.as_int for point in points] == [2, 3, 9], "the overflow keeps the total exact"
    assert metrics["app.calls"].sum.is_monotonic
    (point,) = metrics["app.duration"].histogram.data_points
    assert list(point.bucket_counts) == [1, 1, 1]
    assert (point.count, point.sum, list(point.explicit_bounds)) == (3, 5.6, [0.1, 1.0])
    assert (point.start_time_unix_nano, point.time_unix_nano) == (10, 20)
    assert metrics["app.level"].gauge.data_points[0].as_int == 7
    assert payload.items == 5


def test_prometheus_text_parses_and_says_the_same() -> None:
    families = {
        family.name: family for family in text_string_to_metric_families(prometheus_text(store().collect()).decode())
    }
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert samples["app_calls_total", ("model", "a")] == 2
    assert samples["app_calls_total", ("otel_metric_overflow", "true")] == 9
    assert samples["app_duration_seconds_bucket", ("le", "1.0"), ("model", "a")] == 2
    assert samples["app_duration_seconds_count", ("model", "a")] == 3
    assert samples[("app_level_bytes",)] == 7


def test_only_a_gauge_of_unit_one_is_called_a_ratio() -> None:
    assert prometheus_name(Metric("app.load", "gauge", "1", "double", "Load.")) == "app_load_ratio"
    assert prometheus_name(Metric("app.score", "histogram", "1", "double", "Scores.")) == "app_score"
    assert prometheus_name(Metric("app.io", "counter", "By", "int", "Bytes.")) == "app_io_bytes"
    assert prometheus_name(Metric("app.calls", "counter", "{call}", "int", "Calls.")) == "app_calls"
