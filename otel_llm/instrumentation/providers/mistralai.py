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
from otel_llm.instrumentation.provider import Attributes, Body, Content, Endpoint, View, plain
from otel_llm.instrumentation.providers import compatible
from otel_llm.instrumentation.providers.openai_chat import chat_input, chat_output, chat_response
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


class Chunks(compatible.CompatibleChunks):
    """Events of a stream: each has its chunk in `data`."""

    __slots__ = ()

    def add(self, event: Any) -> None:  # noqa: ANN401 - the SDK's model
        """Take an event."""
        super().add(_with_texts(plain(event.data)) if self._captured else event.data)


def _with_texts(chunk: Any) -> View:  # noqa: ANN401 - JSON
    """A chunk whose choices have texts, where reasoning models send lists of parts."""
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        parts = delta.get("content")
        if isinstance(parts, list):
            texts = [part.get("text") for part in parts if isinstance(part, dict)]
            choice["delta"] = {**delta, "content": "".join(one for one in texts if isinstance(one, str))}
    return View(chunk)


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
RESOURCES: Final = (
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
    for module, owner, endpoint, kinds in RESOURCES:
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
