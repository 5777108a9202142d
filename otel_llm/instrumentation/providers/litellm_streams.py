"""LiteLLM's streams: objects of a few classes, whose methods are hooked.

LiteLLM refers to a stream itself: in what it logs of the call, and from its thread pool for each chunk that it logs
there. A stream that the app drops would end some time later, when the pool is done and Python's garbage collector comes
by. So the app gets another object of the same class that shares the stream's state: nobody but the app has that one,
and it is gone when the app drops it. LiteLLM's methods run on LiteLLM's own object.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

from opentelemetry import context
from opentelemetry.context import Context

from otel_llm.instrumentation.boundary import Boundary
from otel_llm.instrumentation.call import Call, StreamEnd
from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.guarding import GuardedAsyncIterator, GuardedIterator, Guarding, core_of
from otel_llm.instrumentation.methods import Answered
from otel_llm.instrumentation.patches import Patches
from otel_llm.instrumentation.streams import Watch

# Where a stream's state keeps who follows it.
_FOLLOWED: Final = "_otel_llm_followed"
# Where its classes are, and how their names end.
_CLASSES: Final = (
    ("litellm.litellm_core_utils.streaming_handler", "CustomStreamWrapper"),
    ("litellm.text_completions.streaming_iterator", "TextCompletionStreamWrapper"),
    ("litellm.utils", "TextCompletionStreamWrapper"),  # until 1.100 or so
    ("litellm.responses.streaming_iterator", "StreamingIterator"),
    ("litellm.responses.litellm_completion_transformation.streaming_iterator", "StreamingIterator"),
)
_STEPS: Final = ("__next__", "__anext__")
_NOTHING: Final = nullcontext()


def stream_classes() -> tuple[type, ...]:
    """The classes of streams that this version has."""
    found = [
        value
        for module, end in _CLASSES
        for name, value in vars(sys.modules.get(module, sys)).items()
        if isinstance(value, type) and name.endswith(end) and value.__module__ == module
    ]
    return tuple(dict.fromkeys(found))


def hook_streams(engine: Engine, patches: Patches, classes: tuple[type, ...]) -> list[str]:
    """Put the hooks in; returns the methods that this version lacks."""
    missing = []
    hooks = (
        ("__next__", _step(engine.boundary)),
        ("__anext__", _async_step(engine.boundary)),
        ("close", _close),
        ("aclose", _async_close),
    )
    for stream in classes:
        for name, make in hooks:
            # A class that inherits a method has the hook of the one that it inherits from.
            if name in vars(stream):
                patches.replace(stream, name, make)
            elif stream.__name__ == "CustomStreamWrapper":
                missing.append(f"CustomStreamWrapper.{name}")
    return missing


class _Followed:
    """Who follows a stream.

    Args:
        watch: what is known of it.
        guarding: what looks after it, if anything does.
        made_in: the context of its call.

    Attributes:
        watch: as above.
        looked_after: the guarding at first, then the iterator of what it passes on.
        drop: ends the call when the app has dropped its stream; keeps LiteLLM's own object till then.
    """

    __slots__ = ("_made_in", "drop", "looked_after", "watch")

    def __init__(self, watch: Watch, guarding: Guarding | None, made_in: Context | None) -> None:
        self._made_in = made_in
        self.watch = watch
        self.looked_after: Any = guarding
        self.drop: Any = None

    def stand_in(self, own: Any) -> Any:  # noqa: ANN401 - LiteLLM's stream
        """What the app gets for LiteLLM's own object: that very object, where its state is not all in its dict."""
        given = object.__new__(type(own)) if _is_all_in_dict(type(own)) else own
        kept = () if given is own else (own,)
        self.drop = weakref.finalize(given, _dropped, self.watch, *kept)
        self.drop.atexit = False
        vars(own)[_FOLLOWED] = self
        given.__dict__ = vars(own)
        return given

    def begun(self) -> AbstractContextManager[None]:
        """For the first chunk the context of the call: some streams make their request then, which is a part of it."""
        made_in, self._made_in = self._made_in, None
        return _NOTHING if made_in is None else _within(made_in)

    def own(self, given: Any) -> Any:  # noqa: ANN401 - LiteLLM's stream
        """LiteLLM's own object for what the app has."""
        found = self.drop.peek()
        return given if found is None or len(found[2]) == 1 else found[2][1]

    def end(self, how: StreamEnd, error: BaseException | None = None) -> None:
        """The stream is over, dropped or not: an error that LiteLLM keeps may refer to what the app has."""
        self.drop.detach()
        self.watch.end(how, error)


