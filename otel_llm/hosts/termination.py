"""Ends that Python's `atexit` does not see: what is waiting is sent, then the process ends as it would have.

Python's default for SIGTERM ends a process without `atexit`, and with it the spans of its last seconds. So do workers
of `multiprocessing` that were forked, and Celery's, which end by `os._exit`; Uvicorn, whose handler takes SIGTERM,
shuts down and then raises it anew. A platform like AWS Lambda freezes a process once it has answered, maybe for good.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any, Final

from otel_llm.instrumentation.imports import ImportWatch
from otel_llm.instrumentation.patches import Patches

_AT_SIGTERM_SECONDS: Final = 0.5
_AT_EXIT_SECONDS: Final = 2.0
# What is left of a function's time is not known; a healthy backend beside it takes a few milliseconds.
_BEFORE_FREEZE_SECONDS: Final = 0.5
# Later than what the app has for its own ends, which may ask a model.
_LAST: Final = -100

Flush = Callable[[float], object]


def _within(flush: Flush, seconds: float) -> None:
    """Flush, and wait no longer than that.

    On a thread of its own: a signal may have interrupted what holds a lock that flushing waits for, and an exporter
    whose backend is dead tries for longer.
    """
    thread = threading.Thread(target=flush, args=(seconds,), daemon=True)
    thread.start()
    thread.join(seconds)


def flush_at_sigterm(flush: Flush, is_ending: Callable[[], bool]) -> bool:
    """Flush when SIGTERM comes; whether that could be arranged.

    It is arranged only where the app has no handler, and a handler that the app sets later takes its place.

    Args:
        flush: sends what is waiting within so many seconds.
        is_ending: whether the process ends anyway and is sending what is waiting, with locks that flushing wants. Then
            the signal changes nothing: pools of processes send it to workers that are on their way out.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return False

    def terminated(number: int, _: FrameType | None) -> None:
        if is_ending():
            return
        _within(flush, _AT_SIGTERM_SECONDS)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, terminated)
    return True


class Exits:
    """Flushes before the ends that the libraries of an app have for a process, once these are imported.

    Args:
        flush: sends what is waiting within so many seconds.
    """

    def __init__(self, flush: Flush) -> None:
        self._flush = flush
        self._patches = Patches()
        self._watch = ImportWatch()

    def watch(self) -> None:
        """From now on."""
        self._watch.when_imported("multiprocessing.util", self._of_pools)
        self._watch.when_imported("celery.signals", self._of_celery)
        self._watch.when_imported("uvicorn.server", self._of_uvicorn)
        self._watch.when_imported("awslambdaric.lambda_runtime_client", self._of_lambda)

    def unwatch(self) -> None:
        """No longer."""
        self._watch.forget()
        self._patches.restore()

    def _ending(self, *_: object, **__: object) -> None:
        if self._patches.is_active:
            _within(self._flush, _AT_EXIT_SECONDS)

    def _of_pools(self, util: Any) -> None:  # noqa: ANN401 - multiprocessing.util
        """A child forgets its parent's finalizers; one that was spawned may come here when it is running already."""

        def finalize(_: object) -> None:
            util.Finalize(None, self._ending, exitpriority=_LAST)

        util.register_after_fork(self, finalize)
        if importlib.import_module("multiprocessing").parent_process() is not None:
            finalize(None)

    def _of_celery(self, signals: Any) -> None:  # noqa: ANN401 - celery.signals
        signals.worker_process_shutdown.connect(self._ending, weak=False)
        self._patches.undo.append(functools.partial(signals.worker_process_shutdown.disconnect, self._ending))

    def _of_uvicorn(self, module: ModuleType) -> None:
        self._patches.replace(module.Server, "shutdown", self._shutting_down)

    def _shutting_down(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def shutdown(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the server's method
            result = await original(*args, **kwargs)
            self._ending()
            return result

        return shutdown

    def _of_lambda(self, module: ModuleType) -> None:
        """The process may be frozen as soon as the runtime has posted a result."""
        for name in ("post_invocation_result", "post_invocation_error"):
            if hasattr(module.LambdaRuntimeClient, name):
                self._patches.replace(module.LambdaRuntimeClient, name, self._posting)

    def _posting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def post(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the runtime's method
            if self._patches.is_active:
                _within(self._flush, _BEFORE_FREEZE_SECONDS)
            return original(*args, **kwargs)

        return post
