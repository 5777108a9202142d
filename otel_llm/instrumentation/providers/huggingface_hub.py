"""The InferenceClient of huggingface_hub: chat, generation, embeddings, images, speech.

All its methods go through `_inner_post`, where a request is its JSON and an answer its bytes.
Source: Hugging Face Inference API reference; the library, versions 0.30 to 2.4.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

import msgspec

from otel_llm._generated import attributes as names
from otel_llm.dialects.messages import canonical_finish_reason, text_messages
from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.foreign import wrapped_by
from otel_llm.instrumentation.loader import Library
from otel_llm.instrumentation.methods import Arguments, Method, Request, install_methods
from otel_llm.instrumentation.opened import Opened, by_opening, json_object
from otel_llm.instrumentation.patches import Patches
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
from otel_llm.instrumentation.providers import compatible
from otel_llm.instrumentation.providers.servers import server_of
from otel_llm.instrumentation.replace import replace_texts

# A request names its model in its path, and only for chats in its body as well.
_MODEL: Final = "_model"
_PARAMETERS_OF: Final = "_parameters"
_PARAMETERS: Final = (
    ("temperature", names.GEN_AI_REQUEST_TEMPERATURE, number),
    ("top_p", names.GEN_AI_REQUEST_TOP_P, number),
    ("top_k", names.GEN_AI_REQUEST_TOP_K, whole),
    ("max_new_tokens", names.GEN_AI_REQUEST_MAX_TOKENS, whole),
    ("seed", names.GEN_AI_REQUEST_SEED, whole),
    ("stop", names.GEN_AI_REQUEST_STOP_SEQUENCES, texts),
)


def _decoded(answer: object) -> Any:  # noqa: ANN401 - a View, or None
    """An answer, or a line of a streamed one, as JSON."""
    if isinstance(answer, bytes | str):
        said = answer if isinstance(answer, bytes) else answer.encode()
        said = said.removeprefix(b"data:").strip()
        try:
            answer = msgspec.json.decode(said)
        except msgspec.MsgspecError:
            return None
    if isinstance(answer, list) and answer and isinstance(answer[0], dict):
        answer = answer[0]
    return View(answer) if isinstance(answer, dict) else None


def _request(body: Body) -> Attributes:
    found: Attributes = {}
    model = text(body.get(_MODEL)) or text(body.get("model"))
    if model is not None:
        found[names.GEN_AI_REQUEST_MODEL] = model
    parameters = body.get("parameters")
    if isinstance(parameters, Mapping):
        found.update(read_fields(parameters, _PARAMETERS))
    return found


def _chat_request(body: Body) -> Attributes:
    return {**compatible.CHAT.request(body), **_request(body)}


def _chat_response(answer: object) -> Attributes:
    said = _decoded(answer)
    return {} if said is None else compatible.CHAT.response(said)


def _chat_output(answer: object) -> Content:
    said = _decoded(answer)
    return Content() if said is None else compatible.CHAT.output(said)


def _generated(answer: object) -> Attributes:
    said = _decoded(answer)
    details = None if said is None else said.details
    return {} if details is None else _details(details)


def _details(details: Any) -> Attributes:  # noqa: ANN401 - a View
    found: Attributes = {}
    if text(details.finish_reason):
        found[names.GEN_AI_RESPONSE_FINISH_REASONS] = [canonical_finish_reason(details.finish_reason)]
    if whole(details.generated_tokens) is not None:
        found[names.GEN_AI_USAGE_OUTPUT_TOKENS] = details.generated_tokens
    if isinstance(details.prefill, list) and details.prefill:
        found[names.GEN_AI_USAGE_INPUT_TOKENS] = len(details.prefill)
    return found


def _generated_output(answer: object) -> Content:
    said = _decoded(answer)
    written = None if said is None else text(said.generated_text)
    return Content(text_messages(written, "assistant") if written else ())


def _inputs(body: Body) -> Content:
    given = body.get("inputs") if body.get("inputs") is not None else body.get("input")
    return Content([one for said in texts(given) or () for one in text_messages(said, "user")])


class ChatLines(compatible.CompatibleChunks):
    """Lines of server-sent events, each with a chunk of OpenAI's shape."""

    __slots__ = ()

    def add(self, line: Any) -> None:  # noqa: ANN401 - text or bytes
        """Take a line."""
        chunk = _decoded(line)
        if chunk is not None:
            super().add(chunk)


class TokenLines:
    """Lines of server-sent events, each with a token; the last one has the details.

    Args:
        captured: whether the texts are wanted.
    """

    __slots__ = ("_captured", "_details", "_pieces", "_texts")

    def __init__(self, captured: bool) -> None:  # noqa: FBT001 - the accumulator's signature
        self._captured = captured
        self._details: Any = None
        self._pieces = 0
        self._texts: list[str] = []

    def add(self, line: Any) -> None:  # noqa: ANN401 - text or bytes
        """Take a line."""
        event = _decoded(line)
        if event is None or event.token is None:
            return
        self._pieces += 1
        if event.details is not None:
            self._details = event.details
        if self._captured and not event.token.special:
            self._texts.append(event.token.text or "")

    @property
    def is_complete(self) -> bool:
        """Whether the details came."""
        return self._details is not None

    @property
    def output_estimate(self) -> int:
        """A token a line."""
        return self._pieces

    def attributes(self) -> Attributes:
        """What the details say."""
        return {} if self._details is None else _details(self._details)

    def output(self) -> Content:
        """The text as far as it came."""
        return Content(text_messages("".join(self._texts), "assistant"))


