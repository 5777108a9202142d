"""Context across threads, which Python leaves behind: new threads, and the threads of pools, begin with an empty one.

What is attached in the other thread is OpenTelemetry's context and nothing else, for the time of the function that was
handed over. Threads that outlive what started them begin without, or its context would hold for all they do later, and
calls would be charged to the wrong tenant: the threads of pools themselves, and daemons, which mostly serve a queue.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import thread as pools
from types import ModuleType
from typing import Any, Final

from opentelemetry import context
from opentelemetry.context import Context

from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.loader import Library
from otel_llm.instrumentation.patches import Patches


class Within:
    """A function in the context it was handed over in."""

    __slots__ = ("_at", "_function")

    def __init__(self, function: Callable[..., Any], at: Context) -> None:
        self._function = function
        self._at = at

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the app's function
        """The function."""
        token = context.attach(self._at)
        try:
            return self._function(*args, **kwargs)
        finally:
            context.detach(token)


def _submit(patches: Patches) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The hook for `ThreadPoolExecutor.submit`."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def submit(pool: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the app's
            at = context.get_current()
            if not patches.is_active or not at:
                return original(pool, function, *args, **kwargs)
            return original(pool, Within(function, at), *args, **kwargs)

        return submit

    return make


def _start(patches: Patches) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The hook for `Thread.start`."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def start(thread: Any) -> None:  # noqa: ANN401 - the app's thread
            at = context.get_current()
            if patches.is_active and at and not thread.daemon and not _is_of_a_pool(thread):
                thread.run = Within(thread.run, at)
            original(thread)

        return start

    return make


def _is_of_a_pool(thread: Any) -> bool:  # noqa: ANN401 - a thread
    return getattr(thread, "_target", None) is pools._worker  # noqa: SLF001 - nothing else tells


def _install(_: Engine, patches: Patches, __: ModuleType) -> list[str]:
    patches.replace(threading.Thread, "start", _start(patches))
    patches.replace(pools.ThreadPoolExecutor, "submit", _submit(patches))
    return []


LIBRARY: Final = Library(_install)
