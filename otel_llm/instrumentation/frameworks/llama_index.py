"""LlamaIndex."""

from __future__ import annotations

from typing import Final

from otel_llm.instrumentation.frameworks.others import by_others

LIBRARY: Final = by_others(
    "opentelemetry-instrumentation-genai-llama-index",
    "openinference-instrumentation-llama-index",
    "opentelemetry-instrumentation-llamaindex",
)
