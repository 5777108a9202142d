"""Long runs are seen before they end: a span that stays open is announced, one that its process leaves open is marked.

    provider.add_span_processor(OpenSpans(delivery))

A span that has been open for `after_seconds` gives an event `otel_llm.span.started` in its own context, with its name,
its parent and what names the run; never content, for nothing has looked through it yet. It is a log record and not a
span, so nothing is there twice when the span ends. As long as the span is open, `otel_llm.span.running` follows every
now and then. When the process ends in an orderly way, or by SIGTERM as `AppDelivery` sees it, spans that are still open
are ended with `otel_llm.interrupted` and an error status. After a SIGKILL nobody says anything any more, which the
gateway notices (`otel_llm/exporters/open_spans.py`).
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import Status, StatusCode

from otel_llm._generated import attributes as keys
from otel_llm._generated import events
from otel_llm.delivery.in_app import AppDelivery
from otel_llm.signals import Payload

DEFAULT_AFTER_SECONDS: Final = 2.0
DEFAULT_EVERY_SECONDS: Final = 30.0
# Further ones are not announced, so that an app which never ends its spans costs a bounded amount.
_MOST_OPEN: Final = 10_000
# What names a run and its steps; everything else waits for the span.
_KEPT: Final = frozenset(
    {
        keys.GEN_AI_OPERATION_NAME,
        keys.GEN_AI_PROVIDER_NAME,
        keys.GEN_AI_REQUEST_MODEL,
        keys.GEN_AI_AGENT_ID,
        keys.GEN_AI_AGENT_NAME,
        keys.GEN_AI_WORKFLOW_NAME,
        keys.GEN_AI_TOOL_NAME,
        keys.GEN_AI_CONVERSATION_ID,
    }
)


@dataclass(slots=True)
class _Open:
    span: Span
    since: float
    told: float | None = None  # when it was announced, or last said to be open


class OpenSpans(SpanProcessor):
    """Watches the spans of an app; thread-safe.

    Args:
        delivery: where events go.
        after_seconds: how long a span is open before it is announced; events leave at most half of it later.
        every_seconds: how often one is said to be still open.
        rewrite: what events pass before they leave; None of a request that must not.
        announces: whether there are events at all; without, spans that stay open are marked and no more.
    """

    def __init__(
        self,
        delivery: AppDelivery,
        after_seconds: float = DEFAULT_AFTER_SECONDS,
        every_seconds: float = DEFAULT_EVERY_SECONDS,
        rewrite: Callable[[Payload], Payload | None] | None = None,
        *,
        announces: bool = True,
    ) -> None:
        self._announces = announces
        self._rewrite = rewrite
        self._delivery = delivery
        self._after = after_seconds
        self._every = every_seconds
        self._lock = threading.Lock()
        self._open: dict[int, _Open] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        delivery.before_exit(_weakly(self.interrupt))
        delivery.after_fork(_weakly(self._forked))

    def _forked(self) -> None:
        """In a child: what is open is the parent's, and so is the thread. Takes no lock."""
        self._lock = threading.Lock()
        self._open = {}
        self._thread = None

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 - the SDK's call
        """Remember an open span."""
        context = span.get_span_context()
        if context is None or not context.trace_flags.sampled or len(self._open) >= _MOST_OPEN:
            return
        with self._lock:
            self._open[context.span_id] = _Open(span, time.monotonic())
            if self._announces and self._thread is None and not self._stopped.is_set():
                self._thread = threading.Thread(target=self._watch, name="otel-llm-open-spans", daemon=True)
                self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Forget it."""
        context = span.get_span_context()
        if context is not None:
            with self._lock:
                self._open.pop(context.span_id, None)

    def _watch(self) -> None:
        while not self._stopped.wait(self._after / 2):
            self.announce()

    def announce(self) -> None:
        """Send events for the spans that have been open long enough, and for those that still are."""
        now = time.monotonic()
        with self._lock:
            new = [one for one in self._open.values() if one.told is None and one.since <= now - self._after]
            still = [one for one in self._open.values() if one.told is not None and one.told <= now - self._every]
            for one in (*new, *still):
                one.told = now
        self._send(events.OTEL_LLM_SPAN_STARTED, new)
        self._send(events.OTEL_LLM_SPAN_RUNNING, still)

    def _send(self, name: str, found: Sequence[_Open]) -> None:
        if found:
            request = _events(name, [one.span for one in found], time.time_ns())
            payload: Payload | None = Payload.of("logs", (request.SerializeToString(),), len(found))
            if self._rewrite is not None and payload is not None:
                payload = self._rewrite(payload)
            if payload is not None:
                self._delivery.offer(payload)

    def interrupt(self) -> None:
        """End what is still open, marked: the process ends before it."""
        with self._lock:
            left = [one.span for one in self._open.values()]
        for span in left:
            span.set_attribute(keys.OTEL_LLM_INTERRUPTED, True)  # noqa: FBT003 - the SDK's call
            span.set_status(Status(StatusCode.ERROR, "interrupted: the process ended before the span"))
            span.end()

    def shutdown(self) -> None:
        """Announce nothing more."""
        self._stopped.set()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Events are the delivery's to flush."""
        return self._delivery.force_flush(timeout_millis / 1000)


def _weakly(method: Callable[[], None]) -> Callable[[], None]:
    """The method, for a delivery that may live longer than its object."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        found = reference()
        if found is not None:
            found()

    return call


def _events(name: str, spans: Iterable[Span], now_unix_nano: int) -> ExportLogsServiceRequest:
    """One record for each span, under the resource and scope of the span."""
    request = ExportLogsServiceRequest()
    for resource_spans in encode_spans(list(spans)).resource_spans:
        resource_logs = request.resource_logs.add(resource=resource_spans.resource)
        for scope_spans in resource_spans.scope_spans:
            records = [_event(name, span, now_unix_nano) for span in scope_spans.spans]
            resource_logs.scope_logs.add(scope=scope_spans.scope, log_records=records)
    return request


def _event(name: str, span: SpanMessage, now_unix_nano: int) -> LogRecord:
    is_start = name == events.OTEL_LLM_SPAN_STARTED
    record = LogRecord(
        time_unix_nano=span.start_time_unix_nano if is_start else now_unix_nano,
        observed_time_unix_nano=now_unix_nano,
        severity_number=SeverityNumber.SEVERITY_NUMBER_INFO,
        event_name=name,
        trace_id=span.trace_id,
        span_id=span.span_id,
    )
    record.attributes.add(key=keys.OTEL_LLM_SPAN_NAME).value.string_value = span.name
    if span.parent_span_id:
        record.attributes.add(key=keys.OTEL_LLM_SPAN_PARENT_ID).value.string_value = span.parent_span_id.hex()
    record.attributes.extend(attribute for attribute in span.attributes if attribute.key in _KEPT)
    return record
