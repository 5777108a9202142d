"""The OpenAI Agents SDK."""

from __future__ import annotations

from typing import Final

from otel_llm.instrumentation.frameworks.others import by_others

LIBRARY: Final = by_others(
    "opentelemetry-instrumentation-genai-openai-agents",
    "openinference-instrumentation-openai-agents",
    "opentelemetry-instrumentation-openai-agents",
)
