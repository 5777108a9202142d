"""OTLP trace requests as bytes: GenAI spans become Operations, everything else stays the bytes it was.

The laws of this module:
- A span nobody changed leaves byte for byte as it came, and so does everything around it.
- No Python object is built for a span that is not a GenAI one; it is skipped by its length.
- Legal but odd encodings (non-minimal varints, fields out of order or in pieces, unknown fields) are read as protobuf
  reads them, or policies could be bypassed. A differential fuzz against the generated classes allows 0 mismatches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from otel_llm._generated import attributes as names
from otel_llm.codecs import protobuf
from otel_llm.codecs.genai import has_genai_key, is_genai_scope, key_prefixes
from otel_llm.codecs.projection import GROUP_PROJECTION
from otel_llm.codecs.readers import FASTEST, Reader
from otel_llm.codecs.wire_source import SpanSource
from otel_llm.codecs.wire_span import encode_added, encode_kept, is_only_added_to
from otel_llm.errors import MalformedError
from otel_llm.operation import AttributeValue, Operation
from otel_llm.signals import Buffer, Payload

# Tags (field number << 3 | wire type) in ExportTraceServiceRequest, ResourceSpans and ScopeSpans.
_RESOURCE_SPANS: Final = 10
_RESOURCE: Final = 10
_SCOPE_SPANS: Final = 18
_SCOPE: Final = 10
_SPANS: Final = 18

# The mark of a span whose text was not UTF-8.
_INVALID_TEXT: Final = "codec:invalid_utf8"

# Scopes are few and come again with every request.
_SCOPE_CACHE_LIMIT: Final = 1024
_SCOPE_CACHE_BYTES: Final = 512


# In every scope, this makes a span a GenAI one; whatever else does depends on the scope.
_FIRST_MARKER: Final = key_prefixes("")[0].encode()


class _Scope:
    """An instrumentation scope.

    Attributes:
        name, version: as sent; empty when they cannot be read.
        is_genai: all its spans are GenAI ones.
        markers: a span in which none of these occurs is none.
        memory: what a reader remembers of its spans.
    """

    __slots__ = ("is_genai", "markers", "memory", "name", "version")

    def __init__(self, data: bytes) -> None:
        try:
            scope = InstrumentationScope.FromString(data)
            self.name, self.version = scope.name, scope.version
        except DecodeError:  # text that is not UTF-8, or not a scope at all: unknown, as if there were none
            self.name = self.version = ""
        self.is_genai = is_genai_scope(self.name)
        self.memory: object = None
        self.markers = tuple(prefix.encode() for prefix in key_prefixes(self.name))

    def may_hold_genai(self, body: bytes, start: int, end: int) -> bool:
        """Whether there may be a GenAI span in this part of a request, given that the first marker is not in it."""
        return self.is_genai or any(body.find(marker, start, end) >= 0 for marker in self.markers[1:])


class _ScopeCache:
    __slots__ = ("_scopes",)

    def __init__(self) -> None:
        self._scopes: dict[bytes, _Scope] = {}

    def get(self, pieces: Sequence[bytes]) -> _Scope:
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        scope = self._scopes.get(data)
        if scope is None:
            scope = _Scope(data)
            if len(self._scopes) < _SCOPE_CACHE_LIMIT and len(data) <= _SCOPE_CACHE_BYTES:
                self._scopes[data] = scope
        return scope


_SCOPES: Final = _ScopeCache()


class _ResourceAttributes:
    """The attributes of one ResourceSpans' resource, parsed when the first operation asks."""

    __slots__ = ("_attributes", "_pieces")

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self._attributes: Mapping[str, AttributeValue] | None = None

    def get(self) -> Mapping[str, AttributeValue]:
        if self._attributes is None:
            try:
                resource = Resource.FromString(b"".join(self._pieces))
            except DecodeError:
                resource = Resource()
            self._attributes = {item.key: protobuf.from_any_value(item.value) for item in resource.attributes}
        return self._attributes


