"""Span and ScopeSpans as protobuf sees them through our keyhole: enough to read a GenAI span, and not a byte more.

A projection is a message type declared at run time with OTLP's field numbers but other field types. What is declared
as bytes is not descended into, and a map is wire-compatible with `repeated KeyValue`, which gives hashed look-ups in C
with values that are turned into Python objects only when asked for.

It has to read odd bytes exactly as the generated classes do, or a policy could be blind to what a backend sees:
- Every field of Span is declared, so whatever is unknown is odd, and `UnknownFieldSet` shows it. Protobuf moves a map
  entry that has an unknown field of its own out of the map; a reader that trusted the map would miss that attribute.
- Values are messages, not bytes: a value sent in two pieces means their merge, where bytes would mean the last piece.
  So are arrays and lists, down to their items.
- Text is text: a span with invalid UTF-8 in its name, its keys or its values is refused, to be mended by the caller.
Source: opentelemetry-proto trace.proto (Span 1-16, ScopeSpans 1-3); measurements in benchmarks/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto

# name, number, type, repeated
_SPAN_FIELDS = (
    ("trace_id", 1, _FIELD.TYPE_BYTES, False),
    ("span_id", 2, _FIELD.TYPE_BYTES, False),
    ("trace_state", 3, _FIELD.TYPE_BYTES, False),
    ("parent_span_id", 4, _FIELD.TYPE_BYTES, False),
    ("name", 5, _FIELD.TYPE_STRING, False),
    ("kind", 6, _FIELD.TYPE_INT32, False),
    ("start_time_unix_nano", 7, _FIELD.TYPE_FIXED64, False),
    ("end_time_unix_nano", 8, _FIELD.TYPE_FIXED64, False),
    ("dropped_attributes_count", 10, _FIELD.TYPE_UINT32, False),
    ("events", 11, _FIELD.TYPE_BYTES, True),
    ("dropped_events_count", 12, _FIELD.TYPE_UINT32, False),
    ("links", 13, _FIELD.TYPE_BYTES, True),
    ("dropped_links_count", 14, _FIELD.TYPE_UINT32, False),
    # A singular message sent in two pieces means their merge; as repeated bytes both pieces are kept.
    ("status", 15, _FIELD.TYPE_BYTES, True),
    ("flags", 16, _FIELD.TYPE_FIXED32, False),
)


Field = tuple[str, int, "descriptor_pb2.FieldDescriptorProto.Type.ValueType", bool]


def few_fields(name: str, fields: Sequence[Field]) -> type:
    """A message with a few fields of OTLP's, for readers that want no more of a span.

    Args:
        name: of the declaration, once a process.
        fields: name, number, type, and whether it is repeated.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"otel_llm/{name}.proto", package=f"otel_llm.{name}", syntax="proto3"
    )
    message = file.message_type.add(name="Message")
    for field, number, kind, is_repeated in fields:
        label = _FIELD.LABEL_REPEATED if is_repeated else _FIELD.LABEL_OPTIONAL
        message.field.add(name=field, number=number, type=kind, label=label)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"otel_llm.{name}.Message"))


class ItemsProjection(Protocol):
    """ArrayValue or KeyValueList: items left encoded."""

    items: Sequence[bytes]


class ValueProjection(Protocol):
    """AnyValue."""

    string_value: str
    bool_value: bool
    int_value: int
    double_value: float
    array_value: ItemsProjection
    kvlist_value: ItemsProjection
    bytes_value: bytes

    def ParseFromString(self, data: bytes) -> int:  # noqa: N802 - protobuf's name
        """Read a value."""
        ...

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """Write the value."""
        ...

    def WhichOneof(self, name: str) -> str | None:  # noqa: N802 - protobuf's name
        """The name of the member that is set."""
        ...


