"""Messages and documents that stand in span events."""

from __future__ import annotations

from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects import messages_events
from otel_llm.dialects.draft import Draft
from otel_llm.dialects.messages import tool_arguments, tool_result
from otel_llm.dialects.messages_documents import document
from otel_llm.dialects.messages_events import EVENT_NAMES
from otel_llm.dialects.messages_json import JsonObject

_RESULT_EVENTS: Final = frozenset({"db.query.result", "db.search.result"})


def message_events(draft: Draft) -> None:
    """Messages in span events, as conventions 1.26 to 1.36 and Strands write them."""
    found = [event for event in draft.operation.events if event.name in EVENT_NAMES]
    if not found:
        return
    sent, answered = messages_events.message_events([(event.name, event.attributes, None) for event in found])
    draft.fill_input(sent)
    draft.fill_output(answered)
    if not draft.keep_originals:
        draft.operation.remove_events({event.name for event in found})


def tool_events(draft: Draft) -> None:
    """Arguments and result of a tool call in message events, as Strands writes them on the tool's span."""
    if draft.operation.operation_name != "execute_tool":
        return
    for event in draft.operation.events:
        if event.name == "gen_ai.tool.message":
            draft.fill_text(names.GEN_AI_TOOL_CALL_ARGUMENTS, tool_arguments(event.attributes.get("content")))
        elif event.name == "gen_ai.choice":
            draft.fill_text(names.GEN_AI_TOOL_CALL_RESULT, tool_result(event.attributes.get("message")))
    if not draft.keep_originals:
        draft.operation.remove_events({"gen_ai.tool.message", "gen_ai.choice"})


def vector_events(draft: Draft) -> None:
    """Documents in the events of a vector database's span; a distance is not a score and stays metadata."""
    documents: list[JsonObject] = []
    for event in draft.operation.events:
        if event.name in _RESULT_EVENTS:
            fields = {key.removeprefix(f"{event.name}."): value for key, value in event.attributes.items()}
            documents += document({key: value for key, value in fields.items() if value is not None})
    if not documents:
        return
    draft.fill(names.GEN_AI_OPERATION_NAME, "retrieval")
    draft.fill_json(names.GEN_AI_RETRIEVAL_DOCUMENTS, documents)
    if not draft.keep_originals:
        draft.operation.remove_events(_RESULT_EVENTS)
