"""Pydantic AI: the whole conversation on the agent's span, older formats as events in JSON.

Source: pydantic-ai 2.68, formats 1 to 6 (facts in semconv/dialects/pydantic_ai.yaml).
"""

from __future__ import annotations

from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.draft import Draft
from otel_llm.dialects.messages import Conversation, canonical_messages
from otel_llm.dialects.messages_events import message_events_json

_EVENTS: Final = ("events", "all_messages_events")
_ALL: Final = "pydantic_ai.all_messages"
_RESULT: Final = "final_result"


def extract(draft: Draft) -> None:
    """Fill in what the table's renames cannot."""
    if draft.operation.operation_name is None:
        _name(draft)
    for key in _EVENTS:
        if draft.get(key) is not None:
            sent, answered = message_events_json(draft.get(key))
            draft.fill_input(sent)
            draft.fill_output(answered)
    if draft.get(_ALL) is not None:
        _agent(draft)
    draft.discard((*_EVENTS, _ALL))


def _name(draft: Draft) -> None:
    """Before format 3 the span's name was all that said what it is."""
    if draft.operation.name.startswith("running tool") and draft.get(names.GEN_AI_TOOL_NAME) is not None:
        draft.fill(names.GEN_AI_OPERATION_NAME, "execute_tool")
    elif draft.was_given(("agent_name", *_EVENTS[1:], _ALL)):
        draft.fill(names.GEN_AI_OPERATION_NAME, "invoke_agent")


def _agent(draft: Draft) -> None:
    """What the agent was given is up to its last answer; the answer is its output."""
    whole = canonical_messages(draft.get(_ALL))
    ends = bool(whole.messages) and whole.messages[-1]["role"] == "assistant"
    count = len(whole.messages) - ends
    draft.fill_input(Conversation(whole.messages[:count], whole.system, []))
    draft.fill_output(Conversation(whole.messages[count:], [], []))
    if ends and isinstance(draft.get(_RESULT), str):
        draft.discard((_RESULT,))
