"""The hook for SDKs that Stainless generates: one choke point, `request` of the client's base class.

OpenAI, Anthropic, Groq, Together, Cerebras and others share it. Every method goes through it: raw responses,
`.parse()`, `.stream()`, `client.post()`, pages, and whatever speaks the same API under another base URL. Sync and async
differ here in the await alone; all that is done before and after is in Exchange.
"""

from __future__ import annotations

import copy
import functools
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from types import ModuleType
from typing import Any, Final, NamedTuple

from opentelemetry import context

from otel_llm._generated import attributes as names
from otel_llm.instrumentation.boundary import sites_of
from otel_llm.instrumentation.call import Call
from otel_llm.instrumentation.engine import CALL, Engine
from otel_llm.instrumentation.guarding import guarded
from otel_llm.instrumentation.patches import Patches
from otel_llm.instrumentation.provider import Body, Endpoint, Server
from otel_llm.instrumentation.raw import guard_raw, watch_bytes, watch_raw
from otel_llm.instrumentation.responses import on_close
from otel_llm.instrumentation.streams import Watch, WatchedAsyncIterator, WatchedIterator

_NOTHING: Final[Mapping[str, object]] = {}
# What `_find` answers for a request that is none of a model.
_NO_OPERATION: Final[tuple[Endpoint, Server, Body]] = (Endpoint("", ""), Server("", {}), {})
_RAW: Final = "x-stainless-raw-response"
_HTTPS: Final = 443
_HTTP: Final = 80


@dataclass(frozen=True, slots=True)
class StainlessLibrary:
    """An SDK that Stainless generated.

    Attributes:
        name: its import name.
        endpoint: the endpoint of an HTTP method and a URL (path or absolute, without query); None for what is not a
            GenAI operation.
        provider: the provider's name for a client and its host.
        traces_itself: whether a client has spans of its own; None where none has.
        ask_for_usage: the same body with a wish for usage in the stream, for servers known to take it; None to leave
            it. Only where the settings say so; the chunk that comes for it is then not for the app.
    """

    name: str
    endpoint: Callable[[str, str], Endpoint | None]
    provider: Callable[[Any, str], str]
    traces_itself: Callable[[Any], bool] | None = None
    ask_for_usage: Callable[[Server, Endpoint, Body], Body | None] = lambda *_: None


class Exchange:
    """One request of a client: what comes before the SDK's own method, and what comes after.

    Attributes:
        call: the call.
        options: other options to call the SDK's method with; None for those that the app gave.
    """

    __slots__ = ("_engine", "call", "options")

    def __init__(self, engine: Engine, call: Call, options: Any) -> None:  # noqa: ANN401 - the SDK's options
        self._engine = engine
        self.call = call
        self.options = options

    def attach(self) -> Any:  # noqa: ANN401 - OpenTelemetry's token
        """Make the call's context the current one; None when there is none."""
        at = self.call.context
        if at is None:
            return None
        return self._engine.boundary.run("attach", context.attach, at)

    def detach(self, token: Any) -> None:  # noqa: ANN401 - OpenTelemetry's token
        """Make the context before it the current one."""
        if token is not None:
            context.detach(token)  # logs what goes wrong, and never raises

    def answered(self, answer: Any) -> Any:  # noqa: ANN401 - an answer of any SDK
        """The answer for the app: the very same, or for a stream one of the same type whose chunks are seen."""
        boundary = self._engine.boundary
        site = sites_of(self.call.server.provider, self.call.endpoint.name).answer
        state = getattr(answer, "__dict__", _NOTHING)  # asking a model for an attribute it lacks takes microseconds
        if "http_response" in state:
            if self.call.guarding is not None:
                guard_raw(self.call, self.call.guarding, answer.http_response)
            if not boundary.run(site, watch_raw, self.call, answer.http_response, boundary):
                self.call.succeeded(None)
            return answer
        is_stream = "response" in state and ("_iterator" in state or hasattr(type(answer), "_iterator"))
        if is_stream and self.call.endpoint.accumulator is not None:
            seen = boundary.run(site, _watched, self.call, answer, boundary)
            if seen is not None:
                return seen
        self.call.guard(answer)
        self.call.succeeded(answer)
        return answer

    def unread(self, answer: Any) -> Any:  # noqa: ANN401 - as above
        """The HTTP response that has to be read before the app gets it, as somebody looks after it; None for none."""
        if self.call.guarding is None:
            return None
        response: Any = getattr(answer, "__dict__", _NOTHING).get("http_response")
        return None if response is None or response.is_closed else response


