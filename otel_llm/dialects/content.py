"""Content that stands under canonical keys but not in the canonical shape.

Between the conventions' generations and libraries' readings of them, `gen_ai.input.messages` and its like hold OpenAI
messages, Anthropic blocks, plain text, reprs. Read once here; what is canonical already stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.draft import Draft
from otel_llm.dialects.messages import (
    Conversation,
    canonical_messages,
    canonical_tool_definitions,
    dump,
    lift_system,
    tool_arguments,
    tool_result,
)
from otel_llm.dialects.messages_documents import canonical_documents
from otel_llm.dialects.messages_json import JsonObject, parse_json
from otel_llm.operation import AttributeValue


def _set_json(draft: Draft, key: str, value: list[JsonObject]) -> None:
    """Set the JSON text of a list, unless the text that is there says the same; an empty list removes the key."""
    held = draft.get(key)
    if not value:
        draft.operation.remove(key)
    elif not isinstance(held, str) or parse_json(held) != value:
        draft.operation.set(key, dump(value))


def input_messages(draft: Draft) -> None:
    """`gen_ai.input.messages`, and the instructions among them."""
    conversation = canonical_messages(draft.get(names.GEN_AI_INPUT_MESSAGES))
    lifted = lift_system(conversation)
    if draft.gives_instructions_apart():
        conversation = lifted
        draft.fill_json(names.GEN_AI_SYSTEM_INSTRUCTIONS, conversation.system)
    elif lifted.system and lifted.system == _instructions(draft.get(names.GEN_AI_SYSTEM_INSTRUCTIONS)).system:
        draft.operation.remove(names.GEN_AI_SYSTEM_INSTRUCTIONS)  # said twice
    _set_json(draft, names.GEN_AI_INPUT_MESSAGES, conversation.messages)


def output_messages(draft: Draft) -> None:
    """`gen_ai.output.messages`, and the finish reasons in them."""
    conversation = canonical_messages(draft.get(names.GEN_AI_OUTPUT_MESSAGES), "assistant")
    said = any(message.get("parts") for message in conversation.messages)
    _set_json(draft, names.GEN_AI_OUTPUT_MESSAGES, conversation.messages if said else [])
    if conversation.finish_reasons:
        draft.fill(names.GEN_AI_RESPONSE_FINISH_REASONS, list(conversation.finish_reasons))


def system_instructions(draft: Draft) -> None:
    """`gen_ai.system_instructions`: parts, where libraries also write plain text or messages."""
    conversation = _instructions(draft.get(names.GEN_AI_SYSTEM_INSTRUCTIONS))
    _set_json(draft, names.GEN_AI_SYSTEM_INSTRUCTIONS, conversation.system)


def _instructions(value: AttributeValue) -> Conversation:
    conversation = canonical_messages(value, "system")
    parts = [part for message in conversation.messages for part in _parts(message)]
    return Conversation([], [*conversation.system, *parts], [])


def _parts(message: JsonObject) -> list[JsonObject]:
    parts = message.get("parts")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def tool_definitions(draft: Draft) -> None:
    """`gen_ai.tool.definitions`."""
    _set_json(
        draft, names.GEN_AI_TOOL_DEFINITIONS, canonical_tool_definitions(draft.get(names.GEN_AI_TOOL_DEFINITIONS))
    )


def documents(draft: Draft) -> None:
    """`gen_ai.retrieval.documents`."""
    found = canonical_documents(draft.get(names.GEN_AI_RETRIEVAL_DOCUMENTS))
    _set_json(draft, names.GEN_AI_RETRIEVAL_DOCUMENTS, found)


def arguments(draft: Draft) -> None:
    """`gen_ai.tool.call.arguments` out of the envelopes that frameworks wrap them in."""
    _unwrap(draft, names.GEN_AI_TOOL_CALL_ARGUMENTS, tool_arguments)


def result(draft: Draft) -> None:
    """`gen_ai.tool.call.result` out of the envelopes that frameworks wrap it in."""
    _unwrap(draft, names.GEN_AI_TOOL_CALL_RESULT, tool_result)


def _unwrap(draft: Draft, key: str, read: Callable[[object], object]) -> None:
    held = draft.get(key)
    value = read(held)
    text = value if isinstance(value, str) else dump(value)
    if text != held and not (isinstance(held, str) and not isinstance(value, str) and parse_json(held) == value):
        draft.operation.set(key, text)


# Canonical key -> how its content is read.
READERS: Final[Mapping[str, Callable[[Draft], None]]] = {
    names.GEN_AI_SYSTEM_INSTRUCTIONS: system_instructions,
    names.GEN_AI_INPUT_MESSAGES: input_messages,
    names.GEN_AI_OUTPUT_MESSAGES: output_messages,
    names.GEN_AI_TOOL_DEFINITIONS: tool_definitions,
    names.GEN_AI_RETRIEVAL_DOCUMENTS: documents,
    names.GEN_AI_TOOL_CALL_ARGUMENTS: arguments,
    names.GEN_AI_TOOL_CALL_RESULT: result,
}
