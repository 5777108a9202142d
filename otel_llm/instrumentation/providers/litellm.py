"""LiteLLM: its functions, whichever provider is behind them.

What it sends goes through the SDKs of others or its own HTTP client; either way one call of LiteLLM is one call here,
and those below it are not reported again. Apps import the functions themselves, so every module that has one gets the
hook. With LiteLLM's own OpenTelemetry callback on, LiteLLM emits and we do not.
Source: LiteLLM documentation; the library, versions 1.80 to 1.110.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.providers import CANONICAL
from otel_llm.dialects.providers import provider as provider_of
from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.foreign import wrapped_by
from otel_llm.instrumentation.loader import Library
from otel_llm.instrumentation.methods import Arguments, Method, Request, hook_maker
from otel_llm.instrumentation.patches import Patches
from otel_llm.instrumentation.provider import Attributes, Body, Endpoint
from otel_llm.instrumentation.providers import compatible
from otel_llm.instrumentation.providers import openai_other as other
from otel_llm.instrumentation.providers.cohere import RERANK
from otel_llm.instrumentation.providers.litellm_streams import answered, hook_streams, stream_classes
from otel_llm.instrumentation.providers.openai_responses import RESPONSES
from otel_llm.instrumentation.providers.servers import server_of


def _answering(extract: Callable[[Any], Attributes]) -> Callable[[Any], Attributes]:
    """An extractor that also names the provider, which LiteLLM knows for sure only once it has the answer."""

    def response(answer: Any) -> Attributes:  # noqa: ANN401 - LiteLLM's model
        found = extract(answer)
        hidden = getattr(answer, "_hidden_params", None)
        name = hidden.get("custom_llm_provider") if isinstance(hidden, dict) else None
        provider = provider_of(name, None, None) if isinstance(name, str) else None
        return {**found, names.GEN_AI_PROVIDER_NAME: provider} if provider else found

    return response


def _asking(extract: Callable[[Body], Attributes]) -> Callable[[Body], Attributes]:
    """An extractor of a request whose model has no provider before it."""

    def request(body: Body) -> Attributes:
        found = extract(body)
        model = body.get("model")
        if isinstance(model, str) and _prefix(model) is not None:
            found[names.GEN_AI_REQUEST_MODEL] = model.partition("/")[2]
        return found

    return request


def _prefix(model: str) -> str | None:
    """The provider before the model's name: `anthropic/claude-...`; None when there is none that is known."""
    name, slash, _ = model.partition("/")
    found = provider_of(name, None, None) if slash else None
    return found if found in CANONICAL or found != name else None


def _wrapped(endpoint: Endpoint) -> Endpoint:
    return Endpoint(
        name=endpoint.name,
        operation=endpoint.operation,
        request=_asking(endpoint.request),
        response=_answering(endpoint.response),
        input=endpoint.input,
        output=endpoint.output,
        accumulator=endpoint.accumulator,
        replace_input=endpoint.replace_input,
        constant=endpoint.constant,
    )


class _TextChunks(compatible.CompatibleChunks):
    """Chunks of a text completion, in which early versions say 0 where the provider said nothing."""

    __slots__ = ()

    def add(self, chunk: Any) -> None:  # noqa: ANN401 - LiteLLM's model
        """Take a chunk."""
        usage, before = getattr(chunk, "usage", None), self._usage
        super().add(chunk)
        if usage is not None and not (usage.prompt_tokens or usage.completion_tokens):
            self._usage = before


_TEXT_COMPLETION: Final = dataclasses.replace(compatible.COMPLETION, accumulator=_TextChunks)
# Functions, each with its asynchronous twin.
FUNCTIONS: Final = {
    "completion": ("litellm.main", _wrapped(compatible.CHAT)),
    "text_completion": ("litellm.main", _wrapped(_TEXT_COMPLETION)),
    "embedding": ("litellm.main", _wrapped(other.EMBEDDINGS)),
    "image_generation": ("litellm.images.main", _wrapped(other.IMAGES)),
    "image_edit": ("litellm.images.main", _wrapped(other.IMAGES)),
    "transcription": ("litellm.main", _wrapped(other.TRANSCRIPTION)),
    "speech": ("litellm.main", _wrapped(other.SPEECH)),
    "moderation": ("litellm.main", _wrapped(other.MODERATION)),
    "responses": ("litellm.responses.main", _wrapped(RESPONSES)),
    "rerank": ("litellm.rerank_api.main", _wrapped(RERANK)),
}


def _finder(endpoint: Endpoint) -> Callable[[Any, Arguments], Request | None]:
    def find(_: Any, arguments: Arguments) -> Request | None:  # noqa: ANN401 - functions have no instance
        if _emits_itself():
            return None
        model = str(arguments.get("model") or "")
        url = str(arguments.get("api_base") or arguments.get("base_url") or "")
        named = arguments.get("custom_llm_provider")
        provider = (
            (provider_of(named, None, None) if isinstance(named, str) else None)
            or _prefix(model)
            or provider_of(None, url or None, model)
            or "openai"
        )
        return Request(endpoint, server_of(provider, url), arguments, bool(arguments.get("stream")))

    return find


def _emits_itself() -> bool:
    library: Any = sys.modules.get("litellm")
    callbacks = [
        *(getattr(library, "callbacks", None) or ()),
        *(getattr(library, "success_callback", None) or ()),
    ]
    return any(one == "otel" or type(one).__name__ == "OpenTelemetry" for one in callbacks)


def _install(engine: Engine, patches: Patches, library: ModuleType) -> list[str]:
    missing = []
    classes = stream_classes()
    for sync, (module, endpoint) in FUNCTIONS.items():
        for function in (sync, f"a{sync}"):
            # Later versions have one in front of the other, which may be called by itself.
            both: Any = {getattr(one, function, None) for one in (library, sys.modules.get(module))} - {None}
            if not both:
                missing.append(function)
            for original in both:
                method = Method(module, function, _finder(endpoint), answered(classes), hides=True)
                hook = hook_maker(method, engine, patches)(original)
                for holder, name in _holders(original):
                    patches.replace(holder, name, functools.partial(_instead, hook))
    return missing + hook_streams(engine, patches, classes)


def _instead(hook: Callable[..., Any], _: object) -> Callable[..., Any]:
    return hook


def _holders(original: object) -> list[tuple[ModuleType, str]]:
    """The modules that have a function, under any name, the app's own among them: `from litellm import completion`."""
    modules = [module for module in list(sys.modules.values()) if isinstance(module, ModuleType)]
    return [(module, name) for module in modules for name, value in list(vars(module).items()) if value is original]


LIBRARY: Final = Library(_install, foreign=lambda module: wrapped_by((module, "completion"), ("litellm", "completion")))
