"""One GenAI operation: a read view over a span, and an overlay of changes to it.

The law of this module: a processor sees operations and nothing else. It reads attributes, sets or removes them, and
never learns whether the span came as OTLP bytes or from the SDK; a codec made the view and applies the changes.
An Operation belongs to one pipeline run at a time and is not thread-safe.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias, cast

import msgspec

# What an OTLP AnyValue can hold.
AttributeValue: TypeAlias = (
    "str | bool | int | float | bytes | Sequence[AttributeValue] | Mapping[str, AttributeValue] | None"
)
# A message as in the conventions' JSON schemas: role and parts.
Message: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Event:
    """A span event.

    Attributes:
        name: the event's name.
        time_unix_nano: when it happened.
        attributes: its attributes.
    """

    name: str
    time_unix_nano: int
    attributes: Mapping[str, AttributeValue]


class Source(Protocol):
    """A span as its codec holds it. Reading must not change it; ids are bytes, times are nanoseconds since 1970."""

    @property
    def identity(self) -> tuple[bytes, bytes, bytes]:
        """The ids of trace, span and parent; the last is empty for a root."""
        ...

    @property
    def trace_id(self) -> bytes:
        """The trace."""
        ...

    @property
    def span_id(self) -> bytes:
        """The span."""
        ...

    @property
    def parent_span_id(self) -> bytes:
        """Its parent; empty for a root."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def kind(self) -> int:
        """Its OTLP SpanKind."""
        ...

    @property
    def start_unix_nano(self) -> int:
        """Its start."""
        ...

    @property
    def end_unix_nano(self) -> int:
        """Its end."""
        ...

    @property
    def status_code(self) -> int:
        """Its OTLP StatusCode."""
        ...

    @property
    def status_message(self) -> str:
        """Its status message."""
        ...

    @property
    def scope_name(self) -> str:
        """Its scope's name."""
        ...

    @property
    def scope_version(self) -> str:
        """Its scope's version."""
        ...

    @property
    def resource(self) -> Mapping[str, AttributeValue]:
        """Its resource's attributes."""
        ...

    @property
    def events(self) -> Sequence[Event]:
        """Its events."""
        ...

    def keys(self) -> frozenset[str]:
        """The keys of the span's attributes."""
        ...

    def has_exactly(self, keys: frozenset[str]) -> bool:
        """Whether these are the keys of the span's attributes, all of them; may be much cheaper than `keys`."""
        ...

    def get(self, key: str) -> AttributeValue:
        """The value of an attribute, None when there is no such attribute."""
        ...


