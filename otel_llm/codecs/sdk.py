"""Spans of the OpenTelemetry SDK: read as Operations' sources, and made anew with the operations' changes.

A span that has ended cannot be changed (its attributes are frozen before any `on_end`), so changes are applied where
spans leave: the exporter gets a new ReadableSpan, made by the SDK's public constructor. Nothing private of it is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, cast

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event as SdkEvent
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.util.types import Attributes

from otel_llm.codecs.genai import has_genai_key, is_genai_scope
from otel_llm.operation import REMOVED, AttributeValue, Event, Operation

_EMPTY: Final[Mapping[str, AttributeValue]] = MappingProxyType({})
# The SDK numbers span kinds from 0 (internal), OTLP from 1.
_OTLP_KIND: Final = {
    SpanKind.INTERNAL: 1,
    SpanKind.SERVER: 2,
    SpanKind.CLIENT: 3,
    SpanKind.PRODUCER: 4,
    SpanKind.CONSUMER: 5,
}
_OTLP_STATUS: Final = {StatusCode.UNSET: 0, StatusCode.OK: 1, StatusCode.ERROR: 2}


class SdkSource:
    """A finished span of the SDK."""

    __slots__ = ("_attributes", "span")

    def __init__(self, span: ReadableSpan) -> None:
        self.span = span
        self._attributes: Mapping[str, AttributeValue] = span.attributes or _EMPTY

    @property
    def identity(self) -> tuple[bytes, bytes, bytes]:
        """Trace, span and parent."""
        return self.trace_id, self.span_id, self.parent_span_id

    @property
    def trace_id(self) -> bytes:
        """The trace, 16 bytes."""
        context = self.span.get_span_context()
        return b"" if context is None else context.trace_id.to_bytes(16, "big")

    @property
    def span_id(self) -> bytes:
        """The span, 8 bytes."""
        context = self.span.get_span_context()
        return b"" if context is None else context.span_id.to_bytes(8, "big")

    @property
    def parent_span_id(self) -> bytes:
        """Its parent, 8 bytes; empty for a root."""
        parent = self.span.parent
        return b"" if parent is None else parent.span_id.to_bytes(8, "big")

    @property
    def name(self) -> str:
        """Its name."""
        return self.span.name

    @property
    def kind(self) -> int:
        """OTLP SpanKind."""
        return _OTLP_KIND[self.span.kind]

    @property
    def start_unix_nano(self) -> int:
        """When it started."""
        return self.span.start_time or 0

    @property
    def end_unix_nano(self) -> int:
        """When it ended."""
        return self.span.end_time or 0

    @property
    def status_code(self) -> int:
        """OTLP StatusCode."""
        return _OTLP_STATUS[self.span.status.status_code]

    @property
    def status_message(self) -> str:
        """The status message."""
        return self.span.status.description or ""

    @property
    def scope_name(self) -> str:
        """The instrumentation scope's name."""
        scope = self.span.instrumentation_scope
        return "" if scope is None else scope.name

    @property
    def scope_version(self) -> str:
        """The instrumentation scope's version."""
        scope = self.span.instrumentation_scope
        return "" if scope is None else scope.version or ""

    @property
    def resource(self) -> Mapping[str, AttributeValue]:
        """The resource's attributes."""
        return self.span.resource.attributes

    @property
    def events(self) -> Sequence[Event]:
        """The span's events."""
        return tuple(Event(event.name, event.timestamp, event.attributes or _EMPTY) for event in self.span.events)

    def keys(self) -> frozenset[str]:
        """The keys of the span's attributes; a str Enum as its text."""
        return frozenset(map(str.__str__, self._attributes))

    def has_exactly(self, keys: frozenset[str]) -> bool:
        """Whether these are the keys of all attributes."""
        return self.keys() == keys

    def get(self, key: str) -> AttributeValue:
        """The value of an attribute, None when there is none."""
        return self._attributes.get(key)


def decode_span(span: ReadableSpan) -> Operation | None:
    """An Operation on a finished span; None when it is not a GenAI span."""
    source = SdkSource(span)
    if is_genai_scope(source.scope_name) or has_genai_key(source.scope_name, span.attributes or ()):
        return Operation(source)
    return None


def encode_span(span: ReadableSpan, operation: Operation) -> ReadableSpan | None:
    """The span with the operation's changes: the same object when there are none, None when it was dropped."""
    if operation.dropped is not None:
        return None
    if not operation.is_changed:
        return span
    attributes: dict[str, AttributeValue] = dict(span.attributes or {})
    for key, value in operation.overlay.items():
        attributes.pop(key, None)
        if value is not REMOVED:
            attributes[key] = operation.get(key)
    return ReadableSpan(
        name=span.name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource if isinstance(span.resource, Resource) else None,
        attributes=cast("Attributes", attributes),
        events=_kept_events(span, operation.removed_events),
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _kept_events(span: ReadableSpan, removed: frozenset[str]) -> Sequence[SdkEvent]:
    return tuple(event for event in span.events if event.name not in removed) if removed else span.events
