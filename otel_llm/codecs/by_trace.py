"""One OTLP request as messages for a log such as Kafka: none above a size, and each of one trace when that is wanted.

The law of this module is that of `regroup`: every item is in exactly one message, byte for byte, in the order it came.
The key of a trace is what the Collector's kafka exporter writes: 32 lowercase hex digits, and nothing, but not no key,
for a span without a trace id.
Source: opentelemetry-collector-contrib v0.165.1, exporter/kafkaexporter/kafka_exporter.go (partitionData) and
internal/coreinternal/traceutil (TraceIDToHexOrEmptyString).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from otel_llm.codecs.lookup import find_trace_id
from otel_llm.codecs.regroup import Layout, read_layout, split_items
from otel_llm.signals import Payload, Signal

# The tags of their attributes, by which the items are known.
_TAGS: Final[dict[Signal, int]] = {"traces": 74, "logs": 50}
_TRACE_ID_BYTES: Final = 16
# A tag and a length below 2^35, the most that stands before a message in a message.
_FRAME_BYTES: Final = 6


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        key: which messages belong together; None when nothing says so.
        value: a serialized request.
        items: spans, metrics or log records in it. Metrics, not data points: a metric is not taken apart here.
    """

    key: bytes | None
    value: bytes
    items: int


def messages(payload: Payload, limit_bytes: int, *, by_trace: bool) -> list[Message]:
    """A request as messages whose values are at most that long, unless a single item is longer.

    Args:
        payload: the request.
        limit_bytes: of a value.
        by_trace: give each trace messages of its own, with its key; for spans and log records. Log records without a
            trace id then have no key.

    Raises:
        MalformedError: the structure down to the borders of the items is broken.
    """
    tag = _TAGS.get(payload.signal)
    is_keyed = by_trace and tag is not None
    if not is_keyed and payload.size_bytes <= limit_bytes:
        return [Message(None, payload.join(), payload.items)]
    layout = read_layout(payload.join())
    keys: Sequence[bytes | None]
    if is_keyed and tag is not None:
        without: bytes | None = b"" if payload.signal == "traces" else None
        keys = [_key(layout.body, start, end, tag, without) for _, start, end in layout.items()]
    else:
        keys = [None] * len(layout.items())
    parts = split_items(layout, list(_numbered(layout, keys, limit_bytes)), payload.signal)
    return [Message(key, part.join(), part.items) for (key, _), part in parts.items()]


def _key(body: bytes, start: int, end: int, tag: int, without: bytes | None) -> bytes | None:
    trace_id = find_trace_id(body, start, end, tag)
    return trace_id.hex().encode() if len(trace_id) == _TRACE_ID_BYTES and any(trace_id) else without


class _Open:
    """The message that items of one key go into now."""

    __slots__ = ("group", "holder", "number", "size")

    def __init__(self) -> None:
        self.number = 0
        self.size = 0
        self.holder = self.group = -1


def _numbered(layout: Layout, keys: Sequence[bytes | None], limit_bytes: int) -> Iterator[tuple[bytes | None, int]]:
    """For each item its key, and the number of the message among those of the key that has room for it.

    Sizes are counted a little too high, never too low.
    """
    found: dict[bytes | None, _Open] = {}
    position = 0
    # Fields of the request itself that nobody knows go into the first message.
    extra = sum(end - start for start, _, end in layout.around)
    for holder_number, holder in enumerate(layout.holders):
        around_holder = _FRAME_BYTES + sum(end - start for start, _, end in holder.around)
        for group_number, group in enumerate(holder.groups):
            around_group = _FRAME_BYTES + sum(end - start for start, _, end in group.around)
            for start, _, end in group.items:
                key = keys[position]
                position += 1
                opened = found.setdefault(key, _Open())
                more = end - start
                if opened.holder != holder_number:
                    more += around_holder + around_group
                elif opened.group != group_number:
                    more += around_group
                if opened.size and opened.size + more > limit_bytes:
                    opened.number += 1
                    opened.size = 0
                    more = end - start + around_holder + around_group
                opened.size += more + extra
                extra = 0
                opened.holder, opened.group = holder_number, group_number
                yield key, opened.number
