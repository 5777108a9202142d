"""A value of any shape as messages: the entry to the readers."""

from __future__ import annotations

from otel_llm.dialects.messages_json import JsonObject, as_list, dump, parse_json
from otel_llm.dialects.messages_reader import Conversation, Reader
from otel_llm.dialects.messages_shapes import read


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
    if not read(reader, value):
        for text in _texts(value):
            reader.add_text(text)
    return reader.conversation()


def known_messages(value: object, default_role: str = "user") -> Conversation | None:
    """The messages that a value means, None when it is not of a known shape; arguments as in `canonical_messages`."""
    if isinstance(value, str):
        value = parse_json(value) if value.lstrip()[:1] in ("{", "[") else None
    reader = Reader(default_role)
    return reader.conversation() if read(reader, value) else None


def text_messages(text: str, role: str) -> list[JsonObject]:
    """One message of a text that is known to be only that, whatever it looks like; none when it is empty."""
    return [{"role": role, "parts": [{"type": "text", "content": text}]}] if text else []


def lift_system(conversation: Conversation) -> Conversation:
    """The same conversation with its leading system messages moved to the instructions."""
    messages = conversation.messages
    count = next((i for i, message in enumerate(messages) if message["role"] != "system"), len(messages))
    parts = [part for message in messages[:count] for part in as_list(message["parts"]) or ()]
    lifted = [part for part in parts if isinstance(part, dict)]
    return Conversation(messages[count:], [*conversation.system, *lifted], conversation.finish_reasons)


def _from_text(text: str, default_role: str) -> Conversation:
    parsed = parse_json(text) if text.lstrip()[:1] in ("{", "[", '"') else None
    if isinstance(parsed, str):  # MLflow quotes every value
        text = parsed
        parsed = parse_json(text) if text.lstrip()[:1] in ("{", "[") else None
    reader = Reader(default_role)
    if not read(reader, parsed) and parsed not in ([], {}):
        reader.add_text(text)
    return reader.conversation()


def _texts(value: object) -> list[str]:
    """The texts of what is not of a known shape: those of a list of texts, else the value as JSON."""
    if value is None or value in ([], (), {}):
        return []
    texts = [item for item in as_list(value) or () if isinstance(item, str)]
    return texts if texts and len(texts) == len(as_list(value) or ()) else [dump(value)]
