"""Sentry: the answer's tool calls under a key of their own.

Source: sentry-sdk 2.75 (facts in semconv/dialects/sentry.yaml).
"""

from __future__ import annotations

from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.draft import Draft
from otel_llm.dialects.messages import canonical_messages, dump
from otel_llm.dialects.messages_json import as_list, parse_json

_CALLS: Final = "gen_ai.response.tool_calls"


def extract(draft: Draft) -> None:
    """Fill in what the table's renames cannot."""
    calls = as_list(draft.parsed(_CALLS))
    if not calls:
        return
    held = draft.get(names.GEN_AI_OUTPUT_MESSAGES)
    messages = as_list(parse_json(held) if isinstance(held, str) else None) or ()
    added = canonical_messages([{"role": "assistant", "tool_calls": list(calls)}], "assistant").messages
    if added:
        draft.operation.set(names.GEN_AI_OUTPUT_MESSAGES, dump([*messages, *added]))
        draft.discard((_CALLS,))
