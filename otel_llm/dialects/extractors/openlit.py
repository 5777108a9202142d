"""OpenLIT: tool calls joined on chat spans, timings of streams that were none, estimates that look like counts."""

from __future__ import annotations

from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.draft import MODEL_OPERATIONS, Draft
from otel_llm.dialects.providers import provider

_CALL: Final = (
    names.GEN_AI_TOOL_NAME,
    names.GEN_AI_TOOL_CALL_ID,
    names.GEN_AI_TOOL_CALL_ARGUMENTS,
    names.GEN_AI_TOOL_CALL_RESULT,
    names.GEN_AI_TOOL_TYPE,
)
# It writes the cache counters, 0 included, whenever the provider reported usage, and none beside its own estimate.
_REPORTED: Final = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
)


def extract(draft: Draft) -> None:
    """Take away what it made up."""
    _name(draft)
    operation = draft.operation
    if not draft.is_model_call():
        return
    for key in _CALL:
        if operation.get(key) is not None:
            operation.remove(key)
    if operation.get(names.GEN_AI_REQUEST_STREAM) is not True:
        operation.remove(names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK)
    elif operation.input_tokens is not None and not draft.was_given(_REPORTED):
        draft.fill(names.OTEL_LLM_USAGE_SOURCE, "estimated")


def _name(draft: Draft) -> None:
    """On failed Anthropic calls the span's name, `{operation} {model}`, and the scope are all there is."""
    if draft.get(names.GEN_AI_OPERATION_NAME) is not None:
        return
    word, _, model = draft.operation.name.partition(" ")
    if word in MODEL_OPERATIONS and model:
        draft.fill(names.GEN_AI_OPERATION_NAME, word)
        draft.fill(names.GEN_AI_REQUEST_MODEL, model)
        scope = draft.operation.scope_name.removeprefix("openlit.instrumentation.")
        draft.fill(names.GEN_AI_PROVIDER_NAME, provider(scope, None, model))