CHAT: Final = dataclasses.replace(
    compatible.CHAT, request=_chat_request, response=_chat_response, output=_chat_output, accumulator=ChatLines
)
GENERATION: Final = Endpoint(
    name="text_generation",
    operation="text_completion",
    request=_request,
    response=_generated,
    input=_inputs,
    output=_generated_output,
    accumulator=TokenLines,
    replace_input=replace_texts(_inputs, "inputs"),
)
EMBEDDINGS: Final = Endpoint(
    name="feature_extraction",
    operation="embeddings",
    request=_request,
    input=_inputs,
    replace_input=replace_texts(_inputs, "inputs", "input"),
    is_captured=False,
)
IMAGES: Final = Endpoint(
    name="text_to_image",
    operation="image_generation",
    request=_request,
    response=lambda _: {names.OTEL_LLM_USAGE_IMAGES: 1},
    input=_inputs,
    replace_input=replace_texts(_inputs, "inputs"),
    constant={names.GEN_AI_OUTPUT_TYPE: "image"},
)
SPEECH: Final = Endpoint(
    name="text_to_speech",
    operation="speech",
    request=_request,
    input=_inputs,
    replace_input=replace_texts(_inputs, "inputs"),
    constant={names.GEN_AI_OUTPUT_TYPE: "speech"},
)
TRANSCRIPTION: Final = Endpoint(
    name="automatic_speech_recognition",
    operation="transcription",
    request=_request,
    constant={names.GEN_AI_OUTPUT_TYPE: "text"},
)
VIDEOS: Final = Endpoint(
    name="text_to_video",
    operation="video_generation",
    request=_request,
    input=_inputs,
    replace_input=replace_texts(_inputs, "inputs"),
)
TASKS: Final[Mapping[str, Endpoint]] = {
    "conversational": CHAT,
    "text-generation": GENERATION,
    "feature-extraction": EMBEDDINGS,
    "text-to-image": IMAGES,
    "image-to-image": IMAGES,
    "text-to-speech": SPEECH,
    "automatic-speech-recognition": TRANSCRIPTION,
    "text-to-video": VIDEOS,
}
# Tasks of classic models: classification, extraction, translation. No convention has an operation for them.
WAIVED: Final = (
    "audio-classification",
    "audio-to-audio",
    "document-question-answering",
    "fill-mask",
    "image-classification",
    "image-segmentation",
    "image-text-to-image",
    "image-text-to-video",
    "image-to-text",
    "image-to-video",
    "object-detection",
    "question-answering",
    "sentence-similarity",
    "summarization",
    "table-question-answering",
    "tabular-classification",
    "tabular-regression",
    "text-classification",
    "token-classification",
    "translation",
    "visual-question-answering",
    "zero-shot-classification",
    "zero-shot-image-classification",
)


def _find(_: Any, arguments: Arguments) -> Request | None:  # noqa: ANN401 - the client
    parameters = arguments["request_parameters"]
    found = TASKS.get(parameters.task)
    if found is None:
        return None
    body = parameters.json if isinstance(parameters.json, Mapping) else {}
    if found is GENERATION and "messages" in body:  # what early versions call a chat
        found = CHAT
    server = server_of("huggingface", parameters.url)
    body = {**body, _MODEL: parameters.model, _PARAMETERS_OF: parameters}
    return Request(found, server, body, bool(arguments.get("stream")))


def _with_body(body: Body) -> Mapping[str, Any]:
    json = {key: value for key, value in body.items() if key not in (_MODEL, _PARAMETERS_OF)}
    return {"request_parameters": dataclasses.replace(body[_PARAMETERS_OF], json=json)}


_EVENT: Final = "data:"


def _opened(answer: Any) -> Opened | None:  # noqa: ANN401 - bytes, a line of a stream, or what was decoded
    if isinstance(answer, dict):
        return Opened(answer, answer, lambda _, data: json_object(data))
    if not isinstance(answer, str | bytes):
        return None
    line = answer if isinstance(answer, str) else answer.decode("utf-8", "replace")
    start = _EVENT if line.startswith(_EVENT) else ""
    body = line[len(start) :].strip()
    is_event = start or not isinstance(answer, bytes) or not body
    data = {} if is_event and (not start or body in ("", "[DONE]")) else json_object(body)

    def put(_: Any, changed: bytes) -> str | bytes:  # noqa: ANN401 - as above
        whole = f"{start} {changed.decode()}" if start else changed.decode()
        return whole if isinstance(answer, str) else whole.encode()

    return None if data is None else Opened(answer, data, put)


# An app that only has the asynchronous client imports nothing of the other.
_CLIENT: Final = "huggingface_hub.inference._client"
_METHODS: Final = tuple(
    Method(module, f"{owner}._inner_post", _find, by_opening(_opened), _with_body)
    for module, owner in (
        (_CLIENT, "InferenceClient"),
        ("huggingface_hub.inference._generated._async_client", "AsyncInferenceClient"),
    )
)


def _install(engine: Engine, patches: Patches, module: ModuleType) -> list[str]:
    """Hooks for the client whose module was imported."""
    return install_methods(one for one in _METHODS if one.module == module.__name__)(engine, patches, module)


LIBRARY: Final = Library(
    _install,
    foreign=lambda _: wrapped_by(
        (_CLIENT, "InferenceClient._inner_post"), (_CLIENT, "InferenceClient.chat_completion")
    ),
)
