"""Who and what calls are for, said once at the app's edge: `otel_llm.context(session=..., tenant=..., ...)`.

The law of this module: what is said here stays within the app. It is kept in OpenTelemetry's context under a key of our
own and not in its baggage, which every instrumented HTTP client would send to whatever host it talks to. It goes to
other processes of the app by `carrier`, and to hosts of one's own by `headers`; of what comes in, only the keys named
here are read.
"""

from __future__ import annotations

import functools
import inspect
import ipaddress
import os
from collections.abc import Callable, Mapping
from contextlib import ContextDecorator
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self, TypeVar, cast
from urllib.parse import urlsplit

from opentelemetry import baggage, context
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_llm._generated import attributes as names
from otel_llm.operation import AttributeValue

# All that is ever kept, sent or read: the allow-list.
KEYS: Final = frozenset(
    {
        names.SESSION_ID,
        names.USER_ID,
        names.OTEL_LLM_TENANT_ID,
        names.OTEL_LLM_OWNER_NAME,
        names.OTEL_LLM_FEATURE_NAME,
        names.GEN_AI_PROMPT_NAME,
        names.GEN_AI_PROMPT_VERSION,
    }
)
# What may be a dimension of metrics: nothing that has as many values as there are users.
DIMENSIONS: Final = frozenset(KEYS - {names.SESSION_ID, names.USER_ID})

_KEY: Final = context.create_key("otel_llm.ambient")
_NOTHING: Final[Mapping[str, AttributeValue]] = MappingProxyType({})
_LIMIT: Final = 256
_INTERNAL: Final = "OTEL_LLM_INTERNAL_HOSTS"
_TRACE: Final = TraceContextTextMapPropagator()
_BAGGAGE: Final = W3CBaggagePropagator()

F = TypeVar("F", bound="Callable[..., Any]")


def attributes(at: Context | None = None) -> Mapping[str, AttributeValue]:
    """What holds here: what the app said, and below it what came in as baggage under the same keys."""
    said = context.get_value(_KEY, at)
    arrived = baggage.get_all(at)
    if not arrived:
        return cast("Mapping[str, AttributeValue]", said) if said else _NOTHING
    allowed = {key: _short(value) for key, value in arrived.items() if key in KEYS and isinstance(value, str)}
    return {**allowed, **cast("Mapping[str, AttributeValue]", said or _NOTHING)}


def _short(value: str) -> str:
    return value[:_LIMIT]


class Ambient(ContextDecorator):
    """What holds within a `with` block or a decorated function, on top of what holds around it.

    Made by `otel_llm.context`. One may be entered again after it was left, not before.

    Args:
        said: values by attribute; those that are None are not said.
    """

    def __init__(self, said: Mapping[str, str | None]) -> None:
        self._said = {key: _short(str(value)) for key, value in said.items() if value is not None}
        self._tokens: list[Any] = []

    def _recreate_cm(self) -> Self:
        return type(self)(self._said)

    def __enter__(self) -> Self:
        around = context.get_value(_KEY) or _NOTHING
        merged = {**cast("Mapping[str, AttributeValue]", around), **self._said}
        self._tokens.append(context.attach(context.set_value(_KEY, merged)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._tokens and kind is not GeneratorExit:  # closed in whatever context: nothing to detach
            context.detach(self._tokens.pop())

    def __call__(self, function: F) -> F:
        """The function with this around each call, asynchronous ones included."""
        if not inspect.iscoroutinefunction(function):
            return super().__call__(function)

        @functools.wraps(function)
        async def within(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the app's function
            with self._recreate_cm():
                return await function(*args, **kwargs)

        return cast("F", within)


def carrier(at: Context | None = None) -> dict[str, str]:
    """Trace context and what holds here, for a process or a queue of the same app."""
    found: dict[str, str] = {}
    _TRACE.inject(found, at)
    said = Context()
    for key, value in attributes(at).items():
        said = baggage.set_baggage(key, value, said)
    _BAGGAGE.inject(found, said)
    return found


def arrived(carried: Mapping[str, str], at: Context | None = None) -> Context:
    """The context that a carrier describes, on top of another; keys that are not allowed are left behind."""
    found = _TRACE.extract(carried, at)
    said = baggage.get_all(_BAGGAGE.extract(carried, Context()))
    allowed = {key: _short(value) for key, value in said.items() if key in KEYS and isinstance(value, str)}
    around = cast("Mapping[str, AttributeValue]", context.get_value(_KEY, found) or _NOTHING)
    return context.set_value(_KEY, {**around, **allowed}, found) if allowed else found


def headers(url: str, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """HTTP headers that take trace context and what holds here to a host of one's own; none for any other host.

    Args:
        url: where the request goes.
        environment: OTEL_LLM_INTERNAL_HOSTS lists hosts, or ends of their names, besides private addresses and names
            without a dot.
    """
    return carrier() if is_internal(url, environment.get(_INTERNAL, "")) else {}


def is_internal(url: str, hosts: str = "") -> bool:
    """Whether a URL is of a host of one's own."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    listed = [one.strip().lower().lstrip(".") for one in hosts.split(",") if one.strip()]
    if any(host == one or host.endswith(f".{one}") for one in listed):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return bool(host) and ("." not in host or host.endswith((".local", ".internal", ".localhost")))
