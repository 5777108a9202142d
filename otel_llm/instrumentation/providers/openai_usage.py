"""What OpenAI's answers have in common: usage in its several words, and who answered.

Source: OpenAI API reference.
"""

from __future__ import annotations

from typing import Any, Final

from otel_llm._generated import attributes as names
from otel_llm.instrumentation.provider import Attributes


def read_usage(usage: Any, found: Attributes) -> None:  # noqa: ANN401 - the SDK's model
    """Token counts of chat, responses, completions, embeddings, images and transcriptions, which differ in words."""
    if usage is None:
        return
    entered = getattr(usage, "prompt_tokens", None)
    if entered is None:
        entered = getattr(usage, "input_tokens", None)
        left = getattr(usage, "output_tokens", None)
        inputs = getattr(usage, "input_tokens_details", None) or getattr(usage, "input_token_details", None)
        outputs = getattr(usage, "output_tokens_details", None)
    else:
        left = getattr(usage, "completion_tokens", None)
        inputs = getattr(usage, "prompt_tokens_details", None)
        outputs = getattr(usage, "completion_tokens_details", None)
    _count(found, names.GEN_AI_USAGE_INPUT_TOKENS, entered)
    _count(found, names.GEN_AI_USAGE_OUTPUT_TOKENS, left)
    if inputs is not None:
        _count(found, names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, getattr(inputs, "cached_tokens", None))
        _some(found, names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS, getattr(inputs, "cache_write_tokens", None))
        _some(found, names.GEN_AI_USAGE_AUDIO_INPUT_TOKENS, getattr(inputs, "audio_tokens", None))
        _some(found, names.GEN_AI_USAGE_IMAGE_INPUT_TOKENS, getattr(inputs, "image_tokens", None))
    elif getattr(usage, "prompt_cache_hit_tokens", None) is not None:  # DeepSeek
        _count(found, names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, usage.prompt_cache_hit_tokens)
    if outputs is not None:
        _count(found, names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS, getattr(outputs, "reasoning_tokens", None))
        _some(found, names.GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS, getattr(outputs, "audio_tokens", None))
        _some(found, names.GEN_AI_USAGE_IMAGE_OUTPUT_TOKENS, getattr(outputs, "image_tokens", None))


def _count(found: Attributes, key: str, value: object) -> None:
    if type(value) is int and value >= 0:
        found[key] = value


def _some(found: Attributes, key: str, value: object) -> None:
    if type(value) is int and value > 0:
        found[key] = value


def read_identity(answer: Any, found: Attributes) -> None:  # noqa: ANN401 - the SDK's model
    """Id, model, tier and fingerprint of an answer."""
    for word, key in _IDENTITY:
        value = getattr(answer, word, None)
        if type(value) is str and value:
            found[key] = value


_IDENTITY: Final = (
    ("id", names.GEN_AI_RESPONSE_ID),
    ("model", names.GEN_AI_RESPONSE_MODEL),
    ("service_tier", names.OPENAI_RESPONSE_SERVICE_TIER),
    ("system_fingerprint", names.OPENAI_RESPONSE_SYSTEM_FINGERPRINT),
)
