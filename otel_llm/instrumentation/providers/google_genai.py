"""The Google GenAI SDK: the Gemini API and Vertex AI.

Its API client sends every request through four functions, so that each round trip of automatic function calling, each
message of a chat and each batch of texts to embed is one call here. What passes there is the wire's JSON.

Source: Gemini API and Vertex AI references; the SDK, versions 1.0 to 3.6.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from otel_llm._generated import attributes as names
from otel_llm.cost.tokens import estimate_tokens
from otel_llm.dialects.messages import (
    canonical_finish_reason,
    canonical_messages,
    canonical_tool_definitions,
    text_messages,
)
from otel_llm.instrumentation.foreign import wrapped_by
from otel_llm.instrumentation.loader import Library
from otel_llm.instrumentation.methods import Arguments, Method, Request, install_methods
from otel_llm.instrumentation.opened import Opened, by_opening, json_object
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
from otel_llm.instrumentation.providers.servers import server_of
from otel_llm.instrumentation.replace import replace_texts

# The model of a request stands in its path. The SDK itself drops keys that begin so before it sends a body.
_MODEL: Final = "_model"
_KEPT_BYTES: Final = 4 * 1024 * 1024
# What a chunk takes besides its text.
_CHUNK_BYTES: Final = 1024

_CONFIG: Final = (
    ("temperature", names.GEN_AI_REQUEST_TEMPERATURE, number),
    ("topP", names.GEN_AI_REQUEST_TOP_P, number),
    ("topK", names.GEN_AI_REQUEST_TOP_K, lambda value: None if number(value) is None else int(value)),
    ("maxOutputTokens", names.GEN_AI_REQUEST_MAX_TOKENS, whole),
    ("stopSequences", names.GEN_AI_REQUEST_STOP_SEQUENCES, texts),
    ("seed", names.GEN_AI_REQUEST_SEED, whole),
    ("frequencyPenalty", names.GEN_AI_REQUEST_FREQUENCY_PENALTY, number),
    ("presencePenalty", names.GEN_AI_REQUEST_PRESENCE_PENALTY, number),
    ("candidateCount", names.GEN_AI_REQUEST_CHOICE_COUNT, lambda value: whole(value) if value != 1 else None),
    ("outputDimensionality", names.GEN_AI_EMBEDDINGS_DIMENSION_COUNT, whole),
)
_OUTPUT_TYPES: Final = {"application/json": "json", "text/plain": "text"}
_MODALITIES: Final = {
    ("promptTokensDetails", "AUDIO"): names.GEN_AI_USAGE_AUDIO_INPUT_TOKENS,
    ("promptTokensDetails", "IMAGE"): names.GEN_AI_USAGE_IMAGE_INPUT_TOKENS,
    ("candidatesTokensDetails", "AUDIO"): names.GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS,
    ("candidatesTokensDetails", "IMAGE"): names.GEN_AI_USAGE_IMAGE_OUTPUT_TOKENS,
}


def request(body: Body) -> Attributes:
    """The model and the generation's parameters."""
    found: Attributes = {}
    model = text(body.get(_MODEL))
    if model is not None:
        found[names.GEN_AI_REQUEST_MODEL] = model
    config = body.get("generationConfig")
    if isinstance(config, Mapping):
        found.update(read_fields(config, _CONFIG))
        kind = _OUTPUT_TYPES.get(str(config.get("responseMimeType")))
        if kind is not None:
            found[names.GEN_AI_OUTPUT_TYPE] = kind
        thinking = config.get("thinkingConfig")
        level = thinking.get("thinkingLevel") if isinstance(thinking, Mapping) else None
        if isinstance(level, str):
            found[names.GEN_AI_REQUEST_REASONING_LEVEL] = str(level).lower()
    return found


def decoded(answer: Any) -> Mapping[str, Any]:  # noqa: ANN401 - the SDK's response, or the JSON of older versions
    """The JSON of an answer."""
    body = answer if isinstance(answer, Mapping | str | bytes) else getattr(answer, "body", None)
    if isinstance(body, str | bytes):
        body = msgspec.json.decode(body) if body else {}
    return body if isinstance(body, Mapping) else {}


