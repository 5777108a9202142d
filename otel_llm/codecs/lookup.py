"""A few attributes of a resource, span or log record, found on the bytes, without making it an object.

The law of this module: what decides where telemetry goes must not be ambiguous. A key that stands there twice with
different values is a CONFLICT, for a backend might take the other one.
A projection (see projection.py) answers where that is certain: when the key's text occurs once, and the map has it.
Everything else, such as a key that is also mentioned in content, is walked field by field.
Source: opentelemetry-proto common.proto (KeyValue 1: key, 2: value), trace.proto, logs.proto, resource.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final, Literal, Protocol, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from otel_llm.codecs import protobuf
from otel_llm.codecs.protobuf import decode_value
from otel_llm.operation import AttributeValue
from otel_llm.signals import Signal


class _Conflict(Enum):
    """Stands for a value that is two."""

    CONFLICT = 0


CONFLICT: Final = _Conflict.CONFLICT
Found = AttributeValue | Literal[_Conflict.CONFLICT]

_KEY: Final = 10
_VALUE: Final = 18
# Tags of `attributes` in Resource and in the items.
RESOURCE_ATTRIBUTES: Final = 10
ITEM_ATTRIBUTES: Final[Mapping[Signal, int]] = {"traces": 74, "logs": 50}
_TRACE_ID_FIELDS: Final[Mapping[int, int]] = {10: 0, 74: 1, 50: 9}

_FIELD = descriptor_pb2.FieldDescriptorProto


class _View(Protocol):
    """A message of which only the attributes, and the trace it belongs to, are looked at."""

    trace_id: bytes
    attributes: Mapping[str, bytes]

    def ParseFromString(self, data: memoryview) -> int: ...  # noqa: N802 - protobuf's name


def _declare(file: descriptor_pb2.FileDescriptorProto, name: str, trace_id: int, attributes: int) -> None:
    message = file.message_type.add(name=name)
    if trace_id:
        message.field.add(name="trace_id", number=trace_id, type=_FIELD.TYPE_BYTES, label=_FIELD.LABEL_OPTIONAL)
    if attributes:
        entry = message.nested_type.add(name="AttributesEntry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
        entry.field.add(name="value", number=2, type=_FIELD.TYPE_BYTES, label=_FIELD.LABEL_OPTIONAL)
        field = message.field.add(name="attributes", number=attributes, type=_FIELD.TYPE_MESSAGE)
        field.label = _FIELD.LABEL_REPEATED
        field.type_name = f".otel_llm.lookup.{name}.AttributesEntry"


def _build() -> tuple[dict[int, type[_View]], dict[int, type[_View]]]:
    """Views for attributes and for trace ids, by the tag of the message's attributes."""
    file = descriptor_pb2.FileDescriptorProto(name="otel_llm/lookup.proto", package="otel_llm.lookup", syntax="proto3")
    for tag, trace_id in _TRACE_ID_FIELDS.items():
        _declare(file, f"Attributes{tag}", 0, tag >> 3)
        _declare(file, f"Trace{tag}", trace_id, 0)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())

    def views(prefix: str) -> dict[int, type[_View]]:
        return {
            tag: cast(
                "type[_View]",
                message_factory.GetMessageClass(pool.FindMessageTypeByName(f"otel_llm.lookup.{prefix}{tag}")),
            )
            for tag in _TRACE_ID_FIELDS
        }

    return views("Attributes"), views("Trace")


_ATTRIBUTE_VIEWS, _TRACE_VIEWS = _build()


def find_attributes(body: bytes, start: int, end: int, tag: int, keys: Mapping[bytes, str]) -> dict[str, Found]:
    """The values of some keys in the message from `start` to `end`; those that are not there are left out.

    Args:
        body: what the message is in.
        start: where it starts.
        end: where it ends.
        tag: of the message's attributes.
        keys: encoded key -> key.

    Raises:
        MalformedError: the bytes are not such a message.
    """
    # Nearly always nothing is there: one search in C for each key, where reading field by field takes microseconds.
    counts = {key: count for key in keys if (count := body.count(key, start, end))}
    if not counts:
        return {}
    if max(counts.values()) == 1:
        found = _look_up(body, start, end, tag, {key: keys[key] for key in counts})
        if found is not None:
            return found
    return _walk(body, start, end, tag, keys)


def _look_up(body: bytes, start: int, end: int, tag: int, keys: Mapping[bytes, str]) -> dict[str, Found] | None:
    """The values by a projection; None when it does not have all of them, or cannot be made."""
    view = _ATTRIBUTE_VIEWS[tag]()
    try:
        view.ParseFromString(memoryview(body)[start:end])
    except DecodeError:
        return None
    attributes = view.attributes
    if not all(name in attributes for name in keys.values()):
        return None
    found: dict[str, Found] = {name: decode_value(attributes[name]) for name in keys.values()}
    # No value at all may be the last piece of one: the walk puts them together.
    return None if None in found.values() else found


def _walk(body: bytes, start: int, end: int, tag: int, keys: Mapping[bytes, str]) -> dict[str, Found]:
    places = [place for key in keys for place in _places(body, start, end, key)]
    found: dict[str, Found] = {}
    for field, _, payload, after in protobuf.fields(body, start, end):
        if field == tag and any(payload <= place < after for place in places):
            _read_pair(body, payload, after, keys, found)
    return found


def _places(body: bytes, start: int, end: int, key: bytes) -> Iterator[int]:
    while (place := body.find(key, start, end)) >= 0:
        yield place
        start = place + len(key)


def _read_pair(body: bytes, start: int, end: int, keys: Mapping[bytes, str], found: dict[str, Found]) -> None:
    key, value = b"", b""
    for field, _, payload, after in protobuf.fields(body, start, end):
        if field == _KEY:
            key = body[payload:after]
        elif field == _VALUE:
            value += body[payload:after]  # in pieces it means their merge
    name = keys.get(key)
    if name is not None:
        decoded = decode_value(value)
        found[name] = decoded if found.get(name, decoded) == decoded else CONFLICT


def find_trace_id(body: bytes, start: int, end: int, tag: int) -> bytes:
    """The trace of the item from `start` to `end`; empty when it has none, or is no item.

    Args:
        body: what the item is in.
        start: where it starts.
        end: where it ends.
        tag: of the item's attributes, which says what it is.
    """
    view = _TRACE_VIEWS[tag]()
    try:
        view.ParseFromString(memoryview(body)[start:end])
    except DecodeError:
        return b""
    return view.trace_id
