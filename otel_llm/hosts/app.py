"""Instrumentation of one app: the engine, the loader and what telemetry goes to, once for each process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

from opentelemetry import _logs, metrics, trace

from otel_llm.admission import Admission
from otel_llm.hosts.private import Lender
from otel_llm.hosts.termination import Exits
from otel_llm.hosts.unsampled import UnsampledCosts
from otel_llm.instrumentation.admit import ended_of
from otel_llm.instrumentation.boundary import Boundary
from otel_llm.instrumentation.completion_hook import find as find_hook
from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.libraries import COMPANIONS
from otel_llm.instrumentation.loader import Choice, Loader
from otel_llm.instrumentation.outlet import Outlets
from otel_llm.instrumentation.settings import settings_from
from otel_llm.instrumentation.steps import STEPS


class Instrumentation:
    """The hooks of this process and what stands behind them.

    Attributes:
        engine: what makes telemetry.
        loader: what puts hooks in.
    """

    def __init__(self) -> None:
        self._lender = Lender(os.environ, self._end_pending)
        settings = settings_from(os.environ)
        self._outlets = Outlets(self._lender.lend, is_private=settings.private_providers)
        boundary = Boundary()
        hook = boundary.run("completion_hook", find_hook, settings.completion_hook)
        self.engine = Engine(self._outlets, settings, boundary=boundary, hook=hook)
        self._unsampled = UnsampledCosts()
        self.engine.unsampled = self._unsampled.ended
        self.loader = Loader(self.engine, companions=COMPANIONS)
        self._exits = Exits(self.flush)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What became of each library."""
        return self.loader.choices

    def _end_pending(self) -> None:
        self.engine.pending.close()

    def load(self) -> None:
        """Put the hooks in, and see to it that what they make is sent however the process ends."""
        self.loader.load()
        self.engine.boundary.run("exits", self._exits.watch)

    def unload(self) -> None:
        """Take everything out again."""
        self.loader.unload()
        self._exits.unwatch()
        self.engine.pending.close()

    def flush(self, timeout_seconds: float) -> bool:
        """Send what is waiting in our providers and the app's; whether all of it went in time."""
        flushed = [self._lender.flush(timeout_seconds)]
        for provider in (trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()):
            theirs = getattr(provider, "force_flush", None)
            if theirs is not None:
                flushed.append(bool(self.engine.boundary.run("flush", theirs, int(timeout_seconds * 1000))))
        return all(flushed)

    def forked(self) -> None:
        """This is a forked child."""
        self._lender.forked()
        self._outlets.forked()
        self._unsampled.forked()
        self.engine.forked()


class _Current:
    """The instrumentation of this process, guarded by `lock`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.instrumentation: Instrumentation | None = None


_current = _Current()


def instrument(
    *, admissions: Sequence[Admission] | None = None, redact: Callable[[str], str] | None = None
) -> Instrumentation:
    """Instrument this app; see `otel_llm.instrument`."""
    with _current.lock:
        if _current.instrumentation is None:
            _current.instrumentation = Instrumentation()
            STEPS.use(_current.instrumentation.engine)
            _register(_current.instrumentation)
        instrumentation = _current.instrumentation
        if admissions is not None:
            instrumentation.engine.admissions = tuple(admissions)
            instrumentation.engine.ended = ended_of(admissions, instrumentation.engine.boundary)
        if redact is not None:
            instrumentation.engine.redact_with(redact)
        instrumentation.load()
        return instrumentation


def _register(instrumentation: Instrumentation) -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=instrumentation.forked)


def uninstrument() -> None:
    """Take every hook out; see `otel_llm.uninstrument`."""
    with _current.lock:
        instrumentation, _current.instrumentation = _current.instrumentation, None
    if instrumentation is not None:
        STEPS.use(None)
        instrumentation.unload()


def flush(timeout_seconds: float) -> bool:
    """Send what is waiting; see `otel_llm.flush`."""
    with _current.lock:
        instrumentation = _current.instrumentation
    return instrumentation is None or instrumentation.flush(timeout_seconds)