class Removed:
    """The overlay's mark for an attribute that is gone."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Moved:
    """The overlay's mark for an attribute whose value is that of another key in the source, not decoded yet.

    Attributes:
        key: the key in the source.
    """

    key: str


REMOVED: Final = Removed()
_NO_EVENTS: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Changes:
    """What processors changed in a span; what golden tests compare.

    Attributes:
        set: attributes added or replaced, by key.
        removed: keys of attributes of the source that are gone.
        removed_events: names of span events that are gone.
        dropped: why the whole span is to be left out, None when it stays.
    """

    set: Mapping[str, AttributeValue]
    removed: frozenset[str]
    removed_events: frozenset[str]
    dropped: str | None


_Overlay: TypeAlias = "dict[str, AttributeValue | Moved | Removed]"


def _reader(changed: _Overlay, read: Callable[[str], AttributeValue]) -> Callable[[str], AttributeValue]:
    """Reads the overlay before the source. No method of Operation: that would refer to itself, and be garbage late."""

    def get(key: str) -> AttributeValue:
        if key not in changed:
            return read(key)
        value = changed[key]
        if value is REMOVED:
            return None
        if type(value) is Moved:
            return read(value.key)
        return cast("AttributeValue", value)

    return get


class Operation:
    """A GenAI operation. Typed accessors are named as the conventions' attributes without their prefix.

    Args:
        source: the span as its codec holds it.

    Attributes:
        get: returns the value of an attribute, None when there is no such attribute.
        dropped: why the whole span is to be left out, None when it stays; `drop` sets it.
    """

    get: Callable[[str], AttributeValue]

    __slots__ = ("_changed", "_messages", "_removed_events", "_source", "dropped", "get")

    def __init__(self, source: Source) -> None:
        self._source = source
        # The source's own until something is changed: most reads come before, and each call saved counts.
        self.get = source.get
        self._changed: _Overlay = {}
        self._removed_events = _NO_EVENTS
        self.dropped: str | None = None
        self._messages: dict[str, tuple[AttributeValue, tuple[Message, ...]]] | None = None

    # The span itself.

    @property
    def source(self) -> Source:
        """The span as its codec holds it; for codecs."""
        return self._source

    @property
    def identity(self) -> tuple[bytes, bytes, bytes]:
        """The ids of trace, span and parent, in one step."""
        return self._source.identity

    @property
    def trace_id(self) -> bytes:
        """16 bytes, or what the sender put there."""
        return self._source.trace_id

    @property
    def span_id(self) -> bytes:
        """8 bytes, or what the sender put there."""
        return self._source.span_id

    @property
    def parent_span_id(self) -> bytes:
        """8 bytes; empty for the root of a trace."""
        return self._source.parent_span_id

    @property
    def name(self) -> str:
        """The span's name."""
        return self._source.name

    @property
    def kind(self) -> int:
        """OTLP SpanKind: 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer."""
        return self._source.kind

    @property
    def start_unix_nano(self) -> int:
        """When it started; 0 when the sender did not say."""
        return self._source.start_unix_nano

    @property
    def end_unix_nano(self) -> int:
        """When it ended; 0 when the sender did not say."""
        return self._source.end_unix_nano

    @property
    def status_code(self) -> int:
        """OTLP StatusCode: 0 unset, 1 ok, 2 error."""
        return self._source.status_code

    @property
    def status_message(self) -> str:
        """The status message; may hold content."""
        return self._source.status_message

    @property
    def scope_name(self) -> str:
        """The instrumentation scope's name."""
        return self._source.scope_name

    @property
    def scope_version(self) -> str:
        """The instrumentation scope's version; empty when there is none."""
        return self._source.scope_version

    @property
    def resource(self) -> Mapping[str, AttributeValue]:
        """The attributes of the resource that produced the span."""
        return self._source.resource

    @property
    def events(self) -> Sequence[Event]:
        """The span's events, without those removed."""
        if not self._removed_events:
            return self._source.events
        return tuple(event for event in self._source.events if event.name not in self._removed_events)

    # Attributes, with the overlay.

    def keys(self) -> frozenset[str]:
        """The keys of all attributes."""
        if not self._changed:
            return self._source.keys()
        gone = {key for key, value in self._changed.items() if value is REMOVED}
        # Not `|`: of a frozenset and the keys of a dictionary that makes a set, which is no key of anything.
        return self._source.keys().union(self._changed) - gone

    def has_exactly(self, keys: frozenset[str]) -> bool:
        """Whether these are the keys of all attributes; may be much cheaper than `keys`."""
        return self.keys() == keys if self._changed else self._source.has_exactly(keys)

    def _changing(self) -> _Overlay:
        """The overlay, about to be written to."""
        changed = self._changed
        if not changed:
            self.get = _reader(changed, self._source.get)
        return changed

    def set(self, key: str, value: AttributeValue) -> None:
        """Add or replace an attribute. None is a value of OTLP too, but not one to set: remove the key instead."""
        self._changing()[key] = value

    def update(self, values: Mapping[str, AttributeValue]) -> None:
        """Add or replace several attributes."""
        self._changing().update(values)

    def remove(self, key: str) -> None:
        """Remove an attribute; nothing happens when it is not there."""
        self._changing()[key] = REMOVED

    def rename(self, old: str, new: str) -> None:
        """Give the value of `old` to `new`, replacing what is there, without decoding it; if there is an `old`."""
        if old == new or old not in self.keys():
            return
        changed = self._changing()
        changed[new] = changed.get(old, Moved(old))
        changed[old] = REMOVED

    def remove_events(self, names: Collection[str]) -> None:
        """Remove all span events of these names."""
        self._removed_events |= frozenset(names)

    def drop(self, reason: str) -> None:
        """Leave the whole span out of the output; it is counted under the reason (low cardinality)."""
        self.dropped = reason

    def was_set(self, key: str) -> bool:
        """Whether a processor of this run has set the attribute, rather than the span having brought it."""
        return self._changed.get(key, REMOVED) is not REMOVED

    @property
    def is_changed(self) -> bool:
        """Whether any processor changed anything."""
        return bool(self._changed or self._removed_events or self.dropped)

    @property
    def overlay(self) -> Mapping[str, AttributeValue | Moved | Removed]:
        """The changes as codecs apply them, in the order they were made: a value, a Moved mark, or REMOVED."""
        return self._changed

    @property
    def removed_events(self) -> frozenset[str]:
        """Names of the span events removed."""
        return self._removed_events

    @property
    def changes(self) -> Changes:
        """What processors changed, for comparison. A value set to what it was is no change."""
        source = self._source
        present = source.keys()
        changed = {key: self.get(key) for key, value in self._changed.items() if value is not REMOVED}
        return Changes(
            set=MappingProxyType({k: v for k, v in changed.items() if k not in present or source.get(k) != v}),
            removed=frozenset(key for key, value in self._changed.items() if value is REMOVED and key in present),
            removed_events=self._removed_events,
            dropped=self.dropped,
        )

    # Typed access by the conventions' names.

    def text(self, key: str) -> str | None:
        """The value of an attribute that is text; None when it is absent, empty or not text."""
        value = self.get(key)
        return value if type(value) is str and value else None

    def _count(self, key: str) -> int | None:
        value = self.get(key)
        return value if type(value) is int and value >= 0 else None

    @property
    def operation_name(self) -> str | None:
        """`gen_ai.operation.name`."""
        return self.text("gen_ai.operation.name")

    @property
    def provider_name(self) -> str | None:
        """`gen_ai.provider.name`."""
        return self.text("gen_ai.provider.name")

    @property
    def request_model(self) -> str | None:
        """`gen_ai.request.model`."""
        return self.text("gen_ai.request.model")

    @property
    def response_model(self) -> str | None:
        """`gen_ai.response.model`."""
        return self.text("gen_ai.response.model")

    @property
    def response_id(self) -> str | None:
        """`gen_ai.response.id`."""
        return self.text("gen_ai.response.id")

    @property
    def conversation_id(self) -> str | None:
        """`gen_ai.conversation.id`."""
        return self.text("gen_ai.conversation.id")

    @property
    def finish_reasons(self) -> tuple[str, ...]:
        """`gen_ai.response.finish_reasons`, empty when there are none."""
        value = self.get("gen_ai.response.finish_reasons")
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            return ()
        return tuple(item for item in value if isinstance(item, str))

    @property
    def input_tokens(self) -> int | None:
        """`gen_ai.usage.input_tokens`: all input tokens, cached ones included; None when absent or not a count."""
        return self._count("gen_ai.usage.input_tokens")

    @property
    def output_tokens(self) -> int | None:
        """`gen_ai.usage.output_tokens`: all output tokens, reasoning included; None when absent or not a count."""
        return self._count("gen_ai.usage.output_tokens")

    @property
    def cache_read_input_tokens(self) -> int | None:
        """`gen_ai.usage.cache_read.input_tokens`, a part of the input tokens; None when absent or not a count."""
        return self._count("gen_ai.usage.cache_read.input_tokens")

    @property
    def cache_write_input_tokens(self) -> int | None:
        """`gen_ai.usage.cache_write.input_tokens`, a part of the input tokens; None when absent or not a count."""
        return self._count("gen_ai.usage.cache_write.input_tokens")

    @property
    def reasoning_output_tokens(self) -> int | None:
        """`gen_ai.usage.reasoning.output_tokens`, a part of the output tokens; None when absent or not a count."""
        return self._count("gen_ai.usage.reasoning.output_tokens")

    @property
    def input_messages(self) -> tuple[Message, ...]:
        """`gen_ai.input.messages`, parsed; empty when absent or not messages."""
        return self._parsed("gen_ai.input.messages")

    @property
    def output_messages(self) -> tuple[Message, ...]:
        """`gen_ai.output.messages`, parsed; empty when absent or not messages."""
        return self._parsed("gen_ai.output.messages")

    def _parsed(self, key: str) -> tuple[Message, ...]:
        """The messages of an attribute, parsed again only when its value was replaced."""
        value = self.get(key)
        known = self._messages
        if known is None:
            known = self._messages = {}
        if key not in known or known[key][0] is not value:
            known[key] = (value, parse_messages(value))
        return known[key][1]


def parse_messages(value: AttributeValue) -> tuple[Message, ...]:
    """Messages from an attribute that holds them as a JSON string (spans) or structured (events); () if it has none."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.MsgspecError, RecursionError):
            return ()
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return ()
    return tuple(item for item in value if isinstance(item, Mapping))