def _watched(call: Call, stream: Any, boundary: Any) -> Any:  # noqa: ANN401 - the SDK's stream
    """A stream of the same type and state, whose chunks pass our iterator.

    It is a copy: the SDK's generator refers to the stream it was made by, and a cycle would leave it to the garbage
    collector to notice that the app has dropped it.
    """
    make = call.endpoint.accumulator
    if make is None:
        return None
    watch = Watch(call, make(call.is_content_captured), boundary)
    chunks = stream._iterator  # noqa: SLF001 - where Stainless's streams keep their parser
    seen = copy.copy(stream)
    looked_at = guarded(call, chunks)
    is_async = hasattr(chunks, "__anext__")
    seen._iterator = WatchedAsyncIterator(looked_at, watch) if is_async else WatchedIterator(looked_at, watch)  # noqa: SLF001 - as above
    if looked_at is chunks:  # what guards look after is not read past them
        watch.hand_over = functools.partial(watch_bytes, weakref.ref(stream.response), boundary)
    vars(stream).pop("_iterator", None)
    on_close(stream.response, watch, looked_at, is_async=is_async)
    return seen


class _Known(NamedTuple):
    """What was found out about a client."""

    client: weakref.ref[Any]
    url: object
    server: Server


class Hook:
    """The hooks of one library.

    Args:
        library: its table.
        engine: what makes telemetry.
        patches: where the hooks are noted.
    """

    def __init__(self, library: StainlessLibrary, engine: Engine, patches: Patches) -> None:
        self._library = library
        self._engine = engine
        self._patches = patches
        # By the client's id, and the client as proof: a WeakKeyDictionary takes longer than all that is remembered.
        self._servers: dict[int, _Known] = {}
        self._request, self._native, self._foreign, self._body = (
            f"{library.name}.{step}" for step in ("request", "native", "foreign", "body")
        )

    def sync_request(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The hook for `SyncAPIClient.request`."""

        @functools.wraps(original)
        def request(client: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the SDK's method
            exchange = self._begin(client, args, kwargs)
            if exchange is None:
                return original(client, *args, **kwargs)
            if exchange.options is not None:
                args, kwargs = _with_options(args, kwargs, exchange.options)
            token = exchange.attach()
            try:
                answer = original(client, *args, **kwargs)
            except BaseException as error:
                exchange.detach(token)
                exchange.call.failed(error)
                raise
            exchange.detach(token)
            unread = exchange.unread(answer)
            if unread is not None:
                with exchange.call.failing():
                    unread.read()
            return exchange.answered(answer)

        return request

    def async_request(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The hook for `AsyncAPIClient.request`."""

        @functools.wraps(original)
        async def request(client: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the SDK's method
            exchange = self._begin(client, args, kwargs)
            if exchange is None:
                return await original(client, *args, **kwargs)
            if exchange.options is not None:
                args, kwargs = _with_options(args, kwargs, exchange.options)
            token = exchange.attach()
            try:
                answer = await original(client, *args, **kwargs)
            except BaseException as error:
                # A coroutine that is closed runs in whatever context closes it: there is nothing to detach.
                if not isinstance(error, GeneratorExit):
                    exchange.detach(token)
                exchange.call.failed(error)
                raise
            exchange.detach(token)
            unread = exchange.unread(answer)
            if unread is not None:
                with exchange.call.failing():
                    await unread.aread()
            return exchange.answered(answer)

        return request

    def sync_sleep(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The hook for `SyncAPIClient._sleep_for_retry`: called once before each further attempt."""

        @functools.wraps(original)
        def sleep(client: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the SDK's method
            started = perf_counter()
            result = original(client, **kwargs)
            self._engine.boundary.run("retry", _retried, kwargs.get("response"), perf_counter() - started)
            return result

        return sleep

    def async_sleep(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The hook for `AsyncAPIClient._sleep_for_retry`."""

        @functools.wraps(original)
        async def sleep(client: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the SDK's method
            started = perf_counter()
            result = await original(client, **kwargs)
            self._engine.boundary.run("retry", _retried, kwargs.get("response"), perf_counter() - started)
            return result

        return sleep

    def _begin(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exchange | None:  # noqa: ANN401 - the SDK's method
        if not self._patches.is_active:
            return None
        options = args[1] if len(args) > 1 else kwargs.get("options")
        found = self._engine.boundary.run(self._request, self._find, client, options)
        if found is None:
            self._engine.not_asked()
            return None
        if found is _NO_OPERATION:
            return None
        endpoint, server, body = found
        run = self._engine.boundary.run
        own_span = None
        if self._library.traces_itself is not None and not self._engine.settings.private_providers:
            own_span = run(self._native, self._library.traces_itself, client)
        is_reported = run(self._foreign, self._patches.emitted_by) is not None
        call = self._engine.begin(
            endpoint, server, body, stream=bool(kwargs.get("stream")), span=not own_span, is_reported=is_reported
        )
        if call is None:
            return None
        if call.is_stream and self._engine.settings.inject_usage and not _is_raw(options):
            asking = self._engine.boundary.run(
                "ask_for_usage", self._library.ask_for_usage, server, endpoint, call.body
            )
            if asking is not None:
                call.body, call.hides_usage_chunk = asking, True
        changed = None
        if call.body is not body:
            changed = self._engine.boundary.run(self._body, _changed, options, call.body)
            if changed is None:
                self._engine.not_asked()
        return Exchange(self._engine, call, changed)

    def _find(self, client: Any, options: Any) -> tuple[Endpoint, Server, Body]:  # noqa: ANN401 - the SDK's objects
        """What is called, who is called, and with what; _NO_OPERATION for what is left alone."""
        endpoint = self._library.endpoint(options.method, options.url)
        if endpoint is None:
            return _NO_OPERATION
        body = options.json_data
        extra = getattr(options, "extra_json", None)
        if not isinstance(body, Mapping):  # a GET
            body = {**options.params, "url": options.url}
        return endpoint, self._server(client), {**body, **extra} if isinstance(extra, Mapping) and extra else body

    def _server(self, client: Any) -> Server:  # noqa: ANN401 - the SDK's client
        url = client.base_url
        known = self._servers.get(id(client))
        if known is not None and known.url is url and known.client() is client:
            return known.server
        host = url.host or ""
        provider = self._library.provider(client, host)
        attributes: dict[str, str | int] = {names.GEN_AI_PROVIDER_NAME: provider}
        if host:
            attributes[names.SERVER_ADDRESS] = host
            attributes[names.SERVER_PORT] = url.port or (_HTTP if url.scheme == "http" else _HTTPS)
        server = Server(provider, attributes)
        key, servers = id(client), self._servers

        def forget(gone: object) -> None:
            known = servers.get(key)
            if known is not None and known.client is gone:  # not another's that has the id by now
                servers.pop(key, None)

        servers[key] = _Known(weakref.ref(client, forget), url, server)
        return server


def _is_raw(options: Any) -> bool:  # noqa: ANN401 - the SDK's options
    """Whether the app reads the answer's bytes itself, where no chunk can be kept back."""
    headers = options.headers
    return isinstance(headers, Mapping) and any(name.lower() == _RAW for name in headers)


def _retried(response: Any, waited_seconds: float) -> None:  # noqa: ANN401 - the SDK's response, None after a network error
    call = context.get_value(CALL)
    if isinstance(call, Call):
        status = None if response is None else response.status_code
        after = None if response is None else response.headers.get("retry-after")
        call.attempt_failed(status, after, waited_seconds)


def _changed(options: Any, body: Body) -> Any:  # noqa: ANN401 - the SDK's options
    """A copy of the options with another body."""
    changed = copy.copy(options)
    changed.json_data = dict(body)
    changed.extra_json = None
    return changed


def _with_options(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: Any,  # noqa: ANN401 - the SDK's options
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if len(args) > 1:
        return (args[0], options, *args[2:]), kwargs
    return args, {**kwargs, "options": options}


def install_stainless(library: StainlessLibrary) -> Callable[[Engine, Patches, ModuleType], list[str]]:
    """What puts the hooks of such an SDK in, given its `_base_client` module; for `Library.install`."""

    def install(engine: Engine, patches: Patches, base: ModuleType) -> list[str]:
        hook = Hook(library, engine, patches)
        missing = []
        for owner, method, make in (
            ("SyncAPIClient", "request", hook.sync_request),
            ("AsyncAPIClient", "request", hook.async_request),
            ("SyncAPIClient", "_sleep_for_retry", hook.sync_sleep),
            ("AsyncAPIClient", "_sleep_for_retry", hook.async_sleep),
        ):
            try:
                patches.replace(getattr(base, owner), method, make)
            except AttributeError:
                missing.append(f"{owner}.{method}")
        return missing

    return install
