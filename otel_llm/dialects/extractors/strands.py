"""Strands: a tool that failed says so under a key of its own.

Source: strands 1.62 (facts in semconv/dialects/strands.yaml).
"""

from __future__ import annotations

from otel_llm._generated import attributes as names
from otel_llm.dialects.draft import Draft


def extract(draft: Draft) -> None:
    """Fill in what the table's renames cannot."""
    if draft.get("gen_ai.tool.status") == "error":
        draft.fill(names.ERROR_TYPE, "tool_error")
