"""AWS Bedrock through botocore: Converse, InvokeModel of every family of models, and their streams.

The hook stands on `_make_api_call` of botocore's client and not on its event hooks: an event handler would have to be
registered with each client, those that exist already included, and none of the events sees a call's streamed answer.
Calls to other services pass with one comparison. What the app reads from a body or a stream is seen as it reads.
Source: Amazon Bedrock API reference; botocore 1.35 to 1.44.
"""

from __future__ import annotations

import importlib
import io
import weakref
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Final

from otel_llm.instrumentation.boundary import Boundary
from otel_llm.instrumentation.call import Call
from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.foreign import wrapped_by
from otel_llm.instrumentation.guarding import Guarding
from otel_llm.instrumentation.loader import Library
from otel_llm.instrumentation.methods import Arguments, Method, Request, install_methods
from otel_llm.instrumentation.opened import Opened, guarded_opened, json_object
from otel_llm.instrumentation.patches import Patches
from otel_llm.instrumentation.provider import Endpoint
from otel_llm.instrumentation.providers import bedrock_converse, bedrock_invoke
from otel_llm.instrumentation.providers.servers import server_of
from otel_llm.instrumentation.relay import relayed
from otel_llm.instrumentation.streams import Watch

_SERVICE: Final = "bedrock-runtime"
# More than any answer that holds usage.
_LIMIT_BYTES: Final = 16 * 1024 * 1024
# Where a stream keeps its watch.
WATCH: Final = "_otel_llm_watch"
# And what looks after it.
GUARDING: Final = "_otel_llm_guarding"

OPERATIONS: Final[Mapping[str, tuple[Callable[[Mapping[str, Any]], Endpoint], bool]]] = {
    "Converse": (lambda _: bedrock_converse.CONVERSE, False),
    "ConverseStream": (lambda _: bedrock_converse.CONVERSE, True),
    "InvokeModel": (bedrock_invoke.endpoint, False),
    "InvokeModelWithResponseStream": (bedrock_invoke.endpoint, True),
    "CountTokens": (lambda _: bedrock_converse.COUNT_TOKENS, False),
    "StartAsyncInvoke": (lambda _: bedrock_converse.ASYNC_INVOKE, False),
}
# No model is called, or it is: by a guardrail, which is billed by text units, and a bidirectional stream of speech.
WAIVED: Final[Mapping[str, str]] = {
    "ApplyGuardrail": "a check of texts, billed by text units; no model answers",
    "GetAsyncInvoke": "the state of a job",
    "InvokeGuardrailChecks": "as ApplyGuardrail",
    "InvokeModelWithBidirectionalStream": "a session over a socket, which this SDK cannot open",
    "ListAsyncInvokes": "a list of jobs",
}


def find(client: Any, arguments: Arguments) -> Request | None:  # noqa: ANN401 - botocore's client
    """What a call of `_make_api_call` asks for; None for other services and operations."""
    meta = client.meta
    if meta.service_model.service_name != _SERVICE:
        return None
    operation = OPERATIONS.get(arguments["operation_name"])
    if operation is None:
        return None
    find, is_stream = operation
    body = arguments["api_params"]
    if "body" in body:
        body = bedrock_invoke.opened(body)
    return Request(find(body), server_of("aws.bedrock", meta.endpoint_url or ""), body, is_stream)


