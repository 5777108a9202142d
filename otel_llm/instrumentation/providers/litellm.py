"""LiteLLM: its functions, whichever provider is behind them.

What it sends goes through the SDKs of others or its own HTTP client; either way one call of LiteLLM is one call here,
and those below it are not reported again. Apps import the functions themselves, so every module that has one gets the
hook. With LiteLLM's own OpenTelemetry callback on, LiteLLM emits and we do not.
Source: LiteLLM documentation; the library, versions 1.80 to 1.110.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import ModuleType
from typing import Any, Final

from opentelemetry import context
from opentelemetry.context import Context

from otel_llm._generated import attributes as names
from otel_llm.dialects.providers import CANONICAL
from otel_llm.dialects.providers import provider as provider_of
from otel_llm.instrumentation.boundary import Boundary
from otel_llm.instrumentation.call import Call
from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.foreign import wrapped_by
from otel_llm.instrumentation.guarding import GuardedAsyncIterator, GuardedIterator, Guarding, core_of
from otel_llm.instrumentation.loader import Library
from otel_llm.instrumentation.methods import Arguments, Method, Request, hook_maker
from otel_llm.instrumentation.patches import Patches
from otel_llm.instrumentation.provider import Attributes, Body, Endpoint
from otel_llm.instrumentation.providers import compatible
from otel_llm.instrumentation.providers import openai_other as other
from otel_llm.instrumentation.providers.cohere import RERANK
from otel_llm.instrumentation.providers.openai_responses import RESPONSES
from otel_llm.instrumentation.providers.servers import server_of
from otel_llm.instrumentation.streams import Watch

# Where a stream keeps its watch.
_WATCH: Final = "_otel_llm_watch"
# And the context of its call, until its first chunk.
_CONTEXT: Final = "_otel_llm_context"
# And what looks after it: a Guarding at first, then the iterator of what it passes on.
_GUARDED: Final = "_otel_llm_guarded"


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


# Functions, each with its asynchronous twin.
FUNCTIONS: Final = {
    "completion": ("litellm.main", _wrapped(compatible.CHAT)),
    "text_completion": ("litellm.main", _wrapped(compatible.COMPLETION)),
    "embedding": ("litellm.main", _wrapped(other.EMBEDDINGS)),
    "image_generation": ("litellm.images.main", _wrapped(other.IMAGES)),
    "transcription": ("litellm.main", _wrapped(other.TRANSCRIPTION)),
    "speech": ("litellm.main", _wrapped(other.SPEECH)),
    "moderation": ("litellm.main", _wrapped(other.MODERATION)),
    "responses": ("litellm.responses.main", _wrapped(RESPONSES)),
    "rerank": ("litellm.rerank_api.main", _wrapped(RERANK)),
}
# Where its classes of streams are, and how their names end.
_STREAMS: Final = (
    ("litellm.litellm_core_utils.streaming_handler", "CustomStreamWrapper"),
    ("litellm.text_completions.streaming_iterator", "TextCompletionStreamWrapper"),
    ("litellm.utils", "TextCompletionStreamWrapper"),  # in earlier versions
    ("litellm.responses.streaming_iterator", "StreamingIterator"),
    ("litellm.responses.litellm_completion_transformation.streaming_iterator", "StreamingIterator"),
)


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


def _answered(call: Call, answer: Any, boundary: Boundary) -> Any:  # noqa: ANN401 - LiteLLM's answer
    make = call.endpoint.accumulator
    if not call.is_stream or make is None or not type(answer).__name__.endswith(tuple(end for _, end in _STREAMS)):
        call.guard(answer)
        call.succeeded(answer)
        return answer
    watch = Watch(call, make(call.is_content_captured), boundary)
    vars(answer)[_WATCH] = watch
    vars(answer)[_CONTEXT] = call.context
    if call.guarding is not None:
        vars(answer)[_GUARDED] = call.guarding
    weakref.finalize(answer, watch.end, "dropped").atexit = False
    return answer


# Streams are objects of a few classes; what is iterated and closed are their methods.


class _Usage:
    """A chunk that holds nothing but usage: of several that are cumulative, or tell of one side each, the most.

    Args:
        said: LiteLLM's models of usage.
    """

    __slots__ = ("completion_tokens", "completion_tokens_details", "prompt_tokens", "prompt_tokens_details")

    choices = ()

    def __init__(self, said: list[Any]) -> None:
        asked = max(said, key=lambda usage: usage.prompt_tokens or 0)
        produced = max(said, key=lambda usage: usage.completion_tokens or 0)
        self.prompt_tokens = asked.prompt_tokens
        self.prompt_tokens_details = getattr(asked, "prompt_tokens_details", None)
        self.completion_tokens = produced.completion_tokens
        self.completion_tokens_details = getattr(produced, "completion_tokens_details", None)

    @property
    def usage(self) -> _Usage:
        """Itself."""
        return self


def _exhausted(stream: Any, watch: Watch, error: BaseException | None = None) -> None:  # noqa: ANN401 - LiteLLM's stream
    """The end of a stream.

    Its chunks hold the usage that the provider sent and the app is not shown; counts of LiteLLM's own making, which it
    hands out when the provider sent none, are not among them.
    """
    chat = getattr(stream, "completion_stream", None)  # of a text completion, which is a chat's in another form
    # The Responses API has no such chunks, and says usage in its last event.
    chunks: Any = getattr(stream, "chunks", None) or getattr(chat, "chunks", ())
    said = [usage for usage in (getattr(chunk, "usage", None) for chunk in chunks) if usage is not None]
    if said and watch.add is not None:
        watch.add(_Usage(said))
    watch.end("exhausted", error)


class _Chunks:
    """A stream's own chunks, in front of the hooks.

    Args:
        step: the stream's `__next__` or `__anext__` as it is defined.
        stream: LiteLLM's stream.
    """

    __slots__ = ("_step", "_stream")

    def __init__(self, step: Callable[[Any], Any], stream: Any) -> None:  # noqa: ANN401 - LiteLLM's stream
        self._step = step
        self._stream = stream

    def __iter__(self) -> _Chunks:
        return self

    def __next__(self) -> Any:  # noqa: ANN401 - LiteLLM's chunk
        return self._step(self._stream)

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401 - LiteLLM's chunk
        return await self._step(self._stream)


def _passed(
    kind: type[GuardedIterator | GuardedAsyncIterator],
    original: Callable[[Any], Any],
    stream: Any,  # noqa: ANN401 - LiteLLM's stream
) -> Any:  # noqa: ANN401 - an iterator, or None
    """What looks after the stream, from its first chunk on; None when nobody does."""
    found = vars(stream).get(_GUARDED)
    if isinstance(found, Guarding):
        found = kind(_Chunks(original, stream), core_of(found.call, found), found)
        vars(stream)[_GUARDED] = found
    return found


_NOTHING: Final = nullcontext()


def _begun(stream: Any) -> AbstractContextManager[None]:  # noqa: ANN401 - LiteLLM's stream
    """For the first chunk the context of the call: some streams make their request then, which is a part of it."""
    made_in: Context | None = vars(stream).pop(_CONTEXT, None)
    return _NOTHING if made_in is None else _within(made_in)


@contextmanager
def _within(one: Context) -> Iterator[None]:
    token = context.attach(one)
    try:
        yield
    finally:
        context.detach(token)


def _step(boundary: Boundary) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """The hook for `__next__`."""

    def make(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def step(stream: Any) -> Any:  # noqa: ANN401 - LiteLLM's stream and chunk
            watch = vars(stream).pop(_WATCH, None)  # the stream closes itself at its end, which is no early end
            if watch is None:
                return original(stream)
            try:
                with _begun(stream):
                    looked_after = _passed(GuardedIterator, original, stream)
                    chunk = original(stream) if looked_after is None else next(looked_after)
            except BaseException as error:
                stop = None if isinstance(error, StopIteration) else error
                boundary.run("litellm.stream", _exhausted, stream, watch, stop)
                raise
            vars(stream)[_WATCH] = watch
            watch.seen(chunk)
            return chunk

        return step

    return make


def _async_step(boundary: Boundary) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """The hook for `__anext__`."""

    def make(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        async def step(stream: Any) -> Any:  # noqa: ANN401 - LiteLLM's stream and chunk
            watch = vars(stream).pop(_WATCH, None)  # as above
            if watch is None:
                return await original(stream)
            try:
                with _begun(stream):
                    looked_after = _passed(GuardedAsyncIterator, original, stream)
                    chunk = await (original(stream) if looked_after is None else anext(looked_after))
            except BaseException as error:
                stop = None if isinstance(error, StopAsyncIteration) else error
                boundary.run("litellm.stream", _exhausted, stream, watch, stop)
                raise
            vars(stream)[_WATCH] = watch
            watch.seen(chunk)
            return chunk

        return step

    return make


def _closed(stream: Any) -> None:  # noqa: ANN401 - LiteLLM's stream
    watch = vars(stream).pop(_WATCH, None)
    if watch is not None:
        watch.end("closed")


def _close(original: Callable[[Any], None]) -> Callable[[Any], None]:
    """The hook for `close`."""

    def close(stream: Any) -> None:  # noqa: ANN401 - LiteLLM's stream
        original(stream)
        _closed(stream)

    return close


def _async_close(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The hook for `aclose`."""

    async def close(stream: Any) -> None:  # noqa: ANN401 - LiteLLM's stream
        await original(stream)
        _closed(stream)

    return close


