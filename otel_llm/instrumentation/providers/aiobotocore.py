"""AWS Bedrock through aiobotocore: as botocore, for asynchronous apps.

Its client overrides `_make_api_call` of botocore's, so each call passes one of the two hooks. Events are iterated
asynchronously. A body is read by methods of its class, whatever it keeps inside: in older versions it is a proxy of the
HTTP client's response, and of its attributes only those that begin with `_self_` are its own.
Source: aiobotocore 2.15 to 3.10.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import io
from collections.abc import AsyncIterator, Callable
from types import ModuleType
from typing import Any, Final

from otel_llm.instrumentation.boundary import Boundary
from otel_llm.instrumentation.call import Call
from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.foreign import wrapped_by
from otel_llm.instrumentation.loader import Library
from otel_llm.instrumentation.methods import Method, install_methods
from otel_llm.instrumentation.opened import guarded_opened
from otel_llm.instrumentation.patches import Patches
from otel_llm.instrumentation.providers.botocore import (
    GUARDING,
    WATCH,
    Taken,
    closed,
    find,
    looked_at,
    opened_event,
    watch_events,
    with_body,
)
from otel_llm.instrumentation.relay import relayed_async
from otel_llm.instrumentation.streams import Watch

# Where a body keeps who reads it beside the app.
_READER: Final = "_self_otel_llm_reader"
_BODIES: Final = ("StreamingBody", "HttpxStreamingBody")


def _answered(call: Call, answer: Any, boundary: Boundary) -> Any:  # noqa: ANN401 - botocore's parsed answer
    stream = answer.get("stream") or answer.get("body") if isinstance(answer, dict) else None
    make = call.endpoint.accumulator
    if call.is_stream and stream is not None and make is not None:
        watch_events(call, stream, Watch(call, make(call.is_content_captured), boundary))
    elif inspect.iscoroutinefunction(getattr(type(stream), "read", None)):
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        setattr(stream, _READER, _Reader(call, headers, boundary))
    else:
        call.guard(answer)
        call.succeeded(answer)
    return answer


# Streams of events.


def _iterated(original: Callable[[Any], AsyncIterator[Any]]) -> Callable[[Any], AsyncIterator[Any]]:
    """The hook for `AioEventStream.__aiter__`."""

    def iterate(stream: Any) -> AsyncIterator[Any]:  # noqa: ANN401 - aiobotocore's stream
        watch = vars(stream).get(WATCH)
        if watch is None:
            return original(stream)
        guarding = vars(stream).get(GUARDING)
        events: Any = _Events(original(stream), stream)
        if guarding is not None:
            events = guarded_opened(guarding, events, opened_event)
        return relayed_async(events, watch, None)

    return iterate


class _Events:
    """The events of a stream, which is kept: one that nobody else holds would count as dropped at its last event."""

    __slots__ = ("_events", "_stream")

    def __init__(self, events: AsyncIterator[Any], stream: Any) -> None:  # noqa: ANN401 - aiobotocore's
        self._events = events
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401 - an event
        return await anext(self._events)

    async def aclose(self) -> None:
        """Nothing more is asked for. The connection is the app's to close."""
        close = getattr(self._events, "aclose", None)
        if close is not None:
            await close()


# Bodies.


class _Reader:
    """Reads a body beside the app. Where an answer is looked after, the body is read whole before the app gets any."""

    def __init__(self, call: Call, headers: Any, boundary: Boundary) -> None:  # noqa: ANN401 - of the SDK
        length = headers.get("content-length")
        self._guarding = call.guarding
        self._headers = headers
        self._taken = Taken(call, headers, int(length) if length and call.guarding is None else None, boundary)
        self._left: io.BytesIO | None = None

    async def read(self, whole: Callable[[], Any], some: Callable[[], Any], amount: int | None) -> bytes:
        """What the app gets when it asks for so many bytes.

        Args:
            whole: reads the SDK's body to its end.
            some: reads as the app does.
            amount: how many bytes it asks for, None for all.
        """
        try:
            if self._guarding is None:
                data: bytes = await some()
            else:
                if self._left is None:
                    self._left = io.BytesIO(looked_at(self._guarding, await whole(), self._headers))
                data = self._left.read(-1 if amount is None else amount)
        except BaseException as error:
            self._taken.failed(error)
            raise
        self._taken.take(data, amount)
        return data

    def end(self) -> None:
        """The body is closed."""
        self._taken.end()


def _reader_of(body: Any) -> _Reader | None:  # noqa: ANN401 - aiobotocore's body
    found = getattr(body, _READER, None)
    return found if isinstance(found, _Reader) else None


def _read(original: Callable[..., Any]) -> Callable[..., Any]:
    """The hook for a body's `read`, which all its ways of reading but `readinto` go through."""

    @functools.wraps(original)
    async def read(body: Any, amt: int | None = None) -> Any:  # noqa: ANN401 - aiobotocore's body
        reader = _reader_of(body)
        if reader is None:
            return await original(body, amt)
        return await reader.read(lambda: original(body), lambda: original(body, amt), amt)

    return read


def _read_into(read: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The hook for a body's `readinto`; `read` is the SDK's own."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def readinto(body: Any, target: bytearray) -> Any:  # noqa: ANN401 - aiobotocore's body
            reader = _reader_of(body)
            if reader is None:
                return await original(body, target)

            async def some() -> bytes:
                count: int = await original(body, target)
                return bytes(target[:count])

            data = await reader.read(lambda: read(body), some, len(target))
            target[: len(data)] = data
            return len(data)

        return readinto

    return make


def _closing(original: Callable[..., Any]) -> Callable[..., Any]:
    """The hook for a body's `close`, which is asynchronous over one of the HTTP clients."""
    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def aclose(body: Any) -> Any:  # noqa: ANN401 - aiobotocore's body
            result = await original(body)
            _end(body)
            return result

        return aclose

    @functools.wraps(original)
    def close(body: Any) -> Any:  # noqa: ANN401 - as above
        result = original(body)
        _end(body)
        return result

    return close


def _end(body: Any) -> None:  # noqa: ANN401 - aiobotocore's body
    reader = _reader_of(body)
    if reader is not None:
        reader.end()


_METHOD: Final = Method("aiobotocore.client", "AioBaseClient._make_api_call", find, _answered, with_body)


def _install(engine: Engine, patches: Patches, module: ModuleType) -> list[str]:
    missing = install_methods([_METHOD])(engine, patches, module)
    streams = importlib.import_module("aiobotocore.eventstream").AioEventStream
    patches.replace(streams, "__aiter__", _iterated)
    patches.replace(streams, "close", closed)
    response = importlib.import_module("aiobotocore.response")
    for name in _BODIES:
        body = getattr(response, name, None)
        if body is None:
            continue
        read = body.read
        patches.replace(body, "read", _read)
        if "readinto" in vars(body):
            patches.replace(body, "readinto", _read_into(read))
        for closing in ("close", "aclose"):
            if closing in vars(body):
                patches.replace(body, closing, _closing)
    return missing


LIBRARY: Final = Library(
    _install,
    foreign=lambda module: wrapped_by(
        (module, "AioBaseClient._make_api_call"), (module, "AioClientCreator.create_client")
    ),
)
