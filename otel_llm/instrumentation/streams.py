"""A stream's chunks, seen on their way to the app.

The law of this module: the app gets the SDK's own stream object, chunks and exceptions. An iterator of ours stands
between the SDK's stream and the SDK's parser; for each chunk it counts and looks at the clock. A stream that the app
drops ends its call when it is garbage; no context is attached while it is read, so none can be left attached.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from time import perf_counter
from typing import Any, Final

from otel_llm.instrumentation.boundary import Boundary
from otel_llm.instrumentation.call import Call, Pace, StreamEnd
from otel_llm.instrumentation.provider import Accumulator

_PASSES: Final = (KeyboardInterrupt, SystemExit)


class Watch(Pace):
    """What is known of one stream while it runs.

    Args:
        call: the call it answers.
        accumulator: collects its chunks.
        boundary: what catches the accumulator's failures.

    Attributes:
        add: takes a chunk; None when nothing more is to be known.
        hides: whether a chunk that brings usage alone is kept from the app.
        hand_over: lets somebody else watch a stream that was dropped unread; whether somebody does.
    """

    __slots__ = ("_accumulator", "_boundary", "_call", "add", "hand_over", "hides")

    def __init__(self, call: Call, accumulator: Accumulator, boundary: Boundary) -> None:
        super().__init__()
        self._call = call
        self._accumulator = accumulator
        self._boundary = boundary
        self.add: Callable[[Any], None] | None = accumulator.add
        self.hides = call.hides_usage_chunk
        self.hand_over: Callable[[Watch], bool] | None = None

    def seen(self, chunk: Any) -> None:  # noqa: ANN401 - a chunk of any SDK
        """A chunk came, where no iterator of ours can stand between the SDK and the app."""
        self.last = now = perf_counter()
        if not self.chunks:
            self.first = now
        self.chunks += 1
        if self.add is not None:
            try:
                self.add(chunk)
            except _PASSES:
                raise
            except BaseException as error:  # noqa: BLE001 - the boundary, as below
                self.broken(error)

    def broken(self, error: BaseException) -> None:
        """The accumulator failed on a chunk: the rest of the stream is only counted."""
        self.add = None
        self._boundary.failed(f"{self._call.server.provider}.{self._call.endpoint.name}.chunk", error)

    def dropped(self) -> None:
        """The stream is garbage. One that nobody has read may have been given up for another on the same response."""
        hand_over = self.hand_over
        self.hand_over = None
        if self.chunks or hand_over is None or not self._boundary.run("stream.hand_over", hand_over, self):
            self.end("dropped")

    def end(self, how: StreamEnd, error: BaseException | None = None) -> None:
        """It is over. Only the first of several ends counts."""
        self.add = None
        self._call.stream_ended(self._accumulator, self, how, error)


def is_usage_alone(chunk: Any) -> bool:  # noqa: ANN401 - a chunk of any SDK
    """Whether a chunk brings usage and nothing else."""
    return not getattr(chunk, "choices", True) and getattr(chunk, "usage", None) is not None


class WatchedIterator:
    """Chunks of a synchronous stream.

    Args:
        chunks: the SDK's iterator.
        watch: what is to know of them.
    """

    __slots__ = ("__weakref__", "_chunks", "_next", "_watch")

    def __init__(self, chunks: Iterator[Any], watch: Watch) -> None:
        self._chunks = chunks
        self._next = chunks.__next__
        self._watch = watch

    def __iter__(self) -> WatchedIterator:
        return self

    def __next__(self) -> Any:  # noqa: ANN401 - a chunk of any SDK
        watch = self._watch
        try:
            chunk = self._next()
        except StopIteration:
            watch.end("exhausted")
            raise
        except BaseException as error:
            watch.end("exhausted", error)
            raise
        watch.last = now = perf_counter()
        if not watch.chunks:
            watch.first = now
        watch.chunks += 1
        add = watch.add
        if add is not None:
            try:
                add(chunk)
            except _PASSES:
                raise
            except BaseException as error:  # noqa: BLE001 - the boundary, written out: a call more costs too much here
                watch.broken(error)
        return self.__next__() if watch.hides and is_usage_alone(chunk) else chunk

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the SDK's iterator has
        return getattr(self._chunks, name)

    def __del__(self) -> None:
        self._watch.dropped()


class WatchedAsyncIterator:
    """Chunks of an asynchronous stream; as WatchedIterator."""

    __slots__ = ("__weakref__", "_chunks", "_next", "_watch")

    def __init__(self, chunks: AsyncIterator[Any], watch: Watch) -> None:
        self._chunks = chunks
        self._next = chunks.__anext__
        self._watch = watch

    def __aiter__(self) -> WatchedAsyncIterator:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401 - a chunk of any SDK
        watch = self._watch
        try:
            chunk = await self._next()
        except StopAsyncIteration:
            watch.end("exhausted")
            raise
        except BaseException as error:
            watch.end("exhausted", error)
            raise
        watch.last = now = perf_counter()
        if not watch.chunks:
            watch.first = now
        watch.chunks += 1
        add = watch.add
        if add is not None:
            try:
                add(chunk)
            except _PASSES:
                raise
            except BaseException as error:  # noqa: BLE001 - the boundary, written out: a call more costs too much here
                watch.broken(error)
        return await self.__anext__() if watch.hides and is_usage_alone(chunk) else chunk

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the SDK's iterator has
        return getattr(self._chunks, name)

    def __del__(self) -> None:
        self._watch.dropped()
