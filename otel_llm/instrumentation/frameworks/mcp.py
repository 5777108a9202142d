"""MCP, client and server. From 2.0 on the SDK makes spans of both and carries trace context in `_meta`; before, we do.

What holds for the caller (`otel_llm.context`) goes along in `_meta` only when OTEL_LLM_MCP_CONTEXT says that the
servers are one's own, for an MCP server may be anybody's; then the keys of `ambient` go, and no others.
Source: semconv mcp.client, mcp.server; MCP specification, `_meta`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from otel_llm._generated import attributes as names
from otel_llm.instrumentation import ambient
from otel_llm.instrumentation.call import error_type, is_cancellation
from otel_llm.instrumentation.engine import SUPPRESS_ALL, Engine
from otel_llm.instrumentation.loader import Library
from otel_llm.instrumentation.patches import Patches
from otel_llm.operation import AttributeValue

_OWN_SERVERS: Final = "OTEL_LLM_MCP_CONTEXT"
_BAGGAGE: Final = "baggage"
_SCOPE: Final = "mcp-python-sdk"


def _carried() -> dict[str, str]:
    """What goes along in `_meta`."""
    found = ambient.carrier()
    if os.environ.get(_OWN_SERVERS, "").strip().lower() not in ("true", "1"):
        found.pop(_BAGGAGE, None)
    return found


# Before 2.0.


def _described(method: str, params: Any) -> tuple[str, dict[str, AttributeValue]]:  # noqa: ANN401 - the SDK's model
    """The span's name and attributes of a request."""
    found: dict[str, AttributeValue] = {names.MCP_METHOD_NAME: method}
    target = getattr(params, "name", None)
    target = target if isinstance(target, str) else None
    if method == "tools/call":
        found[names.GEN_AI_OPERATION_NAME] = "execute_tool"
        if target:
            found[names.GEN_AI_TOOL_NAME] = target
    elif method == "prompts/get" and target:
        found[names.GEN_AI_PROMPT_NAME] = target
    uri = getattr(params, "uri", None)
    if uri is not None:
        found[names.MCP_RESOURCE_URI] = str(uri)
    return f"{method} {target}" if target else method, found


class _Request:
    """One request, on either side: its span, and how it ended."""

    __slots__ = ("_engine", "_span", "_token")

    def __init__(self, engine: Engine, kind: SpanKind, method: str, params: Any, at: Any = None) -> None:  # noqa: ANN401 - the SDK's
        self._engine = engine
        name, found = _described(method, params)
        found.update(ambient.attributes(at))
        self._span: Span = engine.outlet().tracer.start_span(name, at, kind, found)
        self._token: Any = context.attach(trace.set_span_in_context(self._span, at))

    def end(self, answer: Any = None, error: BaseException | None = None) -> None:  # noqa: ANN401 - the SDK's
        """It is over."""
        if not isinstance(error, GeneratorExit):
            context.detach(self._token)
        code = getattr(getattr(error, "error", None), "code", None)
        if error is not None:
            self._failed(str(code) if isinstance(code, int) else error_type(error), is_error=not is_cancellation(error))
        elif getattr(answer, "isError", False) is True:
            self._failed("tool_error", is_error=True)
        self._span.end()

    def _failed(self, kind: str, *, is_error: bool) -> None:
        self._span.set_attribute(names.ERROR_TYPE, kind)
        if is_error:
            self._span.set_status(Status(StatusCode.ERROR))


def _send_request(engine: Engine, patches: Patches) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The hook for `BaseSession.send_request`."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def send_request(session: Any, request: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the SDK's
            run = engine.boundary.run
            if not patches.is_active or context.get_value(SUPPRESS_ALL):
                return await original(session, request, *args, **kwargs)
            kind = SpanKind.CLIENT
            one = run("mcp.client.request", lambda: _Request(engine, kind, request.root.method, request.root.params))
            if one is None:
                return await original(session, request, *args, **kwargs)
            asked = run("mcp.client.context", _with_meta, request) or request
            try:
                answer = await original(session, asked, *args, **kwargs)
            except BaseException as error:
                run("mcp.client.end", one.end, None, error)
                raise
            run("mcp.client.end", one.end, answer)
            return answer

        return send_request

    return make


def _with_meta(request: Any) -> Any:  # noqa: ANN401 - the SDK's request
    """A copy of a request whose `_meta` says where it comes from; what the app has put there stays."""
    params = request.root.params
    carried = _carried()
    if params is None or not carried:
        return request
    meta = params.meta
    given = meta.model_dump(by_alias=True, exclude_none=True) if meta is not None else {}
    kind = type(params).model_fields["meta"].annotation
    made = next(one for one in getattr(kind, "__args__", (kind,)) if hasattr(one, "model_validate"))
    params = params.model_copy(update={"meta": made.model_validate({**carried, **given})})
    return type(request)(request.root.model_copy(update={"params": params}))