# A GenAI span's place in the request, from its tag to its end; None instead of an operation for an unreadable span.
_Slot = tuple[int, int, Operation | None]


class _Group:
    """A ScopeSpans with GenAI spans.

    Attributes:
        start, payload, end: indices of its tag, of its content, and after it.
        slots: its GenAI spans, in order.
    """

    __slots__ = ("end", "payload", "slots", "start")

    def __init__(self, start: int, payload: int, end: int) -> None:
        self.start = start
        self.payload = payload
        self.end = end
        self.slots: list[_Slot] = []

    def is_changed(self) -> bool:
        """Whether the output differs from what came."""
        return any(operation is None or operation.is_changed for _, _, operation in self.slots)

    def encode(self, view: memoryview) -> list[Buffer]:
        """The message with changed spans in place of what they were."""
        pieces: list[Buffer] = []
        kept = self.payload
        for start, end, operation in self.slots:
            if operation is not None and not operation.is_changed:
                continue
            if kept < start:
                pieces.append(view[kept:start])
            kept = end
            if operation is not None and operation.dropped is None:
                source = cast("SpanSource", operation.source)
                added = encode_added(operation, source)
                if is_only_added_to(operation, source) and not source.is_mended:
                    # The bytes of the body and not the source's copy of them, which need not be kept.
                    size = source.size
                    pieces += (b"\x12" + protobuf.varint(size + len(added)), view[end - size : end], added)
                else:
                    span = encode_kept(operation, source)
                    pieces += (b"\x12" + protobuf.varint(sum(map(len, span)) + len(added)), *span, added)
        if kept < self.end:
            pieces.append(view[kept : self.end])
        return [b"\x12", protobuf.varint(sum(map(len, pieces))), *pieces]


class _Holder:
    """A ResourceSpans with GenAI spans; attributes as for _Group."""

    __slots__ = ("end", "groups", "payload", "start")

    def __init__(self, start: int, payload: int, end: int) -> None:
        self.start = start
        self.payload = payload
        self.end = end
        self.groups: list[_Group] = []

    def is_changed(self) -> bool:
        """Whether the output differs from what came."""
        return any(group.is_changed() for group in self.groups)

    def encode(self, view: memoryview) -> list[Buffer]:
        """The message with changed groups in place of what they were."""
        pieces = _splice(view, self.payload, self.end, self.groups)
        return [b"\x0a", protobuf.varint(sum(map(len, pieces))), *pieces]


def _splice(view: memoryview, start: int, end: int, children: Sequence[_Group] | Sequence[_Holder]) -> list[Buffer]:
    """The bytes from start to end, with changed children in place of what they were."""
    pieces: list[Buffer] = []
    for child in children:
        if child.is_changed():
            if start < child.start:
                pieces.append(view[start : child.start])
            pieces += child.encode(view)
            start = child.end
    if start < end:
        pieces.append(view[start:end])
    return pieces


