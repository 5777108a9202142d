"""Messages that came as events: log records or span events, one for each message.

The conventions of 1.28 to 1.36 had `gen_ai.{system,user,assistant,tool}.message` and `gen_ai.choice`, with the message
in the body of a log record; those of 1.26 and 1.27 had `gen_ai.content.prompt` and `.completion`. Azure writes the body
as JSON into an attribute, Strands writes Bedrock content blocks into attributes.
Source: semantic-conventions v1.28.0 and v1.36.0, docs/gen-ai/gen-ai-events.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from otel_llm.dialects.messages_canonical import canonical_messages
from otel_llm.dialects.messages_chat import finish_reason_of, read_message
from otel_llm.dialects.messages_json import as_list, as_object, as_text, parse_container
from otel_llm.dialects.messages_parts import canonical_parts, is_part
from otel_llm.dialects.messages_reader import Conversation, Reader

# (name, attributes, body); the body is None for a span event.
MessageEvent: TypeAlias = tuple[str, Mapping[str, object], object]

# The names of events that hold messages.
EVENT_NAMES: Final = frozenset(
    {
        "gen_ai.system.message",
        "gen_ai.user.message",
        "gen_ai.assistant.message",
        "gen_ai.tool.message",
        "gen_ai.choice",
        "gen_ai.content.prompt",
        "gen_ai.content.completion",
        "gen_ai.client.inference.operation.details",
    }
)
_ROLE_LINE: Final = re.compile(r"^(system|developer|user|assistant|tool): ", re.MULTILINE)


def message_events(events: Sequence[MessageEvent]) -> tuple[Conversation, Conversation]:
    """What was sent to the model, and what it answered.

    Args:
        events: the events of one operation in their order; those that hold no message are passed over.
    """
    sent, answered = Reader("user"), Reader("assistant")
    for name, attributes, body in events:
        if name == "gen_ai.client.inference.operation.details":
            _read_details(sent, answered, attributes)
        elif name == "gen_ai.content.prompt":
            _read_prompt(sent, attributes.get("gen_ai.prompt"))
        elif name == "gen_ai.content.completion":
            answered.add_all(canonical_messages(attributes.get("gen_ai.completion"), "assistant"))
        elif name == "gen_ai.choice":
            _read_choice(answered, _payload(attributes, body))
        elif name in EVENT_NAMES:
            _read_message(sent, name.split(".")[1], _payload(attributes, body))
    return sent.conversation(), answered.conversation()


def message_events_json(value: object) -> tuple[Conversation, Conversation]:
    """The same for events in one JSON text or list, as Pydantic AI's first format and Logfire's `events` have them."""
    items = as_list(parse_container(value) if isinstance(value, str) else value) or ()
    sources = (as_object(item) for item in items)
    return message_events([(str(source.get("event.name")), {}, source) for source in sources if source])


def _payload(attributes: Mapping[str, object], body: object) -> Mapping[str, object]:
    """What an event says: its body, the JSON in Azure's attribute, or its attributes."""
    source = as_object(parse_container(body) if isinstance(body, str) else body)
    if source:
        return source
    content = attributes.get("gen_ai.event.content")
    source = as_object(parse_container(content) if isinstance(content, str) else content)
    if source:
        return source
    if isinstance(body, str) and body:
        return {**attributes, "content": body}
    return attributes


def _read_message(reader: Reader, role: str, payload: Mapping[str, object]) -> None:
    source = {key: value for key, value in payload.items() if key in _MESSAGE_KEYS}
    source["content"] = _blocks(source.get("content"))
    reader.add(read_message({"role": role, **source}, role))


_MESSAGE_KEYS: Final = frozenset({"role", "content", "tool_calls", "id", "tool_call_id", "name", "refusal", "parts"})


def _read_choice(reader: Reader, payload: Mapping[str, object]) -> None:
    value = payload.get("message")
    message = as_object(parse_container(value) if isinstance(value, str) else value)
    if message is None:
        message = {"content": _blocks(payload.get("content") if value is None else value)}
    calls = payload.get("tool_calls")
    if calls is not None and "tool_calls" not in message:
        message = {**message, "tool_calls": calls}
    read = read_message({"role": "assistant", **message, "content": _blocks(message.get("content"))}, "assistant")
    reader.add(read)
    if read.finish_reason is None:
        reader.finish(finish_reason_of(payload))


def _blocks(content: object) -> object:
    """The content blocks that a JSON text holds, else the content as it is."""
    if not isinstance(content, str):
        return content
    items = as_list(parse_container(content)) if content.startswith("[") else None
    objects = [item for item in items or () if isinstance(item, dict)]
    return objects if objects and len(objects) == len(items or ()) and all(map(is_part, objects)) else content


def _read_details(sent: Reader, answered: Reader, attributes: Mapping[str, object]) -> None:
    """The event of 1.37 and later has what a span has."""
    for reader, key, role in (
        (sent, "gen_ai.input.messages", "user"),
        (answered, "gen_ai.output.messages", "assistant"),
    ):
        if attributes.get(key) is not None:
            reader.add_all(canonical_messages(attributes[key], role))
    instructions = attributes.get("gen_ai.system_instructions")
    parsed = parse_container(instructions) if isinstance(instructions, str) else None
    sent.system += canonical_parts(instructions if parsed is None else parsed)


def _read_prompt(reader: Reader, prompt: object) -> None:
    """A prompt: JSON of messages, or the lines `role: content` that OpenLIT joined."""
    text = as_text(prompt)
    starts = [] if text is None or parse_container(text) is not None else list(_ROLE_LINE.finditer(text))
    if text is None or not starts or starts[0].start() != 0:
        reader.add_all(canonical_messages(prompt))
        return
    ends = [match.start() - 1 for match in starts[1:]] + [len(text)]
    for match, end in zip(starts, ends, strict=True):
        reader.add_text(text[match.end() : end], match[1])
