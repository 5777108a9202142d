"""Bedrock's InvokeModel: a body in the words of the model's family, a body or chunks back.

Families are told by the words they use and not by model ids, which may be ARNs of profiles that say nothing. Usage is
read from the body, and where a family reports none there, from what Bedrock adds: headers, or the metrics at the end of
a stream. What was cached is no part of either's input tokens, so it is added.
Source: Amazon Bedrock user guide, inference parameters of Anthropic, Nova, Titan, Llama, Mistral, Cohere, AI21.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from otel_llm._generated import attributes as names
from otel_llm.cost.tokens import estimate_tokens
from otel_llm.dialects.messages import (
    canonical_finish_reason,
    canonical_messages,
    canonical_tool_definitions,
    lift_system,
    text_messages,
)
from otel_llm.instrumentation.provider import (
    Attributes,
    Body,
    Content,
    Endpoint,
    View,
    number,
    read_fields,
    text,
    texts,
    whole,
)
from otel_llm.instrumentation.providers import anthropic, bedrock_converse
from otel_llm.instrumentation.providers.compatible import CompatibleChunks
from otel_llm.instrumentation.providers.openai_chat import chat_response
from otel_llm.instrumentation.replace import replace_texts

# The parameters of the SDK's method that a body was taken from.
OPENED: Final = "_parameters"
_METRICS: Final = "amazon-bedrock-invocationMetrics"

_REQUEST: Final = (
    ("temperature", names.GEN_AI_REQUEST_TEMPERATURE, number),
    ("top_p", names.GEN_AI_REQUEST_TOP_P, number),
    ("topP", names.GEN_AI_REQUEST_TOP_P, number),
    ("p", names.GEN_AI_REQUEST_TOP_P, number),
    ("top_k", names.GEN_AI_REQUEST_TOP_K, whole),
    ("k", names.GEN_AI_REQUEST_TOP_K, whole),
    ("max_tokens", names.GEN_AI_REQUEST_MAX_TOKENS, whole),
    ("max_completion_tokens", names.GEN_AI_REQUEST_MAX_TOKENS, whole),
    ("max_gen_len", names.GEN_AI_REQUEST_MAX_TOKENS, whole),
    ("max_tokens_to_sample", names.GEN_AI_REQUEST_MAX_TOKENS, whole),
    ("maxTokens", names.GEN_AI_REQUEST_MAX_TOKENS, whole),
    ("maxTokenCount", names.GEN_AI_REQUEST_MAX_TOKENS, whole),
    ("stop_sequences", names.GEN_AI_REQUEST_STOP_SEQUENCES, texts),
    ("stopSequences", names.GEN_AI_REQUEST_STOP_SEQUENCES, texts),
    ("stop", names.GEN_AI_REQUEST_STOP_SEQUENCES, texts),
    ("dimensions", names.GEN_AI_EMBEDDINGS_DIMENSION_COUNT, whole),
)
# Where families keep their parameters apart.
_CONFIGS: Final = ("inferenceConfig", "textGenerationConfig")
_INPUT: Final = ("inputTextTokenCount", "prompt_token_count", "inputTokenCount")
_OUTPUT: Final = ("generation_token_count", "outputTokenCount", "totalOutputTextTokenCount")
_CACHED: Final = (
    ("cacheReadInputTokenCount", names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS),
    ("cacheWriteInputTokenCount", names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS),
)
_HEADERS: Final = {
    "x-amzn-bedrock-input-token-count": "inputTokenCount",
    "x-amzn-bedrock-output-token-count": "outputTokenCount",
    "x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    "x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
}
_REASONS: Final = ("stop_reason", "stopReason", "completionReason", "finish_reason", "finishReason")
_SAID: Final = ("outputText", "generation", "completion", "text")


@dataclass(frozen=True, slots=True)
class Answer:
    """A body that the app has read.

    Attributes:
        body: its bytes, as far as they were read.
        headers: of the HTTP response, in lower case.
    """

    body: bytes
    headers: Mapping[str, str]


def opened(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON that the parameters of a call have in `body`; nothing of a body that is none."""
    body = parameters["body"]
    try:
        found = msgspec.json.decode(body) if isinstance(body, str | bytes | bytearray) else {}
    except msgspec.MsgspecError:
        found = {}
    return {**(found if isinstance(found, dict) else {}), OPENED: parameters}


def closed(body: Body) -> dict[str, Any]:
    """The parameters of a call with the body as it is now."""
    found = {key: value for key, value in body.items() if key != OPENED}
    return {**body[OPENED], "body": msgspec.json.encode(found)}


# The request.


