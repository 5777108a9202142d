"""Bedrock's Converse: one shape for all models, as a request's parameters and a parsed answer.

Source: Amazon Bedrock API reference, Converse and ConverseStream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.messages import canonical_finish_reason, canonical_messages, canonical_tool_definitions
from otel_llm.instrumentation.provider import (
    Attributes,
    Body,
    Content,
    Endpoint,
    number,
    read_fields,
    text,
    texts,
    whole,
)
from otel_llm.instrumentation.replace import replace_texts

_CONFIG: Final = (
    ("temperature", names.GEN_AI_REQUEST_TEMPERATURE, number),
    ("topP", names.GEN_AI_REQUEST_TOP_P, number),
    ("maxTokens", names.GEN_AI_REQUEST_MAX_TOKENS, whole),
    ("stopSequences", names.GEN_AI_REQUEST_STOP_SEQUENCES, texts),
)


def request(body: Body) -> Attributes:
    """The model, the inference's parameters and the guardrail."""
    found: Attributes = {}
    model = text(body.get("modelId"))
    if model is not None:
        found[names.GEN_AI_REQUEST_MODEL] = model
    config = body.get("inferenceConfig")
    if isinstance(config, Mapping):
        found.update(read_fields(config, _CONFIG))
    guardrail = body.get("guardrailConfig")
    guardrail_id = guardrail.get("guardrailIdentifier") if isinstance(guardrail, Mapping) else None
    if isinstance(guardrail_id, str):
        found[names.AWS_BEDROCK_GUARDRAIL_ID] = guardrail_id
    return found


def read_usage(usage: object, found: Attributes) -> None:
    """Token counts: what was read from or written to a cache is no part of `inputTokens`, so it is added."""
    if not isinstance(usage, Mapping):
        return
    entered, left = whole(usage.get("inputTokens")), whole(usage.get("outputTokens"))
    read, written = whole(usage.get("cacheReadInputTokens")), whole(usage.get("cacheWriteInputTokens"))
    if entered is not None:
        found[names.GEN_AI_USAGE_INPUT_TOKENS] = entered + (read or 0) + (written or 0)
    if left is not None:
        found[names.GEN_AI_USAGE_OUTPUT_TOKENS] = left
    if read is not None:
        found[names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS] = read
    if written is not None:
        found[names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS] = written
    for detail in usage.get("cacheDetails") or ():
        if detail.get("ttl") == "1h" and whole(detail.get("inputTokens")):
            found[names.OTEL_LLM_USAGE_CACHE_WRITE_1H_INPUT_TOKENS] = detail["inputTokens"]


def response(answer: Any) -> Attributes:  # noqa: ANN401 - botocore's parsed answer
    """Reason to stop and usage. There is no id but that of the HTTP request."""
    found: Attributes = {}
    reason = answer.get("stopReason")
    if isinstance(reason, str):
        found[names.GEN_AI_RESPONSE_FINISH_REASONS] = [canonical_finish_reason(reason)]
    read_usage(answer.get("usage"), found)
    return found


def converse_input(body: Body) -> Content:
    """Messages, instructions and tools."""
    said = canonical_messages(body.get("messages"), "user")
    system = canonical_messages([{"role": "system", "content": body.get("system") or []}], "system")
    parts = [part for message in system.messages for part in _parts(message)]
    config = body.get("toolConfig")
    tools = [tool.get("toolSpec") for tool in config.get("tools") or ()] if isinstance(config, Mapping) else []
    return Content(said.messages, parts, canonical_tool_definitions([_function(tool) for tool in tools if tool]))


def _parts(message: Mapping[str, object]) -> list[Mapping[str, object]]:
    parts = message.get("parts")
    return parts if isinstance(parts, list) else []


def _function(specification: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = specification.get("inputSchema")
    return {
        "name": specification.get("name"),
        "description": specification.get("description"),
        "parameters": schema.get("json") if isinstance(schema, Mapping) else schema,
    }


def converse_output(answer: Any) -> Content:  # noqa: ANN401 - botocore's parsed answer
    """The one message."""
    return Content(canonical_messages([answer["output"]["message"]], "assistant").messages)


class Events:
    """Collects a ConverseStream.

    Args:
        captured: whether the texts are wanted.
    """

    __slots__ = ("_blocks", "_captured", "_pieces", "_reason", "_usage")

    def __init__(self, captured: bool) -> None:  # noqa: FBT001 - the accumulator's signature
        self._captured = captured
        self._reason: str | None = None
        self._usage: Any = None
        self._pieces = 0
        self._blocks: dict[int, dict[str, Any]] = {}

    def add(self, event: Any) -> None:  # noqa: ANN401 - botocore's parsed event
        """Take an event."""
        if "contentBlockDelta" in event:
            self._pieces += 1
            if self._captured:
                delta = event["contentBlockDelta"]
                self._take(delta.get("contentBlockIndex", 0), delta.get("delta") or {})
        elif "contentBlockStart" in event:
            start = event["contentBlockStart"]
            tool = (start.get("start") or {}).get("toolUse")
            if tool is not None:
                self._blocks[start.get("contentBlockIndex", 0)] = {**tool, "input": ""}
        elif "messageStop" in event:
            self._reason = event["messageStop"].get("stopReason")
        elif "metadata" in event:
            self._usage = event["metadata"].get("usage")

    def _take(self, index: int, delta: Mapping[str, Any]) -> None:
        block = self._blocks.setdefault(index, {})
        if "text" in delta:
            block["text"] = block.get("text", "") + delta["text"]
        elif "toolUse" in delta:
            block["input"] = block.get("input", "") + (delta["toolUse"].get("input") or "")
        elif "reasoningContent" in delta:
            block["reasoning"] = block.get("reasoning", "") + (delta["reasoningContent"].get("text") or "")

    @property
    def is_complete(self) -> bool:
        """Whether the message stopped."""
        return self._reason is not None

    @property
    def output_estimate(self) -> int:
        """A delta holds a token or a few."""
        return self._pieces

    def attributes(self) -> Attributes:
        """What the last events say."""
        return response({"stopReason": self._reason, "usage": self._usage})

    def output(self) -> Content:
        """The message as far as it came."""
        blocks = [_block(self._blocks[index]) for index in sorted(self._blocks)]
        return Content(canonical_messages([{"role": "assistant", "content": blocks}], "assistant").messages)


def _block(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """A block as Converse would have sent it whole."""
    if "toolUseId" in block:
        return {"toolUse": dict(block)}
    if "reasoning" in block:
        return {"reasoningContent": {"reasoningText": {"text": block["reasoning"]}}}
    return {"text": block.get("text", "")}


CONVERSE: Final = Endpoint(
    name="converse",
    operation="chat",
    request=request,
    response=response,
    input=converse_input,
    output=converse_output,
    accumulator=Events,
    replace_input=replace_texts(converse_input, "messages", "system"),
)
COUNT_TOKENS: Final = Endpoint(name="count_tokens", operation="count_tokens", request=request)
ASYNC_INVOKE: Final = Endpoint(name="async_invoke", operation="start_async_invoke", request=request)
