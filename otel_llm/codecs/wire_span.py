"""One OTLP span as bytes: read as an Operation's source, and written again with the operation's changes.

Adding attributes is appending encoded entries, because concatenating protobuf messages merges them. A key that is
there already, a removed one, or a removed event takes the rewriting path: the span is copied field by field, and what
nobody changed stays the bytes it was, in the order it had.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol, cast

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from otel_llm._generated import attributes as names
from otel_llm.codecs import protobuf
from otel_llm.codecs.projection import SPAN_PROJECTION, VALUE_PROJECTION, SpanProjection, ValueProjection
from otel_llm.errors import MalformedError
from otel_llm.operation import REMOVED, AttributeValue, Event, Moved, Operation
from otel_llm.signals import Buffer

# Tags (field number << 3 | wire type) in Span, Span.Event and KeyValue.
_ATTRIBUTES: Final = 74
_NAME: Final = 42
_EVENTS: Final = 90
_EVENT_NAME: Final = 18
_LENGTH_DELIMITED: Final = 2
_KEY: Final = 10
_VALUE: Final = 18

_parse_span = SPAN_PROJECTION.FromString
_pack_double = struct.Struct("<d").pack

_ENCODER: Final = protobuf.AttributeEncoder(_ATTRIBUTES)


# Text and counts that normalising and pricing read from every call.
_TEXTS: Final = (
    names.GEN_AI_OPERATION_NAME,
    names.GEN_AI_PROVIDER_NAME,
    names.GEN_AI_RESPONSE_MODEL,
    names.GEN_AI_RESPONSE_ID,
    names.OPENAI_RESPONSE_SERVICE_TIER,
    names.SERVER_ADDRESS,
)
_COUNTS: Final = (
    names.GEN_AI_USAGE_INPUT_TOKENS,
    names.GEN_AI_USAGE_OUTPUT_TOKENS,
    names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
    names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS,
    names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
)
_ARRAYS_READ: Final = (names.GEN_AI_RESPONSE_FINISH_REASONS,)
_PREFETCH: Final[dict[frozenset[str], tuple[tuple[str, ...], ...]]] = {}
_MOST_SHAPES: Final = 1024


def _prefetch_of(keys: frozenset[str]) -> tuple[tuple[str, ...], ...]:
    present = tuple(tuple(key for key in often if key in keys) for often in (_TEXTS, _COUNTS, _ARRAYS_READ))
    if len(_PREFETCH) < _MOST_SHAPES:
        _PREFETCH[keys] = present
    return present


class Scope(Protocol):
    """An instrumentation scope."""

    name: str
    version: str


class ResourceAttributes(Protocol):
    """The attributes of a resource, read when asked for."""

    def get(self) -> Mapping[str, AttributeValue]:
        """The attributes."""
        ...


class WireSource:
    """A span as it came over the wire. Values are decoded when they are asked for.

    Raises:
        MalformedError: on construction, when the bytes are not a Span.
    """

    __slots__ = ("_events", "_keys", "_resource", "_scope", "_values", "attributes", "is_mended", "raw", "span")

    def __init__(self, raw: bytes, scope: Scope, resource: ResourceAttributes) -> None:
        self.raw = raw
        self._scope = scope
        self._resource = resource
        self._events: tuple[Event, ...] | None = None
        self._keys: frozenset[str] | None = None
        self._values: dict[str, AttributeValue] = {}
        self.attributes: Mapping[str, ValueProjection]
        self.is_mended = False
        try:
            span = _parse_span(raw)
        except DecodeError:
            self.raw = _mend(raw)
            self.is_mended = True
            span = _parse_mended(self.raw)
        self.span: SpanProjection = span
        unknown = len(UnknownFieldSet(span))  # type: ignore[arg-type] # it is a Message
        self.attributes = _walk_attributes(self.raw) if unknown else span.attributes

    @property
    def identity(self) -> tuple[bytes, bytes, bytes]:
        """Trace, span and parent."""
        span = self.span
        return span.trace_id, span.span_id, span.parent_span_id

    trace_id = property(lambda self: self.span.trace_id)
    span_id = property(lambda self: self.span.span_id)
    parent_span_id = property(lambda self: self.span.parent_span_id)
    kind = property(lambda self: self.span.kind)
    start_unix_nano = property(lambda self: self.span.start_time_unix_nano)
    end_unix_nano = property(lambda self: self.span.end_time_unix_nano)
    scope_name = property(lambda self: self._scope.name)
    scope_version = property(lambda self: self._scope.version)
    resource = property(lambda self: self._resource.get())

    @property
    def name(self) -> str:
        """The span's name."""
        return self.span.name

    @property
    def status_code(self) -> int:
        """OTLP StatusCode."""
        return self._status().code

    @property
    def status_message(self) -> str:
        """The status message."""
        return self._status().message

    def _status(self) -> Status:
        pieces = self.span.status
        try:
            return Status.FromString(b"".join(pieces)) if pieces else Status()
        except DecodeError:
            return Status()

    @property
    def events(self) -> tuple[Event, ...]:
        """The span's events; those that cannot be read are left out."""
        if self._events is None:
            self._events = tuple(_read_events(self.span.events))
        return self._events

    def keys(self) -> frozenset[str]:
        """The keys of the span's attributes."""
        if self._keys is None:
            self._keys = frozenset(self.attributes)
        return self._keys

    def has_exactly(self, keys: frozenset[str]) -> bool:
        """Whether these are the keys of all attributes."""
        known = self._keys
        if known is not None:
            return known == keys
        attributes = self.attributes
        if len(attributes) != len(keys) or not all(map(attributes.__contains__, keys)):
            return False
        self._keys = keys
        self._prefetch(keys)
        return True

    def _prefetch(self, keys: frozenset[str]) -> None:
        """Decode what nearly every pipeline reads, in one loop: half of the time that as many calls of `get` take."""
        present = _PREFETCH.get(keys)
        if present is None:
            present = _prefetch_of(keys)
        attributes = self.attributes
        values = self._values
        texts, counts, arrays = present
        for key in counts:
            number = attributes[key].int_value
            if number:
                values[key] = number
        for key in arrays:
            known = _ARRAYS.get(attributes[key].SerializeToString())
            if known is not None:
                values[key] = known
        for key in texts:
            text = attributes[key].string_value
            if text:
                values[key] = text

    def get(self, key: str) -> AttributeValue:
        """The value of an attribute, None when there is none."""
        values = self._values
        if key in values:
            return values[key]
        keys = self._keys
        if keys is not None and key not in keys:
            return None
        raw = self.attributes.get(key)
        if raw is None:
            return None
        # Counts and text are nearly all there is, and reading a member is quicker than asking which one is set.
        number = raw.int_value
        if number:
            values[key] = number
            return number
        value = values[key] = _decode(raw)
        return value