def read_usage(usage: object, found: Attributes) -> None:
    """Token counts: thoughts are no part of the candidates' tokens, nor what tools were given one of the prompt's."""
    if not isinstance(usage, Mapping):
        return
    entered = _sum(usage, "promptTokenCount", "toolUsePromptTokenCount")
    left = _sum(usage, "candidatesTokenCount", "responseTokenCount", "thoughtsTokenCount")
    if entered is not None:
        found[names.GEN_AI_USAGE_INPUT_TOKENS] = entered
    if left is not None:
        found[names.GEN_AI_USAGE_OUTPUT_TOKENS] = left
    for word, key in (
        ("cachedContentTokenCount", names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS),
        ("thoughtsTokenCount", names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS),
    ):
        count = whole(usage.get(word))
        if count is not None:
            found[key] = count
    for (word, modality), key in _MODALITIES.items():
        for item in usage.get(word) or ():
            if item.get("modality") == modality and whole(item.get("tokenCount")):
                found[key] = item["tokenCount"]


def _sum(usage: Mapping[str, Any], *words: str) -> int | None:
    counts = [count for count in (whole(usage.get(word)) for word in words) if count is not None]
    return sum(counts) if counts else None


def response(answer: Any) -> Attributes:  # noqa: ANN401 - the SDK's response
    """Id, model, finish reasons and usage of a generation."""
    return _said(decoded(answer))


def _said(answer: Mapping[str, Any]) -> Attributes:
    found: Attributes = {}
    for word, key in (("responseId", names.GEN_AI_RESPONSE_ID), ("modelVersion", names.GEN_AI_RESPONSE_MODEL)):
        value = text(answer.get(word))
        if value is not None:
            found[key] = value
    reasons = [candidate.get("finishReason") for candidate in answer.get("candidates") or ()]
    reasons = [canonical_finish_reason(reason) for reason in reasons if isinstance(reason, str)]
    blocked = answer.get("promptFeedback")
    if not reasons and isinstance(blocked, Mapping) and blocked.get("blockReason"):
        reasons = ["content_filter"]
    if reasons:
        found[names.GEN_AI_RESPONSE_FINISH_REASONS] = reasons
    read_usage(answer.get("usageMetadata"), found)
    return found


def generate_input(body: Body) -> Content:
    """Contents, instructions and functions of a request."""
    said = canonical_messages(body.get("contents"), "user")
    system = body.get("systemInstruction")
    parts = [part for message in canonical_messages(system, "system").messages for part in _parts(message)]
    tools = body.get("tools") or ()
    functions = [one for tool in tools for one in tool.get("functionDeclarations") or () if isinstance(tool, Mapping)]
    return Content(said.messages, parts, canonical_tool_definitions(functions))