@contextmanager
def _within(one: Context) -> Iterator[None]:
    token = context.attach(one)
    try:
        yield
    finally:
        context.detach(token)


def _is_all_in_dict(kind: type) -> bool:
    return not any(vars(base).get("__slots__") for base in kind.__mro__)


def _dropped(watch: Watch, _: object = None) -> None:
    watch.end("dropped")


def answered(classes: tuple[type, ...]) -> Answered:
    """What sees to the answers of LiteLLM's functions: streams of these classes are followed."""

    def see(call: Call, answer: Any, boundary: Boundary) -> Any:  # noqa: ANN401 - LiteLLM's answer
        make = call.endpoint.accumulator
        if not call.is_stream or make is None or not _is_hooked(type(answer), classes):
            call.guard(answer)
            call.succeeded(answer)
            return answer
        watch = Watch(call, make(call.is_content_captured), boundary)
        return _Followed(watch, call.guarding, call.context).stand_in(answer)

    return see


def _is_hooked(kind: type, classes: tuple[type, ...]) -> bool:
    """Whether the hooks see the chunks: a subclass may have methods of its own."""
    definers = [next((base for base in kind.__mro__ if name in vars(base)), None) for name in _STEPS]
    found = [base for base in definers if base is not None]
    return bool(found) and all(base in classes for base in found)


class _Usage:
    """A chunk that holds nothing but usage: of several that are cumulative, or tell of one side each, the most.

    Args:
        said: LiteLLM's models of usage.
    """

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


def _exhausted(stream: Any, followed: _Followed, error: BaseException | None = None) -> None:  # noqa: ANN401 - LiteLLM's stream
    """The end of a stream.

    Its chunks hold the usage that the provider sent and the app is not shown; counts of LiteLLM's own making, which it
    hands out when the provider sent none, are not among them. A stream of a text completion is around one of a chat.
    The Responses API says usage in its last event, and its streams keep no chunks.
    """
    chunks: Any = getattr(stream, "chunks", None)
    if chunks is None:
        chunks = getattr(getattr(stream, "completion_stream", None), "chunks", ())
    said = [usage for usage in (getattr(chunk, "usage", None) for chunk in chunks) if usage is not None]
    watch = followed.watch
    if said and watch.add is not None:
        watch.add(_Usage(said))
    followed.end("exhausted", error)


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
    own: Any,  # noqa: ANN401 - LiteLLM's stream
    followed: _Followed,
) -> Any:  # noqa: ANN401 - an iterator, or None
    """What looks after the stream, from its first chunk on; None when nobody does."""
    found = followed.looked_after
    if isinstance(found, Guarding):
        found = kind(_Chunks(original, own), core_of(found.call, found), found)
        followed.looked_after = found
    return found


def _step(boundary: Boundary) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """The hook for `__next__`."""

    def make(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def step(stream: Any) -> Any:  # noqa: ANN401 - LiteLLM's stream and chunk
            followed = vars(stream).pop(_FOLLOWED, None)  # the stream closes itself at its end, which is no early end
            if followed is None:
                return original(stream)
            own = followed.own(stream)
            try:
                with followed.begun():
                    looked_after = _passed(GuardedIterator, original, own, followed)
                    chunk = original(own) if looked_after is None else next(looked_after)
            except BaseException as error:
                stop = None if isinstance(error, StopIteration) else error
                boundary.run("litellm.stream", _exhausted, stream, followed, stop)
                raise
            vars(stream)[_FOLLOWED] = followed
            followed.watch.seen(chunk)
            return chunk

        return step

    return make


def _async_step(boundary: Boundary) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """The hook for `__anext__`."""

    def make(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        async def step(stream: Any) -> Any:  # noqa: ANN401 - LiteLLM's stream and chunk
            followed = vars(stream).pop(_FOLLOWED, None)  # as above
            if followed is None:
                return await original(stream)
            own = followed.own(stream)
            try:
                with followed.begun():
                    looked_after = _passed(GuardedAsyncIterator, original, own, followed)
                    chunk = await (original(own) if looked_after is None else anext(looked_after))
            except BaseException as error:
                stop = None if isinstance(error, StopAsyncIteration) else error
                boundary.run("litellm.stream", _exhausted, stream, followed, stop)
                raise
            vars(stream)[_FOLLOWED] = followed
            followed.watch.seen(chunk)
            return chunk

        return step

    return make


def _closed(stream: Any) -> None:  # noqa: ANN401 - LiteLLM's stream
    followed = vars(stream).pop(_FOLLOWED, None)
    if followed is not None:
        followed.end("closed")


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
