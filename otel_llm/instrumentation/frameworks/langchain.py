"""LangChain and LangGraph."""

from __future__ import annotations

from typing import Final

from otel_llm.instrumentation.frameworks.others import by_others

LIBRARY: Final = by_others(
    "opentelemetry-instrumentation-genai-langchain",
    "openinference-instrumentation-langchain",
    "opentelemetry-instrumentation-langchain",
)
