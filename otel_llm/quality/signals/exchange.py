"""What was asked and what was answered, read from messages in the conventions' form; their shape is not trusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from otel_llm.quality.signals.loops import REMEMBERED, Step, is_polling
from otel_llm.quality.signals.tool_calls import MAX_CALLS, ToolCall

Message = Mapping[str, object]

# The last messages tell whether an agent runs in circles; a long history is sent again with every call.
_HISTORY: Final = 4 * REMEMBERED
_LONGEST_HASHED: Final = 64 * 1024


# A msgspec struct and not a dataclass: one is made per operation, and a frozen dataclass takes five times as long.
class Answer(msgspec.Struct, frozen=True):
    """What the model answered, all choices together.

    Attributes:
        text: of the text parts.
        tool_calls: that the model asks for, the first 64.
        has_more: whether there is something other than text and tool calls: an image, reasoning.
        finish_reasons: of the messages.
    """

    text: str
    tool_calls: tuple[ToolCall, ...]
    has_more: bool
    finish_reasons: tuple[str, ...]


def read_answer(messages: Iterable[Message]) -> Answer:
    """The answer in output messages."""
    texts: list[str] = []
    calls: list[ToolCall] = []
    reasons: list[str] = []
    has_more = False
    for message in messages:
        reason = message.get("finish_reason")
        if isinstance(reason, str):
            reasons.append(reason)
        for part in _parts(message):
            kind = part.get("type")
            if kind == "text":
                texts.append(_text(part))
            elif kind == "tool_call":
                calls.append(_tool_call(part))
            else:
                has_more = True
    return Answer("\n".join(texts), tuple(calls[:MAX_CALLS]), has_more, tuple(reasons))


def last_question(messages: Sequence[Message]) -> str:
    """The text of the last message of the user; empty when there is none."""
    for message in reversed(messages):
        if message.get("role") == "user":
            text = text_of(_parts(message))
            if text:
                return text
    return ""


def text_of(parts: Iterable[Message]) -> str:
    """The text of the text parts among these."""
    return "\n".join(_text(part) for part in parts if part.get("type") == "text")


def steps_of(messages: Sequence[Message], answer: Answer) -> list[Step]:
    """The tool calls of the recent history and of the answer, in order, each with its result when that is there."""
    calls: list[tuple[str, ToolCall]] = []
    results: dict[str, object] = {}
    for message in messages[-_HISTORY:]:
        for part in _parts(message):
            kind = part.get("type")
            if kind == "tool_call":
                calls.append((str(part.get("id")), _tool_call(part)))
            elif kind == "tool_call_response":
                results[str(part.get("id"))] = part.get("response", part.get("result"))
    calls += [("", call) for call in answer.tool_calls]
    return [step_of(call, results.get(identifier)) for identifier, call in calls[-REMEMBERED:]]


def step_of(call: ToolCall, result: object) -> Step:
    """A tool call as what loops are found in."""
    return Step(
        hash((call.name, _hash(call.arguments))), None if result is None else _hash(result), is_polling(call.name)
    )


def _hash(value: object) -> int:
    """A hash of a JSON value; of JSON text and of what it means the same."""
    if isinstance(value, str):
        if len(value) > _LONGEST_HASHED or value[:1] not in "{[":
            return hash(value)
        try:
            value = msgspec.json.decode(value)
        except (msgspec.MsgspecError, RecursionError):
            return hash(value)
    try:
        return hash(msgspec.json.encode(value, order="sorted"))
    except (msgspec.MsgspecError, TypeError, RecursionError):
        return id(value)  # like nothing else


def _tool_call(part: Message) -> ToolCall:
    name = part.get("name")
    return ToolCall(name if isinstance(name, str) else "", part.get("arguments"))


def _parts(message: Message) -> Iterator[Message]:
    parts = message.get("parts")
    if isinstance(parts, Sequence) and not isinstance(parts, str | bytes):
        for part in parts:
            if isinstance(part, Mapping):
                yield part


def _text(part: Message) -> str:
    content = part.get("content")
    return content if isinstance(content, str) else ""