def _install(engine: Engine, patches: Patches, library: ModuleType) -> list[str]:
    missing = []
    for sync, (module, endpoint) in FUNCTIONS.items():
        for function in (sync, f"a{sync}"):
            # Later versions have one in front of the other, which may be called by itself.
            both: Any = {getattr(one, function, None) for one in (library, sys.modules.get(module))} - {None}
            if not both:
                missing.append(function)
            for original in both:
                method = Method(module, function, _finder(endpoint), _answered, hides=True)
                hook = hook_maker(method, engine, patches)(original)
                for holder, name in _holders(original):
                    patches.replace(holder, name, functools.partial(_instead, hook))
    hooks = (
        ("__next__", _step(engine.boundary)),
        ("__anext__", _async_step(engine.boundary)),
        ("close", _close),
        ("aclose", _async_close),
    )
    for stream in _stream_classes():
        for name, make in hooks:
            # A class that inherits a method has the hook of the one that it inherits from.
            if name in vars(stream):
                patches.replace(stream, name, make)
            elif stream.__name__ == "CustomStreamWrapper":
                missing.append(f"CustomStreamWrapper.{name}")
    return missing


def _stream_classes() -> list[type]:
    found = [
        value
        for module, end in _STREAMS
        for name, value in vars(sys.modules.get(module, sys)).items()
        if isinstance(value, type) and name.endswith(end) and value.__module__ == module
    ]
    return list(dict.fromkeys(found))


def _instead(hook: Callable[..., Any], _: object) -> Callable[..., Any]:
    return hook


def _holders(original: object) -> list[tuple[ModuleType, str]]:
    """The modules that have a function, under any name, the app's own among them: `from litellm import completion`."""
    modules = [module for module in list(sys.modules.values()) if isinstance(module, ModuleType)]
    return [(module, name) for module in modules for name, value in list(vars(module).items()) if value is original]


LIBRARY: Final = Library(_install, foreign=lambda module: wrapped_by((module, "completion"), ("litellm", "completion")))
