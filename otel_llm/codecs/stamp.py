"""One attribute on every resource of a request, whatever the sender put there. On the bytes, for all three signals.

The law of this module: afterwards each ResourceX has the attribute exactly once and nothing else is different. The
resource leaves in one piece; what stands around it stays as it came.
Source: opentelemetry-proto resource.proto (1: attributes), common.proto (KeyValue 1: key).
"""

from __future__ import annotations

from typing import Final

from otel_llm.codecs import protobuf
from otel_llm.signals import Buffer

_HOLDER: Final = 10
_RESOURCE: Final = 10
_ATTRIBUTE: Final = 10
_KEY: Final = 10


def stamp_resources(body: bytes, key: str, value: str) -> bytes:
    """The request with `key` set to `value` on every resource.

    Raises:
        MalformedError: the structure down to the attributes of the resources is broken.
    """
    entry = _field(b"\x0a" + protobuf.varint(len(key.encode())) + key.encode() + _value(value))
    view = memoryview(body)
    pieces: list[Buffer] = []
    for tag, start, payload, end in protobuf.fields(body):
        if tag != _HOLDER:
            pieces.append(view[start:end])
            continue
        holder = _stamp_holder(body, payload, end, key.encode(), entry)
        pieces += (b"\x0a" + protobuf.varint(sum(map(len, holder))), *holder)
    return b"".join(pieces)


def _stamp_holder(body: bytes, index: int, end: int, key: bytes, entry: bytes) -> list[Buffer]:
    """The content of a ResourceX: the resource first, as everybody writes it, then the rest."""
    view = memoryview(body)
    resource: list[Buffer] = []
    rest: list[Buffer] = []
    for tag, start, payload, after in protobuf.fields(body, index, end):
        if tag != _RESOURCE:
            rest.append(view[start:after])
        elif body.find(key, payload, after) < 0:
            resource.append(view[payload:after])
        else:
            resource += _without(body, payload, after, key)
    resource.append(entry)
    return [b"\x0a" + protobuf.varint(sum(map(len, resource))), *resource, *rest]


def _without(body: bytes, index: int, end: int, key: bytes) -> list[Buffer]:
    """A resource's fields but for the attributes of that key."""
    view = memoryview(body)
    return [
        view[start:after]
        for tag, start, payload, after in protobuf.fields(body, index, end)
        if tag != _ATTRIBUTE or _key(body, payload, after) != key
    ]


def _key(body: bytes, index: int, end: int) -> bytes:
    """The key of a KeyValue; the last one counts, as for protobuf."""
    key = b""
    for tag, _, payload, after in protobuf.fields(body, index, end):
        if tag == _KEY:
            key = body[payload:after]
    return key


def _value(value: str) -> bytes:
    encoded = protobuf.encode_value(value)
    return b"\x12" + protobuf.varint(len(encoded)) + encoded


def _field(content: bytes) -> bytes:
    return b"\x0a" + protobuf.varint(len(content)) + content
