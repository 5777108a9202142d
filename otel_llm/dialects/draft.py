"""The span being rewritten, as extractors see it: read foreign keys, fill canonical ones, say what is used up.

The law of this module: what is there already is never overwritten by what is worked out, and nothing raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.messages import Conversation, dump, lift_system
from otel_llm.dialects.messages_json import JsonObject, as_object, parse_json
from otel_llm.dialects.providers import provider
from otel_llm.operation import AttributeValue, Operation

# Operations that are one call of a model: their messages, provider and finish reasons are the call's.
MODEL_OPERATIONS: Final = frozenset({"chat", "generate_content", "text_completion", "embeddings", "rerank"})

_MIXABLE: Final = frozenset({names.GEN_AI_USAGE_INPUT_TOKENS, names.GEN_AI_USAGE_OUTPUT_TOKENS})
_AGENTS: Final = frozenset({"invoke_agent", "create_agent"})
_APART: Final = frozenset({"anthropic", "aws.bedrock", "gcp.gemini", "gcp.gen_ai", "gcp.vertex_ai"})


class Draft:
    """One span while it is rewritten.

    Args:
        operation: the span; changed in place.
        source_keys: the keys it came with.
        keep_originals: leave foreign keys in place when their meaning has moved.
    """

    __slots__ = ("keep_originals", "operation", "source_keys")

    def __init__(self, operation: Operation, source_keys: frozenset[str], *, keep_originals: bool) -> None:
        self.operation = operation
        self.source_keys = source_keys
        self.keep_originals = keep_originals

    def get(self, key: str) -> AttributeValue:
        """The value of an attribute; None when there is none."""
        return self.operation.get(key)

    def text(self, key: str) -> str | None:
        """The value of an attribute when it is a text with a character in it."""
        value = self.operation.get(key)
        return value if isinstance(value, str) and value else None

    def parsed(self, key: str) -> object:
        """The value of an attribute; that of its JSON text when it holds one."""
        value = self.operation.get(key)
        if not isinstance(value, str):
            return value
        return parse_json(value)

    def mapping(self, key: str) -> Mapping[str, object]:
        """The object that an attribute holds, as JSON text or structured; empty when it holds anything else."""
        return as_object(self.parsed(key)) or {}

    def under(self, *prefixes: str) -> dict[str, AttributeValue]:
        """All attributes that the span came with and still has whose key begins so."""
        found = {key: self.operation.get(key) for key in self.source_keys if key.startswith(prefixes)}
        return {key: value for key, value in found.items() if value is not None}

    def was_answered(self) -> bool:
        """Whether anything of a response is known."""
        operation = self.operation
        said = operation.get(names.GEN_AI_OUTPUT_MESSAGES) is not None
        return said or operation.response_id is not None or operation.output_tokens is not None

    def is_model_call(self) -> bool:
        """Whether the operation is one call of a model."""
        return self.operation.operation_name in MODEL_OPERATIONS

    def make_step(self) -> None:
        """It is a step of a framework and no operation: it has no name as one, and what it counts others counted."""
        present = self.operation.keys()
        for key in present:
            if key == names.GEN_AI_OPERATION_NAME or key.startswith("gen_ai.usage."):
                self.operation.remove(key)

    def fill(self, key: str, value: AttributeValue) -> None:
        """Set a canonical attribute that has no value yet; None is nothing to set."""
        if value is not None and self.operation.get(key) is None:
            self.operation.set(key, value)

    def replace(self, key: str, value: AttributeValue) -> None:
        """Set an attribute whatever it is now; None removes it."""
        if value is None:
            self.operation.remove(key)
        else:
            self.operation.set(key, value)

    def fill_all(self, values: Mapping[str, AttributeValue]) -> None:
        """`fill` for every pair."""
        for key, value in values.items():
            self.fill(key, value)

    def fill_response(self, found: Mapping[str, AttributeValue]) -> None:
        """`fill_all` with what a response says; its counts only when the span has none, so that two never mix."""
        counted = self.operation.input_tokens is not None or self.operation.output_tokens is not None
        for key, value in found.items():
            if not (counted and key in _MIXABLE):
                self.fill(key, value)

    def fill_text(self, key: str, value: object) -> None:
        """`fill` with a text, or with the JSON text of anything else; None and an empty text are nothing."""
        if value is not None and value != "" and self.operation.get(key) is None:
            self.operation.set(key, value if isinstance(value, str) else dump(value))

    def was_given(self, keys: Iterable[str]) -> bool:
        """Whether the span came with one of these keys, whatever became of it since."""
        return any(key in self.source_keys for key in keys)

    def fill_json(self, key: str, value: list[JsonObject]) -> None:
        """`fill` with the JSON text of a list; an empty list is nothing."""
        if value and self.operation.get(key) is None:
            self.operation.set(key, dump(value))

    def gives_instructions_apart(self) -> bool:
        """Whether instructions are given beside the messages, as for agents and in most APIs, but for chat completions.

        Source: semconv `gen_ai.system_instructions`: for instructions that are given apart from the chat history.
        """
        operation = self.operation
        if operation.operation_name in _AGENTS or self._provider() in _APART:
            return True
        if operation.get(names.OPENAI_API_TYPE) == "responses":
            return True
        return (operation.response_id or "").startswith("resp_")

    def _provider(self) -> str | None:
        """The provider as far as it is known now: extractors find the model before the provider is settled."""
        operation = self.operation
        model = operation.request_model or operation.response_model
        return provider(operation.provider_name, self.text(names.SERVER_ADDRESS), model)

    def fill_input(self, conversation: Conversation) -> None:
        """Input messages, and instructions where the API called has a place for them."""
        if self.gives_instructions_apart():
            conversation = lift_system(conversation)
        self.fill_json(names.GEN_AI_SYSTEM_INSTRUCTIONS, conversation.system)
        self.fill_json(names.GEN_AI_INPUT_MESSAGES, conversation.messages)

    def fill_output(self, conversation: Conversation) -> None:
        """Output messages, if there is anything in them, and why they ended."""
        if any(message.get("parts") for message in conversation.messages):
            self.fill_json(names.GEN_AI_OUTPUT_MESSAGES, conversation.messages)
        if conversation.finish_reasons:
            self.fill(names.GEN_AI_RESPONSE_FINISH_REASONS, list(conversation.finish_reasons))

    def discard(self, keys: Iterable[str]) -> None:
        """Remove foreign keys whose meaning has moved."""
        if not self.keep_originals:
            for key in keys:
                if key in self.source_keys:
                    self.operation.remove(key)
