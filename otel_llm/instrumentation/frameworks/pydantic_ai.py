"""Pydantic AI traces itself: that is switched on for all agents, with content as the settings have it.

An agent or a default that the app has set is the app's own and stays.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, Final

from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.loader import Library, Status
from otel_llm.instrumentation.patches import Patches


def _switch_on(engine: Engine, patches: Patches, module: ModuleType) -> tuple[Status, str]:
    agents: Any = module.Agent
    before = agents._instrument_default  # noqa: SLF001 - there is no other way to ask
    if before:
        return "native", "Agent.instrument_all: the app has switched it on"
    outlet = engine.outlet()
    settings = engine.settings
    made = importlib.import_module("pydantic_ai.models.instrumented").InstrumentationSettings(
        tracer_provider=outlet.tracers,
        meter_provider=outlet.meters,
        include_content=settings.capture == "full" and settings.content_on_spans,
        include_binary_content=False,
    )
    agents.instrument_all(made)
    patches.undo.append(lambda: agents.instrument_all(before))
    return "native", "Agent.instrument_all is switched on"


LIBRARY: Final = Library(emitter=_switch_on)
