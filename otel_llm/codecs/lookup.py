"""A few attributes of a resource, span or log record, found on the bytes, without making it an object.

The law of this module: what decides where telemetry goes must not be ambiguous. A key that stands there twice with
different values is a CONFLICT, for a backend might take the other one.
Source: opentelemetry-proto common.proto (KeyValue 1: key, 2: value), trace.proto, logs.proto, resource.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

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
# Tags of `attributes` in Resource, and of what is needed of an item.
RESOURCE_ATTRIBUTES: Final = 10


@dataclass(frozen=True, slots=True)
class ItemTags:
    """Tags in an item of a signal.

    Attributes:
        attributes: of its attributes.
        trace_id: of the trace it belongs to.
    """

    attributes: int
    trace_id: int


ITEM_TAGS: Final[Mapping[Signal, ItemTags]] = {"traces": ItemTags(74, 10), "logs": ItemTags(50, 74)}


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
    places = [place for key in keys for place in _places(body, start, end, key)]
    if not places:
        return {}
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


def find_bytes(body: bytes, start: int, end: int, tag: int) -> bytes:
    """A bytes field of the message from `start` to `end`; empty when it is not there."""
    found = b""
    for field, _, payload, after in protobuf.fields(body, start, end):
        if field == tag:
            found = body[payload:after]
    return found
