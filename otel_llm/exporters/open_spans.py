"""Notices runs whose process was killed: spans that were announced, and then heard of no more.

Apps announce spans that stay open (`otel_llm/hosts/open_spans.py`) and repeat that they still are. When neither comes
any more, nor the span's end, an event `otel_llm.span.interrupted` in the span's context says so. It is a log record, so
nothing is there twice if the span should end after all, as after a long break of the network.

The law of this module: it has to see an app's spans and its log records. Where several gateways or workers share the
load, put it behind what brings those of one trace together.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from otel_llm._generated import attributes as names
from otel_llm._generated import events
from otel_llm.codecs.protobuf import from_any_value
from otel_llm.codecs.span_ends import read_ends
from otel_llm.components import Context
from otel_llm.errors import MalformedError, PermanentError
from otel_llm.exporters.exporter import ExportResult
from otel_llm.log_records import WARN, LogRecord
from otel_llm.operation import AttributeValue
from otel_llm.signals import Payload, Signal

SIGNALS: Final[frozenset[Signal]] = frozenset({"traces", "logs"})
_ANNOUNCING: Final = frozenset({events.OTEL_LLM_SPAN_STARTED, events.OTEL_LLM_SPAN_RUNNING})
_MARKER: Final = b"otel_llm.span."
# An end may come before the announcement, as they are of two signals; what is quicker than this is never announced.
_SHORTEST_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 1.0

# Trace and span.
_Id = tuple[bytes, bytes]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Notices runs whose process was killed. Belongs into a traces and a logs pipeline, before any sampling."""

    interrupted_after_seconds: Annotated[float, msgspec.Meta(ge=1)] = 90.0
    """How long nothing may be heard of an open span, in seconds. Apps repeat every 30 that one is still open."""

    max_spans: Annotated[int, msgspec.Meta(ge=1)] = 100_000
    """How many open spans are watched, and how many ended ones remembered; beyond it the oldest are forgotten."""


@dataclass(slots=True)
class _Open:
    deadline: float
    attributes: Mapping[str, AttributeValue]


class OpenSpansExporter:
    """The exporter; see `create`. Nothing leaves here but events."""

    def __init__(self, config: Config, context: Context) -> None:
        self.signals = SIGNALS
        self._config = config
        self._clock = context.clock
        self._records = context.records
        self._name = context.name
        self._lock = threading.Lock()
        # In the order in which they were last heard of, so the first is due first.
        self._open: OrderedDict[_Id, _Open] = OrderedDict()
        self._ended: OrderedDict[_Id, None] = OrderedDict()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def export(self, payload: Payload, timeout_seconds: float) -> ExportResult:  # noqa: ARG002 - it takes no time
        """Take notice of what a payload says about open and ended spans.

        Raises:
            PermanentError: the payload cannot be read.
        """
        body = payload.join()
        try:
            if payload.signal == "traces":
                self._note_ends(body)
            elif _MARKER in body:
                self._note_announcements(body)
        except (MalformedError, DecodeError) as error:
            raise PermanentError(f"{self._name}: the payload is not OTLP ({type(error).__name__})") from None
        return ExportResult()

    def _note_ends(self, body: bytes) -> None:
        ended = [(one.trace_id, one.span_id) for one in read_ends(body) if one.seconds >= _SHORTEST_SECONDS]
        with self._lock:
            for key in ended:
                self._open.pop(key, None)
                self._ended[key] = None
            while len(self._ended) > self._config.max_spans:
                self._ended.popitem(last=False)

    def _note_announcements(self, body: bytes) -> None:
        deadline = self._clock.monotonic() + self._config.interrupted_after_seconds
        found = list(_announced(ExportLogsServiceRequest.FromString(body)))
        with self._lock:
            for key, attributes in found:
                if key not in self._ended:
                    self._open.pop(key, None)
                    self._open[key] = _Open(deadline, attributes)
            while len(self._open) > self._config.max_spans:
                self._open.popitem(last=False)
            if self._open and self._thread is None and not self._stopped.is_set():
                self._thread = threading.Thread(target=self._watch, name=f"otel-llm-{self._name}", daemon=True)
                self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Emit an event for each span that was not heard of for too long."""
        now = self._clock.monotonic()
        due: list[tuple[_Id, _Open]] = []
        with self._lock:
            while self._open and next(iter(self._open.values())).deadline <= now:
                due.append(self._open.popitem(last=False))
        for (trace_id, span_id), one in due:
            self._records.emit(
                LogRecord(
                    events.OTEL_LLM_SPAN_INTERRUPTED,
                    self._clock.unix_nano(),
                    one.attributes,
                    body="an open span was heard of no more; its process was most likely killed",
                    severity_number=WARN,
                    trace_id=trace_id,
                    span_id=span_id,
                )
            )

    def shutdown(self) -> None:
        """Watch no more. Idempotent."""
        self._stopped.set()


def _announced(request: ExportLogsServiceRequest) -> Iterator[tuple[_Id, dict[str, AttributeValue]]]:
    """The spans that are said to be open, and what is said about them."""
    for holder in request.resource_logs:
        service = _attributes(one for one in holder.resource.attributes if one.key == names.SERVICE_NAME)
        for group in holder.scope_logs:
            for record in group.log_records:
                if record.event_name in _ANNOUNCING:
                    yield (record.trace_id, record.span_id), {**service, **_attributes(record.attributes)}


def _attributes(items: Iterable[KeyValue]) -> dict[str, AttributeValue]:
    return {one.key: from_any_value(one.value) for one in items}


def create(config: Config, context: Context) -> OpenSpansExporter:
    """The exporter."""
    return OpenSpansExporter(config, context)
