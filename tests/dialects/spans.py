"""Spans for tests of dialects: from plain arguments, or from OTLP/JSON as captured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from otel_llm.operation import AttributeValue, Event, Operation


@dataclass(frozen=True, slots=True)
class FakeSource:
    """A span in memory, as a codec would show it."""

    attributes: Mapping[str, AttributeValue]
    scope_name: str = ""
    scope_version: str = ""
    name: str = "span"
    kind: int = 3
    trace_id: bytes = b"t" * 16
    span_id: bytes = b"s" * 8
    parent_span_id: bytes = b""
    start_unix_nano: int = 1_763_600_000_000_000_000
    end_unix_nano: int = 1_763_600_001_000_000_000
    status_code: int = 0
    status_message: str = ""
    resource: Mapping[str, AttributeValue] = field(default_factory=dict)
    events: Sequence[Event] = ()

    def keys(self) -> frozenset[str]:
        return frozenset(self.attributes)

    def has_exactly(self, keys: frozenset[str]) -> bool:
        return self.attributes.keys() == keys

    def get(self, key: str) -> AttributeValue:
        return self.attributes.get(key)


def operation(attributes: Mapping[str, AttributeValue], scope_name: str = "", **fields: Any) -> Operation:
    return Operation(FakeSource(attributes, scope_name, **fields))


def attributes_of(operation: Operation) -> dict[str, AttributeValue]:
    """Everything on the span, changes applied."""
    return {key: operation.get(key) for key in sorted(operation.keys())}


def again(operation: Operation) -> Operation:
    """The span as the next gateway gets it: the changes applied, and a fresh view of it."""
    source: FakeSource = operation._source
    return Operation(
        FakeSource(
            attributes_of(operation),
            source.scope_name,
            source.scope_version,
            source.name,
            source.kind,
            source.trace_id,
            source.span_id,
            source.parent_span_id,
            source.start_unix_nano,
            source.end_unix_nano,
            source.status_code,
            source.status_message,
            source.resource,
            operation.events,
        )
    )


def operations_of(request: Mapping[str, Any]) -> Iterator[Operation]:
    """The spans of an OTLP/JSON export request."""
    for resource_spans in request.get("resourceSpans", ()):
        resource = _attributes(resource_spans.get("resource", {}))
        for scope_spans in resource_spans["scopeSpans"]:
            for span in scope_spans["spans"]:
                yield Operation(_source(span, scope_spans.get("scope", {}), resource))


def _source(span: Mapping[str, Any], scope: Mapping[str, Any], resource: Mapping[str, AttributeValue]) -> FakeSource:
    status = span.get("status", {})
    return FakeSource(
        attributes=_attributes(span),
        scope_name=scope.get("name") or "",
        scope_version=scope.get("version") or "",
        name=span["name"],
        kind=span.get("kind", 0),
        trace_id=bytes.fromhex(span["traceId"]),
        span_id=bytes.fromhex(span["spanId"]),
        parent_span_id=bytes.fromhex(span.get("parentSpanId") or ""),
        start_unix_nano=int(span["startTimeUnixNano"]),
        end_unix_nano=int(span["endTimeUnixNano"]),
        status_code=status.get("code", 0),
        status_message=status.get("message", ""),
        resource=resource,
        events=tuple(
            Event(event["name"], int(event.get("timeUnixNano", 0)), _attributes(event))
            for event in span.get("events", ())
        ),
    )


def _attributes(owner: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {pair["key"]: _value(pair["value"]) for pair in owner.get("attributes", ())}


def _value(value: Mapping[str, Any]) -> AttributeValue:
    if not value:
        return None
    ((kind, held),) = value.items()
    if kind == "intValue":
        return int(held)
    if kind == "doubleValue":
        return float(held)
    if kind == "arrayValue":
        return [_value(item) for item in held.get("values", ())]
    if kind == "kvlistValue":
        return {pair["key"]: _value(pair["value"]) for pair in held.get("values", ())}
    return held