def with_body(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Arguments of `_make_api_call` for another body."""
    return {"api_params": bedrock_invoke.closed(body) if bedrock_invoke.OPENED in body else dict(body)}


def _answered(call: Call, answer: Any, boundary: Boundary) -> Any:  # noqa: ANN401 - botocore's parsed answer
    stream = answer.get("stream") or answer.get("body") if isinstance(answer, dict) else None
    make = call.endpoint.accumulator
    if call.is_stream and stream is not None and make is not None:
        watch_events(call, stream, Watch(call, make(call.is_content_captured), boundary))
    elif hasattr(stream, "_raw_stream"):
        _watch_body(call, answer, stream, boundary)
    else:
        call.guard(answer)
        call.succeeded(answer)
    return answer


# Streams of events: iterating and closing are methods of their class.


def watch_events(call: Call, stream: Any, watch: Watch) -> None:  # noqa: ANN401 - an EventStream
    """Let a stream of events keep who watches it, for the hooks of its class."""
    setattr(stream, WATCH, watch)
    if call.guarding is not None:
        setattr(stream, GUARDING, call.guarding)
    weakref.finalize(stream, watch.end, "dropped").atexit = False


def _iterated(original: Callable[[Any], Iterator[Any]]) -> Callable[[Any], Iterator[Any]]:
    """The hook for `EventStream.__iter__`."""

    def iterate(stream: Any) -> Iterator[Any]:  # noqa: ANN401 - botocore's stream
        watch = vars(stream).get(WATCH)
        if watch is None:
            return original(stream)
        guarding = vars(stream).get(GUARDING)
        events: Any = _Events(original(stream), stream)
        if guarding is not None:
            events = guarded_opened(guarding, events, opened_event)
        return relayed(events, watch, None)

    return iterate


class _Events:
    """The events of a stream; closed early, the connection ends, while the stream's own `close` is the app's.

    The stream is kept: one that nobody else holds would be taken for dropped at its last event.
    """

    __slots__ = ("_events", "_stream")

    def __init__(self, events: Iterator[Any], stream: Any) -> None:  # noqa: ANN401 - botocore's
        self._events = events
        self._stream = stream

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:  # noqa: ANN401 - botocore's event
        return next(self._events)

    def close(self) -> None:
        """The connection's end."""
        self._stream._raw_stream.close()  # noqa: SLF001 - it has no other place


def opened_event(event: Any) -> Opened | None:  # noqa: ANN401 - botocore's event
    """The JSON in an event of InvokeModelWithResponseStream; those of ConverseStream are open."""
    chunk = event.get("chunk")
    data = json_object(chunk.get("bytes") or b"") if isinstance(chunk, dict) else None
    return None if data is None else Opened(event, data, _put)


def _put(event: Any, data: bytes) -> Any:  # noqa: ANN401 - botocore's event
    event["chunk"]["bytes"] = data
    return event


def closed(original: Callable[[Any], None]) -> Callable[[Any], None]:
    """The hook for `EventStream.close`."""

    def close(stream: Any) -> None:  # noqa: ANN401 - botocore's stream
        original(stream)
        watch = vars(stream).get(WATCH)
        if watch is not None:
            watch.end("closed")

    return close


# Bodies: the app reads them, once.


def _watch_body(call: Call, answer: Mapping[str, Any], body: Any, boundary: Boundary) -> None:  # noqa: ANN401 - a StreamingBody
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    length = headers.get("content-length")
    raw = body._raw_stream  # noqa: SLF001 - it has no other place
    size = int(length) if length else None
    if call.guarding is not None:
        raw = _Guarded(raw, call.guarding, headers, body, size)
        size = None
    body._raw_stream = _Tee(raw, Taken(call, headers, size, boundary))  # noqa: SLF001 - as above


def looked_at(guarding: Guarding, data: bytes, headers: Mapping[str, str]) -> bytes:
    """A whole body, as the guards leave it.

    Raises:
        DeniedError: the app must not get it; the call has ended.
    """
    said = json_object(data)
    opened = None if said is None else Opened(data, said, lambda _, changed: changed)
    guarding.answer(bedrock_invoke.Answer(data, headers), data if opened is None else opened)
    return data if opened is None else bytes(opened.closed())


class _Guarded:
    """A body's raw stream that is read whole, and looked at, when the app asks for the first of it.

    Args:
        raw: the stream.
        guarding: of the answer.
        headers: of the answer.
        body: the SDK's body, which counts what it reads.
        length: how many bytes are to come, None when nobody says.
    """

    def __init__(
        self,
        raw: Any,  # noqa: ANN401 - urllib3's
        guarding: Guarding,
        headers: Mapping[str, str],
        body: Any,  # noqa: ANN401 - a StreamingBody
        length: int | None,
    ) -> None:
        self._raw = raw
        self._guarding = guarding
        self._headers = headers
        self._body = body
        self._length = length
        self._left: io.BytesIO | None = None

    def _passed(self) -> io.BytesIO:
        if self._left is None:
            data: bytes = self._raw.read()
            passed = looked_at(self._guarding, data, self._headers)
            if self._length is None or len(data) == self._length:  # else the SDK shall say what is missing
                self._body._content_length = len(passed)  # noqa: SLF001 - it has no other place
            self._left = io.BytesIO(passed)
        return self._left

    def read(self, amount: int | None = None, *_: Any, **__: Any) -> bytes:  # noqa: ANN401 - urllib3's
        """The stream's `read`."""
        return self._passed().read(amount)

    def readinto(self, target: Any) -> int:  # noqa: ANN401 - a buffer
        """The stream's `readinto`."""
        return self._passed().readinto(target)

    def close(self) -> None:
        """The stream's `close`."""
        self._raw.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._raw, name)