class TraceBatch:
    """One trace request, taken apart as far as its GenAI spans.

    Attributes:
        operations: its GenAI spans, in order.
        items: the number of its spans, GenAI or not.
        unreadable: GenAI spans whose bytes are not a Span; they are left out of the output.
    """

    __slots__ = ("_body", "_holders", "_read", "items", "operations", "unreadable")

    def __init__(self, body: bytes, read: Reader) -> None:
        self._body = body
        self._read = read
        self._holders: list[_Holder] = []
        self.operations: list[Operation] = []
        self.items = 0
        self.unreadable = 0

    def encode(self) -> Payload:
        """The request with all changes applied; its items are the spans that are left."""
        dropped = sum(operation.dropped is not None for operation in self.operations)
        pieces = _splice(memoryview(self._body), 0, len(self._body), self._holders)
        return Payload.of("traces", tuple(pieces), self.items - self.unreadable - dropped)

    def read_resource_spans(self, start: int, payload: int, end: int) -> None:
        """Take apart the ResourceSpans at these indices of the body; for `decode_traces`."""
        body = self._body
        holder = _Holder(start, payload, end)
        pieces: list[bytes] = []
        groups: list[tuple[int, int, int]] = []
        for tag, field_start, field_payload, field_end in protobuf.fields(body, payload, end):
            if tag == _RESOURCE:
                pieces.append(body[field_payload:field_end])
            elif tag == _SCOPE_SPANS:
                groups.append((field_start, field_payload, field_end))
        resource = _ResourceAttributes(pieces)
        for group in groups:
            self._read_scope_spans(holder, resource, _Group(*group))
        if holder.groups:
            self._holders.append(holder)

    def _read_scope_spans(self, holder: _Holder, resource: _ResourceAttributes, group: _Group) -> None:
        body = self._body
        if body.find(_FIRST_MARKER, group.payload, group.end) < 0:
            projection = GROUP_PROJECTION()
            try:
                projection.ParseFromString(memoryview(body)[group.payload : group.end])
            except DecodeError:
                raise MalformedError("ScopeSpans: the bytes are not an OTLP ScopeSpans") from None
            if not _SCOPES.get(projection.scope).may_hold_genai(body, group.payload, group.end):
                self.items += len(projection.items)
                return
        self._read_spans(group, resource)
        if group.slots:
            holder.groups.append(group)

    def _read_spans(self, group: _Group, resource: _ResourceAttributes) -> None:
        body = self._body
        find = body.find
        read = self._read
        scopes, spans = _span_borders(body, group.payload, group.end)
        scope = _SCOPES.get(scopes)
        is_genai = scope.is_genai
        first, *others = scope.markers
        self.items += len(spans)
        for start, payload, end in spans:
            if is_genai or find(first, payload, end) >= 0 or any(find(m, payload, end) >= 0 for m in others):
                try:
                    source = read(body, payload, end, scope, resource)
                except MalformedError:
                    self.unreadable += 1
                    group.slots.append((start, end, None))
                    continue
                if is_genai or has_genai_key(scope.name, source.keys()):
                    operation = Operation(source)
                    if source.is_mended:
                        operation.set(names.OTEL_LLM_PROCESSING_ERRORS, (_INVALID_TEXT,))
                    group.slots.append((start, end, operation))
                    self.operations.append(operation)


def decode_traces(body: bytes, read: Reader = FASTEST) -> TraceBatch:
    """Take apart a serialized ExportTraceServiceRequest.

    Args:
        body: the request.
        read: what reads its GenAI spans.

    Raises:
        MalformedError: the structure down to the borders of the spans is broken. A GenAI span that is broken inside is
            counted as unreadable instead; other spans are not looked into.
    """
    batch = TraceBatch(body, read)
    for tag, start, payload, end in protobuf.fields(body):
        if tag == _RESOURCE_SPANS:
            batch.read_resource_spans(start, payload, end)
    return batch


def _span_borders(body: bytes, index: int, end: int) -> tuple[list[bytes], list[tuple[int, int, int]]]:
    """The scope (in pieces) and the spans (tag, payload, end) of a ScopeSpans.

    This loop runs for every span of a ScopeSpans that has a GenAI one, hence the special case for one-byte tags.
    """
    scopes: list[bytes] = []
    spans: list[tuple[int, int, int]] = []
    try:
        while index < end:
            start = index
            tag = body[index]
            if tag == _SPANS:
                index += 1
            else:
                tag, index = protobuf.read_tag(body, index)
                if tag not in (_SPANS, _SCOPE):
                    index = protobuf.skip_field(body, index, tag)
                    continue
            size = body[index]
            index += 1
            if size > 127:
                size, index = protobuf.read_varint(body, index - 1)
            payload = index
            index += size
            if index > end:
                raise MalformedError("ScopeSpans: a span is longer than the message it is in")
            if tag == _SPANS:
                spans.append((start, payload, index))
            else:
                scopes.append(body[payload:index])
    except IndexError:
        raise MalformedError("ScopeSpans: the message ends within a field") from None
    if index != end:
        raise MalformedError("ScopeSpans: a field is longer than the message it is in")
    return scopes, spans
