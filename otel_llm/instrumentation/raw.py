"""Answers that the app takes raw: what passes through the HTTP response is read beside the app.

`with_raw_response` has read its body already. `with_streaming_response`, and raw responses of streams, are read by the
app: by lines, by bytes, or by the SDK's own parser. All of these go through the response's `iter_bytes`, so that is
where the bytes are seen. The objects the app gets are untouched but for that one method on that one response.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Iterator
from time import perf_counter
from typing import Any, Final

import msgspec

from otel_llm.instrumentation.boundary import Boundary
from otel_llm.instrumentation.call import Call
from otel_llm.instrumentation.guarding import Guarding, core_of
from otel_llm.instrumentation.provider import Accumulator, Content, View
from otel_llm.instrumentation.responses import on_close
from otel_llm.instrumentation.streams import Watch

# More than any answer that holds usage; the rest of a larger one is not read.
_LIMIT_BYTES: Final = 16 * 1024 * 1024
# Server-sent events, or one JSON object a line.
_STREAMS: Final = ("text/event-stream", "application/stream+json", "application/x-ndjson", "application/jsonl")
_DONE: Final = b"[DONE]"


def watch_raw(call: Call, response: Any, boundary: Boundary) -> bool:  # noqa: ANN401 - an httpx response
    """See what a raw answer says, now or while the app reads it; whether that can be."""
    make = call.endpoint.accumulator
    is_stream = _is_stream(call, response)
    if response.is_closed and not is_stream:
        call.succeeded(_decoded(response.content))
        return True
    reader = _Events(Watch(call, make(call.is_content_captured), boundary)) if is_stream and make else _Whole(call)
    if response.is_closed:
        reader.feed(response.content)
        reader.end("exhausted")
        return True
    _tee(response, reader, boundary)
    return True


def watch_bytes(reference: weakref.ref[Any], boundary: Boundary, watch: Watch) -> bool:
    """See the rest of a stream in the bytes of its response; whether there is a response left.

    Older helpers of Anthropic's SDK make a stream, take its response, and drop it.
    """
    response = reference()
    if response is None:
        return False
    _tee(response, _Events(watch), boundary)
    return True


def _tee(response: Any, reader: _Events | _Whole, boundary: Boundary) -> None:  # noqa: ANN401 - an httpx response
    is_async = _is_async(response)
    tee = _Tee(response, reader, boundary)
    if is_async:
        response.aiter_bytes = tee.aiter_bytes
    else:
        response.iter_bytes = tee.iter_bytes
    on_close(response, reader, tee, is_async=is_async)


def guard_raw(call: Call, guarding: Guarding, response: Any) -> None:  # noqa: ANN401 - an httpx response
    """Look after a raw answer that has been read: its body is what the guards leave of it.

    Raises:
        DeniedError: the app must not get it; the call has ended.
    """
    body = response.content
    if _is_stream(call, response):
        with call.failing():
            changed = _guarded_events(call, guarding, body)
    else:
        view = _decoded(body)
        if view is None:  # audio, files: there is no text to look at
            return
        before = msgspec.json.encode(view.json)
        guarding.answer(view, view.json)
        after = msgspec.json.encode(view.json)
        changed = body if after == before else after
    if changed != body:
        response._content = changed  # noqa: SLF001 - where httpx keeps a body that was read


def _guarded_events(call: Call, guarding: Guarding, body: bytes) -> bytes:
    """The lines of a stream that is complete, as the guards leave them."""
    core = core_of(call, guarding, _Viewed)
    lines = body.split(b"\n")
    held: dict[int, tuple[bytes, Any]] = {}
    for number, line in enumerate(lines):
        start = b"data:" if line.startswith(b"data:") else b""
        view = _decoded(line[len(start) :].strip()) if start or line.startswith(b"{") else None
        if view is not None:
            held[number] = start, (view.json, msgspec.json.encode(view.json))
            core.add(view.json)
    try:
        core.finish()
    finally:
        guarding.note()
    for number, (start, (value, before)) in held.items():
        after = msgspec.json.encode(value)
        if after != before:
            lines[number] = (start + b" " if start else b"") + after
    return b"\n".join(lines)


class _Viewed:
    """An accumulator of chunks that are plain JSON."""

    def __init__(self, inner: Accumulator) -> None:
        self._inner = inner

    def add(self, chunk: Any) -> None:  # noqa: ANN401 - JSON
        """Take a chunk."""
        self._inner.add(View(chunk))

    def output(self) -> Content:
        """As of the accumulator."""
        return self._inner.output()


def _is_stream(call: Call, response: Any) -> bool:  # noqa: ANN401 - as above
    return response.headers.get("content-type", "").startswith(_STREAMS) and call.endpoint.accumulator is not None


def _is_async(response: Any) -> bool:  # noqa: ANN401 - an httpx response
    return not hasattr(response.stream, "__iter__")


def _decoded(body: bytes) -> View | None:
    """The answer's JSON; None when it is none (audio, files)."""
    try:
        found = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return None
    return View(found) if isinstance(found, dict) else None


