"""The hook for SDKs that Stainless did not generate: the functions that everything goes through, from a table.

As in stainless.py, sync and async differ in the await alone. What a function returns stays what it was: a stream that
the SDK gives as a generator becomes a generator of ours around it, one that is an object keeps being that object.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, Literal, TypeAlias

from opentelemetry import context

from otel_llm.instrumentation.boundary import Boundary
from otel_llm.instrumentation.call import Call
from otel_llm.instrumentation.engine import HIDDEN, Engine
from otel_llm.instrumentation.guarding import guarded
from otel_llm.instrumentation.patches import Patches
from otel_llm.instrumentation.provider import Body, Endpoint, Server
from otel_llm.instrumentation.relay import relayed, relayed_async
from otel_llm.instrumentation.responses import on_close
from otel_llm.instrumentation.streams import Watch, WatchedAsyncIterator, WatchedIterator

Arguments: TypeAlias = "dict[str, Any]"
# Sees to it that the end of a call is seen, and returns what the app gets.
Answered: TypeAlias = "Callable[[Call, Any, Boundary], Any]"


@dataclass(frozen=True, slots=True)
class Request:
    """What a call of a function asks for.

    Attributes:
        endpoint: what is called.
        server: who is called.
        body: with what, in the provider's own words.
        stream: whether the answer comes in chunks.
    """

    endpoint: Endpoint
    server: Server
    body: Body
    stream: bool = False


# A call that asks no model anything.
_LEFT_ALONE: Final = Request(Endpoint("", ""), Server("", {}), {})


def _the_arguments(body: Body) -> Mapping[str, Any]:
    return body


def by_generator(call: Call, answer: Any, boundary: Boundary) -> Any:  # noqa: ANN401 - an answer of any SDK
    """For streams that are iterators or generators; any other answer is whole."""
    make = call.endpoint.accumulator
    if make is None or not call.is_stream or not (hasattr(answer, "__next__") or hasattr(answer, "__anext__")):
        call.guard(answer)
        call.succeeded(answer)
        return answer
    watch = Watch(call, make(call.is_content_captured), boundary)
    relay: Any = relayed_async if hasattr(answer, "__anext__") else relayed
    return relay(guarded(call, answer), watch, call.context)


def by_attribute(name: str, *, response: str | None = None) -> Answered:
    """For stream objects that keep the iterator of their chunks in an attribute: the object stays the SDK's own.

    Args:
        name: the attribute.
        response: the attribute that holds the HTTP response, where closing the stream closes that and nothing else.
    """

    def answered(call: Call, answer: Any, boundary: Boundary) -> Any:  # noqa: ANN401 - an answer of any SDK
        make = call.endpoint.accumulator
        chunks = getattr(answer, name, None)
        if make is None or chunks is None:
            call.guard(answer)
            call.succeeded(answer)
            return answer
        watch = Watch(call, make(call.is_content_captured), boundary)
        wrap: Any = WatchedAsyncIterator if hasattr(chunks, "__anext__") else WatchedIterator
        looked_at = guarded(call, chunks)
        setattr(answer, name, wrap(looked_at, watch))
        if response is not None:
            on_close(getattr(answer, response), watch, looked_at, is_async=wrap is WatchedAsyncIterator)
        return answer

    return answered


@dataclass(frozen=True, slots=True)
class Method:
    """A function of an SDK that calls go through.

    Attributes:
        module: the module that defines it.
        path: its place in the module: `Class.method`, or a function.
        find: what is asked for, from the method's instance (None for a function) and its arguments by name; None when
            the call is to be left alone.
        answered: sees to the answer.
        with_body: arguments by name that make the function ask with another body, as an admission changed it. By
            default the arguments are the body.
        guards: which answers can be looked after on their way to the app; a call whose answer cannot is not made where
            that fails closed.
        hides: whether calls of other libraries below are parts of this one, and not to be reported again.
    """

    module: str
    path: str
    find: Callable[[Any, Arguments], Request | None]
    answered: Answered = by_generator
    with_body: Callable[[Body], Mapping[str, Any]] = _the_arguments
    guards: Literal["all", "whole", "none"] = "all"
    hides: bool = False


class _Parameters:
    """The names of a function's parameters, to read what it is called with."""

    __slots__ = ("_names",)

    def __init__(self, function: Callable[..., Any], *, is_method: bool) -> None:
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = inspect.signature(function).parameters.values()
        names = [parameter.name for parameter in parameters if parameter.kind in positional]
        rest = [parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.VAR_POSITIONAL]
        self._names = (names[is_method:], rest[0] if rest else None)

    def named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        """The arguments by name."""
        names, rest = self._names
        found = {**dict(zip(names, args, strict=False)), **kwargs}
        if rest is not None:
            found[rest] = args[len(names) :]
        return found

    def replaced(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], changes: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with some of them changed."""
        positional = list(args)
        names, rest = self._names
        for position, name in enumerate(names[: len(args)]):
            positional[position] = changes.get(name, args[position])
        taken = {*names[: len(args)], rest}
        return tuple(positional), {**kwargs, **{key: item for key, item in changes.items() if key not in taken}}


@dataclass(frozen=True, slots=True)
class _Begun:
    """A call that is about to be made.

    Attributes:
        call: the call.
        args: what to call the function with.
        kwargs: likewise, by name.
    """

    call: Call
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class _Hook:
    def __init__(self, method: Method, engine: Engine, patches: Patches, function: Callable[..., Any]) -> None:
        self._method = method
        self._engine = engine
        self._patches = patches
        self._is_method = "." in method.path
        self._parameters = _Parameters(function, is_method=self._is_method)

    def sync(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def method(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the SDK's method
            begun = self._begin(args, kwargs)
            if begun is None:
                return original(*args, **kwargs)
            token = self._attach(begun.call)
            try:
                answer = original(*begun.args, **begun.kwargs)
            except BaseException as error:
                self._detach(token)
                begun.call.failed(error)
                raise
            self._detach(token)
            return self._answered(begun.call, answer)

        return method

    def asynchronous(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def method(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the SDK's method
            begun = self._begin(args, kwargs)
            if begun is None:
                return await original(*args, **kwargs)
            token = self._attach(begun.call)
            try:
                answer = await original(*begun.args, **begun.kwargs)
            except BaseException as error:
                if not isinstance(error, GeneratorExit):  # closed in whatever context: nothing to detach
                    self._detach(token)
                begun.call.failed(error)
                raise
            self._detach(token)
            return self._answered(begun.call, answer)

        return method

    def generator(self, original: Callable[..., Iterable[Any]]) -> Callable[..., Iterator[Any]]:
        """For generator functions: nothing is asked before the first chunk is asked for, so the call begins then."""

        @functools.wraps(original)
        def method(*args: Any, **kwargs: Any) -> Iterator[Any]:  # noqa: ANN401 - the SDK's method
            begun = self._begin(args, kwargs)
            if begun is None:
                yield from original(*args, **kwargs)
            else:
                yield from self._answered(begun.call, original(*begun.args, **begun.kwargs))

        return method

    def async_generator(self, original: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        """As `generator`."""

        @functools.wraps(original)
        async def method(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:  # noqa: ANN401 - the SDK's method
            begun = self._begin(args, kwargs)
            if begun is None:
                chunks = original(*args, **kwargs)
            else:
                chunks = self._answered(begun.call, original(*begun.args, **begun.kwargs))
            try:
                async for chunk in chunks:
                    yield chunk
            finally:
                await chunks.aclose()  # type: ignore[attr-defined] # these are asynchronous generators

        return method

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Begun | None:
        if not self._patches.is_active:
            return None
        run = self._engine.boundary.run
        request = run(f"{self._method.path}.request", self._find, args, kwargs)
        if request is None:
            self._engine.not_asked()
            return None
        if request is _LEFT_ALONE:
            return None
        is_reported = run(f"{self._method.path}.foreign", self._patches.emitted_by) is not None
        call = self._engine.begin(
            request.endpoint, request.server, request.body, stream=request.stream, is_reported=is_reported
        )
        if call is None:
            return None
        if call.guarding is not None and (
            self._method.guards == "none" or (request.stream and self._method.guards == "whole")
        ):
            call.guarding.cannot()
        if call.body is not request.body:
            instance, rest = (args[:1], args[1:]) if self._is_method else ((), args)
            changes = run(f"{self._method.path}.body", self._method.with_body, call.body)
            if changes is None:
                self._engine.not_asked()
            else:
                rest, kwargs = self._parameters.replaced(rest, kwargs, changes)
                args = (*instance, *rest)
        if self._method.hides and call.context is not None:
            call.context = context.set_value(HIDDEN, True, call.context)  # noqa: FBT003 - OpenTelemetry's signature
        return _Begun(call, args, kwargs)

    def _find(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request:
        instance, rest = (args[0], args[1:]) if self._is_method else (None, args)
        return self._method.find(instance, self._parameters.named(rest, kwargs)) or _LEFT_ALONE

    def _attach(self, call: Call) -> Any:  # noqa: ANN401 - OpenTelemetry's token
        return None if call.context is None else self._engine.boundary.run("attach", context.attach, call.context)

    def _detach(self, token: Any) -> None:  # noqa: ANN401 - OpenTelemetry's token
        if token is not None:
            self._engine.boundary.run("detach", context.detach, token)

    def _answered(self, call: Call, answer: Any) -> Any:  # noqa: ANN401 - an answer of any SDK
        boundary = self._engine.boundary
        seen = boundary.run(f"{self._method.path}.answer", self._method.answered, call, answer, boundary)
        if seen is None:
            call.succeeded(answer)
            return answer
        return seen


def hook_maker(method: Method, engine: Engine, patches: Patches) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What makes the hook of a function as it is defined: sync, async, or a generator of either kind."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        hook = _Hook(method, engine, patches, original)
        if inspect.isasyncgenfunction(original):
            return hook.async_generator(original)
        if inspect.iscoroutinefunction(original):
            return hook.asynchronous(original)
        return (hook.generator if inspect.isgeneratorfunction(original) else hook.sync)(original)

    return make


def install_methods(table: Iterable[Method]) -> Callable[[Engine, Patches, ModuleType], list[str]]:
    """What puts the hooks of a table in; for `Library.install`."""
    methods = tuple(table)

    def install(engine: Engine, patches: Patches, _: ModuleType) -> list[str]:
        return [method.path for method in methods if not _put_in(method, engine, patches)]

    return install


def _put_in(method: Method, engine: Engine, patches: Patches) -> bool:
    """Put one hook in; False when this version of the library has no such function."""
    try:
        owner: Any = importlib.import_module(method.module)
        *classes, name = method.path.split(".")
        for one in classes:
            owner = getattr(owner, one)
        patches.replace(owner, name, hook_maker(method, engine, patches))
    except (ImportError, AttributeError):
        return False
    return True
