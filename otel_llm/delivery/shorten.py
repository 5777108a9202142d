"""An item that no destination takes for its size, with its content cut until it fits, and marked.

Only long texts are cut, in attributes, in those of events, and in the body of a log record; usage, cost, ids and names
are short and stay. JSON in a text stays JSON of the same shape, for it is the texts in it that are cut: roles, tool
names and the number of messages are as they were.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_llm._generated import attributes as keys
from otel_llm.signals import Payload

_Request: TypeAlias = ExportTraceServiceRequest | ExportLogsServiceRequest
_Item: TypeAlias = Span | LogRecord
_Json: TypeAlias = "dict[str, _Json] | list[_Json] | str | int | float | bool | None"

# Texts are cut to these lengths in turn, in characters, until the item fits. What is shorter is no content.
_LENGTHS: Final = (262_144, 65_536, 16_384, 4096, 1024, 256)
_ELLIPSIS: Final = "…"
_DEEPEST: Final = 32


@dataclass(frozen=True, slots=True)
class _Place:
    """A value that may be cut, and how it is named in the mark."""

    name: str
    value: AnyValue


def shorten(payload: Payload, size_bytes: int) -> Payload | None:
    """The payload of one item, cut to at most that many bytes; None when that cannot be done.

    Spans and log records only: data points have no content.
    """
    request = _parse(payload)
    items = [] if request is None else list(_items(request))
    if request is None or len(items) != 1:
        return None
    (item,) = items
    cut: set[str] = set()
    for length in _LENGTHS:
        cut |= {place.name for place in _places(item) if _cut_value(place.value, length, 0)}
        if cut and request.ByteSize() + sum(map(len, cut)) + 200 <= size_bytes:
            _mark(item, sorted(cut), payload.size_bytes - request.ByteSize())
            body = request.SerializeToString()
            return Payload(payload.signal, (body,), payload.items, len(body), payload.batch_id)
    return None


def _parse(payload: Payload) -> _Request | None:
    kinds: dict[str, type[_Request]] = {"traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest}
    kind = kinds.get(payload.signal)
    if kind is None:
        return None
    try:
        return kind.FromString(payload.join())
    except DecodeError:
        return None


def _items(request: _Request) -> Iterator[_Item]:
    if isinstance(request, ExportTraceServiceRequest):
        yield from (span for resource in request.resource_spans for s in resource.scope_spans for span in s.spans)
    else:
        yield from (one for resource in request.resource_logs for s in resource.scope_logs for one in s.log_records)


def _places(item: _Item) -> Iterator[_Place]:
    for attribute in item.attributes:
        yield _Place(attribute.key, attribute.value)
    if isinstance(item, LogRecord):
        yield _Place("body", item.body)
        return
    for event in item.events:
        for attribute in event.attributes:
            yield _Place(f"{event.name}:{attribute.key}", attribute.value)


def _cut_value(value: AnyValue, length: int, depth: int) -> bool:
    """Cut the texts in a value to that many characters; whether any was longer."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        shorter = _cut_text(value.string_value, length)
        if shorter is not None:
            value.string_value = shorter
        return shorter is not None
    if kind == "bytes_value" and len(value.bytes_value) > length:
        value.bytes_value = value.bytes_value[:length]
        return True
    if depth >= _DEEPEST:
        return False
    if kind == "array_value":
        # Not any(): that would stop at the first.
        return sum(_cut_value(one, length, depth + 1) for one in value.array_value.values) > 0
    if kind == "kvlist_value":
        return sum(_cut_value(one.value, length, depth + 1) for one in value.kvlist_value.values) > 0
    return False


def _cut_text(text: str, length: int) -> str | None:
    """The text at most that long; None when it is so already. JSON may stay longer: its texts are cut, not itself."""
    if len(text) <= length:
        return None
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return _cut_in_json(text, length)
        except (ValueError, RecursionError):  # it only begins like JSON
            pass
    return text[: length - 1] + _ELLIPSIS


def _cut_in_json(text: str, length: int) -> str | None:
    shorter = json.dumps(_cut_json(json.loads(text), length), ensure_ascii=False, separators=(",", ":"))
    return shorter if len(shorter) < len(text) else None


def _cut_json(value: _Json, length: int) -> _Json:
    if isinstance(value, str):
        return value if len(value) <= length else value[: length - 1] + _ELLIPSIS
    if isinstance(value, list):
        return [_cut_json(one, length) for one in value]
    if isinstance(value, dict):
        return {key: _cut_json(one, length) for key, one in value.items()}
    return value


def _mark(item: _Item, cut: list[str], lost_bytes: int) -> None:
    """Say what was cut and how much is gone, added to what a cut before this one said."""
    before = {one.key: one.value for one in item.attributes if one.key.startswith("otel_llm.shortened.")}
    if keys.OTEL_LLM_SHORTENED_KEYS in before:
        cut = sorted({*cut, *(one.string_value for one in before[keys.OTEL_LLM_SHORTENED_KEYS].array_value.values)})
    if keys.OTEL_LLM_SHORTENED_BYTES in before:
        lost_bytes += before[keys.OTEL_LLM_SHORTENED_BYTES].int_value
    kept = [one for one in item.attributes if one.key not in before]
    names, lost = KeyValue(key=keys.OTEL_LLM_SHORTENED_KEYS), KeyValue(key=keys.OTEL_LLM_SHORTENED_BYTES)
    names.value.array_value.values.extend(AnyValue(string_value=name) for name in cut)
    lost.value.int_value = lost_bytes
    del item.attributes[:]
    item.attributes.extend([*kept, names, lost])