class SpanProjection(Protocol):
    """The part of a generated message class that is used here."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    name: str
    kind: int
    start_time_unix_nano: int
    end_time_unix_nano: int
    events: Sequence[bytes]
    status: Sequence[bytes]
    attributes: Mapping[str, ValueProjection]

    @staticmethod
    def FromString(data: bytes) -> SpanProjection:  # noqa: N802 - protobuf's name
        """A span from its bytes."""
        ...

    def ParseFromString(self, data: bytes) -> int:  # noqa: N802 - protobuf's name
        """Read a span."""
        ...


class GroupProjection(Protocol):
    """ScopeSpans, ScopeMetrics or ScopeLogs: the scope and the items, all left encoded."""

    scope: Sequence[bytes]
    items: Sequence[bytes]

    def ParseFromString(self, data: bytes | memoryview) -> int:  # noqa: N802 - protobuf's name
        """Read it; checks its structure down to the borders of the items."""
        ...


_VALUE_FIELDS = (
    ("string_value", 1, _FIELD.TYPE_STRING),
    ("bool_value", 2, _FIELD.TYPE_BOOL),
    ("int_value", 3, _FIELD.TYPE_INT64),
    ("double_value", 4, _FIELD.TYPE_DOUBLE),
    ("array_value", 5, _FIELD.TYPE_MESSAGE),
    ("kvlist_value", 6, _FIELD.TYPE_MESSAGE),
    ("bytes_value", 7, _FIELD.TYPE_BYTES),
)
_PACKAGE = "otel_llm.projection"


def _declare_value(file: descriptor_pb2.FileDescriptorProto) -> None:
    items = file.message_type.add(name="Items")
    items.field.add(name="items", number=1, type=_FIELD.TYPE_BYTES, label=_FIELD.LABEL_REPEATED)
    value = file.message_type.add(name="Value")
    value.oneof_decl.add(name="value")
    for name, number, kind in _VALUE_FIELDS:
        field = value.field.add(name=name, number=number, type=kind, label=_FIELD.LABEL_OPTIONAL, oneof_index=0)
        if kind == _FIELD.TYPE_MESSAGE:
            field.type_name = f".{_PACKAGE}.Items"


def _declare_span(file: descriptor_pb2.FileDescriptorProto) -> None:
    span = file.message_type.add(name="Span")
    for name, number, kind, repeated in _SPAN_FIELDS:
        label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
        span.field.add(name=name, number=number, type=kind, label=label)
    entry = span.nested_type.add(name="AttributesEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    message = {"type": _FIELD.TYPE_MESSAGE, "label": _FIELD.LABEL_OPTIONAL}
    entry.field.add(name="value", number=2, type_name=f".{_PACKAGE}.Value", **message)
    message["label"] = _FIELD.LABEL_REPEATED
    span.field.add(name="attributes", number=9, type_name=f".{_PACKAGE}.Span.AttributesEntry", **message)


def _declare_group(file: descriptor_pb2.FileDescriptorProto) -> None:
    # ScopeSpans, ScopeMetrics and ScopeLogs all hold their scope in field 1 and their items in field 2.
    group = file.message_type.add(name="Group")
    group.field.add(name="scope", number=1, type=_FIELD.TYPE_BYTES, label=_FIELD.LABEL_REPEATED)
    group.field.add(name="items", number=2, type=_FIELD.TYPE_BYTES, label=_FIELD.LABEL_REPEATED)


def _build() -> tuple[type[SpanProjection], type[ValueProjection], type[GroupProjection]]:
    file = descriptor_pb2.FileDescriptorProto(name="otel_llm/projection.proto", package=_PACKAGE, syntax="proto3")
    _declare_value(file)
    _declare_span(file)
    _declare_group(file)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return (
        cast("type[SpanProjection]", _message_class(pool, "Span")),
        cast("type[ValueProjection]", _message_class(pool, "Value")),
        cast("type[GroupProjection]", _message_class(pool, "Group")),
    )


def _message_class(pool: descriptor_pool.DescriptorPool, name: str) -> object:
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


SPAN_PROJECTION, VALUE_PROJECTION, GROUP_PROJECTION = _build()
