"""What tables cannot say: one function for each name that a table's `extract` may hold.

An extractor reads a convention's own keys, fills canonical ones that have no value yet, and discards what is used up.
It never raises, whatever the values are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_llm.dialects.extractors import events, openinference, openlit, openllmetry
from otel_llm.dialects.steps import Step

EXTRACTORS: Final[Mapping[str, Step]] = {
    "message_events": events.message_events,
    "openinference": openinference.extract,
    "openlit": openlit.extract,
    "openllmetry": openllmetry.extract,
    "vector_events": events.vector_events,
}
