"""The hook for SDKs without a choke point: their public methods, one by one, from a table.

As in stainless.py, sync and async differ in the await alone.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

from opentelemetry import context

from otel_llm.instrumentation.call import Call
from otel_llm.instrumentation.engine import CALL, Engine
from otel_llm.instrumentation.patches import Patches
from otel_llm.instrumentation.provider import Body, Endpoint, Server
from otel_llm.instrumentation.streams import Watch, WatchedAsyncIterator, WatchedIterator

# Puts a watch into a streamed answer; returns what the app gets. None when the answer is no stream.
WatchStream: TypeAlias = "Callable[[Any, Watch], Any]"


@dataclass(frozen=True, slots=True)
class Method:
    """A method of an SDK.

    Attributes:
        module: the module that defines it.
        path: its place in the module: `Class.method`, or a function.
        endpoint: what it calls.
        body: the request's body from the method's instance (None for a function), arguments and keyword arguments.
        server: who answers, from the same instance and keyword arguments.
        stream: whether the answer is a stream, from the keyword arguments.
        watch_stream: puts a watch into a streamed answer.
        nests: whether it is a call of its own also below another method of the library; False where methods call each
            other to do their work.
        with_body: the arguments and keyword arguments with another body, as an admission changed it; None when that
            cannot be.
    """

    module: str
    path: str
    endpoint: Endpoint
    body: Callable[[Any, tuple[Any, ...], dict[str, Any]], Body]
    server: Callable[[Any, dict[str, Any]], Server]
    stream: Callable[[dict[str, Any]], bool] = lambda _: False
    watch_stream: WatchStream | None = None
    nests: bool = False
    with_body: Callable[[tuple[Any, ...], dict[str, Any], Body], tuple[tuple[Any, ...], dict[str, Any]]] | None = None


def watch_attribute(name: str) -> WatchStream:
    """For stream objects that keep the iterator of their chunks in an attribute: the object stays the SDK's own."""

    def watch_stream(answer: Any, watch: Watch) -> Any:  # noqa: ANN401 - an answer of any SDK
        setattr(answer, name, watch_iterator(getattr(answer, name), watch))
        return answer

    return watch_stream


def watch_iterator(answer: Any, watch: Watch) -> Any:  # noqa: ANN401 - an answer of any SDK
    """For streams that are plain iterators or generators."""
    if hasattr(answer, "__anext__"):
        return WatchedAsyncIterator(answer, watch)
    return WatchedIterator(iter(answer), watch)


class _Hook:
    def __init__(self, method: Method, engine: Engine, patches: Patches) -> None:
        self._method = method
        self._engine = engine
        self._patches = patches

    def make(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The hook for the method as it is defined: sync or async."""
        is_async = inspect.iscoroutinefunction(original)
        return self._async(original) if is_async else self._sync(original)

    def _sync(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def method(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the SDK's method
            begun = self._begin(args, kwargs)
            if begun is None:
                return original(*args, **kwargs)
            call, args, kwargs, token = begun
            try:
                answer = original(*args, **kwargs)
            except BaseException as error:
                self._detach(token)
                call.failed(error)
                raise
            self._detach(token)
            return self._answered(call, answer)

        return method

    def _async(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def method(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the SDK's method
            begun = self._begin(args, kwargs)
            if begun is None:
                return await original(*args, **kwargs)
            call, args, kwargs, token = begun
            try:
                answer = await original(*args, **kwargs)
            except BaseException as error:
                if not isinstance(error, GeneratorExit):  # closed in whatever context: nothing to detach
                    self._detach(token)
                call.failed(error)
                raise
            self._detach(token)
            return self._answered(call, answer)

        return method

    def _begin(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Call, tuple[Any, ...], dict[str, Any], Any] | None:
        if not self._patches.is_active:
            return None
        run = self._engine.boundary.run
        found = run(f"{self._method.path}.request", self._find, args, kwargs)
        if found is None:
            self._engine.not_asked()
            return None
        server, body, is_stream = found
        outer = context.get_value(CALL)
        if isinstance(outer, Call) and outer.server.provider == server.provider and not self._method.nests:
            return None
        call = self._engine.begin(self._method.endpoint, server, body, stream=is_stream)
        if call is None:
            return None
        if call.body is not body:
            with_body = self._method.with_body
            changed = (
                None if with_body is None else run(f"{self._method.path}.body", with_body, args, kwargs, call.body)
            )
            if changed is None:
                self._engine.not_asked()
            else:
                args, kwargs = changed
        token = None if call.context is None else run("attach", context.attach, call.context)
        return call, args, kwargs, token

    def _find(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Server, Body, bool]:
        is_method = "." in self._method.path
        instance, rest = (args[0], args[1:]) if is_method and args else (None, args)
        method = self._method
        return method.server(instance, kwargs), method.body(instance, rest, kwargs), method.stream(kwargs)

    def _detach(self, token: Any) -> None:  # noqa: ANN401 - OpenTelemetry's token
        if token is not None:
            self._engine.boundary.run("detach", context.detach, token)

    def _answered(self, call: Call, answer: Any) -> Any:  # noqa: ANN401 - an answer of any SDK
        watch_stream, make = self._method.watch_stream, call.endpoint.accumulator
        if watch_stream is not None and make is not None and call.is_stream:
            watch = Watch(call, make(call.is_content_captured), self._engine.boundary)
            seen = self._engine.boundary.run(f"{self._method.path}.answer", watch_stream, answer, watch)
            if seen is not None:
                return seen
        call.succeeded(answer)
        return answer


def install_methods(table: tuple[Method, ...]) -> Callable[[Engine, Patches, ModuleType], list[str]]:
    """What puts the hooks of a table in; for `Library.install`."""

    def install(engine: Engine, patches: Patches, _: ModuleType) -> list[str]:
        missing = []
        for method in table:
            try:
                owner: Any = importlib.import_module(method.module)
                *classes, name = method.path.split(".")
                for one in classes:
                    owner = getattr(owner, one)
                patches.replace(owner, name, _Hook(method, engine, patches).make)
            except (ImportError, AttributeError):
                missing.append(method.path)
        return missing

    return install