def _decode(value: ValueProjection) -> AttributeValue:
    text = value.string_value
    if text:
        return text
    which = value.WhichOneof("value")
    if which is None:
        return None
    if which == "string_value":
        return ""
    if which == "array_value":
        return _decode_array(value)
    if which == "kvlist_value":
        pairs = map(_read_entry, value.kvlist_value.items)
        return {key: _decode(item) for key, item in pairs}
    return cast("bool | int | float | bytes", getattr(value, which))


# Arrays are finish reasons, as a rule: a few values that come with every span.
_ARRAYS: Final[dict[bytes, tuple[AttributeValue, ...]]] = {}
_MOST_ARRAYS: Final = 1024
_LONGEST_ARRAY: Final = 64


def _decode_array(value: ValueProjection) -> tuple[AttributeValue, ...]:
    encoded = value.SerializeToString()
    known = _ARRAYS.get(encoded)
    if known is not None:
        return known
    items = tuple(protobuf.decode_value(item) for item in value.array_value.items)
    # Only texts: a dictionary inside could be changed by who gets it.
    if len(encoded) <= _LONGEST_ARRAY and len(_ARRAYS) < _MOST_ARRAYS and all(type(item) is str for item in items):
        _ARRAYS[encoded] = items
    return items


def _read_events(events: Sequence[bytes]) -> Iterator[Event]:
    for data in events:
        try:
            event = Span.Event.FromString(data)
        except DecodeError:
            continue
        attributes = {item.key: protobuf.from_any_value(item.value) for item in event.attributes}
        yield Event(event.name, event.time_unix_nano, attributes)


