"""Requests of each signal with a known number of items, each recognisable by its id."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm.signals import Payload, Signal


def traces(first: int, count: int, *, size: int = 10) -> ExportTraceServiceRequest:
    """Spans numbered from `first`, in two ScopeSpans of one ResourceSpans."""
    request = ExportTraceServiceRequest()
    holder = request.resource_spans.add(schema_url="urn:resource")
    holder.resource.attributes.add(key="service.name").value.string_value = "shop"
    for number in range(first, first + count):
        if len(holder.scope_spans) < 2 and (number - first) in (0, count // 2):
            holder.scope_spans.add(schema_url="urn:scope").scope.name = f"scope{len(holder.scope_spans)}"
        span = holder.scope_spans[-1].spans.add(trace_id=bytes(16), span_id=number.to_bytes(8, "big"))
        span.name = "x" * size
    return request


def logs(first: int, count: int) -> ExportLogsServiceRequest:
    """Log records numbered from `first`."""
    request = ExportLogsServiceRequest()
    holder = request.resource_logs.add()
    holder.resource.attributes.add(key="service.name").value.string_value = "shop"
    for number in range(first, first + count):
        holder.scope_logs.add().log_records.add().body.int_value = number
    return request


def metrics(first: int, count: int) -> ExportMetricsServiceRequest:
    """Data points numbered from `first`, one metric of each kind in turn, three points in each."""
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    number = first
    while number < first + count:
        metric = scope.metrics.add(name=f"m{number}", unit="By")
        kind = ("gauge", "sum", "histogram", "exponential_histogram", "summary")[len(scope.metrics) % 5]
        data = getattr(metric, kind)
        if kind == "sum":
            data.is_monotonic = True
        for _ in range(min(3, first + count - number)):
            data.data_points.add(time_unix_nano=number)
            number += 1
    return request


def payload(first: int, count: int, *, signal: Signal = "traces", size: int = 10) -> Payload:
    """A payload of items numbered from `first`."""
    if signal == "traces":
        return Payload.of(signal, (traces(first, count, size=size).SerializeToString(),), count)
    message = logs(first, count) if signal == "logs" else metrics(first, count)
    return Payload.of(signal, (message.SerializeToString(),), count)


def numbers(signal: Signal, body: bytes) -> list[int]:
    """The numbers of the items in a request, in order."""
    if signal == "traces":
        spans = ExportTraceServiceRequest.FromString(body)
        return [int.from_bytes(s.span_id, "big") for r in spans.resource_spans for g in r.scope_spans for s in g.spans]
    if signal == "logs":
        records = ExportLogsServiceRequest.FromString(body)
        return [x.body.int_value for r in records.resource_logs for g in r.scope_logs for x in g.log_records]
    points = ExportMetricsServiceRequest.FromString(body)
    return [
        point.time_unix_nano
        for r in points.resource_metrics
        for g in r.scope_metrics
        for metric in g.metrics
        for point in getattr(metric, metric.WhichOneof("data")).data_points
    ]
