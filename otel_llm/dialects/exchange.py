"""A provider's request and response bodies, as the attributes of the span about them.

Frameworks put the raw JSON of a call on the span. These functions say what it holds, by canonical key, and nothing it
does not hold. They never raise. Messages are read elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.messages import canonical_finish_reasons, canonical_messages
from otel_llm.dialects.messages_json import as_list, as_object
from otel_llm.dialects.tables import Semantics
from otel_llm.dialects.usage import read_usage
from otel_llm.dialects.values import boolean, coercion, count
from otel_llm.operation import AttributeValue

# Word in a request -> canonical key. Several words for one key: the first that is there wins.
_PARAMETERS: Final[Mapping[str, str]] = {
    "model": names.GEN_AI_REQUEST_MODEL,
    "model_name": names.GEN_AI_REQUEST_MODEL,
    "modelId": names.GEN_AI_REQUEST_MODEL,
    "temperature": names.GEN_AI_REQUEST_TEMPERATURE,
    "top_p": names.GEN_AI_REQUEST_TOP_P,
    "topP": names.GEN_AI_REQUEST_TOP_P,
    "top_k": names.GEN_AI_REQUEST_TOP_K,
    "topK": names.GEN_AI_REQUEST_TOP_K,
    "max_completion_tokens": names.GEN_AI_REQUEST_MAX_TOKENS,
    "max_output_tokens": names.GEN_AI_REQUEST_MAX_TOKENS,
    "maxOutputTokens": names.GEN_AI_REQUEST_MAX_TOKENS,
    "max_tokens": names.GEN_AI_REQUEST_MAX_TOKENS,
    "maxTokens": names.GEN_AI_REQUEST_MAX_TOKENS,
    "max_tokens_to_sample": names.GEN_AI_REQUEST_MAX_TOKENS,
    "frequency_penalty": names.GEN_AI_REQUEST_FREQUENCY_PENALTY,
    "presence_penalty": names.GEN_AI_REQUEST_PRESENCE_PENALTY,
    "seed": names.GEN_AI_REQUEST_SEED,
    "stop": names.GEN_AI_REQUEST_STOP_SEQUENCES,
    "stop_sequences": names.GEN_AI_REQUEST_STOP_SEQUENCES,
    "stopSequences": names.GEN_AI_REQUEST_STOP_SEQUENCES,
    "dimensions": names.GEN_AI_EMBEDDINGS_DIMENSION_COUNT,
    "previous_response_id": names.GEN_AI_REQUEST_PREVIOUS_RESPONSE_ID,
}
# Words that say the same as the ones above, or nothing that a span has a place for.
_SAID: Final = frozenset({*_PARAMETERS, "stream", "n", "candidate_count", "reasoning_effort", "encoding_format"})
REQUEST_WORDS: Final = _SAID | {"service_tier"}
_SECRETS: Final = ("headers", "api_key", "apikey", "api-key", "authorization", "auth_token", "credentials")
_CONTENT: Final = frozenset(
    {"messages", "input", "prompt", "system", "instructions", "contents", "system_instruction", "tools", "functions"}
)


def read_request(request: Mapping[str, object]) -> dict[str, AttributeValue]:
    """Model and parameters of a request body, by canonical key. Tools and messages are left to their readers."""
    nested = as_object(request.get("config")) or as_object(request.get("generationConfig"))
    found: dict[str, AttributeValue] = dict(read_request(nested)) if nested else {}
    for word, key in _PARAMETERS.items():
        value = request.get(word)
        if value is not None and key not in found:
            _take(found, key, value)
    if boolean(request.get("stream")):
        found[names.GEN_AI_REQUEST_STREAM] = True
    choices = count(request.get("n"))
    if choices and choices != 1:
        found[names.GEN_AI_REQUEST_CHOICE_COUNT] = choices
    effort = request.get("reasoning_effort") or (as_object(request.get("reasoning")) or {}).get("effort")
    _take(found, names.GEN_AI_REQUEST_REASONING_LEVEL, effort)
    tier = request.get("service_tier")
    if tier != "auto":
        _take(found, names.OPENAI_REQUEST_SERVICE_TIER, tier)
    _take(found, names.GEN_AI_REQUEST_ENCODING_FORMATS, request.get("encoding_format"))
    return found


def unread_parameters(parameters: Mapping[str, object]) -> dict[str, object]:
    """What `read_request` has no place for, without secrets, content, and what was not given."""
    return {
        key: value
        for key, value in without_secrets(parameters).items()
        if key not in _SAID and key not in _CONTENT and value is not None and not key.startswith("_")
    }


def without_secrets(parameters: Mapping[str, object]) -> dict[str, object]:
    """The parameters of a call without headers and keys, which clients take among them."""
    return {key: value for key, value in parameters.items() if not key.lower().endswith(_SECRETS)}


def read_response(response: Mapping[str, object], semantics: Semantics = "unknown") -> dict[str, AttributeValue]:
    """Id, model, finish reasons, tier and usage of a response body, by canonical key.

    Args:
        response: a body of OpenAI chat, responses, completions or embeddings, Anthropic messages, or Gemini.
        semantics: whether its usage counts cached tokens as input; "unknown" when the body must tell.
    """
    found: dict[str, AttributeValue] = {}
    _take(found, names.GEN_AI_RESPONSE_ID, response.get("id") or response.get("responseId"))
    model = response.get("model") or response.get("modelVersion") or response.get("model_version")
    _take(found, names.GEN_AI_RESPONSE_MODEL, model)
    reasons = _finish_reasons(response)
    if reasons:
        found[names.GEN_AI_RESPONSE_FINISH_REASONS] = reasons
    usage = next(
        (body for key in ("usage", "usageMetadata", "usage_metadata") if (body := _mapping(response, key))), {}
    )
    found |= read_usage(usage, semantics)
    if response.get("object") or response.get("system_fingerprint"):
        _take(found, names.OPENAI_RESPONSE_SERVICE_TIER, response.get("service_tier"))
        _take(found, names.OPENAI_RESPONSE_SYSTEM_FINGERPRINT, response.get("system_fingerprint"))
    else:
        _take(found, names.OTEL_LLM_USAGE_SERVICE_TIER, usage.get("service_tier"))
    return found


def read_generation(outputs: Mapping[str, object]) -> dict[str, AttributeValue]:
    """Id, model, finish reason and usage of LangChain's result: `{generations: [[{message: {kwargs}}]]}`."""
    item: object = outputs.get("generations")
    while (items := as_list(item)) is not None and items:
        item = items[0]
    message = _mapping(as_object(item) or {}, "message")
    message = _mapping(message, "kwargs") or message
    metadata = _mapping(message, "response_metadata")
    found = read_usage(_mapping(message, "usage_metadata"), "inclusive")
    _take(found, names.GEN_AI_RESPONSE_ID, metadata.get("id"))
    _take(found, names.GEN_AI_RESPONSE_MODEL, metadata.get("model_name") or metadata.get("model"))
    _take(found, names.GEN_AI_RESPONSE_FINISH_REASONS, metadata.get("finish_reason") or metadata.get("stop_reason"))
    return found


def _mapping(source: Mapping[str, object], key: str) -> Mapping[str, object]:
    return as_object(source.get(key)) or {}


def _finish_reasons(response: Mapping[str, object]) -> list[str]:
    choices = as_list(response.get("choices")) or as_list(response.get("candidates")) or ()
    reasons = [
        reason
        for choice in choices
        if (body := as_object(choice)) and (reason := body.get("finish_reason") or body.get("finishReason"))
    ]
    if reasons:
        return canonical_finish_reasons(reasons)
    if response.get("stop_reason"):
        return canonical_finish_reasons(response["stop_reason"])
    return canonical_messages(response, "assistant").finish_reasons if response.get("output") is not None else []


def _take(found: dict[str, AttributeValue], key: str, value: object) -> None:
    if value is None or not isinstance(value, str | int | float | list):
        return
    coerced = coercion(key)(value)
    if coerced is not None and coerced not in ("", []):
        found[key] = coerced
