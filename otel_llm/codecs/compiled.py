"""The compiled reader as an Operation's source; importing this needs the extension module."""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError

from otel_llm.codecs import _compiled, protobuf
from otel_llm.codecs.wire_source import (
    ResourceAttributes,
    Scope,
    SpanSource,
    WireSource,
    decode_nested,
    read_events,
    read_status,
)
from otel_llm.operation import Event

_EVENTS: Final = 90
_ODD: Final = object()


class CompiledSource(_compiled.Reading):
    """A span as it came over the wire; all its values are decoded."""

    __slots__ = ()

    is_mended = False

    resource = property(lambda self: self.resource_attributes.get())

    @property
    def status_code(self) -> int:
        """OTLP StatusCode."""
        return read_status(self.status).code if self.status else 0

    @property
    def status_message(self) -> str:
        """The status message."""
        return read_status(self.status).message

    @property
    def events(self) -> tuple[Event, ...]:
        """The span's events; those that cannot be read are left out."""
        if self.events_read is None:
            raw = self.raw
            found = (raw[start:end] for tag, _, start, end in protobuf.fields(raw) if tag == _EVENTS)
            self.events_read = tuple(read_events(found))
        return self.events_read


def _decode(encoded: bytes) -> object:
    try:
        return decode_nested(encoded)
    except DecodeError:
        return _ODD


def read_compiled(body: bytes, start: int, end: int, scope: Scope, resource: ResourceAttributes) -> SpanSource:
    """A span, read by the extension module if it is as libraries write it, and else by protobuf."""
    shapes = scope.memory
    if not isinstance(shapes, _compiled.Shapes):
        shapes = scope.memory = _compiled.Shapes(_decode, _ODD)
    source = _compiled.read_span(CompiledSource, body, start, end, scope, resource, shapes)
    return WireSource(body[start:end], scope, resource) if source is None else source
