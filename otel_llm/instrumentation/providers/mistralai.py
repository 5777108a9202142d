"""The Mistral SDK: chat, fill-in-the-middle, agents and embeddings, also of its Azure and Google Cloud clients.

From some version of 2 on it can trace itself, when MISTRAL_SDK_TELEMETRY or the client's `telemetry` says so.
Source: Mistral API reference; the SDK, versions 1.5 to 3.7.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, Final

from otel_llm._generated import attributes as names
from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.foreign import wrapped_by
from otel_llm.instrumentation.loader import Library
from otel_llm.instrumentation.methods import Arguments, Method, Request, by_attribute, install_methods
from otel_llm.instrumentation.patches import Patches
from otel_llm.instrumentation.provider import Attributes, Body, Content, Endpoint
from otel_llm.instrumentation.providers import compatible
from otel_llm.instrumentation.providers.openai_chat import ChatChunks, chat_input, chat_output, chat_response
from otel_llm.instrumentation.providers.openai_chat import chat_request as openai_request
from otel_llm.instrumentation.providers.servers import server_of
from otel_llm.instrumentation.replace import replace_texts


def request(body: Body) -> Attributes:
    """As OpenAI's, but for the seed's name."""
    found = openai_request(body)
    seed = body.get("random_seed")
    if type(seed) is int:
        found[names.GEN_AI_REQUEST_SEED] = seed
    return found


def _fill_input(body: Body) -> Content:
    parts = [{"type": "text", "content": body[key]} for key in ("prompt", "suffix") if isinstance(body.get(key), str)]
    return Content([{"role": "user", "parts": parts}] if parts else ())


class Chunks(ChatChunks):
    """Events of a stream: each has its chunk in `data`."""

    __slots__ = ()

    def add(self, event: Any) -> None:  # noqa: ANN401 - the SDK's model
        """Take an event."""
        super().add(_Chunk(event.data) if self._captured else event.data)


class _Chunk:
    """A chunk whose fields may be the SDK's sentinel for what was not sent."""

    __slots__ = ("_chunk", "choices", "usage")

    def __init__(self, chunk: Any) -> None:  # noqa: ANN401 - the SDK's model
        self._chunk = chunk
        self.usage = chunk.usage
        self.choices = [_Choice(choice) for choice in chunk.choices]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the chunk has
        return getattr(self._chunk, name)


class _Choice:
    __slots__ = ("delta", "finish_reason", "index")

    def __init__(self, choice: Any) -> None:  # noqa: ANN401 - the SDK's model
        self.index = choice.index
        reason = choice.finish_reason
        self.finish_reason = reason if isinstance(reason, str) else None
        self.delta = _Delta(choice.delta)


class _Delta:
    __slots__ = ("content", "tool_calls")

    def __init__(self, delta: Any) -> None:  # noqa: ANN401 - the SDK's model
        content = delta.content
        if isinstance(content, list):  # reasoning models send lists of parts
            content = "".join(str(getattr(part, "text", "")) for part in content)
        self.content = content if isinstance(content, str) else None
        calls = delta.tool_calls
        self.tool_calls = calls if isinstance(calls, list) else None


CHAT: Final = Endpoint(
    name="chat",
    operation="chat",
    request=request,
    response=chat_response,
    input=chat_input,
    output=chat_output,
    accumulator=Chunks,
    replace_input=replace_texts(chat_input, "messages"),
)
FILL: Final = Endpoint(
    name="fim",
    operation="text_completion",
    request=request,
    response=chat_response,
    input=_fill_input,
    output=chat_output,
    accumulator=Chunks,
    replace_input=replace_texts(_fill_input, "prompt", "suffix"),
)
EMBEDDINGS: Final = Endpoint(
    name="embeddings",
    operation="embeddings",
    request=lambda body: compatible.EMBEDDINGS.request({**body, "dimensions": body.get("output_dimension")}),
    response=compatible.EMBEDDINGS.response,
    input=lambda body: compatible.EMBEDDINGS.input({"input": body.get("inputs")}),
    is_captured=False,
)
# Closing such a stream closes its response and nothing else.
_ANSWERED: Final = by_attribute("generator", response="response")
# Module, class, and what its methods call.
_RESOURCES: Final = (
    ("chat", "Chat", CHAT, ("complete", "stream")),
    ("fim", "Fim", FILL, ("complete", "stream")),
    ("agents", "Agents", CHAT, ("complete", "stream")),
    ("embeddings", "Embeddings", EMBEDDINGS, ("create",)),
)


def _finder(endpoint: Endpoint, *, is_stream: bool) -> Any:  # noqa: ANN401 - a Method's find
    def find(resource: Any, arguments: Arguments) -> Request | None:  # noqa: ANN401 - the SDK's resource
        configuration = resource.sdk_configuration
        if getattr(configuration, "telemetry", None) == "global":
            return None  # this client traces itself
        url, _ = configuration.get_server_details()
        given = {key: value for key, value in arguments.items() if type(value).__name__ != "Unset"}
        return Request(endpoint, server_of("mistral_ai", arguments.get("server_url") or url), given, is_stream)

    return find


def _methods(package: str) -> Iterator[Method]:
    for module, owner, endpoint, kinds in _RESOURCES:
        for kind in kinds:
            find = _finder(endpoint, is_stream=kind == "stream")
            for name in (kind, f"{kind}_async"):
                yield Method(f"{package}.{module}", f"{owner}.{name}", find, _ANSWERED)


def _install(engine: Engine, patches: Patches, module: ModuleType) -> list[str]:
    package = module.__name__.rpartition(".")[0]
    return install_methods(_methods(package))(engine, patches, module)


def native(environment: Mapping[str, str], _: ModuleType) -> str | None:
    """Whether every client traces itself into the app's own set-up."""
    if environment.get("MISTRAL_SDK_TELEMETRY", "").strip().lower() == "global":
        return "MISTRAL_SDK_TELEMETRY=global: the SDK traces itself"
    return None


LIBRARY: Final = Library(
    _install,
    native=native,
    foreign=lambda module: wrapped_by((module.__name__.rpartition(".")[0] + ".chat", "Chat.complete")),
)
