"""One OTLP span as bytes, read as an Operation's source.

This is the portable reader, which asks protobuf and knows all that protobuf allows. compiled.py has a quicker one for
what libraries write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol, cast

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from otel_llm._generated import attributes as names
from otel_llm.codecs import protobuf
from otel_llm.codecs.projection import SPAN_PROJECTION, VALUE_PROJECTION, SpanProjection, ValueProjection
from otel_llm.errors import MalformedError
from otel_llm.operation import AttributeValue, Event, Source

# Tags (field number << 3 | wire type) in Span and KeyValue.
_ATTRIBUTES: Final = 74
_NAME: Final = 42
_EVENTS: Final = 90
# In Span.Event.
_EVENT_TIME: Final = 9
_EVENT_NAME: Final = 18
_EVENT_ATTRIBUTES: Final = 26
_KEY: Final = 10
_VALUE: Final = 18

_parse_span = SPAN_PROJECTION.FromString
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
    """An instrumentation scope.

    Attributes:
        name: its name, empty when it is not known.
        version: its version, empty when it is not known.
        memory: what the compiled reader remembers of its spans.
    """

    name: str
    version: str
    memory: object


class ResourceAttributes(Protocol):
    """The attributes of a resource, read when asked for."""

    def get(self) -> Mapping[str, AttributeValue]:
        """The attributes."""
        ...


class SpanSource(Source, Protocol):
    """A span's bytes as an Operation's source.

    Attributes:
        is_mended: its text was not UTF-8, and `raw` is not what came.
    """

    is_mended: bool

    @property
    def size(self) -> int:
        """The length of `raw`."""
        ...

    @property
    def raw(self) -> bytes:
        """The span's bytes, mended if need be."""
        ...

    def encoded(self, key: str) -> bytes | None:
        """The encoded AnyValue of an attribute, None when there is no such attribute."""
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
        return read_status(self.span.status).code

    @property
    def status_message(self) -> str:
        """The status message."""
        return read_status(self.span.status).message

    @property
    def events(self) -> tuple[Event, ...]:
        """The span's events; those that cannot be read are left out."""
        if self._events is None:
            self._events = tuple(read_events(self.span.events))
        return self._events

    @property
    def size(self) -> int:
        """The length of `raw`."""
        return len(self.raw)

    def encoded(self, key: str) -> bytes | None:
        """The encoded AnyValue of an attribute, None when there is no such attribute."""
        value = self.attributes.get(key)
        return None if value is None else value.SerializeToString()

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


def decode_nested(encoded: bytes) -> AttributeValue:
    """An encoded AnyValue, of an array as a rule.

    Raises:
        DecodeError: it is none.
    """
    known = _ARRAYS.get(encoded)
    if known is not None:
        return known
    value = VALUE_PROJECTION()
    value.ParseFromString(encoded)
    return _decode(value)


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


def read_status(pieces: Sequence[bytes]) -> Status:
    """A span's status from its encoded pieces; unset when it cannot be read."""
    try:
        return Status.FromString(b"".join(pieces)) if pieces else Status()
    except DecodeError:
        return Status()


def read_events(events: Iterable[bytes]) -> Iterator[Event]:
    """Events from their bytes; text that is not UTF-8 is shown mended, what is no event is left out."""
    for data in events:
        try:
            event = Span.Event.FromString(data)
        except DecodeError:
            with suppress(MalformedError):
                yield _mended_event(data)
            continue
        attributes = {item.key: protobuf.from_any_value(item.value) for item in event.attributes}
        yield Event(event.name, event.time_unix_nano, attributes)


def _mended_event(data: bytes) -> Event:
    """An event with invalid UTF-8 in it, replaced: what a policy cannot see, it cannot judge.

    Raises:
        MalformedError: the bytes are not an event.
    """
    name, time_unix_nano = "", 0
    attributes: dict[str, AttributeValue] = {}
    for tag, _, start, end in protobuf.fields(data):
        if tag == _EVENT_TIME:
            time_unix_nano = int.from_bytes(data[start:end], "little")
        elif tag == _EVENT_NAME:
            name = data[start:end].decode("utf-8", "replace")
        elif tag == _EVENT_ATTRIBUTES:
            key, value = read_pair(data[start:end])
            attributes[key] = protobuf.decode_value(value) if value else None
    return Event(name, time_unix_nano, attributes)


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
            key, value = read_pair(raw[payload:end])
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


def read_pair(entry: bytes) -> tuple[str, bytes]:
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
    key, encoded = read_pair(entry)
    value = VALUE_PROJECTION()
    try:
        value.ParseFromString(encoded)
    except DecodeError:
        value.ParseFromString(protobuf.encode_value(protobuf.decode_value(encoded)))
    return key, value
