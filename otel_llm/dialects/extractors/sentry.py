"""Sentry: the answer's texts and tool calls under keys of their own.

Source: sentry-sdk 2.75 (facts in semconv/dialects/sentry.yaml).
"""

from __future__ import annotations

from typing import Final

from otel_llm.dialects.draft import Draft
from otel_llm.dialects.messages import canonical_messages
from otel_llm.dialects.messages_json import as_list

_TEXT: Final = "gen_ai.response.text"
_CALLS: Final = "gen_ai.response.tool_calls"


def extract(draft: Draft) -> None:
    """Fill in what the table's renames cannot."""
    texts = as_list(draft.parsed(_TEXT)) or [draft.text(_TEXT)]
    parts = [{"type": "text", "text": text} for text in texts if isinstance(text, str) and text]
    calls = list(as_list(draft.parsed(_CALLS)) or ())
    if parts or calls:
        message = {"role": "assistant", "content": parts, "tool_calls": calls}
        draft.fill_output(canonical_messages([message], "assistant"))
        draft.discard((_TEXT, _CALLS))
