"""Providers of our own, for apps that have none: private, made at the first call, and anew in every forked child.

The law of this module: nothing global is set, so whatever the app or another SDK sets up later finds its place free.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from otel_llm.errors import ConfigError
from otel_llm.hosts import otlp
from otel_llm.hosts.anchor_events import AnchorEvents
from otel_llm.hosts.redaction_asked import redaction_of
from otel_llm.hosts.sdk import Ambient, Enriching
from otel_llm.hosts.termination import flush_at_sigterm
from otel_llm.instrumentation.boundary import Boundary
from otel_llm.instrumentation.outlet import Outlet

if TYPE_CHECKING:
    from opentelemetry.sdk._logs.export import LogRecordExporter
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.trace.export import SpanExporter

    from otel_llm.delivery.in_app import AppDelivery
    from otel_llm.hosts.redacting import Redaction

_logger = logging.getLogger(__name__)


class PrivateProviders:
    """Tracer, meter and logger provider of our own.

    A signal that OTEL_{TRACES,METRICS,LOGS}_EXPORTER switches off has a provider, too, which exports nothing. That of
    traces samples nothing: calls are counted, and admissions and log records have the ids of their trace.

    Args:
        environment: the app's.

    Raises:
        ConfigError: there is no way to export.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        resource = Resource.create()
        sent = otlp.signals_sent(environment)
        self._delivery = _delivery(environment)
        is_theirs = self._delivery is None  # then the SDK exports, and its providers see to their own end
        redaction = redaction_of(environment)
        exporters = _Exporters(self._delivery, redaction)
        self._loggers = LoggerProvider(resource=resource, shutdown_on_exit=is_theirs)
        # What holds telemetry back to send it together.
        self._spans: BatchSpanProcessor | None = None
        self._reader: PeriodicExportingMetricReader | None = None
        self._records: BatchLogRecordProcessor | None = None
        if "traces" in sent:
            self._tracers = TracerProvider(resource=resource, shutdown_on_exit=is_theirs)
            self._tracers.add_span_processor(Ambient())
            enriching = Enriching(exporters.spans())
            enriching.send_anchors_to(self._loggers)
            self._spans = BatchSpanProcessor(enriching)
            self._tracers.add_span_processor(self._spans)
        else:
            self._tracers = TracerProvider(ALWAYS_OFF, resource, shutdown_on_exit=is_theirs)
        if "metrics" in sent:
            self._reader = PeriodicExportingMetricReader(exporters.metrics())
        readers = [] if self._reader is None else [self._reader]
        self._meters = MeterProvider(readers, resource=resource, shutdown_on_exit=is_theirs)
        if "logs" in sent:
            self._records = BatchLogRecordProcessor(exporters.records())
            self._loggers.add_log_record_processor(self._records)
        if redaction is not None:
            redaction.send_anchors_to(self._loggers)
        self._anchors = AnchorEvents(Boundary(), self._loggers)
        if self._delivery is not None:
            self._watch(self._delivery, redaction)

    def outlet(self) -> Outlet:
        """Where hooks send telemetry."""
        return Outlet(self._tracers, self._meters, self._loggers)

    def _watch(self, delivery: AppDelivery, redaction: Redaction | None) -> None:
        """Before the process ends, what is open is ended, everything is handed over, and the delivery delivers."""
        from otel_llm.hosts.open_spans import OpenSpans  # noqa: PLC0415 - needs the exporter package

        if self._spans is not None:
            rewrite = None if redaction is None else redaction.rewritten_payload
            watching = OpenSpans(delivery, rewrite=rewrite, announces=self._records is not None)
            self._tracers.add_span_processor(watching)
        delivery.before_exit(self._hand_over)

    def _hand_over(self) -> None:
        """Have everything that is held given to the exporters. Unlike the providers' flush, this waits for nothing."""
        if self._spans is not None:
            self._spans.force_flush()
        if self._reader is not None:
            self._reader.collect()
        self._anchors.keep_up(is_ending=True)
        if self._records is not None:
            self._records.force_flush()

    def flush(self, timeout_seconds: float) -> bool:
        """Send what is waiting; whether all of it went in time."""
        if self._delivery is not None:
            self._hand_over()
            return self._delivery.force_flush(timeout_seconds)
        milliseconds = int(timeout_seconds * 1000)
        providers = (self._tracers, self._meters, self._loggers)
        flushed = [provider.force_flush(milliseconds) for provider in providers]
        return all(flushed)

    @property
    def is_ending(self) -> bool:
        """Whether the end of the process has begun, and sends what is waiting."""
        return self._delivery is not None and self._delivery.is_ending

    def terminate(self, timeout_seconds: float) -> None:
        """The process is ended from outside: end what is open, and send what is waiting."""
        if self._delivery is not None:
            self._delivery.flush_at_exit()
        else:
            self.flush(timeout_seconds)