def _parse_mended(raw: bytes) -> SpanProjection:
    try:
        return _parse_span(raw)
    except DecodeError:
        raise MalformedError("span: the bytes are not an OTLP Span") from None


def _mend(raw: bytes) -> bytes:
    """The span with invalid UTF-8 in its name, its keys and its values replaced; everything else as it is.

    Raises:
        MalformedError: that is not what is wrong with it.
    """
    pieces = []
    for tag, start, payload, end in protobuf.fields(raw):
        if tag == _ATTRIBUTES:
            key, value = _read_pair(raw[payload:end])
            pieces.append(_ENCODER.encode(key, protobuf.decode_value(value) if value else None))
        elif tag == _NAME:
            name = raw[payload:end].decode("utf-8", "replace").encode()
            pieces.append(b"\x2a" + protobuf.varint(len(name)) + name)
        else:
            pieces.append(raw[start:end])
    return b"".join(pieces)


def _walk_attributes(raw: bytes) -> dict[str, ValueProjection]:
    """Every attribute of a span, whatever its encoding; the last one of a key counts, as in the map."""
    return dict(_read_entry(raw[start:end]) for tag, _, start, end in protobuf.fields(raw) if tag == _ATTRIBUTES)


def _read_pair(entry: bytes) -> tuple[str, bytes]:
    """Key and encoded value of a KeyValue. A value in pieces is their concatenation, as protobuf messages merge."""
    key = b""
    pieces = []
    for tag, _, start, end in protobuf.fields(entry):
        if tag == _KEY:
            key = entry[start:end]
        elif tag == _VALUE:
            pieces.append(entry[start:end])
    return key.decode("utf-8", "replace"), b"".join(pieces)


def _read_entry(entry: bytes) -> tuple[str, ValueProjection]:
    """Key and value of a KeyValue; invalid UTF-8 is replaced."""
    key, encoded = _read_pair(entry)
    value = VALUE_PROJECTION()
    try:
        value.ParseFromString(encoded)
    except DecodeError:
        value.ParseFromString(protobuf.encode_value(protobuf.decode_value(encoded)))
    return key, value


def encode_added(operation: Operation, source: WireSource) -> bytes:
    """The attributes that were added or replaced, encoded."""
    attributes = source.attributes
    overlay = operation.overlay
    added: list[bytes] = []
    encode = _ENCODER.encode
    texts, doubles = _ENCODER.texts, _ENCODER.doubles
    for key, value in overlay.items():
        # What the encoder remembers, without the call: ten times a span.
        if type(value) is str and key in texts and value in texts[key]:
            added.append(texts[key][value])
        elif type(value) is float and key in doubles:
            added.append(doubles[key] + _pack_double(value))
        elif type(value) is Moved:
            if value.key in attributes:
                added.append(_ENCODER.encode_raw(key, attributes[value.key].SerializeToString()))
        elif value is not REMOVED:
            added.append(encode(key, cast("AttributeValue", value)))
    # One piece for all of them: delivery pays for each.
    return b"".join(added)


def is_only_added_to(operation: Operation, source: WireSource) -> bool:
    """Whether everything the span had is still as it was."""
    return not operation.removed_events and source.keys().isdisjoint(operation.overlay)


def encode_kept(operation: Operation, source: WireSource) -> list[Buffer]:
    """What is left of the span's own bytes, in pieces."""
    attributes = source.attributes
    gone = {key.encode() for key in operation.overlay if key in attributes}
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
    return _read_entry(raw[payload:end])[0].encode()


def _event_name(data: bytes) -> str:
    name = b""
    for tag, _, start, end in protobuf.fields(data):
        if tag == _EVENT_NAME:
            name = data[start:end]
    return name.decode("utf-8", "replace")
