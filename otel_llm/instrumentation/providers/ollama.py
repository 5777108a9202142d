"""The Ollama SDK: chat, generate and embeddings of a server that usually runs on one's own machine.

Every method goes through `_request` of its client, the functions of the module as well.
Source: Ollama API reference; the SDK, versions 0.4 to 0.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.messages import (
    canonical_finish_reason,
    canonical_messages,
    canonical_tool_definitions,
    lift_system,
    text_messages,
)
from otel_llm.instrumentation.foreign import wrapped_by
from otel_llm.instrumentation.loader import Library
from otel_llm.instrumentation.methods import Arguments, Method, Request, install_methods
from otel_llm.instrumentation.provider import (
    Attributes,
    Body,
    Content,
    Endpoint,
    number,
    plain,
    read_fields,
    text,
    texts,
    whole,
)
from otel_llm.instrumentation.providers.servers import server_of
from otel_llm.instrumentation.replace import replace_texts

_OPTIONS: Final = (
    ("temperature", names.GEN_AI_REQUEST_TEMPERATURE, number),
    ("top_p", names.GEN_AI_REQUEST_TOP_P, number),
    ("top_k", names.GEN_AI_REQUEST_TOP_K, whole),
    ("num_predict", names.GEN_AI_REQUEST_MAX_TOKENS, whole),
    ("seed", names.GEN_AI_REQUEST_SEED, whole),
    ("stop", names.GEN_AI_REQUEST_STOP_SEQUENCES, texts),
    ("frequency_penalty", names.GEN_AI_REQUEST_FREQUENCY_PENALTY, number),
    ("presence_penalty", names.GEN_AI_REQUEST_PRESENCE_PENALTY, number),
)
_USAGE: Final = (
    ("prompt_eval_count", names.GEN_AI_USAGE_INPUT_TOKENS),
    ("eval_count", names.GEN_AI_USAGE_OUTPUT_TOKENS),
)


def request(body: Body) -> Attributes:
    """The model and its options."""
    options = body.get("options")
    found = read_fields(options, _OPTIONS) if isinstance(options, Mapping) else {}
    model, level = text(body.get("model")), body.get("think")
    if model is not None:
        found[names.GEN_AI_REQUEST_MODEL] = model
    if isinstance(level, str):
        found[names.GEN_AI_REQUEST_REASONING_LEVEL] = level
    if body.get("format"):
        found[names.GEN_AI_OUTPUT_TYPE] = "json"
    return found


def response(answer: Any) -> Attributes:  # noqa: ANN401 - the SDK's model
    """Model, reason to stop and counts; of a stream, those of its last chunk."""
    found: Attributes = {}
    model, reason = getattr(answer, "model", None), getattr(answer, "done_reason", None)
    if model:
        found[names.GEN_AI_RESPONSE_MODEL] = model
    if reason:
        found[names.GEN_AI_RESPONSE_FINISH_REASONS] = [canonical_finish_reason(reason)]
    for word, key in _USAGE:
        count = whole(getattr(answer, word, None))
        if count is not None:
            found[key] = count
    return found


def chat_input(body: Body) -> Content:
    """Messages and tools."""
    said = lift_system(canonical_messages([plain(one) for one in body.get("messages") or ()], "user"))
    return Content(said.messages, said.system, canonical_tool_definitions(body.get("tools")))


def chat_output(answer: Any) -> Content:  # noqa: ANN401 - the SDK's model
    """The one message."""
    return Content(canonical_messages([plain(answer.message)], "assistant").messages)


def prompt_input(body: Body) -> Content:
    """The prompt and the instructions of a generation."""
    prompt, system = text(body.get("prompt")), text(body.get("system"))
    return Content(
        text_messages(prompt, "user") if prompt else (), [{"type": "text", "content": system}] if system else ()
    )


def prompt_output(answer: Any) -> Content:  # noqa: ANN401 - the SDK's model
    """The one text."""
    said = text(answer.response)
    return Content(text_messages(said, "assistant") if said else ())


def _embedding_input(body: Body) -> Content:
    given = texts(body.get("input") if body.get("input") is not None else body.get("prompt")) or ()
    return Content([message for one in given for message in text_messages(one, "user")])


class Parts:
    """Collects a streamed chat or generation: one piece a chunk, the counts in the last one.

    Args:
        captured: whether the texts are wanted.
    """

    __slots__ = ("_calls", "_captured", "_last", "_pieces", "_texts", "_thoughts")

    def __init__(self, captured: bool) -> None:  # noqa: FBT001 - the accumulator's signature
        self._captured = captured
        self._last: Any = None
        self._pieces = 0
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[Any] = []

    def add(self, chunk: Any) -> None:  # noqa: ANN401 - the SDK's model
        """Take a chunk."""
        self._last = chunk
        self._pieces += 1
        if self._captured:
            message = getattr(chunk, "message", None)
            said = chunk.response if message is None else message.content
            thought = getattr(chunk if message is None else message, "thinking", None)
            self._texts.append(said or "")
            self._thoughts.append(thought or "")
            self._calls += getattr(message, "tool_calls", None) or ()

    @property
    def is_complete(self) -> bool:
        """Whether the server said that it is done."""
        return bool(getattr(self._last, "done", False))

    @property
    def output_estimate(self) -> int:
        """The server sends a token in each chunk; the last one is empty."""
        return self._pieces - self.is_complete

    def attributes(self) -> Attributes:
        """What the last chunk says."""
        return {} if self._last is None else response(self._last)

    def output(self) -> Content:
        """The message as far as it came."""
        message = {
            "role": "assistant",
            "content": "".join(self._texts),
            "thinking": "".join(self._thoughts),
            "tool_calls": [plain(call) for call in self._calls],
        }
        return Content(canonical_messages([message], "assistant").messages)


CHAT: Final = Endpoint(
    name="chat",
    operation="chat",
    request=request,
    response=response,
    input=chat_input,
    output=chat_output,
    accumulator=Parts,
    replace_input=replace_texts(chat_input, "messages"),
)
GENERATE: Final = Endpoint(
    name="generate",
    operation="text_completion",
    request=request,
    response=response,
    input=prompt_input,
    output=prompt_output,
    accumulator=Parts,
    replace_input=replace_texts(prompt_input, "prompt", "system"),
)
EMBED: Final = Endpoint(
    name="embed",
    operation="embeddings",
    request=request,
    response=response,
    input=_embedding_input,
    replace_input=replace_texts(_embedding_input, "input", "prompt"),
    is_captured=False,
)
PATHS: Final[Mapping[str, Endpoint]] = {
    "/api/chat": CHAT,
    "/api/generate": GENERATE,
    "/api/embed": EMBED,
    "/api/embeddings": EMBED,
}


def _find(client: Any, arguments: Arguments) -> Request | None:  # noqa: ANN401 - the SDK's client
    found = PATHS.get(arguments["args"][1])
    if found is None:
        return None
    server = server_of("ollama", str(client._client.base_url))  # noqa: SLF001 - the client says it nowhere else
    return Request(found, server, arguments["json"], stream=bool(arguments.get("stream")))


LIBRARY: Final = Library(
    install_methods(
        Method("ollama._client", f"{owner}._request", _find, with_body=lambda body: {"json": body})
        for owner in ("Client", "AsyncClient")
    ),
    foreign=lambda module: wrapped_by((module, "Client._request"), (module, "Client.chat")),
)
