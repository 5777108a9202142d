"""Builds OTLP trace requests from plain values, and operations through the real wire codec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_llm.codecs.protobuf import encode_value, from_any_value
from otel_llm.codecs.wire import decode_traces
from otel_llm.operation import AttributeValue, Operation

# 2026-11-18T12:00:00Z
NOON = 1_795_003_200_000_000_000
SECOND = 1_000_000_000


@dataclass
class SpanSpec:
    """A span in plain values; ids are made from small numbers."""

    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    span: int = 1
    parent: int = 0
    trace: int = 1
    name: str = "chat gpt-4o"
    kind: int = 3
    start: int = NOON
    seconds: float = 1.0
    status: int = 0
    scope: str = "opentelemetry.instrumentation.genai.openai"
    events: tuple[tuple[str, Mapping[str, AttributeValue]], ...] = ()


def chat(**attributes: AttributeValue) -> dict[str, AttributeValue]:
    """Attributes of a plain priced chat call, with `__` in keyword names for dots."""
    base: dict[str, AttributeValue] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
    }
    base.update({key.replace("__", "."): value for key, value in attributes.items()})
    return {key: value for key, value in base.items() if value is not None}


def _write(spec: SpanSpec, span: Span) -> None:
    span.trace_id = spec.trace.to_bytes(16, "big")
    span.span_id = spec.span.to_bytes(8, "big")
    span.parent_span_id = spec.parent.to_bytes(8, "big") if spec.parent else b""
    span.name, span.kind, span.status.code = spec.name, spec.kind, spec.status
    span.start_time_unix_nano = spec.start
    span.end_time_unix_nano = spec.start + int(spec.seconds * SECOND)
    for key, value in spec.attributes.items():
        span.attributes.add(key=key).value.CopyFrom(AnyValue.FromString(encode_value(value)))
    for number, (name, attributes) in enumerate(spec.events):
        event = span.events.add(name=name, time_unix_nano=spec.start + number)
        for key, value in attributes.items():
            event.attributes.add(key=key).value.CopyFrom(AnyValue.FromString(encode_value(value)))


def request(specs: Iterable[SpanSpec], resource: Mapping[str, str] | None = None) -> bytes:
    """A serialized request of these spans, one ScopeSpans for each change of scope."""
    message = ExportTraceServiceRequest()
    holder = message.resource_spans.add()
    for key, value in (resource or {"service.name": "shop"}).items():
        holder.resource.attributes.add(key=key).value.string_value = value
    for spec in specs:
        groups = holder.scope_spans
        if not groups or groups[-1].scope.name != spec.scope:
            groups.add().scope.name = spec.scope
        _write(spec, groups[-1].spans.add())
    return message.SerializeToString()


def operations(*specs: SpanSpec) -> list[Operation]:
    """Operations of these spans, as the gateway sees them."""
    return decode_traces(request(specs)).operations


def operation(attributes: Mapping[str, AttributeValue], **rest: object) -> Operation:
    """One operation with these attributes."""
    (found,) = operations(SpanSpec(attributes=attributes, **rest))  # type: ignore[arg-type] # fields of SpanSpec
    return found


def spans_of(body: bytes) -> list[Span]:
    """All spans of a serialized request."""
    message = ExportTraceServiceRequest.FromString(body)
    return [span for holder in message.resource_spans for group in holder.scope_spans for span in group.spans]


def attributes_of(span: Span) -> dict[str, AttributeValue]:
    """A span's attributes as plain values."""
    return {item.key: from_any_value(item.value) for item in span.attributes}
