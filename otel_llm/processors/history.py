"""The processor that tells the history of a conversation once: what a span before holds becomes a reference to it.

It stands last of all that read messages. Tokens, costs and everything else on the span are as they were. What it
remembers is its own: another worker, another pipeline's processor and the one after a reload begin anew, and each
refers only to spans that went through it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec

from otel_llm._generated import attributes as names
from otel_llm.components import Context
from otel_llm.cost.recent import Recent
from otel_llm.history import Conversation, shorten_messages, shorten_value
from otel_llm.operation import Operation

_ID_BYTES: Final = 24
_VALUES: Final = (names.GEN_AI_SYSTEM_INSTRUCTIONS, names.GEN_AI_TOOL_DEFINITIONS)
_SHORTENED: Final = frozenset({names.GEN_AI_INPUT_MESSAGES, *_VALUES})
_SERVICE: Final = ("service.namespace", "service.name")


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tells the history of a conversation once: references stand where an earlier span holds the same messages."""

    within: Literal["conversation", "trace"] = "conversation"
    """How far references may lead: to spans of the same `gen_ai.conversation.id` and service (of the same trace, for
    spans without one), or never out of the trace: then a sampler that decides on traces cannot part them."""

    remembered_messages: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 50_000
    """How many messages of late are known again, at least; twice as many at most, some 250 bytes each. What is
    forgotten is told again."""


class History:
    """Shortens the input of operations; thread-safe.

    Args:
        config: the settings.
        name: its id in the configuration.
    """

    reads: frozenset[str] = frozenset(
        {*_SHORTENED, names.GEN_AI_OUTPUT_MESSAGES, names.GEN_AI_CONVERSATION_ID, names.OTEL_LLM_HISTORY_REPLACED}
    )
    writes: frozenset[str] = frozenset({*_SHORTENED, names.OTEL_LLM_HISTORY_MESSAGES, names.OTEL_LLM_HISTORY_REPLACED})
    shortens: frozenset[str] = _SHORTENED

    def __init__(self, config: Config | None = None, name: str = "history") -> None:
        config = config or Config()
        self.name = name
        self._is_within_trace = config.within == "trace"
        # Threads may share it. Two that hold the same message at the same time may both tell it, no more than that.
        self._memory: Recent[bytes, bytes] = Recent(config.remembered_messages)

    def process(self, operations: Iterable[Operation]) -> None:
        """Shorten them, in their order."""
        for operation in operations:
            if not _SHORTENED.isdisjoint(operation.keys()):
                self._shorten(operation)

    def _shorten(self, operation: Operation) -> None:
        trace_id, span_id, _ = operation.identity
        span = trace_id + span_id
        # Without ids nobody could refer to it; and what is short already was shortened by one like us before us.
        if len(span) != _ID_BYTES or not any(span_id) or operation.get(names.OTEL_LLM_HISTORY_REPLACED) is not None:
            return
        conversation = self._conversation(operation)
        changed: dict[str, str | int] = {}
        messages = operation.text(names.GEN_AI_INPUT_MESSAGES)
        if messages is not None:
            output = operation.text(names.GEN_AI_OUTPUT_MESSAGES)
            shorter = shorten_messages(conversation, span, messages, output, self._memory)
            if shorter is not None:
                changed[names.GEN_AI_INPUT_MESSAGES], messages_replaced = shorter
                operation.set(names.OTEL_LLM_HISTORY_MESSAGES, messages_replaced)
        for key in _VALUES:
            text = operation.text(key)
            reference = text and shorten_value(conversation, span, key, text, self._memory)
            if reference:
                changed[key] = reference
        if changed:
            operation.update(changed)
            operation.set(names.OTEL_LLM_HISTORY_REPLACED, tuple(sorted(changed)))

    def _conversation(self, operation: Operation) -> Conversation:
        conversation_id = operation.conversation_id
        within = operation.trace_id.hex() if conversation_id is None or self._is_within_trace else ""
        service = [str(operation.resource.get(key, "")) for key in _SERVICE]
        return Conversation.of(*service, within, conversation_id or "")


def create(config: Config, context: Context) -> History:
    """The processor."""
    return History(config, context.name)
