"""Instrumentations of others, found by entry point and switched on: one for each framework, the best that is installed.

Frameworks change with every release, and upstream follows them; what it emits is read as any other convention. Model
calls below are reported by it and by our hooks; which of the two is billed is decided by the cost processor.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Final

from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.loader import Library, Status
from otel_llm.instrumentation.patches import Patches

_GROUP: Final = "opentelemetry_instrumentor"


def by_others(*distributions: str) -> Library:
    """A library whose spans are made by the first of these distributions that is installed."""

    def emitter(engine: Engine, patches: Patches, _: ModuleType) -> tuple[Status, str]:
        entry = first_installed(distributions)
        if entry is None:
            return "missing", f"nothing that makes its spans is installed; pip install {distributions[0]}"
        instrumentor: Any = entry.load()()
        name = entry.dist.name if entry.dist is not None else entry.value
        if getattr(instrumentor, "is_instrumented_by_opentelemetry", False):
            return "other", f"{name} is switched on already"
        outlet = engine.outlet()
        switch_on = functools.partial(
            instrumentor.instrument,
            tracer_provider=outlet.tracers,
            meter_provider=outlet.meters,
            logger_provider=outlet.loggers,
            skip_dep_check=True,  # versions it was not tried with are better tried than refused
        )
        if not engine.boundary.run(f"{name}.instrument", _done, switch_on):
            return "missing", f"{name} cannot be switched on with this version of the library; see the log"
        patches.undo.append(_undoing(instrumentor))
        return "other", f"{name} is switched on"

    return Library(emitter=emitter)


def _done(step: Callable[[], object]) -> bool:
    step()
    return True


def first_installed(distributions: tuple[str, ...]) -> EntryPoint | None:
    """The instrumentor of the first of these distributions that is installed; None when none is."""
    found = {entry.dist.name: entry for entry in entry_points(group=_GROUP) if entry.dist is not None}
    return next((found[name] for name in distributions if name in found), None)


def _undoing(instrumentor: Any) -> Callable[[], None]:  # noqa: ANN401 - an instrumentor of others
    def undo() -> None:
        instrumentor.uninstrument()

    return undo
