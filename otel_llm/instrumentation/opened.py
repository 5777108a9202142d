"""Chunks and answers in which an SDK has not yet decoded the JSON: opened, looked at, and closed again.

Where a hook stands below the SDK's parser, a chunk is a line, bytes, or an object with a body. A text in it is not to
be told from what is around it, so what is looked after is the JSON; a chunk whose JSON nobody changed stays as it was.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias

import msgspec

from otel_llm.instrumentation.boundary import Boundary
from otel_llm.instrumentation.call import Call
from otel_llm.instrumentation.guarding import GuardedAsyncIterator, GuardedIterator, Guarding, core_of
from otel_llm.instrumentation.methods import Answered, by_generator
from otel_llm.instrumentation.provider import Accumulator, Content
from otel_llm.instrumentation.relay import relayed, relayed_async
from otel_llm.instrumentation.streams import Watch


class Opened(dict[str, Any]):
    """The JSON of a chunk.

    Args:
        chunk: the SDK's.
        data: what it holds.
        put: from the chunk and other JSON, the chunk with that in it.
    """

    def __init__(self, chunk: Any, data: dict[str, Any], put: Callable[[Any, bytes], Any]) -> None:  # noqa: ANN401 - of any SDK
        super().__init__(data)
        self.chunk = chunk
        self._put = put
        self._before = msgspec.json.encode(data)

    def closed(self) -> Any:  # noqa: ANN401 - as above
        """The chunk, with the JSON as it is now."""
        now = msgspec.json.encode(dict(self))
        return self.chunk if now == self._before else self._put(self.chunk, now)


# From a chunk to what is in it; None when nobody knows.
Open: TypeAlias = "Callable[[Any], Opened | None]"


def by_opening(open_: Open) -> Answered:
    """As `by_generator`, for streams of such chunks and answers of such a kind."""

    def answered(call: Call, answer: Any, boundary: Boundary) -> Any:  # noqa: ANN401 - an answer of any SDK
        guarding = call.guarding
        if guarding is None:
            return by_generator(call, answer, boundary)
        make = call.endpoint.accumulator
        if make is None or not call.is_stream or not (hasattr(answer, "__next__") or hasattr(answer, "__anext__")):
            opened = open_(answer)
            guarding.answer(answer, opened)
            answer = answer if opened is None else opened.closed()
            call.succeeded(answer)
            return answer
        watch = Watch(call, make(call.is_content_captured), boundary)
        relay: Any = relayed_async if hasattr(answer, "__anext__") else relayed
        return relay(guarded_opened(guarding, answer, open_), watch, call.context)

    return answered


def guarded_opened(guarding: Guarding, chunks: Any, open_: Open) -> Any:  # noqa: ANN401 - an iterator of any SDK
    """The chunks that the app gets."""
    core = core_of(guarding.call, guarding, _OfOpened)
    opening: Any = _Opening(chunks, open_)
    return (_ClosedAsync if hasattr(chunks, "__anext__") else _Closed)(opening, core, guarding)


class _Opening:
    """Chunks as what is in them."""

    __slots__ = ("_chunks", "_open")

    def __init__(self, chunks: Any, open_: Open) -> None:  # noqa: ANN401 - an iterator of any SDK
        self._chunks = chunks
        self._open = open_

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:  # noqa: ANN401 - a chunk, opened where that can be
        return self._opened(next(self._chunks))

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401 - as above
        return self._opened(await anext(self._chunks))

    def _opened(self, chunk: Any) -> Any:  # noqa: ANN401 - as above
        opened = self._open(chunk)
        return chunk if opened is None else opened

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the SDK's iterator has
        return getattr(self._chunks, name)


class _Closed(GuardedIterator):
    __slots__ = ()

    def __next__(self) -> Any:  # noqa: ANN401 - a chunk of any SDK
        chunk = super().__next__()
        return chunk.closed() if isinstance(chunk, Opened) else chunk


class _ClosedAsync(GuardedAsyncIterator):
    __slots__ = ()

    async def __anext__(self) -> Any:  # noqa: ANN401 - a chunk of any SDK
        chunk = await super().__anext__()
        return chunk.closed() if isinstance(chunk, Opened) else chunk


class _OfOpened:
    """An accumulator of the SDK's chunks, for what was opened."""

    def __init__(self, inner: Accumulator) -> None:
        self._inner = inner

    def add(self, chunk: Any) -> None:  # noqa: ANN401 - a chunk of any SDK
        """Take a chunk."""
        self._inner.add(chunk.chunk if isinstance(chunk, Opened) else chunk)

    def output(self) -> Content:
        """As of the accumulator."""
        return self._inner.output()


def json_object(body: str | bytes) -> dict[str, Any] | None:
    """An object in JSON; None when it is none."""
    try:
        found = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return None
    return found if isinstance(found, dict) else None
