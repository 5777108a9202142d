"""Vercel AI SDK before v7: prompts and answers under ai.*, cached tokens in the provider's metadata.

Source: vercel/ai 4.3 and 5.0 (facts in semconv/dialects/vercel.yaml).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.draft import Draft
from otel_llm.dialects.messages import canonical_messages, canonical_tool_definitions, text_messages
from otel_llm.dialects.messages_json import as_list, as_object, parse_json
from otel_llm.dialects.usage import read_usage
from otel_llm.operation import AttributeValue

_OPERATION: Final = "ai.operationId"
_PROMPTS: Final = ("ai.prompt.messages", "ai.prompt")
_TOOLS: Final = ("ai.prompt.tools",)
_ANSWER: Final = (
    "ai.response.text",
    "ai.response.reasoning",
    "ai.response.toolCalls",
    "ai.response.object",
    "ai.response.files",
    "ai.result.text",
    "ai.result.toolCalls",
    "ai.result.object",
)
_VALUES: Final = ("ai.value", "ai.values")
_METADATA: Final = "ai.response.providerMetadata"
# v6 counts every token of the input, and says so by giving the details; v4 and v5 pass on what the provider counts.
_DETAILS: Final = ("ai.usage.inputTokenDetails.noCacheTokens", "ai.usage.inputTokenDetails.cacheReadTokens")


def extract(draft: Draft) -> None:
    """Fill in what the table's renames cannot."""
    kind = draft.text(_OPERATION) or ""
    if kind.endswith(("doStream", "streamText", "streamObject")):
        draft.fill(names.GEN_AI_REQUEST_STREAM, value=True)
    if draft.operation.operation_name == "invoke_agent":
        draft.fill(names.GEN_AI_AGENT_NAME, draft.text("ai.telemetry.functionId"))
    prompt = next((value for key in _PROMPTS if (value := draft.get(key)) is not None), None)
    if prompt is not None:
        draft.fill_input(canonical_messages(prompt))
    draft.fill_output(canonical_messages(_answer(draft), "assistant"))
    tools = canonical_tool_definitions(draft.get(_TOOLS[0]))
    draft.fill_json(names.GEN_AI_TOOL_DEFINITIONS, tools)
    _embedded(draft)
    _usage(draft)
    draft.discard((_OPERATION, *_PROMPTS, *_TOOLS, *_ANSWER, *_VALUES))


def _answer(draft: Draft) -> object:
    """The answer as one message in the SDK's own parts; None when there is none."""
    parts: list[object] = []
    reasoning = draft.get("ai.response.reasoning")
    if isinstance(reasoning, str) and reasoning:
        parts.append({"type": "reasoning", "text": reasoning})
    said = draft.text("ai.response.text") or draft.text("ai.result.text")
    said = said or draft.text("ai.response.object") or draft.text("ai.result.object")
    if said:
        parts.append({"type": "text", "text": said})
    parts += _items(draft.get("ai.response.files"), "file")
    parts += _items(draft.get("ai.response.toolCalls"), "tool-call")
    parts += _items(draft.get("ai.result.toolCalls"), "tool-call")
    return [{"role": "assistant", "content": parts}] if parts else None


def _items(value: AttributeValue, kind: str) -> list[object]:
    items = as_list(parse_json(value) if isinstance(value, str) else value) or ()
    return [{**source, "type": kind} for item in items if (source := as_object(item))]


def _embedded(draft: Draft) -> None:
    value = draft.get("ai.values")
    texts = [draft.get("ai.value")] if value is None else as_list(value) or ()
    parsed = (parse_json(text) for text in texts if isinstance(text, str))
    messages = [message for text in parsed if isinstance(text, str) for message in text_messages(text, "user")]
    draft.fill_json(names.GEN_AI_INPUT_MESSAGES, messages)


def _usage(draft: Draft) -> None:
    if draft.was_given(_DETAILS):
        draft.fill(names.OTEL_LLM_USAGE_INPUT_SEMANTICS, "inclusive")
    for metadata in draft.mapping(_METADATA).values():
        counts = read_usage(_counts(as_object(metadata) or {}))
        draft.fill_all({key: value for key, value in counts.items() if key not in _TOTALS and value})


_TOTALS: Final = (names.GEN_AI_USAGE_INPUT_TOKENS, names.GEN_AI_USAGE_OUTPUT_TOKENS)


def _counts(metadata: Mapping[str, object]) -> Mapping[str, object]:
    usage = as_object(metadata.get("usage")) or as_object(metadata.get("usageMetadata"))
    return {**metadata, **usage} if usage else metadata
