"""The message events of one span, as older conventions log them, as the attributes of one details event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from otel_llm._generated import attributes as names
from otel_llm.dialects.messages import message_events
from otel_llm.operation import AttributeValue


def details_of(
    events: Sequence[tuple[str, Mapping[str, AttributeValue], AttributeValue]],
) -> dict[str, AttributeValue]:
    """Attributes of a `gen_ai.client.inference.operation.details` event that says the same.

    Args:
        events: name, attributes and body of each message event, in order.

    Returns:
        messages, system instructions and finish reasons, structured as the conventions want them on events; the
        operation is `chat`, but for the embeddings that OpenLLMetry logs in the same way.
    """
    if any(_is_vector(body) for _, _, body in events):  # an embedding: the vector is no answer, and too long to keep
        texts, _ = message_events([event for event in events if not _is_vector(event[2])])
        asked: dict[str, object] = {names.GEN_AI_INPUT_MESSAGES: texts.messages} if texts.messages else {}
        return cast("dict[str, AttributeValue]", {names.GEN_AI_OPERATION_NAME: "embeddings", **asked})
    sent, answered = message_events(events)
    found: dict[str, object] = {names.GEN_AI_OPERATION_NAME: "chat"}
    if sent.messages:
        found[names.GEN_AI_INPUT_MESSAGES] = sent.messages
    if sent.system:
        found[names.GEN_AI_SYSTEM_INSTRUCTIONS] = sent.system
    if answered.messages:
        found[names.GEN_AI_OUTPUT_MESSAGES] = answered.messages
    if answered.finish_reasons:
        found[names.GEN_AI_RESPONSE_FINISH_REASONS] = answered.finish_reasons
    return cast("dict[str, AttributeValue]", found)


# What the bodies of message events hold, in any of the generations that had them.
_UNDERSTOOD: Final = frozenset(
    {
        "role",
        "content",
        "message",
        "tool_calls",
        "finish_reason",
        "index",
        "id",
        "tool_call_id",
        "name",
        "refusal",
        "parts",
    }
)


def are_understood(events: Sequence[tuple[str, Mapping[str, AttributeValue], AttributeValue]]) -> bool:
    """Whether `details_of` can say all that these events say; when not, they are better left as they are."""
    return all(not isinstance(body, Mapping) or body.keys() <= _UNDERSTOOD for _, _, body in events)


def _is_vector(body: AttributeValue) -> bool:
    message = body.get("message") if isinstance(body, Mapping) else None
    content = message.get("content") if isinstance(message, Mapping) else None
    return isinstance(content, Sequence) and bool(content) and all(isinstance(one, float) for one in content)