def _parts(message: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    parts = message.get("parts")
    return parts if isinstance(parts, list) else ()


def generate_output(answer: Any) -> Content:  # noqa: ANN401 - the SDK's response
    """One message for each candidate."""
    return _candidates(decoded(answer).get("candidates") or ())


def _candidates(candidates: Sequence[Mapping[str, Any]]) -> Content:
    contents = [candidate.get("content") for candidate in candidates]
    messages = [one for content in contents for one in canonical_messages(content, "assistant").messages]
    return Content(messages)


class GeneratedChunks:
    """Collects a streamed generation. Chunks are kept as they are and read at the end: usage in each is cumulative.

    Args:
        captured: whether the texts are wanted; they are read at the end, if at all.
    """

    __slots__ = ("_chunks", "_last", "_size")

    def __init__(self, captured: bool) -> None:  # noqa: ARG002, FBT001 - the accumulator's signature
        self._chunks: list[Any] = []
        self._last: Any = None
        self._size = 0

    def add(self, chunk: Any) -> None:  # noqa: ANN401 - the SDK's response
        """Take a chunk."""
        if isinstance(chunk, Mapping):  # before 1.20 these are objects, which the SDK takes apart afterwards
            chunk = copy.deepcopy(chunk)
        self._last = chunk
        if self._size < _KEPT_BYTES:
            self._chunks.append(chunk)
            self._size += len(getattr(chunk, "body", None) or "") + _CHUNK_BYTES

    @property
    def is_complete(self) -> bool:
        """Whether a candidate was finished."""
        return names.GEN_AI_RESPONSE_FINISH_REASONS in self.attributes()

    @property
    def output_estimate(self) -> int:
        """Counted from the texts."""
        parts = [part for message in self.output().messages for part in _parts(message)]
        return sum(estimate_tokens(str(part.get("content") or part.get("arguments") or "")) for part in parts)

    def attributes(self) -> Attributes:
        """What the last chunk says."""
        return {} if self._last is None else _said(decoded(self._last))

    def output(self) -> Content:
        """One message for each candidate, its texts joined."""
        joined: dict[int, dict[str, Any]] = {}
        for chunk in self._chunks:
            for candidate in decoded(chunk).get("candidates") or ():
                content = joined.setdefault(candidate.get("index") or 0, {"role": "model", "parts": []})
                _join(content["parts"], (candidate.get("content") or {}).get("parts") or ())
        return _candidates([{"content": joined[index]} for index in sorted(joined) if joined[index]["parts"]])


def _join(parts: list[dict[str, Any]], more: Sequence[Mapping[str, Any]]) -> None:
    for part in more:
        last = parts[-1] if parts else {}
        if isinstance(part.get("text"), str) and "text" in last and last.get("thought") == part.get("thought"):
            last["text"] += part["text"]
        else:
            parts.append(dict(part))


def _embedded(body: Body) -> Attributes:
    found = request(body)
    first: object = body
    for key in ("requests", "parameters"):
        inner = body.get(key)
        first = inner[0] if isinstance(inner, list) and inner else inner or first
    if isinstance(first, Mapping):
        found.update(read_fields(first, _CONFIG))
    return found


def _embeddings(answer: Any) -> Attributes:  # noqa: ANN401 - the SDK's response
    found: Attributes = {}
    said = decoded(answer)
    read_usage(said.get("usageMetadata"), found)
    counts = [one["embeddings"]["statistics"]["token_count"] for one in said.get("predictions") or () if _counted(one)]
    if counts:
        found[names.GEN_AI_USAGE_INPUT_TOKENS] = sum(counts)
    return found


def _counted(prediction: Mapping[str, Any]) -> bool:
    embeddings = prediction.get("embeddings")
    statistics = embeddings.get("statistics") if isinstance(embeddings, Mapping) else None
    return isinstance(statistics, Mapping) and type(statistics.get("token_count")) is int


def _embedding_input(body: Body) -> Content:
    asked = body.get("requests") or body.get("instances") or [body]
    messages: list[Mapping[str, object]] = []
    for one in asked:
        if isinstance(one.get("content"), str):
            messages += text_messages(one["content"], "user")
        else:
            messages += canonical_messages(one.get("content"), "user").messages
    return Content(messages)


def _images(answer: Any) -> Attributes:  # noqa: ANN401 - the SDK's response
    return {names.OTEL_LLM_USAGE_IMAGES: len(decoded(answer).get("predictions") or ())}


def _prompts(body: Body) -> Content:
    prompts = [one.get("prompt") for one in body.get("instances") or ()]
    return Content([one for prompt in prompts if isinstance(prompt, str) for one in text_messages(prompt, "user")])


GENERATE: Final = Endpoint(
    name="generate_content",
    operation="generate_content",
    request=request,
    response=response,
    input=generate_input,
    output=generate_output,
    accumulator=GeneratedChunks,
    replace_input=replace_texts(generate_input, "contents", "systemInstruction"),
)
EMBED: Final = Endpoint(
    name="embed_content",
    operation="embeddings",
    request=_embedded,
    response=_embeddings,
    input=_embedding_input,
    is_captured=False,
)
IMAGES: Final = Endpoint(
    name="generate_images",
    operation="image_generation",
    request=request,
    response=_images,
    input=_prompts,
    constant={names.GEN_AI_OUTPUT_TYPE: "image"},
)
VIDEOS: Final = Endpoint(name="generate_videos", operation="video_generation", request=request, input=_prompts)
COUNT_TOKENS: Final = Endpoint(name="count_tokens", operation="count_tokens", request=request)
BATCH: Final = Endpoint(name="batch", operation="create_batch", request=request)

_ACTIONS: Final[Mapping[str, Endpoint]] = {
    "generateContent": GENERATE,
    "streamGenerateContent": GENERATE,
    "embedContent": EMBED,
    "batchEmbedContents": EMBED,
    "asyncBatchEmbedContent": BATCH,
    "batchGenerateContent": BATCH,
    "countTokens": COUNT_TOKENS,
    "predictLongRunning": VIDEOS,
}


def endpoint(path: str, body: Body) -> Endpoint | None:
    """What a path asks for: `models/gemini-2.5-flash:generateContent?alt=sse`."""
    action = path.partition("?")[0].rpartition(":")[2]
    if action == "predict":  # Vertex AI's for everything older
        instances = body.get("instances")
        is_prompt = isinstance(instances, list) and instances and "prompt" in instances[0]
        return IMAGES if is_prompt else EMBED
    return _ACTIONS.get(action)


def _find(stream: bool) -> Any:  # noqa: ANN401, FBT001 - a Method's find
    def find(client: Any, arguments: Arguments) -> Request | None:  # noqa: ANN401 - the SDK's client
        path, body = arguments["path"], arguments["request_dict"]
        if str(arguments["http_method"]).lower() != "post" or not isinstance(body, Mapping):
            return None
        found = endpoint(path, body)
        if found is None:
            return None
        model = path.rpartition(":")[0].rpartition("/")[2]
        return Request(found, _server(client), {**body, _MODEL: model}, stream)

    return find


def _server(client: Any) -> Any:  # noqa: ANN401 - the SDK's client
    options = client._http_options  # noqa: SLF001 - the client says it nowhere else
    url = options.get("base_url") if isinstance(options, Mapping) else getattr(options, "base_url", None)
    return server_of("gcp.vertex_ai" if client.vertexai else "gcp.gemini", str(url or ""))


def _with_body(body: Body) -> Mapping[str, Any]:
    return {"request_dict": dict(body)}


def _opened(answer: Any) -> Opened | None:  # noqa: ANN401 - the SDK's HTTP response, one for each event of a stream
    if isinstance(answer, dict):  # as early versions have it
        return Opened(answer, answer, lambda _, data: json_object(data))
    body = getattr(answer, "body", None)
    data = json_object(body) if isinstance(body, str | bytes) else None
    return None if data is None else Opened(answer, data, _put)


def _put(answer: Any, data: bytes) -> Any:  # noqa: ANN401 - as above
    answer.body = data.decode()
    return answer


def table(owner: str) -> tuple[Method, ...]:
    """The functions of the API client.

    Args:
        owner: the name of its class in the installed version.
    """
    return tuple(
        Method("google.genai._api_client", f"{owner}.{name}", _find(stream), by_opening(_opened), _with_body)
        for name, stream in (
            ("request", False),
            ("async_request", False),
            ("request_streamed", True),
            ("async_request_streamed", True),
        )
    )


LIBRARY: Final = Library(
    lambda engine, patches, module: install_methods(
        table("BaseApiClient" if hasattr(module, "BaseApiClient") else "ApiClient")
    )(engine, patches, module),
    foreign=lambda module: wrapped_by(
        (module, "BaseApiClient.request"),
        ("google.genai.models", "Models.generate_content"),
        ("google.genai.models", "Models._generate_content"),
    ),
)