class _Events:
    """Reads server-sent events piece by piece."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes, of any length."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _LIMIT_BYTES:
            self._rest = b""
        for line in lines:
            if line.startswith(b"data:"):
                self._take(line[5:].strip())
            elif line.startswith(b"{"):
                self._take(line)

    def _take(self, body: bytes) -> None:
        watch = self._watch
        chunk = None if body == _DONE else _decoded(body)
        if chunk is None:
            return
        watch.last = now = perf_counter()
        if not watch.chunks:
            watch.first = now
        watch.chunks += 1
        if watch.add is not None:
            watch.add(chunk)

    def end(self, how: Any, error: BaseException | None = None) -> None:  # noqa: ANN401 - StreamEnd
        """The response is over."""
        self._watch.end(how, error)


class _Whole:
    """Collects a body to read it at its end."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._size += len(data)
        if self._size <= _LIMIT_BYTES:
            self._pieces.append(data)

    def end(self, how: Any, error: BaseException | None = None) -> None:  # noqa: ANN401 - StreamEnd
        """The response is over."""
        if error is not None:
            self._call.failed(error)
        elif how == "exhausted" and self._size <= _LIMIT_BYTES:
            self._call.succeeded(_decoded(b"".join(self._pieces)))
        else:
            self._call.succeeded(None)
        self._pieces.clear()


class _Tee:
    """The response's bytes, for the app and for a reader.

    Attributes:
        gi_running: whether the response is being read right now, as generators have it: a close then is its own.
    """

    def __init__(self, response: Any, reader: _Events | _Whole, boundary: Boundary) -> None:  # noqa: ANN401 - an httpx response
        self._response = weakref.ref(response)
        self._reader = reader
        self._boundary = boundary
        self.gi_running = False

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The response's `iter_bytes`."""
        response = self._response()
        if response is None:
            return
        self.gi_running = True
        try:
            for data in type(response).iter_bytes(response, chunk_size):
                self._boundary.run("raw.feed", self._reader.feed, data)
                self.gi_running = False
                yield data
                self.gi_running = True
        except GeneratorExit:
            raise  # the app stopped reading; closing tells
        except BaseException as error:
            self._reader.end("exhausted", error)
            raise
        self._reader.end("exhausted")

    async def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """The response's `aiter_bytes`."""
        response = self._response()
        if response is None:
            return
        self.gi_running = True
        try:
            async for data in type(response).aiter_bytes(response, chunk_size):
                self._boundary.run("raw.feed", self._reader.feed, data)
                self.gi_running = False
                yield data
                self.gi_running = True
        except GeneratorExit:
            raise  # as above
        except BaseException as error:
            self._reader.end("exhausted", error)
            raise
        self._reader.end("exhausted")

    def __del__(self) -> None:
        self._reader.end("dropped")