def request(body: Body) -> Attributes:
    """The model and its parameters."""
    found: Attributes = {}
    model = text(body[OPENED].get("modelId"))
    if model is not None:
        found[names.GEN_AI_REQUEST_MODEL] = model
    guardrail = text(body[OPENED].get("guardrailIdentifier"))
    if guardrail is not None:
        found[names.AWS_BEDROCK_GUARDRAIL_ID] = guardrail
    for config in (body, *(body.get(key) for key in _CONFIGS)):
        if isinstance(config, Mapping):
            found.update(read_fields(config, _REQUEST))
    return found


def chat_input(body: Body) -> Content:
    """Messages, instructions and tools of the families that have them; else the prompt."""
    if not isinstance(body.get("messages"), list):
        return prompt_input(body)
    if isinstance(body.get("inferenceConfig"), Mapping) or isinstance(body.get("toolConfig"), Mapping):
        return bedrock_converse.converse_input(body)
    if "anthropic_version" in body:
        return anthropic.message_input(body)
    said = lift_system(canonical_messages(body["messages"], "user"))
    return Content(said.messages, said.system, canonical_tool_definitions(body.get("tools")))


def prompt_input(body: Body) -> Content:
    """The prompt, in any family's word; the texts to embed."""
    for key in ("prompt", "inputText", "message", "texts", "query"):
        given = texts(body.get(key))
        if given:
            return Content([one for said in given for one in text_messages(said, "user")])
    return Content()


# The answer.


def _decoded(body: bytes) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(body) if body else {}
    except msgspec.MsgspecError:
        return {}
    return found if isinstance(found, dict) else {}


def response(answer: Answer) -> Attributes:
    """Id, model, reason to stop and usage, of any family."""
    said = _decoded(answer.body)
    found = _said(said)
    if names.GEN_AI_USAGE_INPUT_TOKENS not in found:
        counts = {word: answer.headers[name] for name, word in _HEADERS.items() if name in answer.headers}
        _counted({word: int(count) for word, count in counts.items() if count.isdecimal()}, found)
    return found


def _said(said: Mapping[str, Any]) -> Attributes:
    usage = said.get("usage")
    if said.get("type") == "message":
        return anthropic.response(View(said))
    if isinstance(said.get("choices"), list):
        return chat_response(View(said))
    if isinstance(usage, Mapping) and "inputTokens" in usage:
        return bedrock_converse.response({**said, "usage": {**usage, **_renamed(usage)}})
    found: Attributes = {}
    reason = next((said[word] for word in _REASONS if isinstance(said.get(word), str)), None) or _first_reason(said)
    if reason is not None:
        found[names.GEN_AI_RESPONSE_FINISH_REASONS] = [canonical_finish_reason(reason)]
    _counted(said, found)
    results = [one for one in said.get("results") or () if isinstance(one, Mapping)]
    produced = [count for count in (whole(one.get("tokenCount")) for one in results) if count is not None]
    if produced:
        found[names.GEN_AI_USAGE_OUTPUT_TOKENS] = sum(produced)
    return found


def _renamed(usage: Mapping[str, Any]) -> Mapping[str, Any]:
    """Nova's words for cached tokens end in `Count`."""
    words = {"cacheReadInputTokenCount": "cacheReadInputTokens", "cacheWriteInputTokenCount": "cacheWriteInputTokens"}
    return {word: usage[theirs] for theirs, word in words.items() if theirs in usage}


def _first_reason(said: Mapping[str, Any]) -> str | None:
    for key in ("results", "outputs", "generations", "completions"):
        for one in said.get(key) or ():
            if isinstance(one, Mapping):
                return next((one[word] for word in _REASONS if isinstance(one.get(word), str)), None)
    return None


def _counted(counts: Mapping[str, Any], found: Attributes) -> None:
    entered = next((count for word in _INPUT if (count := whole(counts.get(word))) is not None), None)
    left = next((count for word in _OUTPUT if (count := whole(counts.get(word))) is not None), None)
    cached = {key: whole(counts.get(word)) or 0 for word, key in _CACHED if word in counts}
    if entered is not None:
        found[names.GEN_AI_USAGE_INPUT_TOKENS] = entered + sum(cached.values())
    if left is not None:
        found[names.GEN_AI_USAGE_OUTPUT_TOKENS] = left
    found.update(cached)


def output(answer: Answer) -> Content:
    """The messages of an answer, of any family."""
    said = _decoded(answer.body)
    if said.get("type") == "message":
        return anthropic.message_output(View(said))
    if isinstance(said.get("output"), Mapping):
        return bedrock_converse.converse_output(said)
    if isinstance(said.get("choices"), list):
        return Content(canonical_messages(said, "assistant").messages)
    pieces = _texts(said)
    return Content([message for one in pieces for message in text_messages(one, "assistant")])


def _texts(said: Mapping[str, Any]) -> list[str]:
    own = [str(said[word]) for word in _SAID if isinstance(said.get(word), str)]
    if own:
        return own[:1]
    for key in ("results", "outputs", "generations", "completions"):
        items = said.get(key)
        if isinstance(items, list):
            found = (_texts(one.get("data") or one) for one in items if isinstance(one, Mapping))
            return [text for one in found for text in one]
    return []


