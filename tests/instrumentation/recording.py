"""An app's OpenTelemetry set-up with everything kept in memory, and an engine that reports to it."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from otel_llm.admission import Admission
from otel_llm.instrumentation.call import Call
from otel_llm.instrumentation.completion_hook import find
from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.libraries import COMPANIONS, LIBRARIES
from otel_llm.instrumentation.loader import Loader
from otel_llm.instrumentation.outlet import FixedOutlet, Outlet
from otel_llm.instrumentation.settings import settings_from
from otel_llm.instrumentation.streams import Watch, WatchedAsyncIterator, WatchedIterator

try:
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
except ImportError:  # before 1.35 or so
    from opentelemetry.sdk._logs.export import InMemoryLogExporter as InMemoryLogRecordExporter

CONTENT = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}


def left_of_calls() -> list[str]:
    """Objects of ours that calls have left behind."""
    kinds = (Call, Watch, WatchedAsyncIterator, WatchedIterator)
    return [type(one).__name__ for one in gc.get_objects() if type(one) in kinds]


class Recording:
    """What an app's set-up received.

    Args:
        sampler: the app's.
        processors: span processors of the app before the recorder.
        limits: of the app's spans; the SDK's own by default.
    """

    def __init__(
        self,
        sampler: Sampler = ALWAYS_ON,
        processors: Sequence[SpanProcessor] = (),
        limits: SpanLimits | None = None,
    ) -> None:
        self._spans = InMemorySpanExporter()
        self.tracers = TracerProvider(sampler=sampler, span_limits=limits, shutdown_on_exit=False)
        for processor in processors:
            self.tracers.add_span_processor(processor)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._metrics = InMemoryMetricReader()
        self.meters = MeterProvider([self._metrics], shutdown_on_exit=False)
        self._logs = InMemoryLogRecordExporter()
        self.loggers = LoggerProvider(shutdown_on_exit=False)
        self.loggers.add_log_record_processor(SimpleLogRecordProcessor(self._logs))

    def engine(self, environment: Mapping[str, str] | None = None, admissions: Sequence[Admission] = ()) -> Engine:
        """An engine that reports here."""
        outlet = Outlet(self.tracers, self.meters, self.loggers)
        settings = settings_from(environment or {})
        return Engine(FixedOutlet(outlet), settings, admissions=admissions, hook=find(settings.completion_hook))

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that have ended."""
        return self._spans.get_finished_spans()

    def span(self) -> ReadableSpan:
        """The one span that has ended."""
        [span] = self.spans
        return span

    def attributes(self) -> dict[str, Any]:
        """The attributes of the one span."""
        return dict(self.span().attributes or {})

    def clear(self) -> None:
        """Forget the spans and events so far."""
        self._spans.clear()
        self._logs.clear()

    def events(self) -> list[Any]:
        """The log records so far."""
        return [entry.log_record for entry in self._logs.get_finished_logs()]

    def points(self) -> dict[str, list[Any]]:
        """The data points by metric."""
        data = self._metrics.get_metrics_data()
        found: dict[str, list[Any]] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    found.setdefault(metric.name, []).extend(metric.data.data_points)
        return found

    @contextmanager
    def hooked(
        self,
        *libraries: str,
        environment: Mapping[str, str] | None = None,
        admissions: Sequence[Admission] = (),
        engine: Engine | None = None,
    ) -> Iterator[Loader]:
        """The hooks of these libraries in place."""
        loader = Loader(
            engine or self.engine(environment, admissions),
            {name: {**LIBRARIES, **COMPANIONS}[name] for name in libraries},
            environment or {},
        )
        loader.load()
        try:
            yield loader
        finally:
            loader.unload()