class Taken:
    """What the app has read of a body so far; the call ends where the body does, or where it is dropped.

    Args:
        call: the call it answers.
        headers: of the answer; they have token counts of their own.
        length: how many bytes are to come, None when nobody says.
        boundary: what catches failures of ours.
    """

    def __init__(self, call: Call, headers: Mapping[str, str], length: int | None, boundary: Boundary) -> None:
        self._call = call
        self._headers = headers
        self._length = length
        self._size = 0
        self._pieces: list[bytes] = []
        self._boundary = boundary

    def take(self, data: bytes, amount: int | None) -> None:
        """The app has read this, and had asked for so much."""
        self._boundary.run("botocore.body", self._took, data, amount)

    def _took(self, data: bytes, amount: int | None) -> None:
        self._size += len(data)
        if self._size <= _LIMIT_BYTES:
            self._pieces.append(data)
        if amount is None or (not data and amount) or self._size == self._length:
            self.end()

    def failed(self, error: BaseException) -> None:
        """Reading failed."""
        self._call.failed(error)

    def end(self) -> None:
        """Nothing more is read."""
        whole = b"".join(self._pieces) if self._size <= _LIMIT_BYTES else b""
        self._call.succeeded(bedrock_invoke.Answer(whole, self._headers))

    def __del__(self) -> None:
        self._boundary.run("botocore.body", self.end)


class _Tee:
    """A body's raw stream: what the app reads is kept to be read at the end.

    Args:
        raw: the stream.
        taken: what the app has read of it.
    """

    def __init__(self, raw: Any, taken: Taken) -> None:  # noqa: ANN401 - urllib3's
        self._raw = raw
        self._taken = taken

    def read(self, amount: int | None = None, *args: Any, **kwargs: Any) -> bytes:  # noqa: ANN401 - urllib3's
        """The stream's `read`."""
        try:
            data: bytes = self._raw.read(amount, *args, **kwargs)
        except BaseException as error:
            self._taken.failed(error)
            raise
        self._taken.take(data, amount)
        return data

    def readinto(self, target: Any) -> int:  # noqa: ANN401 - a buffer
        """The stream's `readinto`."""
        count: int = self._raw.readinto(target)
        self._taken.take(bytes(memoryview(target)[:count]), len(target))
        return count

    def close(self) -> None:
        """The stream's `close`."""
        self._raw.close()
        self._taken.end()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._raw, name)


_METHOD: Final = Method("botocore.client", "BaseClient._make_api_call", find, _answered, with_body)


def _install(engine: Engine, patches: Patches, module: ModuleType) -> list[str]:
    missing = install_methods([_METHOD])(engine, patches, module)
    streams = importlib.import_module("botocore.eventstream").EventStream
    patches.replace(streams, "__iter__", _iterated)
    patches.replace(streams, "close", closed)
    return missing


LIBRARY: Final = Library(
    _install,
    foreign=lambda module: wrapped_by((module, "BaseClient._make_api_call"), (module, "ClientCreator.create_client")),
)