# Streams.


class Chunks:
    """Collects the chunks of any family: each is JSON, the last one has Bedrock's counts as well.

    Args:
        captured: whether the texts are wanted.
    """

    __slots__ = ("_captured", "_inner", "_last", "_metrics", "_pieces", "_reason", "_texts")

    def __init__(self, captured: bool) -> None:  # noqa: FBT001 - the accumulator's signature
        self._captured = captured
        self._inner: Any = None
        self._last: Mapping[str, Any] = {}
        self._metrics: Mapping[str, Any] = {}
        self._reason: str | None = None
        self._pieces = 0
        self._texts: list[str] = []

    def add(self, event: Any) -> None:  # noqa: ANN401 - botocore's parsed event
        """Take a chunk."""
        said = _decoded((event.get("chunk") or {}).get("bytes") or b"")
        if _METRICS in said:
            self._metrics = said[_METRICS]
        if self._inner is None:
            self._inner = self._reader(said)
        if self._inner is not False:
            self._inner.add(View(said) if not isinstance(self._inner, bedrock_converse.Events) else said)
            return
        self._last = said
        self._pieces += 1
        reason = next((said[word] for word in _REASONS if isinstance(said.get(word), str)), None)
        self._reason = reason or _first_reason(said) or self._reason
        if self._captured:
            self._texts += _texts(said)

    def _reader(self, said: Mapping[str, Any]) -> Any:  # noqa: ANN401 - an accumulator, or False
        """What reads chunks of this family; False for those that are only texts."""
        if isinstance(said.get("type"), str):
            return anthropic.MessageEvents(self._captured)
        if isinstance(said.get("choices"), list):
            return CompatibleChunks(self._captured)
        if "messageStart" in said or "contentBlockDelta" in said:
            return bedrock_converse.Events(self._captured)
        return False

    @property
    def is_complete(self) -> bool:
        """Whether the model stopped."""
        return bool(self._inner.is_complete) if self._inner else self._reason is not None or bool(self._metrics)

    @property
    def output_estimate(self) -> int:
        """A chunk holds a token or a few."""
        if self._inner:
            return int(self._inner.output_estimate)
        return max(self._pieces, sum(map(estimate_tokens, self._texts)))

    def attributes(self) -> Attributes:
        """What the last chunks say."""
        found: Attributes = dict(self._inner.attributes()) if self._inner else _said(self._last)
        if self._reason is not None:
            found[names.GEN_AI_RESPONSE_FINISH_REASONS] = [canonical_finish_reason(self._reason)]
        if self._metrics and (
            names.GEN_AI_USAGE_INPUT_TOKENS not in found or names.GEN_AI_USAGE_OUTPUT_TOKENS not in found
        ):
            _counted(self._metrics, found)
        return found

    def output(self) -> Content:
        """The message as far as it came."""
        if self._inner:
            collected: Content = self._inner.output()
            return collected
        return Content(text_messages("".join(self._texts), "assistant"))


CHAT: Final = Endpoint(
    name="invoke_model",
    operation="chat",
    request=request,
    response=response,
    input=chat_input,
    output=output,
    accumulator=Chunks,
    replace_input=replace_texts(chat_input, "messages", "system", "prompt", "inputText", "message"),
)
COMPLETION: Final = replace(CHAT, operation="text_completion")
EMBEDDINGS: Final = Endpoint(
    name="invoke_model",
    operation="embeddings",
    request=request,
    response=response,
    input=prompt_input,
    replace_input=replace_texts(prompt_input, "inputText", "texts"),
    is_captured=False,
)
RERANK: Final = replace(EMBEDDINGS, operation="rerank", replace_input=replace_texts(prompt_input, "query"))
IMAGES: Final = Endpoint(
    name="invoke_model",
    operation="image_generation",
    request=request,
    response=lambda answer: {names.OTEL_LLM_USAGE_IMAGES: len(_decoded(answer.body).get("images") or ())},
    input=prompt_input,
    constant={names.GEN_AI_OUTPUT_TYPE: "image"},
)


def endpoint(body: Body) -> Endpoint:
    """What a body asks for."""
    if isinstance(body.get("messages"), list):
        return CHAT
    model = str(body[OPENED].get("modelId")).lower()
    if "embed" in model:
        return EMBEDDINGS
    if "rerank" in model or _is_rerank(body):
        return RERANK
    if "taskType" in body or "stability" in model or "text_prompts" in body:
        return IMAGES
    return CHAT if "message" in body else COMPLETION


def _is_rerank(body: Body) -> bool:
    return isinstance(body.get("query"), str) and isinstance(body.get("documents"), Sequence)
