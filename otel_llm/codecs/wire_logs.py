"""OTLP log requests as bytes: GenAI events become Operations, requests without any stay the bytes they were.

Logs are not on the fast path: a request that mentions a GenAI name is read with the generated classes. An event that
carries a span's attributes (`gen_ai.client.inference.operation.details`) is an Operation of its own; the events of
older conventions, one for each message, are grouped by span, to be replaced by one such event.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from otel_llm._generated import attributes as names
from otel_llm.codecs import protobuf
from otel_llm.codecs.genai import has_genai_key, key_prefixes
from otel_llm.codecs.mending import mend
from otel_llm.codecs.regroup import Replacement, read_layout, rewrite_items
from otel_llm.errors import MalformedError
from otel_llm.operation import REMOVED, AttributeValue, Event, Operation
from otel_llm.signals import Payload

DETAILS_EVENT: Final = "gen_ai.client.inference.operation.details"
# One record a message, in the conventions from 1.26 to 1.36.
MESSAGE_EVENTS: Final = frozenset(
    {
        "gen_ai.system.message",
        "gen_ai.user.message",
        "gen_ai.assistant.message",
        "gen_ai.tool.message",
        "gen_ai.choice",
        "gen_ai.content.prompt",
        "gen_ai.content.completion",
    }
)
_STRUCTURED: Final = frozenset(
    {
        names.GEN_AI_INPUT_MESSAGES,
        names.GEN_AI_OUTPUT_MESSAGES,
        names.GEN_AI_SYSTEM_INSTRUCTIONS,
        names.GEN_AI_TOOL_DEFINITIONS,
        names.GEN_AI_TOOL_CALL_ARGUMENTS,
        names.GEN_AI_TOOL_CALL_RESULT,
        names.GEN_AI_RETRIEVAL_DOCUMENTS,
    }
)
_DEEPEST: Final = 24
# The mark of a record whose text was not UTF-8; 50 is the tag of a record's attributes.
_INVALID_TEXT: Final = protobuf.AttributeEncoder(50).encode(names.OTEL_LLM_PROCESSING_ERRORS, ("codec:invalid_utf8",))
# Before event names had a field of their own.
_EVENT_NAME_KEY: Final = "event.name"


def event_name(record: LogRecord) -> str:
    """The name of the event that a record is, empty when it is none."""
    if record.event_name:
        return record.event_name
    return next((item.value.string_value for item in record.attributes if item.key == _EVENT_NAME_KEY), "")


def _attributes(items: Sequence[KeyValue]) -> dict[str, AttributeValue]:
    return {item.key: protobuf.from_any_value(item.value) for item in items}


class LogSource:
    """A log record as an Operation's source; its span is the one it was recorded in."""

    __slots__ = ("_attributes", "_group", "_resource", "record")

    # A record has none of these.
    parent_span_id = b""
    kind = 0
    status_code = 0
    status_message = ""
    events: Sequence[Event] = ()

    def __init__(self, record: LogRecord, group: ScopeLogs, resource: ResourceLogs) -> None:
        self.record = record
        self._group = group
        self._resource = resource
        self._attributes = _attributes(record.attributes)

    @property
    def identity(self) -> tuple[bytes, bytes, bytes]:
        """Trace and span; no parent."""
        return self.record.trace_id, self.record.span_id, b""

    @property
    def trace_id(self) -> bytes:
        """The trace it was recorded in; empty when there was none."""
        return self.record.trace_id

    @property
    def span_id(self) -> bytes:
        """The span it was recorded in; empty when there was none."""
        return self.record.span_id

    @property
    def name(self) -> str:
        """The event's name."""
        return event_name(self.record)

    @property
    def start_unix_nano(self) -> int:
        """When it happened."""
        return self.record.time_unix_nano or self.record.observed_time_unix_nano

    @property
    def end_unix_nano(self) -> int:
        """When it happened."""
        return self.start_unix_nano

    @property
    def scope_name(self) -> str:
        """The instrumentation scope's name."""
        return self._group.scope.name

    @property
    def scope_version(self) -> str:
        """The instrumentation scope's version."""
        return self._group.scope.version

    @property
    def resource(self) -> Mapping[str, AttributeValue]:
        """The resource's attributes."""
        return _attributes(self._resource.resource.attributes)

    def keys(self) -> frozenset[str]:
        """The keys of the record's attributes."""
        return frozenset(self._attributes)

    def has_exactly(self, keys: frozenset[str]) -> bool:
        """Whether these are the keys of all attributes."""
        return self.keys() == keys

    def get(self, key: str) -> AttributeValue:
        """The value of an attribute, None when there is none."""
        return self._attributes.get(key)


