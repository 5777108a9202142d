"""What OpenAI's answers have in common: usage in its several words, and who answered.

Source: OpenAI API reference.
"""

from __future__ import annotations

from typing import Any, Final

from otel_llm._generated import attributes as names
from otel_llm.instrumentation.provider import Attributes, fields


def read_usage(usage: Any, found: Attributes) -> None:  # noqa: ANN401 - the SDK's model
    """Token counts of chat, responses, completions, embeddings, images and transcriptions, which differ in words."""
    if usage is None:
        return
    counts = fields(usage)
    entered = counts.get("prompt_tokens")
    if entered is None:
        entered, left = counts.get("input_tokens"), counts.get("output_tokens")
        inputs = counts.get("input_tokens_details") or counts.get("input_token_details")
        outputs = counts.get("output_tokens_details")
    else:
        left = counts.get("completion_tokens")
        inputs, outputs = counts.get("prompt_tokens_details"), counts.get("completion_tokens_details")
    _count(found, names.GEN_AI_USAGE_INPUT_TOKENS, entered)
    _count(found, names.GEN_AI_USAGE_OUTPUT_TOKENS, left)
    if inputs is not None:
        parts = fields(inputs)
        _count(found, names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, parts.get("cached_tokens"))
        _some(found, names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS, parts.get("cache_write_tokens"))
        _some(found, names.GEN_AI_USAGE_AUDIO_INPUT_TOKENS, parts.get("audio_tokens"))
        _some(found, names.GEN_AI_USAGE_IMAGE_INPUT_TOKENS, parts.get("image_tokens"))
    else:  # DeepSeek
        _count(found, names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, counts.get("prompt_cache_hit_tokens"))
    if outputs is not None:
        parts = fields(outputs)
        _count(found, names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS, parts.get("reasoning_tokens"))
        _some(found, names.GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS, parts.get("audio_tokens"))
        _some(found, names.GEN_AI_USAGE_IMAGE_OUTPUT_TOKENS, parts.get("image_tokens"))


def _count(found: Attributes, key: str, value: object) -> None:
    if type(value) is int and value >= 0:
        found[key] = value


def _some(found: Attributes, key: str, value: object) -> None:
    if type(value) is int and value > 0:
        found[key] = value


def read_identity(answer: Any, found: Attributes) -> None:  # noqa: ANN401 - the SDK's model
    """Id, model, tier and fingerprint of an answer."""
    said = fields(answer)
    for word, key in _IDENTITY:
        value = said.get(word)
        if type(value) is str and value:
            found[key] = value


_IDENTITY: Final = (
    ("id", names.GEN_AI_RESPONSE_ID),
    ("model", names.GEN_AI_RESPONSE_MODEL),
    ("service_tier", names.OPENAI_RESPONSE_SERVICE_TIER),
    ("system_fingerprint", names.OPENAI_RESPONSE_SYSTEM_FINGERPRINT),
)
