"""What tables cannot say: one function for each name that a table's `extract` may hold.

An extractor reads a convention's own keys, fills canonical ones that have no value yet, and discards what is used up.
It never raises, whatever the values are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_llm.dialects.extractors import (
    events,
    google_adk,
    langfuse,
    langsmith,
    litellm,
    logfire,
    mlflow,
    openinference,
    openlit,
    openllmetry,
    pydantic_ai,
    sentry,
    strands,
    vercel,
)
from otel_llm.dialects.steps import Step

EXTRACTORS: Final[Mapping[str, Step]] = {
    "google_adk": google_adk.extract,
    "langfuse": langfuse.extract,
    "langsmith": langsmith.extract,
    "litellm": litellm.extract,
    "logfire": logfire.extract,
    "message_events": events.message_events,
    "mlflow": mlflow.extract,
    "openinference": openinference.extract,
    "openlit": openlit.extract,
    "openllmetry": openllmetry.extract,
    "pydantic_ai": pydantic_ai.extract,
    "sentry": sentry.extract,
    "strands": strands.extract,
    "tool_events": events.tool_events,
    "vector_events": events.vector_events,
    "vercel": vercel.extract,
}