def _handle_request(engine: Engine, patches: Patches) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The hook for the low-level server's `_handle_request`."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def handle(server: Any, message: Any, req: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the SDK's
            run = engine.boundary.run
            one = run("mcp.server.request", _arrived, engine, req) if patches.is_active else None
            if one is None:
                return await original(server, message, req, *args, **kwargs)
            seen: list[Any] = []
            respond = message.respond

            async def responding(answer: Any) -> Any:  # noqa: ANN401 - the SDK's
                seen.append(answer)
                return await respond(answer)

            message.respond = responding
            try:
                result = await original(server, message, req, *args, **kwargs)
            except BaseException as error:
                run("mcp.server.end", one.end, None, error)
                raise
            run("mcp.server.end", one.end, getattr(seen[0], "root", None) if seen else None)
            return result

        return handle

    return make


def _arrived(engine: Engine, req: Any) -> _Request:  # noqa: ANN401 - the SDK's request
    meta = getattr(req.params, "meta", None)
    carried = {
        key: value for key, value in (getattr(meta, "model_extra", None) or {}).items() if isinstance(value, str)
    }
    at = ambient.arrived(carried) if carried else None
    return _Request(engine, SpanKind.SERVER, req.method, req.params, at)


# From 2.0 on.


class _Tracer:
    """The tracer of MCP's SDK, of wherever the app's telemetry goes: its own is of the global provider, or of none."""

    def __init__(self, engine: Engine, patches: Patches, own: Tracer) -> None:
        self._engine = engine
        self._patches = patches
        self._own = own
        self._made: tuple[object, Tracer] = (None, own)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the SDK asks a tracer for
        return getattr(self._engine.boundary.run("mcp.tracer", self._current) or self._own, name)

    def _current(self) -> Tracer:
        if not self._patches.is_active:
            return self._own
        outlet = self._engine.outlet()
        if self._made[0] is not outlet:
            self._made = (outlet, outlet.tracers.get_tracer(_SCOPE))
        return self._made[1]


def _inject(patches: Patches) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The hook for `inject_trace_context`: the app's baggage stays here; what holds goes along when it may."""

    def make(original: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        @functools.wraps(original)
        def inject(meta: dict[str, Any]) -> None:
            had = meta.get(_BAGGAGE)
            original(meta)
            if not patches.is_active:
                return
            meta.pop(_BAGGAGE, None)
            said = had or _carried().get(_BAGGAGE)
            if said:
                meta[_BAGGAGE] = said

        return inject

    return make


def _serve(engine: Engine, patches: Patches) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The hook for the server's own middleware: what came along holds for what the handler does."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def call(middleware: Any, ctx: Any, call_next: Callable[..., Any]) -> Any:  # noqa: ANN401 - the SDK's
            at = engine.boundary.run("mcp.server.context", _holding, ctx.meta) if patches.is_active else None
            if at is None:
                return await original(middleware, ctx, call_next)
            token = context.attach(at)
            try:
                return await original(middleware, ctx, call_next)
            finally:
                context.detach(token)

        return call

    return make


def _holding(meta: Any) -> Any:  # noqa: ANN401 - a mapping, or the SDK's model
    said = meta.get(_BAGGAGE) if isinstance(meta, Mapping) else None
    return ambient.arrived({_BAGGAGE: said}, context.get_current()) if isinstance(said, str) else None


def _install(engine: Engine, patches: Patches, module: ModuleType) -> list[str]:
    if module.__name__ == "mcp.shared.session":
        patches.replace(module.BaseSession, "send_request", _send_request(engine, patches))
    elif module.__name__ == "mcp.server.lowlevel.server":
        if hasattr(module.Server, "_handle_request"):
            patches.replace(module.Server, "_handle_request", _handle_request(engine, patches))
    elif module.__name__ == "mcp.shared._otel":
        patches.replace(module, "_tracer", functools.partial(_Tracer, engine, patches))
    elif module.__name__ == "mcp.shared.jsonrpc_dispatcher":
        patches.replace(module, "inject_trace_context", _inject(patches))
    else:
        patches.replace(module.OpenTelemetryMiddleware, "__call__", _serve(engine, patches))
    return []


def native(_: Mapping[str, str], module: ModuleType) -> str | None:
    """Whether this version makes its own spans."""
    return "the SDK makes its own spans" if module.__name__ in _NATIVE else None


_NATIVE: Final = ("mcp.shared._otel", "mcp.shared.jsonrpc_dispatcher", "mcp.server._otel")
LIBRARY: Final = Library(_install, native=native)