@dataclass(frozen=True, slots=True)
class MessageEvents:
    """The message events of one span, in order.

    Attributes:
        records: the log records; the first one takes the place of all when they are replaced.
        repeated: gets the others then, to be left out of the output.
    """

    records: tuple[LogRecord, ...]
    repeated: list[LogRecord]

    @property
    def events(self) -> list[tuple[str, Mapping[str, AttributeValue], AttributeValue]]:
        """Name, attributes and body of each."""
        return [
            (event_name(record), _attributes(record.attributes), protobuf.from_any_value(record.body))
            for record in self.records
        ]

    def replace(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Put one details event with these attributes in their place, and the attributes they share."""
        first, *others = self.records
        shared: dict[str, AttributeValue] = {}
        for record in self.records:
            for key, value in _attributes(record.attributes).items():
                shared.setdefault(key, value)
        shared.pop(_EVENT_NAME_KEY, None)
        first.event_name = DETAILS_EVENT
        first.ClearField("body")
        first.time_unix_nano = max(record.time_unix_nano for record in self.records)
        _write(first, {**shared, **attributes})
        self.repeated.extend(others)


def _write(record: LogRecord, attributes: Mapping[str, AttributeValue]) -> None:
    del record.attributes[:]
    for key, value in attributes.items():
        encoded = AnyValue.FromString(protobuf.encode_value(value))
        record.attributes.add(key=key, value=encoded)


def _structured(key: str, value: AttributeValue) -> AttributeValue:
    """Content as events must have it: structured, where a span has a JSON text."""
    if key not in _STRUCTURED or not isinstance(value, str):
        return value
    try:
        structured = cast("AttributeValue", msgspec.json.decode(value))
    except (msgspec.MsgspecError, RecursionError):
        return value
    return structured if _is_shallow(structured, _DEEPEST) else value


def _is_shallow(value: AttributeValue, depth: int) -> bool:
    """Whether a value is nested at most so deep; protobuf refuses a message beyond 100 levels, two for each of ours."""
    if isinstance(value, Mapping):
        return depth > 0 and all(_is_shallow(item, depth - 1) for item in value.values())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return depth > 0 and all(_is_shallow(item, depth - 1) for item in value)
    return True


class LogBatch:
    """One log request, taken apart if it has GenAI events.

    Attributes:
        items: the number of its records, GenAI or not.
    """

    __slots__ = ("_body", "_operations", "_repeated", "_request", "items")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._repeated: list[LogRecord] = []
        self._operations: list[Operation] = []
        self._request: ExportLogsServiceRequest | None = None
        try:
            request = ExportLogsServiceRequest.FromString(body)
        except DecodeError:
            body, request = _mended(body)
            self._body = body
        self.items = sum(len(group.log_records) for holder in request.resource_logs for group in holder.scope_logs)
        if any(prefix.encode() in body for prefix in key_prefixes("")):
            self._request = request

    def message_events(self) -> list[MessageEvents]:
        """The message events of older conventions, by span; take and replace them before `operations`."""
        found = []
        for _, group in self._groups():
            by_span: dict[tuple[bytes, bytes], list[LogRecord]] = {}
            for record in group.log_records:
                if event_name(record) in MESSAGE_EVENTS:
                    by_span.setdefault((record.trace_id, record.span_id), []).append(record)
            # Events without a span cannot be told apart: they stay as they are.
            found += [
                MessageEvents(tuple(records), self._repeated) for (_, span), records in by_span.items() if any(span)
            ]
        return found

    def operations(self) -> list[Operation]:
        """The GenAI events that carry attributes of an operation."""
        self._operations = [
            Operation(LogSource(record, group, holder))
            for holder, group in self._groups()
            for record in group.log_records
            if event_name(record) not in MESSAGE_EVENTS
            and has_genai_key(group.scope.name, (item.key for item in record.attributes))
        ]
        return self._operations

    def _groups(self) -> Iterator[tuple[ResourceLogs, ScopeLogs]]:
        if self._request is not None:
            for holder in self._request.resource_logs:
                for group in holder.scope_logs:
                    yield holder, group

    def encode(self) -> Payload:
        """The request with all changes applied."""
        if self._request is None:
            return Payload.of("logs", (self._body,), self.items)
        for operation in self._operations:
            source = operation.source
            if operation.dropped is not None and isinstance(source, LogSource):
                self._repeated.append(source.record)
            elif operation.is_changed and isinstance(source, LogSource):
                kept = {key: source.get(key) for key in source.keys() if key not in operation.overlay}  # noqa: SIM118
                changed = {
                    key: _structured(key, operation.get(key))
                    for key, value in operation.overlay.items()
                    if value is not REMOVED
                }
                _write(source.record, {**kept, **changed})
        # Identity is safe: protobuf gives the same object for the same record while there is a reference to it.
        repeated = {id(record) for record in self._repeated}
        items = 0
        for _, group in self._groups():
            for position in reversed(range(len(group.log_records))):
                if id(group.log_records[position]) in repeated:
                    del group.log_records[position]
            items += len(group.log_records)
        self._repeated.clear()
        return Payload.of("logs", (self._request.SerializeToString(),), items)


def _mended(body: bytes) -> tuple[bytes, ExportLogsServiceRequest]:
    """A request that protobuf refuses with its text made valid, and the records that were mended marked.

    Raises:
        MalformedError: that is not what is wrong with it.
    """
    try:
        layout = read_layout(body)
        records: list[Replacement] = [_mend_record(body[payload:end]) for _, payload, end in layout.items()]
        # What is left may stand in resources and scopes.
        mended = mend(rewrite_items(layout, records, "logs").join(), ExportLogsServiceRequest.DESCRIPTOR)
        return mended, ExportLogsServiceRequest.FromString(mended)
    except (DecodeError, MalformedError):
        raise MalformedError("ExportLogsServiceRequest: the bytes are not an OTLP log request") from None


def _mend_record(raw: bytes) -> Replacement:
    try:
        LogRecord.FromString(raw)
    except DecodeError:
        return [mend(raw, LogRecord.DESCRIPTOR), _INVALID_TEXT]
    return None


def decode_logs(body: bytes) -> LogBatch:
    """Take apart a serialized ExportLogsServiceRequest.

    Raises:
        MalformedError: it is not one.
    """
    return LogBatch(body)


def count_metrics(body: bytes) -> int:
    """The number of metrics in a serialized ExportMetricsServiceRequest, by their borders only.

    Raises:
        MalformedError: the structure down to the borders of the metrics is broken.
    """
    return sum(
        sum(field == _ITEMS for field, *_ in protobuf.fields(body, group_payload, group_end))
        for tag, _, payload, end in protobuf.fields(body)
        if tag == _HOLDERS
        for group, _, group_payload, group_end in protobuf.fields(body, payload, end)
        if group == _GROUPS
    )


# Tags of ResourceMetrics in the request, ScopeMetrics in it, and Metric in that.
_HOLDERS: Final = 10
_GROUPS: Final = 18
_ITEMS: Final = 18
