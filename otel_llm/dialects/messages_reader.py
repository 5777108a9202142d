"""What a value says about a conversation, and how it is collected piece by piece.

Parts and items that stand alone (OpenAI Responses, a list of Bedrock blocks) are gathered into one message as long as
they are of one role, so that one choice is one output message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from otel_llm.dialects.messages_chat import ChatMessage
from otel_llm.dialects.messages_finish import canonical_finish_reason
from otel_llm.dialects.messages_json import JsonObject, as_object
from otel_llm.dialects.messages_parts import canonical_parts

_ASSISTANT_PARTS: Final = frozenset({"tool_call", "reasoning", "server_tool_call", "server_tool_call_response"})


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


@dataclass(slots=True)
class Reader:
    """Collects a conversation.

    Attributes:
        default_role: the role of what has none.
        messages: as in Conversation.
        system: as in Conversation.
        finish_reasons: as in Conversation.
    """

    default_role: str
    messages: list[JsonObject] = field(default_factory=list)
    system: list[JsonObject] = field(default_factory=list)
    finish_reasons: list[str] = field(default_factory=list)
    # The parts of the last message, when loose parts may still join it.
    _open: list[JsonObject] | None = None

    def conversation(self) -> Conversation:
        """What was collected."""
        return Conversation(self.messages, self.system, self.finish_reasons)

    def add(self, message: ChatMessage) -> None:
        """Collect a whole message."""
        self.add_json(message.to_json(), message.finish_reason)

    def add_json(self, message: JsonObject, finish_reason: str | None = None) -> None:
        """Collect a whole message that is in the conventions' shape."""
        self.messages.append(message)
        self.finish(finish_reason)
        self._open = None

    def add_text(self, text: str, role: str | None = None) -> None:
        """Collect a message of one text; nothing when it is empty."""
        if text:
            self.add(ChatMessage(role or self.default_role, [{"type": "text", "content": text}]))

    def add_loose(self, part: JsonObject | None) -> None:
        """Collect a part that stands outside of a message; nothing when it is None."""
        if part is not None:
            self.add_loose_parts((part,), self._role_of(part))

    def add_loose_parts(self, parts: Iterable[JsonObject], role: str) -> None:
        """Collect parts that belong to the message before when that is of loose parts too, and of the same role."""
        if self._open is None or self.messages[-1]["role"] != role:
            self._open = []
            self.messages.append({"role": role, "parts": self._open})
        self._open += parts

    def add_all(self, found: Conversation) -> None:
        """Collect what was collected elsewhere."""
        self.close()
        self.messages += found.messages
        self.system += found.system
        self.finish_reasons += found.finish_reasons

    def finish(self, reason: object) -> None:
        """Collect a finish reason; nothing when it is not a text."""
        canonical = canonical_finish_reason(reason) if isinstance(reason, str) else ""
        if canonical:
            self.finish_reasons.append(canonical)

    def close(self) -> None:
        """What comes next begins a new message."""
        self._open = None

    def instruct(self, value: object) -> None:
        """Collect instructions that were given apart from the messages."""
        source = as_object(value)
        content = source["parts"] if source is not None and "parts" in source else value
        self.system += canonical_parts(content)

    def _role_of(self, part: Mapping[str, object]) -> str:
        kind = part["type"]
        if kind == "tool_call_response":
            return "tool"
        if kind in _ASSISTANT_PARTS:
            return "assistant"
        # A text after the model's reasoning is the model's.
        return str(self.messages[-1]["role"]) if self._open is not None and kind == "text" else self.default_role
