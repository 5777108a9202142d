"""A delivery that lives in somebody's application: it survives fork, and delivers before the process ends.

The laws of this module:
- Nothing here raises into the application or holds it up: `offer` waits for nothing, a flush has its budget.
- After a fork, the child delivers what the child was given, and nothing of what the parent holds. Its counts begin at
  zero. Nothing is started in a child that offers nothing.
- Before the process ends (a normal exit, `sys.exit`, an unhandled exception, SIGTERM, the end of a `multiprocessing`
  child) what was offered is delivered, within `exit_seconds` for all of it.

SIGTERM is handled only where the application has left it to the system, and it still ends the process. What is sent
with SIGKILL or `os._exit` is not noticed by anybody.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import logging
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final

from otel_llm.delivery.delivery import Delivery
from otel_llm.errors import RefusedError
from otel_llm.signals import Payload
from otel_llm.telemetry import Metrics

_logger = logging.getLogger(__name__)

DEFAULT_EXIT_SECONDS: Final = 2.0
# Both end a child with os._exit, after what was registered with their Finalize.
_POOLS: Final = ("multiprocessing", "billiard")
# Celery's pool, which is billiard's, ends a child of its own without even that, but after this signal.
_CELERY: Final = "celery.signals"
_FIRST: Final = 10


class AppDelivery:
    """A `Delivery` in an application; all methods are thread-safe.

    Args:
        make: makes the delivery, its exporter included; called once in each process that offers something.
        metrics: what `make` counts in; begins anew in a child.
        exit_seconds: how long the end of the process may be held up.
        on_sigterm: deliver before SIGTERM ends the process. Has an effect only when this is made on the main thread.
    """

    def __init__(
        self,
        make: Callable[[], Delivery],
        metrics: Metrics,
        *,
        exit_seconds: float = DEFAULT_EXIT_SECONDS,
        on_sigterm: bool = True,
    ) -> None:
        self._make = make
        self._metrics = metrics
        self._exit_seconds = exit_seconds
        self._lock = threading.Lock()
        self._delivery: Delivery | None = None
        self._is_shut_down = False
        self._exit_deadline: float | None = None
        self._has_warned = False
        self._is_ending = False
        self._before_exit: list[Callable[[], None]] = []
        self._after_fork: list[Callable[[], None]] = []
        _living.add(self)
        _watch_process(on_sigterm=on_sigterm)

    def offer(self, payload: Payload) -> bool:
        """Take over a payload; returns whether it was taken. Never raises and never waits for a destination."""
        delivery = self._running()
        if delivery is None:
            return False
        try:
            delivery.offer(payload)
        except RefusedError:
            return False
        return True

    def _running(self) -> Delivery | None:
        """The delivery of this process, made and started when there is none yet."""
        delivery = self._delivery
        if delivery is not None or self._is_shut_down:
            return delivery
        with self._lock:
            if self._delivery is None and not self._is_shut_down:
                made = self._make()
                try:
                    made.start()
                except RuntimeError:  # the interpreter is ending and starts no threads any more
                    return None
                self._delivery = made
                _watch_pools(self)
            return self._delivery

    @property
    def delivery(self) -> Delivery | None:
        """The delivery of this process, None when nothing was offered in it."""
        return self._delivery

    def force_flush(self, timeout_seconds: float) -> bool:
        """Deliver what was offered before this call; returns whether all of it was settled in time."""
        delivery = self._delivery
        return delivery is None or delivery.force_flush(timeout_seconds)

    def shutdown(self, timeout_seconds: float | None = None) -> None:
        """Deliver what was offered and take nothing more. Idempotent.

        Args:
            timeout_seconds: for all of it; the rest of the exit budget by default.
        """
        with self._lock:
            self._is_shut_down = True
            delivery = self._delivery
        if delivery is not None:
            delivery.shutdown(self._budget() if timeout_seconds is None else timeout_seconds)

    def _budget(self) -> float:
        """What is left for holding up the end of the process; counted from the first who asks."""
        now = time.monotonic()
        if self._exit_deadline is None:
            self._exit_deadline = now + self._exit_seconds
        return max(self._exit_deadline - now, 0.0)

    @property
    def is_ending(self) -> bool:
        """Whether this process has begun to deliver for the last time."""
        return self._is_ending

    def before_exit(self, call: Callable[[], None]) -> None:
        """Have something called when the process ends, before what was offered is delivered for the last time."""
        self._before_exit.append(call)

    def after_fork(self, call: Callable[[], None]) -> None:
        """Have something called in each child process, as its only thread."""
        self._after_fork.append(call)

    def flush_at_exit(self) -> None:
        """The process ends: deliver within the budget. Others may still offer on their own way out."""
        self._is_ending = True
        for call in self._before_exit:
            call()
        delivery = self._delivery
        if delivery is None or self._is_shut_down:
            return
        if not delivery.force_flush(self._budget()) and not self._has_warned:
            self._has_warned = True
            _logger.warning(
                "exporter %s: %d items were not delivered before the process ended",
                delivery.name,
                delivery.balance().queued,
            )

    def after_fork_in_child(self) -> None:
        """Begin anew; what was offered before the fork is the parent's. Takes no lock that the parent may have held."""
        self._lock = threading.Lock()
        self._exit_deadline = None
        self._is_ending = False
        self._has_warned = False
        self._metrics.after_fork_in_child()
        inherited, self._delivery = self._delivery, None
        if inherited is not None:
            inherited.unregister()
        for call in self._after_fork:
            call()


def _watch_pools(one: AppDelivery) -> None:
    """See to it that it is flushed where a process ends without running what `atexit` knows.

    Called once for each process that offers something, so what a pool forgets at the start of a child is there again.
    """
    reference = weakref.ref(one)

    def flush(**details: object) -> None:
        del details  # what a signal says about itself
        living = reference()
        if living is not None:
            living.flush_at_exit()

    for name in _POOLS:
        if name in sys.modules:
            importlib.import_module(f"{name}.util").Finalize(None, flush, exitpriority=_FIRST)
    if _CELERY in sys.modules:
        sys.modules[_CELERY].worker_process_shutdown.connect(flush, weak=False)


# Every one of this process. The hooks below cannot be removed again, so they are installed once and hold nothing.
_living: weakref.WeakSet[AppDelivery] = weakref.WeakSet()
_watched: set[str] = set()


def _watch_process(*, on_sigterm: bool) -> None:
    if "exit" not in _watched:
        _watched.add("exit")
        atexit.register(_flush_all)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)
    if on_sigterm and threading.current_thread() is threading.main_thread():
        with contextlib.suppress(ValueError):  # not the main interpreter
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                signal.signal(signal.SIGTERM, _on_sigterm)


def _flush_all() -> None:
    for one in list(_living):
        one.flush_at_exit()


def _after_fork() -> None:
    for one in list(_living):
        one.after_fork_in_child()


def _on_sigterm(number: int, frame: object) -> None:
    """Deliver on another thread, then let the signal do what it does.

    Not here: this may have interrupted code of the main thread that holds a lock which the delivery needs.
    """
    del frame

    def work() -> None:
        _flush_all()
        os.kill(os.getpid(), number)

    signal.signal(number, signal.SIG_DFL)
    threading.Thread(target=work, name="otel-llm-sigterm", daemon=True).start()
