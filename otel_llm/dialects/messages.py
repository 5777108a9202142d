"""Messages of any convention, provider or framework as the conventions' messages.

The law of this module: pure functions that never raise, take time linear in their input, and change nothing that is in
the conventions' shape already, so that doing it twice is doing it once. What nobody understands is kept as text.
Source: semconv gen-ai-input-messages.json, gen-ai-output-messages.json, gen-ai-system-instructions.json.
"""

from __future__ import annotations

from dataclasses import dataclass

from otel_llm.dialects.messages_finish import canonical_finish_reason, canonical_finish_reasons
from otel_llm.dialects.messages_json import JsonObject, as_list, as_object, dump, parse_json
from otel_llm.dialects.messages_shapes import Reader
from otel_llm.dialects.messages_tools import canonical_tool_definitions, tool_arguments, tool_result

__all__ = [
    "Conversation",
    "canonical_finish_reason",
    "canonical_finish_reasons",
    "canonical_messages",
    "canonical_tool_definitions",
    "dump",
    "lift_system",
    "text_messages",
    "tool_arguments",
    "tool_result",
]


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a value says about a conversation.

    Attributes:
        messages: `{role, parts, name?}` each; one for each choice when it was a response. System messages that stood
            among the others are still there.
        system: parts of instructions that were given apart from the messages.
        finish_reasons: why the model stopped, in the conventions' words, for each choice that says so.
    """

    messages: list[JsonObject]
    system: list[JsonObject]
    finish_reasons: list[str]


def canonical_messages(value: object, default_role: str = "user") -> Conversation:
    """The messages that a value means.

    Args:
        value: a Python object, or a text. A text that is JSON of a known shape is read; any other is one message.
        default_role: the role of what has none: "user" for input, "assistant" for output.
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return _from_text(value, default_role)
    reader = Reader(default_role)
    if value is None or reader.read(value):
        return _conversation(reader)
    reader = Reader(default_role)
    texts = as_list(value)
    if texts is not None and all(isinstance(item, str) for item in texts):
        for text in texts:
            reader.add_text(str(text))
    elif as_object(value) or texts or not isinstance(value, dict | list | tuple):
        reader.add_text(dump(value))
    return _conversation(reader)


def text_messages(text: str, role: str) -> list[JsonObject]:
    """One message of a text that is known to be only that, whatever it looks like; none when it is empty."""
    return [{"role": role, "parts": [{"type": "text", "content": text}]}] if text else []


def lift_system(conversation: Conversation) -> Conversation:
    """The same conversation with its leading system messages moved to the instructions."""
    messages = conversation.messages
    count = next((i for i, message in enumerate(messages) if message["role"] != "system"), len(messages))
    lifted = [
        part for message in messages[:count] for part in as_list(message["parts"]) or () if isinstance(part, dict)
    ]
    return Conversation(messages[count:], [*conversation.system, *lifted], conversation.finish_reasons)


def _from_text(text: str, default_role: str) -> Conversation:
    parsed = parse_json(text) if text.lstrip()[:1] in ("{", "[", '"') else None
    if isinstance(parsed, str):  # MLflow quotes every value
        text = parsed
        parsed = parse_json(text) if text.lstrip()[:1] in ("{", "[") else None
    reader = Reader(default_role)
    if not isinstance(parsed, dict | list) or not (reader.read(parsed) or parsed in ([], {})):
        reader = Reader(default_role)
        reader.add_text(text)
    return _conversation(reader)


def _conversation(reader: Reader) -> Conversation:
    return Conversation(reader.messages, reader.system, reader.finish_reasons)
