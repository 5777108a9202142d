"""Streams that SDKs give as generators, relayed by a generator of ours: same type, same closing, every end seen.

Such a generator may ask the provider only when its first chunk is asked for, so the call's context is current then.
A generator that was never started runs no cleanup; ours are started at once, up to before the first chunk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

from opentelemetry import context
from opentelemetry.context import Context

from otel_llm.instrumentation.streams import Watch, WatchedAsyncIterator, WatchedIterator


def relayed(chunks: Iterator[Any], watch: Watch, at: Context | None) -> Iterator[Any]:
    """The chunks of a generator.

    Args:
        chunks: the SDK's iterator.
        watch: told of chunks and of the end.
        at: what is current while the first chunk is asked for.
    """
    relay = _relay(chunks, watch, at)
    next(relay)
    return relay


def _relay(chunks: Iterator[Any], watch: Watch, at: Context | None) -> Iterator[Any]:
    watched = WatchedIterator(chunks, watch)
    try:
        yield None
        token = None if at is None else context.attach(at)
        try:
            chunk = next(watched)
        except StopIteration:
            return
        finally:
            if token is not None:
                context.detach(token)
        yield chunk
        yield from watched
    finally:
        watch.end("closed")  # the first end counts: nothing after one that was seen already


def relayed_async(chunks: AsyncIterator[Any], watch: Watch, at: Context | None) -> AsyncIterator[Any]:
    """As `relayed`."""
    relay = _relay_async(chunks, watch, at)
    # Up to the first `yield` nothing is awaited, so that one step of the coroutine is all of it.
    with suppress(StopIteration):
        anext(relay).__await__().__next__()
    return relay


async def _relay_async(chunks: AsyncIterator[Any], watch: Watch, at: Context | None) -> AsyncIterator[Any]:
    watched = WatchedAsyncIterator(chunks, watch)
    try:
        yield None
        token = None if at is None else context.attach(at)
        try:
            chunk = await anext(watched)
        except GeneratorExit:
            raise  # closed in whatever context: nothing to detach
        except StopAsyncIteration:
            _detach(token)
            return
        except BaseException:
            _detach(token)
            raise
        _detach(token)
        yield chunk
        async for chunk in watched:
            yield chunk
    finally:
        watch.end("closed")
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()


def _detach(token: Any) -> None:  # noqa: ANN401 - OpenTelemetry's token
    if token is not None:
        context.detach(token)