class _Exporters:
    """Exporters of each signal: into the delivery, else those of the SDK; redacting where that is asked for.

    They are made when they are asked for: one of the SDK's may find its settings wrong, which is no problem of an app
    that does not want it.
    """

    def __init__(self, delivery: AppDelivery | None, redaction: Redaction | None) -> None:
        self._delivery = delivery
        self._redaction = redaction

    def spans(self) -> SpanExporter:
        """Of spans."""
        if self._delivery is None:
            exporter = otlp.span_exporter()
        else:
            from otel_llm.hosts.delivering import Delivering  # noqa: PLC0415 - needs the exporter package

            exporter = Delivering(self._delivery)
        return exporter if self._redaction is None else self._redaction.spans(exporter)

    def metrics(self) -> MetricExporter:
        """Of metrics."""
        if self._delivery is None:
            exporter = otlp.metric_exporter()
        else:
            from otel_llm.hosts.delivering_signals import DeliveringMetrics  # noqa: PLC0415 - as above

            exporter = DeliveringMetrics(self._delivery)
        return exporter if self._redaction is None else self._redaction.metrics(exporter)

    def records(self) -> LogRecordExporter:
        """Of log records."""
        if self._delivery is None:
            exporter = otlp.log_exporter()
        else:
            from otel_llm.hosts.delivering_signals import DeliveringLogs  # noqa: PLC0415 - as above

            exporter = DeliveringLogs(self._delivery)
        return exporter if self._redaction is None else self._redaction.records(exporter)


def _delivery(environment: Mapping[str, str]) -> AppDelivery | None:
    """Our own delivery, where all is installed that it needs."""
    try:
        import otel_llm.hosts.delivering_signals  # noqa: F401, PLC0415 - in the process that exports, not before
        from otel_llm.hosts.app_delivery import app_delivery  # noqa: PLC0415 - as above
    except ImportError:
        return None
    return app_delivery(environment)


class Lender:
    """Lends the private providers of this process to hooks that find no others.

    Args:
        environment: the app's.
        before_exit: called at exit before the providers shut down, to end what is still open.
    """

    def __init__(self, environment: Mapping[str, str], before_exit: Callable[[], None]) -> None:
        self._environment = environment
        self._before_exit = before_exit
        is_off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        self._is_disabled = is_off or not otlp.signals_sent(environment)
        self._providers: PrivateProviders | None = None

    def lend(self) -> Outlet | None:
        """The outlet; None when telemetry is switched off or cannot be exported, which is logged once."""
        if self._is_disabled:
            return None
        if self._providers is None:
            try:
                self._providers = PrivateProviders(self._environment)
                atexit.register(self._before_exit)  # after the providers' own, so it runs before them
                # Of whatever process: a forked child inherits the handler.
                flush_at_sigterm(self._terminate, self._is_ending)
            except ConfigError as error:
                self._is_disabled = True
                _logger.warning("GenAI calls are not exported: %s", error)
                return None
        return self._providers.outlet()

    def _is_ending(self) -> bool:
        return self._providers is not None and self._providers.is_ending

    def _terminate(self, timeout_seconds: float) -> None:
        if self._providers is not None:
            self._providers.terminate(timeout_seconds)

    def flush(self, timeout_seconds: float) -> bool:
        """Send what is waiting; whether all of it went in time."""
        return self._providers is None or self._providers.flush(timeout_seconds)

    def forked(self) -> None:
        """This is a forked child: its parent's providers stay its parent's."""
        self._providers = None
