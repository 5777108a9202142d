"""Where telemetry of hooks goes: the app's own OpenTelemetry providers, else what our host offers.

The law of this module: the app's set-up is never replaced. A global provider that the app (or another SDK) sets, now or
later, is used as it is. As long as there is none, a host of ours may lend private ones, which stay private.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from opentelemetry import _logs, metrics, trace
from opentelemetry._logs import Logger, LoggerProvider, NoOpLoggerProvider
from opentelemetry.metrics import Meter, MeterProvider, NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider, Tracer, TracerProvider

from otel_llm import __version__
from otel_llm.instrumentation.instruments import Instruments
from otel_llm.instrumentation.step_instruments import StepInstruments

SCOPE: Final = "otel_llm.instrumentation"


class Outlet:
    """Tracer, instruments and logger of one set-up.

    Args:
        tracers: makes the tracer.
        meters: makes the instruments.
        loggers: makes the logger.
    """

    __slots__ = ("instruments", "logger", "loggers", "meter", "meters", "steps", "tracer", "tracers")

    def __init__(self, tracers: TracerProvider, meters: MeterProvider, loggers: LoggerProvider) -> None:
        self.tracers, self.meters, self.loggers = tracers, meters, loggers  # for emitters of others
        self.tracer: Tracer = tracers.get_tracer(SCOPE, __version__)
        self.meter: Meter = meters.get_meter(SCOPE, __version__)
        self.instruments = Instruments(self.meter)
        self.steps = StepInstruments(self.meter)
        self.logger: Logger = loggers.get_logger(SCOPE, __version__)


SILENT: Final = Outlet(NoOpTracerProvider(), NoOpMeterProvider(), NoOpLoggerProvider())
"""For calls that somebody else reports, or nobody is to."""


class Outlets:
    """Finds the outlet for each call.

    Args:
        lend: makes the private outlet when a call finds no global TracerProvider; None when there is none to lend.
        is_private: whether the private one is used even where there is a global TracerProvider.
    """

    __slots__ = ("_global", "_is_private", "_lend", "_private")

    def __init__(self, lend: Callable[[], Outlet | None] | None = None, *, is_private: bool = False) -> None:
        self._lend = lend
        self._is_private = is_private
        self._global: Outlet | None = None
        self._private: Outlet | None = None

    def current(self) -> Outlet:
        """The outlet to use now. Once the app has a TracerProvider of its own, it is that one for good."""
        if self._global is not None:
            return self._global
        is_free = self._is_private or isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
        if self._lend is not None and is_free:
            if self._private is None:
                self._private = self._lend()
            if self._private is not None:
                return self._private
            if self._is_private:
                return SILENT
        # Proxies, where nothing is set so far: they find what is set later.
        self._global = Outlet(trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider())
        return self._global

    def forked(self) -> None:
        """This is a forked child, which is lent an outlet of its own."""
        self._private = None
        if self._global is not None:
            self._global.instruments.forked()


class FixedOutlet:
    """An Outlets that always finds the same one: for providers that the app hands over, and for tests."""

    __slots__ = ("_outlet",)

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    def current(self) -> Outlet:
        """The outlet."""
        return self._outlet
