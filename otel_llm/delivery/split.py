"""One serialized OTLP request as two, on the bytes: resource, scope and metric go with both, items are never copied.

All three signals are nested in the same way: messages that hold messages that hold items. What is not on the way to an
item (resource, scope, schema URL, a metric's name, an unknown field) belongs to everything beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from otel_llm.codecs.protobuf import fields, varint
from otel_llm.signals import Buffer, Payload, Signal

# For each tag (field number << 3 | 2) on the way to an item, the level below it; an item is an empty one.
_Level: TypeAlias = "Mapping[int, _Level]"

_ITEM: Final[_Level] = {}
_POINTS: Final[_Level] = {10: _ITEM}
# Gauge 5, Sum 7, Histogram 9, ExponentialHistogram 10, Summary 11: the data points are field 1 in each.
_METRIC: Final[_Level] = {number << 3 | 2: _POINTS for number in (5, 7, 9, 10, 11)}
_REQUESTS: Final[Mapping[Signal, _Level]] = {
    "traces": {10: {18: {18: _ITEM}}},
    "logs": {10: {18: {18: _ITEM}}},
    "metrics": {10: {18: {18: _METRIC}}},
}


def count_items(signal: Signal, body: bytes) -> int:
    """The spans, data points or log records of a serialized request.

    Raises:
        MalformedError: the bytes are not a request of the signal, as far as the borders of its items.
    """
    return _count(body, 0, len(body), _REQUESTS[signal])


def split(payload: Payload) -> tuple[Payload, Payload] | None:
    """Two payloads of about half the items each, in order; None when there are not two items.

    Raises:
        MalformedError: the bytes are not a request of the signal, as far as the borders of its items.
    """
    body = payload.join()
    level = _REQUESTS[payload.signal]
    items = _count(body, 0, len(body), level)
    if items <= 1:
        return None
    left, right = _cut(body, 0, len(body), level, items // 2)
    # The payload's own count stays the truth of the accounts, even if it were wrong.
    first = min(items // 2, payload.items)
    return (
        _half(payload, left, first, "0"),
        _half(payload, right, payload.items - first, "1"),
    )


def _half(payload: Payload, buffers: list[Buffer], items: int, which: str) -> Payload:
    """A half is told from the whole, and is cut in the same way whenever the whole is."""
    batch_id = f"{payload.batch_id}/{which}" if payload.batch_id else ""
    return Payload(payload.signal, tuple(buffers), items, sum(map(len, buffers)), batch_id)


def _count(body: bytes, start: int, end: int, level: _Level) -> int:
    """The items of the message from `start` to `end`."""
    total = 0
    for tag, _, payload, after in fields(body, start, end):
        below = level.get(tag)
        if below is not None:
            total += _count(body, payload, after, below) if below else 1
    return total


def _cut(body: bytes, start: int, end: int, level: _Level, keep: int) -> tuple[list[Buffer], list[Buffer]]:
    """The message from `start` to `end` as two: one with its first `keep` items, one with the others."""
    view = memoryview(body)
    left: list[Buffer] = []
    right: list[Buffer] = []
    for tag, field_start, payload, after in fields(body, start, end):
        whole = view[field_start:after]
        below = level.get(tag)
        if below is None:
            left.append(whole)
            right.append(whole)
            continue
        items = _count(body, payload, after, below) if below else 1
        if items <= keep:
            left.append(whole)
        elif keep <= 0:
            right.append(whole)
        else:
            first, second = _cut(body, payload, after, below, keep)
            left += _message(tag, first)
            right += _message(tag, second)
        keep -= items
    return _adjoin(left), _adjoin(right)


def _message(tag: int, content: list[Buffer]) -> list[Buffer]:
    return [varint(tag) + varint(sum(map(len, content))), *content]


def _adjoin(pieces: list[Buffer]) -> list[Buffer]:
    """The same bytes in few pieces: a request of many items would otherwise become as many slices."""
    return pieces if len(pieces) <= 1 else [b"".join(pieces)]
