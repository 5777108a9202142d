"""One OTLP request as several: by resource, by trace, or by whatever a key per item says. On the bytes.

All three signals have the same shape down to their items: request (1: ResourceX), ResourceX (1: resource, 2: ScopeX),
ScopeX (1: scope, 2: item). A part of a request is that skeleton with fewer items in it: what stands around the items
(resource, scope, schema URL, unknown fields) is repeated in each part, the items are slices of what came.
The law of this module: every item is in exactly one part, byte for byte, in the order it came.
Source: opentelemetry-proto trace.proto, metrics.proto, logs.proto.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from otel_llm.codecs import protobuf
from otel_llm.errors import MalformedError
from otel_llm.signals import Buffer, Payload, Signal

Key = TypeVar("Key")
# The content of an item in place of what came; None for what came.
Replacement = list[Buffer] | None
# Indices of the tag, of the content, and after it.
Borders = tuple[int, int, int]

_HOLDER: Final = 10  # field 1: ResourceSpans, ResourceMetrics, ResourceLogs; and the resource in each
_RESOURCE: Final = 10
_GROUP: Final = 18  # field 2: ScopeSpans, ScopeMetrics, ScopeLogs
_ITEM: Final = 18  # field 2: Span, Metric, LogRecord


class Group:
    """A ScopeSpans, ScopeMetrics or ScopeLogs.

    Attributes:
        around: everything in it but the items.
        items: its items.
    """

    __slots__ = ("around", "items")

    def __init__(self) -> None:
        self.around: list[Borders] = []
        self.items: list[Borders] = []


class Holder:
    """A ResourceSpans, ResourceMetrics or ResourceLogs.

    Attributes:
        borders: where it stands.
        around: everything in it but the groups: the resource first of all.
        resource: the resource, which protobuf allows to come in pieces.
        groups: its groups.
    """

    __slots__ = ("around", "borders", "groups", "resource")

    def __init__(self, borders: Borders) -> None:
        self.borders = borders
        self.around: list[Borders] = []
        self.resource: list[Borders] = []
        self.groups: list[Group] = []


class Layout:
    """Where everything stands in a request, down to the borders of the items.

    Attributes:
        body: the request.
        holders: its ResourceX.
        around: unknown fields of the request itself.
    """

    __slots__ = ("around", "body", "holders")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.holders: list[Holder] = []
        self.around: list[Borders] = []

    def items(self) -> list[Borders]:
        """All items, in order."""
        return [item for holder in self.holders for group in holder.groups for item in group.items]

    def resource(self, holder: Holder) -> bytes:
        """The serialized Resource of a holder; its pieces in one, as protobuf merges them."""
        return b"".join([self.body[payload:end] for _, payload, end in holder.resource])


def read_holders(body: bytes) -> Layout:
    """The layout down to the resources, without groups: enough to tell where each ResourceX belongs.

    Raises:
        MalformedError: the bytes are not a request of any signal.
    """
    layout = Layout(body)
    for tag, start, payload, end in protobuf.fields(body):
        if tag == _HOLDER:
            holder = Holder((start, payload, end))
            for inner, inner_start, inner_payload, inner_end in protobuf.fields(body, payload, end):
                if inner == _RESOURCE:
                    holder.resource.append((inner_start, inner_payload, inner_end))
            layout.holders.append(holder)
        else:
            layout.around.append((start, payload, end))
    return layout


def read_layout(body: bytes) -> Layout:
    """The whole layout.

    Raises:
        MalformedError: the structure down to the borders of the items is broken.
    """
    layout = Layout(body)
    for tag, start, payload, end in protobuf.fields(body):
        if tag == _HOLDER:
            layout.holders.append(_read_holder(body, (start, payload, end)))
        else:
            layout.around.append((start, payload, end))
    return layout


def _read_holder(body: bytes, borders: Borders) -> Holder:
    holder = Holder(borders)
    for tag, start, payload, end in protobuf.fields(body, borders[1], borders[2]):
        if tag == _GROUP:
            holder.groups.append(_read_group(body, payload, end))
            continue
        holder.around.append((start, payload, end))
        if tag == _RESOURCE:
            holder.resource.append((start, payload, end))
    return holder


def _read_group(body: bytes, index: int, end: int) -> Group:
    """Runs for every item, hence the special case for its one-byte tag in place of `protobuf.fields`."""
    group = Group()
    items = group.items
    try:
        while index < end:
            start = index
            if body[index] != _ITEM:
                tag, index = protobuf.read_tag(body, index)
                if tag != _ITEM:
                    payload = index
                    index = protobuf.skip_field(body, index, tag)
                    group.around.append((start, payload, index))
                    continue
            else:
                index += 1
            size = body[index]
            index += 1
            if size > 127:
                size, index = protobuf.read_varint(body, index - 1)
            items.append((start, index, index + size))
            index += size
    except IndexError:
        raise MalformedError("protobuf: the message ends within a field") from None
    if index != end:
        raise MalformedError("protobuf: a field is longer than the message it is in")
    return group


def split_holders(layout: Layout, keys: Sequence[Key], signal: Signal) -> dict[Key, Payload]:
    """Parts by a key for each ResourceX; nothing is taken apart, each part is a list of slices.

    Raises:
        MalformedError: the structure below is broken, so that items cannot be counted.
    """
    view = memoryview(layout.body)
    pieces: dict[Key, list[Buffer]] = {}
    counts: dict[Key, int] = {}
    for holder, key in zip(layout.holders, keys, strict=True):
        start, payload, end = holder.borders
        pieces.setdefault(key, []).append(view[start:end])
        counts[key] = counts.get(key, 0) + _count(layout.body, payload, end)
    for found in pieces.values():
        _add_around(view, layout.around, found)
        break  # unknown fields of the request are not items: one part has them
    return {key: Payload.of(signal, tuple(found), counts[key]) for key, found in pieces.items()}


def _count(body: bytes, start: int, end: int) -> int:
    return sum(
        len(_read_group(body, payload, after).items)
        for tag, _, payload, after in protobuf.fields(body, start, end)
        if tag == _GROUP
    )


def _add_around(view: memoryview, around: Sequence[Borders], pieces: list[Buffer]) -> None:
    pieces += [view[start:end] for start, _, end in around]


def split_items(layout: Layout, keys: Sequence[Key], signal: Signal) -> dict[Key, Payload]:
    """Parts by a key for each item, in the order of `Layout.items`. Groups without an item are left out."""
    view = memoryview(layout.body)
    parts: dict[Key, list[Buffer]] = {}
    counts: dict[Key, int] = {}
    position = 0
    for holder in layout.holders:
        held: dict[Key, list[Buffer]] = {}
        for group in holder.groups:
            chosen: dict[Key, list[Buffer]] = {}
            for start, _, end in group.items:
                chosen.setdefault(keys[position], []).append(view[start:end])
                position += 1
            for key, items in chosen.items():
                counts[key] = counts.get(key, 0) + len(items)
                content = _surround(view, group.around, items, group.items[0][0])
                held.setdefault(key, []).extend(_message(b"\x12", content))
        for key, groups in held.items():
            content = _surround(view, holder.around, groups, _first_item(holder))
            parts.setdefault(key, []).extend(_message(b"\x0a", content))
    for pieces in parts.values():
        _add_around(view, layout.around, pieces)
        break
    return {key: Payload.of(signal, tuple(pieces), counts[key]) for key, pieces in parts.items()}


def rewrite_items(layout: Layout, replacements: Sequence[Replacement], signal: Signal) -> Payload:
    """The request with other content for some items, in the order of `Layout.items`."""
    view = memoryview(layout.body)
    request: list[Buffer] = []
    position = 0
    for holder in layout.holders:
        groups: list[Buffer] = []
        for group in holder.groups:
            items: list[Buffer] = []
            for start, _, end in group.items:
                changed = replacements[position]
                items += [view[start:end]] if changed is None else _message(b"\x12", changed)
                position += 1
            at = group.items[0][0] if group.items else 0
            groups += _message(b"\x12", _surround(view, group.around, items, at))
        request += _message(b"\x0a", _surround(view, holder.around, groups, _first_item(holder)))
    _add_around(view, layout.around, request)
    return Payload.of(signal, tuple(request), position)


def _surround(view: memoryview, around: Sequence[Borders], pieces: list[Buffer], at: int) -> list[Buffer]:
    """What stood before the index `at`, then the pieces, then the rest: everything keeps its place."""
    before: list[Buffer] = [view[start:end] for start, _, end in around if start < at]
    after: list[Buffer] = [view[start:end] for start, _, end in around if start >= at]
    return [*before, *pieces, *after]


def _first_item(holder: Holder) -> int:
    return next((group.items[0][0] for group in holder.groups if group.items), 0)


def _message(tag: bytes, content: list[Buffer]) -> list[Buffer]:
    return [tag + protobuf.varint(sum(map(len, content))), *content]
