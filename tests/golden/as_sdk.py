"""Spans of an OTLP request as the OpenTelemetry SDK has them when they end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope as OtlpScope
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import Attributes

from otel_llm.codecs.protobuf import from_any_value

_KINDS = {
    1: SpanKind.INTERNAL,
    2: SpanKind.SERVER,
    3: SpanKind.CLIENT,
    4: SpanKind.PRODUCER,
    5: SpanKind.CONSUMER,
}
_STATUS = {0: StatusCode.UNSET, 1: StatusCode.OK, 2: StatusCode.ERROR}


def sdk_spans(body: bytes) -> Iterator[ReadableSpan]:
    """The spans of a serialized trace request, in order."""
    for holder in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = Resource(cast("dict[str, str]", _attributes(holder.resource.attributes)))
        for group in holder.scope_spans:
            for span in group.spans:
                yield _span(span, resource, group.scope)


def _span(span: Span, resource: Resource, scope: OtlpScope) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=_context(span.trace_id, span.span_id),
        parent=_context(span.trace_id, span.parent_span_id) if span.parent_span_id else None,
        resource=resource,
        attributes=_attributes(span.attributes),
        events=[Event(event.name, _attributes(event.attributes), event.time_unix_nano) for event in span.events],
        kind=_KINDS[span.kind],
        instrumentation_scope=InstrumentationScope(scope.name, scope.version),
        status=Status(_STATUS[span.status.code], span.status.message or None),
        start_time=span.start_time_unix_nano,
        end_time=span.end_time_unix_nano,
    )


def _context(trace_id: bytes, span_id: bytes) -> SpanContext:
    return SpanContext(
        int.from_bytes(trace_id, "big"),
        int.from_bytes(span_id, "big"),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


def _attributes(items: Iterable[KeyValue]) -> Attributes:
    return cast("Attributes", {item.key: from_any_value(item.value) for item in items})
