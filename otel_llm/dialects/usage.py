"""A provider's or framework's own usage object as the conventions' token counts.

The law of this module: cached tokens are part of the input, reasoning is part of the output, whatever the object's
author thought; what the object does not say stays absent.
Source: the providers' API references; facts on which library includes what are in semconv/dialects/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.messages_json import as_object
from otel_llm.dialects.tables import Semantics
from otel_llm.dialects.values import count
from otel_llm.operation import AttributeValue

_INPUT: Final = (
    "input_tokens",
    "prompt_tokens",
    "inputTokens",
    "promptTokens",
    "prompt_token_count",
    "promptTokenCount",
    "total_input_tokens",
)
_OUTPUT: Final = (
    "output_tokens",
    "completion_tokens",
    "outputTokens",
    "completionTokens",
    "candidates_token_count",
    "candidatesTokenCount",
    "total_output_tokens",
)
_TOTAL: Final = ("total_tokens", "totalTokens", "total_token_count", "totalTokenCount")
_CACHE_READ: Final = (
    "cache_read_input_tokens",
    "cacheReadInputTokens",
    "cacheReadInputTokenCount",
    "cachedInputTokens",
    "cached_content_token_count",
    "cachedContentTokenCount",
    "cache_read_tokens",
    "prompt_cache_hit_tokens",
    "cachedPromptTokens",
    "cached_tokens",
)
_CACHE_WRITE: Final = (
    "cache_creation_input_tokens",
    "cache_write_input_tokens",
    "cacheCreationInputTokens",
    "cacheWriteInputTokens",
    "cacheWriteInputTokenCount",
    "cache_write_tokens",
    "cache_creation_tokens",
)
_REASONING: Final = ("reasoning_tokens", "reasoningTokens", "reasoning_output_tokens")
_INPUT_DETAILS: Final = (
    "prompt_tokens_details",
    "input_tokens_details",
    "input_token_details",
    "inputTokenDetails",
    "inputTokensDetails",
)
_OUTPUT_DETAILS: Final = (
    "completion_tokens_details",
    "output_tokens_details",
    "output_token_details",
    "outputTokenDetails",
    "outputTokensDetails",
)
_DETAIL_READ: Final = ("cached_tokens", "cache_read", "cacheReadTokens", "cache_read_tokens", *_CACHE_READ)
_DETAIL_WRITE: Final = ("cache_creation", "cache_write", "cacheWriteTokens", "cache_write_tokens", *_CACHE_WRITE)
_DETAIL_REASONING: Final = ("reasoning", *_REASONING)
# Only Anthropic and Bedrock Converse count cached tokens apart; these keys are theirs.
_EXCLUSIVE_MARKS: Final = ("cache_creation", "cache_creation_input_tokens", "cacheWriteInputTokens")
_THOUGHTS: Final = ("thoughts_token_count", "thoughtsTokenCount", "total_thought_tokens")
_TOOL_PROMPT: Final = ("tool_use_prompt_token_count", "toolUsePromptTokenCount", "total_tool_use_tokens")
# Langfuse's own keys: buckets that do not overlap.
_LANGFUSE_INPUT: Final = ("input", "input_cached_tokens", "input_cache_read", "input_audio_tokens")
_LANGFUSE_CACHE_WRITE: Final = ("input_cache_creation", "input_cache_creation_5m", "input_cache_creation_1h")
_LANGFUSE_OUTPUT: Final = ("output", "output_reasoning_tokens", "output_reasoning", "output_audio_tokens")


def read_usage(usage: Mapping[str, object], semantics: Semantics = "unknown") -> dict[str, AttributeValue]:
    """The counts of a usage object, by canonical attribute.

    Args:
        usage: OpenAI chat or responses, Anthropic, Gemini, Bedrock Converse, LangChain, Langfuse or MLflow.
        semantics: whether its input count includes cached tokens; "unknown" when the object itself must tell.
    """
    if "input" in usage or "output" in usage:
        return _langfuse(usage)
    inputs = _details(usage, _INPUT_DETAILS)
    outputs = _details(usage, _OUTPUT_DETAILS)
    read = _first(inputs, _DETAIL_READ, _first(usage, _CACHE_READ))
    write = _first(inputs, _DETAIL_WRITE, _first(usage, _CACHE_WRITE))
    total_input = _first(usage, _INPUT)
    output = _first(usage, _OUTPUT)
    if total_input is not None and _is_exclusive(usage, semantics, (total_input, read or 0, write or 0, output or 0)):
        total_input += (read or 0) + (write or 0)
    thoughts = _first(usage, _THOUGHTS)
    reasoning = _first(outputs, _DETAIL_REASONING, _first(usage, _REASONING))
    counts = {
        names.GEN_AI_USAGE_INPUT_TOKENS: _sum(total_input, _first(usage, _TOOL_PROMPT)),
        names.GEN_AI_USAGE_OUTPUT_TOKENS: _sum(output, thoughts),
        names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: read,
        names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS: write,
        names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: reasoning if thoughts is None else thoughts,
        names.GEN_AI_USAGE_AUDIO_INPUT_TOKENS: _positive(_first(inputs, ("audio_tokens", "audio"))),
        names.GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS: _positive(_first(outputs, ("audio_tokens", "audio"))),
        names.OTEL_LLM_USAGE_CACHE_WRITE_1H_INPUT_TOKENS: _positive(_one_hour(usage, inputs)),
        names.OTEL_LLM_USAGE_WEB_SEARCHES: _positive(_web_searches(usage)),
    }
    found: dict[str, AttributeValue] = {key: value for key, value in counts.items() if value is not None}
    return found


def _langfuse(usage: Mapping[str, object]) -> dict[str, AttributeValue]:
    write = [_first(usage, (key,)) for key in _LANGFUSE_CACHE_WRITE]
    counts = {
        names.GEN_AI_USAGE_INPUT_TOKENS: _sum(*(_first(usage, (key,)) for key in _LANGFUSE_INPUT), *write),
        names.GEN_AI_USAGE_OUTPUT_TOKENS: _sum(*(_first(usage, (key,)) for key in _LANGFUSE_OUTPUT)),
        names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: _first(usage, ("input_cached_tokens", "input_cache_read")),
        names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS: _sum(*write),
        names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: _first(usage, ("output_reasoning_tokens", "output_reasoning")),
        names.OTEL_LLM_USAGE_CACHE_WRITE_1H_INPUT_TOKENS: _positive(_first(usage, ("input_cache_creation_1h",))),
    }
    found: dict[str, AttributeValue] = {key: value for key, value in counts.items() if value is not None}
    return found


def is_exclusive(total: int | None, counts: tuple[int, int, int, int]) -> bool | None:
    """What arithmetic proves: True when the input leaves cached tokens out, False when it includes them, else None.

    Args:
        total: the provider's own total; None when there is none.
        counts: input, cache read, cache write and output.
    """
    entered, read, write, output = counts
    if not read + write:
        return None
    if total == entered + output:
        return False
    if total == entered + read + write + output:
        return True
    return True if entered < read + write else None


def _is_exclusive(usage: Mapping[str, object], semantics: Semantics, counts: tuple[int, int, int, int]) -> bool:
    if semantics != "unknown":
        return semantics == "exclusive"
    proved = is_exclusive(_first(usage, _TOTAL), counts)
    return proved if proved is not None else any(key in usage for key in _EXCLUSIVE_MARKS)


def _details(usage: Mapping[str, object], keys: tuple[str, ...]) -> Mapping[str, object]:
    return next((found for key in keys if (found := as_object(usage.get(key)))), {})


def _first(source: Mapping[str, object], keys: tuple[str, ...], otherwise: int | None = None) -> int | None:
    return next((number for key in keys if (number := count(source.get(key))) is not None), otherwise)


def _sum(*numbers: int | None) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _positive(number: int | None) -> int | None:
    return number or None


def _one_hour(usage: Mapping[str, object], inputs: Mapping[str, object]) -> int | None:
    created = as_object(usage.get("cache_creation")) or {}
    return _first(created, ("ephemeral_1h_input_tokens",), _first(inputs, ("ephemeral_1h_input_tokens",)))


def _web_searches(usage: Mapping[str, object]) -> int | None:
    return _first(as_object(usage.get("server_tool_use")) or {}, ("web_search_requests",))
