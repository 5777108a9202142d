"""Providers of our own, for apps that have none: private, made at the first call, and anew in every forked child.

The law of this module: nothing global is set, so whatever the app or another SDK sets up later finds its place free.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable, Mapping

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_llm.errors import ConfigError
from otel_llm.hosts import otlp
from otel_llm.hosts.sdk import Ambient, Enriching
from otel_llm.hosts.termination import flush_at_sigterm
from otel_llm.instrumentation.outlet import Outlet

_logger = logging.getLogger(__name__)


class PrivateProviders:
    """Tracer, meter and logger provider of our own.

    Raises:
        ConfigError: there is no way to export.
    """

    def __init__(self) -> None:
        resource = Resource.create()
        self._tracers = TracerProvider(resource=resource)
        self._tracers.add_span_processor(Ambient())
        self._tracers.add_span_processor(BatchSpanProcessor(Enriching(otlp.span_exporter())))
        reader = PeriodicExportingMetricReader(otlp.metric_exporter())
        self._meters = MeterProvider([reader], resource=resource)
        self._loggers = LoggerProvider(resource=resource)
        self._loggers.add_log_record_processor(BatchLogRecordProcessor(otlp.log_exporter()))

    def outlet(self) -> Outlet:
        """Where hooks send telemetry."""
        return Outlet(self._tracers, self._meters, self._loggers)

    def flush(self, timeout_seconds: float) -> bool:
        """Send what is waiting; whether all of it went in time."""
        milliseconds = int(timeout_seconds * 1000)
        providers = (self._tracers, self._meters, self._loggers)
        flushed = [provider.force_flush(milliseconds) for provider in providers]
        return all(flushed)


class Lender:
    """Lends the private providers of this process to hooks that find no others.

    Args:
        environment: the app's.
        before_exit: called at exit before the providers shut down, to end what is still open.
    """

    def __init__(self, environment: Mapping[str, str], before_exit: Callable[[], None]) -> None:
        self._before_exit = before_exit
        self._is_disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or (
            environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
        )
        self._providers: PrivateProviders | None = None

    def lend(self) -> Outlet | None:
        """The outlet; None when telemetry is switched off or cannot be exported, which is logged once."""
        if self._is_disabled:
            return None
        if self._providers is None:
            try:
                self._providers = PrivateProviders()
                atexit.register(self._before_exit)  # after the providers' own, so it runs before them
                flush_at_sigterm(self.flush)
            except ConfigError as error:
                self._is_disabled = True
                _logger.warning("GenAI calls are not exported: %s", error)
                return None
        return self._providers.outlet()

    def flush(self, timeout_seconds: float) -> bool:
        """Send what is waiting; whether all of it went in time."""
        return self._providers is None or self._providers.flush(timeout_seconds)

    def forked(self) -> None:
        """This is a forked child: its parent's providers stay its parent's."""
        self._providers = None
