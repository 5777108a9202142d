"""Requests to push through: what real instrumentations sent, every source convention, and every field that OTLP has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from otel_llm.signals import Signal
from tests.delivery.requests import metrics
from tests.golden.recorded import RECORDED_LOGS, RECORDINGS
from tests.spans import SpanSpec, request

_GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "dialects"
_Request = tuple[Signal, bytes]


def recorded() -> Iterator[_Request]:
    """What real instrumentations sent (tests/golden/emitters)."""
    for number, recording in enumerate(RECORDINGS):
        message = ExportTraceServiceRequest.FromString(recording.traces)
        for holder in message.resource_spans:
            for group in holder.scope_spans:
                for span in group.spans:  # emitters share their ids
                    span.trace_id = _other(span.trace_id, number)
        yield "traces", message.SerializeToString()
    for recording in RECORDED_LOGS:
        yield "logs", recording.logs


def _other(trace_id: bytes, number: int) -> bytes:
    return (int.from_bytes(trace_id, "big") ^ (number << 64)).to_bytes(16, "big")


def golden() -> Iterator[_Request]:
    """A span of each golden case of each source convention."""
    for _, body, _ in golden_cases():
        yield "traces", body


def golden_cases() -> Iterator[tuple[int, bytes, dict[str, Any]]]:
    """The number in each golden case's span id, a request of that span, and the attributes that it should have."""
    number = 10_000
    for path in sorted(_GOLDEN.glob("*.json")):
        for case in json.loads(path.read_text(encoding="utf-8")):
            number += 1
            spec = SpanSpec(
                attributes=case["attributes"],
                trace=number,
                span=number,
                parent=int(case.get("parent_span_id", "0"), 16),
                name=case.get("name", "span"),
                kind=case.get("kind", 3),
                start=_START,
                status=case.get("status_code", 0),
                # Where a case has none, its convention was to be found by the keys alone.
                scope=case["scope_name"] or _SCOPES.get(path.stem, ""),
                events=tuple((event["name"], event["attributes"]) for event in case.get("events", ())),
            )
            message = ExportTraceServiceRequest.FromString(request([spec]))
            message.resource_spans[0].scope_spans[0].scope.version = case.get("scope_version", "")
            yield number, message.SerializeToString(), case["expected"]


_START = 1_763_600_000_000_000_000  # which the cases with times of their own reckon with
_SCOPES = {"claude_code": "com.anthropic.claude_code.tracing"}


def _values(into: Any) -> None:
    """An attribute of each type, the empty ones included."""
    for key, value in (
        ("text", AnyValue(string_value="grüße, 世界")),
        ("text.empty", AnyValue(string_value="")),
        ("true", AnyValue(bool_value=True)),
        ("false", AnyValue(bool_value=False)),
        ("zero", AnyValue(int_value=0)),
        ("least", AnyValue(int_value=-(2**63))),
        ("double", AnyValue(double_value=0.1)),
        ("bytes", AnyValue(bytes_value=bytes(range(256)))),
        ("nothing", AnyValue()),
    ):
        into.add(key=key).value.CopyFrom(value)
    into.add(key="list").value.array_value.values.extend([AnyValue(int_value=1), AnyValue(string_value="two")])
    into.add(key="list.empty").value.array_value.SetInParent()
    into.add(key="map").value.kvlist_value.values.add(key="inner").value.array_value.values.add(bool_value=True)


def everything() -> Iterator[_Request]:
    """Plain telemetry in which every field is set that OTLP has."""
    traces = ExportTraceServiceRequest()
    holder = traces.resource_spans.add(schema_url="https://opentelemetry.io/schemas/1.37.0")
    _values(holder.resource.attributes)
    holder.resource.dropped_attributes_count = 3
    group = holder.scope_spans.add(schema_url="https://opentelemetry.io/schemas/1.36.0")
    group.scope.name, group.scope.version, group.scope.dropped_attributes_count = "app", "1.2.3", 4
    _values(group.scope.attributes)
    for kind in range(6):
        span = group.spans.add(
            trace_id=bytes(15) + b"\x77", span_id=(kind + 1).to_bytes(8, "big"), parent_span_id=b"parent!!",
            trace_state="vendor=value,ot=th:8", flags=0x301, name=f"span {kind}", kind=kind,
            start_time_unix_nano=1, end_time_unix_nano=2**63, dropped_attributes_count=5, dropped_events_count=6,
            dropped_links_count=7,
        )  # fmt: skip
        span.status.code, span.status.message = kind % 3, "why"
        _values(span.attributes)
        _values(span.events.add(name="event", time_unix_nano=9, dropped_attributes_count=8).attributes)
        link = span.links.add(trace_id=b"l" * 16, span_id=b"m" * 8, trace_state="a=b", dropped_attributes_count=9)
        link.flags = 0x101
        _values(link.attributes)
    yield "traces", traces.SerializeToString()

    logs = ExportLogsServiceRequest()
    record_holder = logs.resource_logs.add(schema_url="urn:resource")
    _values(record_holder.resource.attributes)
    record = record_holder.scope_logs.add(schema_url="urn:scope").log_records.add(
        time_unix_nano=1, observed_time_unix_nano=2, severity_number=9, severity_text="INFO", flags=1,
        trace_id=b"t" * 16, span_id=b"s" * 8, event_name="app.event", dropped_attributes_count=1,
    )  # fmt: skip
    _values(record.attributes)
    _values(record.body.kvlist_value.values)
    yield "logs", logs.SerializeToString()
    yield "metrics", metrics(1, 30).SerializeToString()


_NOT_A_WORD = re.compile(r"[\w.:/@-]{0,80}")


def with_canary(signal: Signal, body: bytes, canary: str) -> bytes:
    """The request, with the canary in every text that a person or a model may have written.

    That is every text in attributes, events, bodies and status messages which is longer than an identifier or has
    a space in it, and every such text in the JSON inside of texts.
    """
    message = ExportTraceServiceRequest() if signal == "traces" else ExportLogsServiceRequest()
    message.ParseFromString(body)
    _walk(message, lambda text: _marked(text, canary))
    return message.SerializeToString()


def _walk(message: Message, mark: Callable[[str], str]) -> None:
    if isinstance(message, AnyValue) and message.WhichOneof("value") == "string_value":
        message.string_value = mark(message.string_value)
    for field, value in message.ListFields():
        if field.message_type is None:
            if field.name == "message":  # of a status
                message.message = mark(value)  # type: ignore[attr-defined] # the field that was just found
        elif field.name not in ("resource", "scope"):
            for one in value if field.is_repeated else (value,):
                _walk(one, mark)


def _marked(text: str, canary: str) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        found = text
    if isinstance(found, (dict, list)):
        return json.dumps(_marked_json(found, canary))
    return text if _NOT_A_WORD.fullmatch(text) else f"{text} {canary}"


def _marked_json(value: Any, canary: str) -> Any:
    if isinstance(value, dict):
        return {key: _marked_json(inner, canary) for key, inner in value.items()}
    if isinstance(value, list):
        return [_marked_json(inner, canary) for inner in value]
    return _marked(value, canary) if isinstance(value, str) else value
