"""CrewAI, whose upstream instrumentation is not published so far."""

from __future__ import annotations

from typing import Final

from otel_llm.instrumentation.frameworks.others import by_others

LIBRARY: Final = by_others(
    "openinference-instrumentation-crewai",
    "opentelemetry-instrumentation-crewai",
)
