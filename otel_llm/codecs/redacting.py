"""OTLP requests with their content rewritten: every text in them, whatever dialect it is of, wherever it stands.

It works on the encoded request, after the pipeline, and walks it by tables of OTLP's messages: which field is a text,
an attribute, a value, another message. So spans that are no GenAI ones are covered as well, and names, events, links,
status, resource and scope, log bodies, and the attributes of metrics.

The laws of this module:
- What nobody rewrote stays byte for byte as it was.
- It fails closed: a field that the tables do not know, and that could hold text, goes; an item whose bytes are not a
  message goes; a value that could not be looked at goes. All of it is counted.
- A table says what is kept as it is, never what is rewritten: a field that is forgotten is a field that is lost.
Source: opentelemetry-proto 1.x (trace, logs, metrics, common, resource).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from otel_llm.codecs import protobuf
from otel_llm.codecs.content import FAILED, Content
from otel_llm.codecs.genai import has_genai_key, is_genai_scope
from otel_llm.errors import MalformedError
from otel_llm.operation import AttributeValue
from otel_llm.signals import Payload, Signal


class _Leaf(Enum):
    """What a field of a message is, when it is no message of its own."""

    KEPT = "bytes that are no text: ids, packed numbers"
    TEXT = "a text; it goes when it cannot be looked at"
    NAME = "a text without which the item is useless"
    WHOLE = "a text with a grammar: kept or gone"
    ATTRIBUTE = "a KeyValue"
    VALUE = "an AnyValue"


@dataclass(frozen=True, slots=True)
class _Message:
    """A message of OTLP.

    Attributes:
        fields: length-delimited fields by tag (field number << 3 | 2). All others hold numbers and stay.
        item: whether it is a span, a log record or a metric: what is lost when it cannot be read.
        notes: the tag of the attributes in which it is noted what was done; 0 for nowhere.
        ids: the tags of the ids of trace and span.
    """

    fields: Mapping[int, _Kind]
    item: bool = False
    notes: int = 0
    ids: tuple[int, int] = (0, 0)


_Kind: TypeAlias = "_Leaf | _Message"


_K, _T, _N, _W, _A, _V = _Leaf.KEPT, _Leaf.TEXT, _Leaf.NAME, _Leaf.WHOLE, _Leaf.ATTRIBUTE, _Leaf.VALUE

_ENTITY: Final = _Message({10: _T, 18: _T, 26: _T, 34: _T})
_RESOURCE: Final = _Message({10: _A, 26: _ENTITY})
_SCOPE: Final = _Message({10: _N, 18: _T, 26: _A})
_EVENT: Final = _Message({18: _N, 26: _A})
_LINK: Final = _Message({10: _K, 18: _K, 26: _W, 34: _A})
_STATUS: Final = _Message({18: _T})
_SPAN: Final = _Message(
    {10: _K, 18: _K, 26: _W, 34: _K, 42: _N, 74: _A, 90: _EVENT, 106: _LINK, 122: _STATUS},
    item=True,
    notes=74,
    ids=(10, 18),
)
_RECORD: Final = _Message({26: _T, 42: _V, 50: _A, 74: _K, 82: _K, 98: _N}, item=True, notes=50, ids=(74, 82))
_EXEMPLAR: Final = _Message({34: _K, 42: _K, 58: _A})
_NUMBERS: Final = _Message({10: _Message({42: _EXEMPLAR, 58: _A})})
_HISTOGRAM: Final = _Message({10: _Message({50: _K, 58: _K, 66: _EXEMPLAR, 74: _A})})
_BUCKETS: Final = _Message({18: _K})
_EXPONENTIAL: Final = _Message({10: _Message({10: _A, 66: _BUCKETS, 74: _BUCKETS, 90: _EXEMPLAR})})
_SUMMARY: Final = _Message({10: _Message({50: _Message({}), 58: _A})})
_METRIC: Final = _Message(
    {
        10: _N,
        18: _T,
        26: _T,
        42: _NUMBERS,
        58: _NUMBERS,
        74: _HISTOGRAM,
        82: _EXPONENTIAL,
        90: _SUMMARY,
        98: _A,
    },
    item=True,
)


def _request(item: _Message) -> _Message:
    group = _Message({10: _SCOPE, 18: item, 26: _T})
    return _Message({10: _Message({10: _RESOURCE, 18: group, 26: _T})})


_REQUESTS: Final[dict[Signal, _Message]] = {
    "traces": _request(_SPAN),
    "logs": _request(_RECORD),
    "metrics": _request(_METRIC),
}
_GROUP_TAG: Final = 18
_SCOPE_TAG: Final = 10
_SCOPE_NAME: Final = 10
_ATTRIBUTES: Final = 74
_LENGTH_DELIMITED: Final = 2
_KEY, _VALUE = 10, 18
_STRING: Final = 10
_FAILED: Final = FAILED.encode()

_LONGEST_REMEMBERED: Final = 256
_MOST_REMEMBERED: Final = 16_384


class _Clean:
    """Attributes that were looked at and stayed; a bounded number, the older half forgotten when full.

    Attributes:
        new, old: the halves.
    """

    __slots__ = ("new", "old")

    def __init__(self) -> None:
        self.new: set[bytes] = set()
        self.old: set[bytes] = set()

    def add(self, entry: bytes) -> None:
        # Two threads may both change the halves; then some are forgotten early, which costs time only.
        if len(self.new) >= _MOST_REMEMBERED:
            self.old, self.new = self.new, set()
        self.new.add(entry)


@dataclass(slots=True)
class Rewritten:
    """A request after rewriting.

    Attributes:
        payload: what goes on.
        unreadable: items left out because their bytes are no message.
        unknown: fields left out because nothing is known about them.
    """

    payload: Payload
    unreadable: int = 0
    unknown: int = 0


class Rewriting:
    """Rewrites requests; thread-safe. One serves one way of rewriting: it remembers attributes that stay.

    Args:
        genai_only: leave spans alone that are no GenAI ones; their resource and scope are rewritten all the same.
        keep_unknown: leave fields that nothing is known about.
    """

    __slots__ = ("_clean", "_genai_only", "_keep_unknown")

    def __init__(self, *, genai_only: bool = False, keep_unknown: bool = False) -> None:
        self._genai_only = genai_only
        self._keep_unknown = keep_unknown
        self._clean = _Clean()

    def rewrite(self, payload: Payload, content: Content) -> Rewritten:
        """A request with its content rewritten.

        Raises:
            MalformedError: its structure down to its items is broken.
        """
        body = payload.join()
        walk = _Walk(content, self._clean, self._genai_only and payload.signal == "traces", self._keep_unknown)
        pieces = walk.message(body, 0, len(body), _REQUESTS[payload.signal])
        items = payload.items - walk.lost
        if pieces is None:
            return Rewritten(payload)
        return Rewritten(Payload.of(payload.signal, (b"".join(pieces),), items), walk.unreadable, walk.unknown)


@dataclass(slots=True)
class _Walk:
    """One request on its way; see Rewriting."""

    content: Content
    clean: _Clean
    genai_only: bool
    keep_unknown: bool
    unreadable: int = 0
    unknown: int = 0
    lost: int = 0
    scope_name: str = field(default="")

    def message(self, data: bytes, start: int, end: int, message: _Message) -> list[bytes] | None:
        """The message in pieces; None when it stays as it is."""
        pieces: list[bytes] = []
        kept = start
        known = message.fields
        clean = self.clean
        for tag, at, payload, after in protobuf.fields(data, start, end):
            wire_type = tag & 7
            if wire_type not in (_LENGTH_DELIMITED, 3):
                continue
            kind = known.get(tag)
            if kind is _Leaf.KEPT:
                continue
            if (
                kind is _Leaf.ATTRIBUTE
                and (entry := data[payload:after])
                and (entry in clean.new or entry in clean.old)
            ):
                continue  # as `attribute` would say; most attributes come again, and two calls for each add up
            if kind is None:
                if self.keep_unknown:
                    continue
                self.unknown += 1
                replaced: bytes | None = b""
            else:
                replaced = self.field(data, tag, payload, after, kind)
            if replaced is not None:
                pieces += (data[kept:at], replaced)
                kept = after
        if not pieces:
            return None
        pieces.append(data[kept:end])
        return pieces

    def field(self, data: bytes, tag: int, start: int, end: int, kind: _Kind) -> bytes | None:
        """The field written anew, empty when it goes; None when it stays as it is."""
        if isinstance(kind, _Message):
            if kind.item:
                return self.item(data, tag, start, end, kind)
            if self.genai_only and tag == _GROUP_TAG and _SCOPE_TAG in kind.fields:
                self.scope_name = _scope_name(data, start, end)
            pieces = self.message(data, start, end, kind)
            return None if pieces is None else _delimited(tag, b"".join(pieces))
        if kind is _Leaf.ATTRIBUTE:
            return self.attribute(data[start:end], tag)
        if kind is _Leaf.VALUE:
            raw = data[start:end]
            new = self.any_value(raw, None)
            return None if new is raw else b"" if new is None else _delimited(tag, new)
        return self.text(data[start:end], tag, kind)

    def item(self, data: bytes, tag: int, start: int, end: int, kind: _Message) -> bytes | None:
        """A span, log record or metric."""
        try:
            if self.genai_only and not self._is_genai(data, start, end):
                return None
            self.content.begin_item()
            pieces = self.message(data, start, end, kind)
        except MalformedError:
            self.content.end_item({})
            self.unreadable += 1
            self.lost += 1
            return b""
        written = self.content.end_item(_notes(data, start, end, kind.notes) if kind.notes else {})
        if not written or not kind.notes:
            return None if pieces is None else _delimited(tag, b"".join(pieces))
        trace_id, span_id = (_last(data, start, end, each) for each in kind.ids)
        self.content.item_changed(trace_id, span_id, written)
        body = b"".join(pieces) if pieces is not None else data[start:end]
        body = _without(body, kind.notes, written)
        added = b"".join(
            _attribute(kind.notes, key.encode(), protobuf.encode_value(item)) for key, item in written.items()
        )
        return _delimited(tag, body + added)

    def _is_genai(self, data: bytes, start: int, end: int) -> bool:
        if is_genai_scope(self.scope_name):
            return True
        keys = (
            _read_entry(data[payload:after])[0].decode("utf-8", "replace")
            for tag, _, payload, after in protobuf.fields(data, start, end)
            if tag == _ATTRIBUTES
        )
        return has_genai_key(self.scope_name, keys)

    def text(self, raw: bytes, tag: int, kind: _Leaf) -> bytes | None:
        """A text of its own."""
        text = raw.decode("utf-8", "surrogateescape")
        new = self.content.text(text, None)
        if new is text:
            return None
        if new is None:
            return _delimited(tag, _FAILED) if kind is _Leaf.NAME else b""
        return b"" if kind is _Leaf.WHOLE else _delimited(tag, new.encode("utf-8", "replace"))

    def attribute(self, raw: bytes, tag: int) -> bytes | None:
        """A KeyValue."""
        key, value, is_plain = _read_entry(raw)
        name = key.decode("utf-8", "replace")
        new_name = self.content.key(name)
        if new_name is None:
            return b""
        new = self.any_value(value, name)
        if new is None:
            return b""
        if new is value and new_name == name and is_plain:
            if len(raw) <= _LONGEST_REMEMBERED:
                self.clean.add(raw)
            return None
        return _attribute(tag, key if new_name == name else new_name.encode("utf-8", "replace"), new)

    def any_value(self, raw: bytes, name: str | None) -> bytes | None:
        """An AnyValue; the same object when it stays, None when it goes."""
        text = _only_text(raw)
        if text is not None:
            new_text = self.content.text(text, name)
            return raw if new_text is text else None if new_text is None else protobuf.encode_value(new_text)
        value = protobuf.decode_value(raw) if raw else None
        new, stays = self.content.value(value, name)
        if not stays:
            return None
        # Odd encodings and unknown fields would come through unseen otherwise.
        encoded = protobuf.encode_value(new)
        return raw if encoded == raw else encoded


def _delimited(tag: int, body: bytes) -> bytes:
    return protobuf.varint(tag) + protobuf.varint(len(body)) + body


def _attribute(tag: int, key: bytes, value: bytes) -> bytes:
    return _delimited(tag, _delimited(_KEY, key) + _delimited(_VALUE, value))


def _only_text(raw: bytes) -> str | None:
    """The text of an AnyValue that is one text and nothing else."""
    if len(raw) < 2 or raw[0] != _STRING:
        return None
    try:
        size, start = protobuf.read_varint(raw, 1)
    except IndexError:
        return None
    return raw[start:].decode("utf-8", "surrogateescape") if start + size == len(raw) else None


def _read_entry(raw: bytes) -> tuple[bytes, bytes, bool]:
    """Key and value of a KeyValue, and whether it is one key and one value and nothing else."""
    keys: list[bytes] = []
    values: list[bytes] = []
    is_plain = True
    for tag, _, start, end in protobuf.fields(raw):
        if tag == _KEY:
            keys.append(raw[start:end])
        elif tag == _VALUE:
            values.append(raw[start:end])
        else:
            is_plain = False
    if len(keys) == 1 and len(values) == 1:
        return keys[0], values[0], is_plain
    return keys[-1] if keys else b"", b"".join(values), False


def _last(data: bytes, start: int, end: int, tag: int) -> bytes:
    """The last field of a tag in a message, which is the one that counts; empty when there is none."""
    found = b""
    for each, _, payload, after in protobuf.fields(data, start, end):
        if each == tag:
            found = data[payload:after]
    return found


def _scope_name(data: bytes, start: int, end: int) -> str:
    scope = _last(data, start, end, _SCOPE_TAG)
    return _last(scope, 0, len(scope), _SCOPE_NAME).decode("utf-8", "replace")


# The notes of an earlier pass begin so.
_NOTE: Final = b"otel_llm.redaction."


def _notes(data: bytes, start: int, end: int, tag: int) -> dict[str, AttributeValue]:
    if data.find(_NOTE, start, end) < 0:
        return {}
    found: dict[str, AttributeValue] = {}
    for each, _, payload, after in protobuf.fields(data, start, end):
        if each == tag:
            key, value, _ = _read_entry(data[payload:after])
            if key.startswith(_NOTE):
                found[key.decode()] = protobuf.decode_value(value)
    return found


def _without(body: bytes, tag: int, keys: Mapping[str, AttributeValue]) -> bytes:
    """An item without the attributes of these keys."""
    if _NOTE not in body:
        return body
    gone = {key.encode() for key in keys}
    pieces: list[bytes] = []
    for each, at, payload, after in protobuf.fields(body):
        if each != tag or _read_entry(body[payload:after])[0] not in gone:
            pieces.append(body[at:after])
    return b"".join(pieces)
