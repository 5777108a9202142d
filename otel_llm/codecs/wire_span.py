"""One OTLP span as bytes, written again with an operation's changes.

Adding attributes is appending encoded entries, because concatenating protobuf messages merges them. A key that is
there already, a removed one, or a removed event takes the rewriting path: the span is copied field by field, and what
nobody changed stays the bytes it was, in the order it had.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Final, cast

from otel_llm.codecs import protobuf
from otel_llm.codecs.wire_source import SpanSource, read_pair
from otel_llm.operation import REMOVED, AttributeValue, Moved, Operation
from otel_llm.signals import Buffer

# Tags (field number << 3 | wire type) in Span, Span.Event and KeyValue.
_ATTRIBUTES: Final = 74
_EVENTS: Final = 90
_EVENT_NAME: Final = 18
_LENGTH_DELIMITED: Final = 2
_KEY: Final = 10
_VALUE: Final = 18

_pack_double = struct.Struct("<d").pack

_ENCODER: Final = protobuf.AttributeEncoder(_ATTRIBUTES)


def join_portable(
    overlay: Mapping[str, object],
    texts: Mapping[str, Mapping[str, bytes]],
    doubles: Mapping[str, bytes],
    encode: Callable[[str, object], bytes],
) -> bytes:
    """As `join_entries` of the compiled module, which stands in for it where it was built."""
    entries = []
    for key, value in overlay.items():
        # What the encoder remembers, without the call: ten times a span.
        if type(value) is str and key in texts and value in texts[key]:
            entries.append(texts[key][value])
        elif type(value) is float and key in doubles:
            entries.append(doubles[key] + _pack_double(value))
        else:
            entries.append(encode(key, value))
    return b"".join(entries)


if find_spec("otel_llm.codecs._compiled") is None:
    _join_entries = join_portable
else:
    from otel_llm.codecs._compiled import join_entries as _join_entries


def encode_added(operation: Operation, source: SpanSource) -> bytes:
    """The attributes that were added or replaced, encoded; in one piece, for delivery pays for each."""

    def encode(key: str, value: object) -> bytes:
        if value is REMOVED:
            return b""
        if type(value) is Moved:
            encoded = source.encoded(value.key)
            return b"" if encoded is None else _ENCODER.encode_raw(key, encoded)
        return _ENCODER.encode(key, cast("AttributeValue", value))

    return _join_entries(operation.overlay, _ENCODER.texts, _ENCODER.doubles, encode)


def is_only_added_to(operation: Operation, source: SpanSource) -> bool:
    """Whether everything the span had is still as it was."""
    return not operation.removed_events and source.keys().isdisjoint(operation.overlay)


def encode_kept(operation: Operation, source: SpanSource) -> list[Buffer]:
    """What is left of the span's own bytes, in pieces."""
    gone = {key.encode() for key in operation.overlay.keys() & source.keys()}
    return _copy_without(source.raw, gone, operation.removed_events)


def _copy_without(raw: bytes, keys: set[bytes], event_names: frozenset[str]) -> list[Buffer]:
    """The span in slices, without the attributes of these keys and without the events of these names.

    Runs for every span of a dialect, hence the special cases for one-byte tags and lengths. The span was read before,
    so its fields are known to be within their borders.
    """
    view = memoryview(raw)
    pieces: list[Buffer] = []
    index = kept = 0
    size = len(raw)
    while index < size:
        start = index
        tag = raw[index]
        index += 1
        if tag > 127:
            tag, index = protobuf.read_tag(raw, start)
        if tag & 7 != _LENGTH_DELIMITED:
            index = protobuf.skip_field(raw, index, tag)
            continue
        length = raw[index]
        index += 1
        if length > 127:
            length, index = protobuf.read_varint(raw, index - 1)
        payload = index
        index += length
        if tag == _ATTRIBUTES:
            gone = _entry_key(raw, payload, index) in keys
        else:
            gone = tag == _EVENTS and bool(event_names) and _event_name(raw[payload:index]) in event_names
        if gone:
            if kept < start:
                pieces.append(view[kept:start])
            kept = index
    if kept < size:
        pieces.append(view[kept:])
    return pieces


def _entry_key(raw: bytes, payload: int, end: int) -> bytes:
    """The key of a KeyValue, as UTF-8. As libraries write it, the key is first and short, the value fills the rest."""
    if payload + 1 < end and raw[payload] == _KEY and raw[payload + 1] < 128:
        after = payload + 2 + raw[payload + 1]
        if after + 1 < end and raw[after] == _VALUE:
            length = raw[after + 1]
            value = after + 2
            if length > 127:
                length, value = protobuf.read_varint(raw, after + 1)
            key = raw[payload + 2 : after]
            if value + length == end and key.isascii():
                return key
    return read_pair(raw[payload:end])[0].encode()


def _event_name(data: bytes) -> str:
    name = b""
    for tag, _, start, end in protobuf.fields(data):
        if tag == _EVENT_NAME:
            name = data[start:end]
    return name.decode("utf-8", "replace")
