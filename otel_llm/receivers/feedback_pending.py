"""Feedback that came before its span: a user may be quicker than the span's batch.

It was passed on at once, without a context; when its operation turns up in the ledger within a while, it is passed on
again, in its context. The ledger makes one of the two, for it knows the response's id.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from otel_llm.clock import Clock
from otel_llm.quality.results import Evaluation

_MOST: Final = 10_000
_EVERY_SECONDS: Final = 5.0


class Pending:
    """Evaluations whose target is not known yet, the last 10,000 of the last while. Thread-safe.

    Args:
        seconds: how long to look for a target.
        clock: for that.
        retry: tries to pass one of a tenant on in its context; whether it is settled. Called on the thread.
    """

    def __init__(self, seconds: float, clock: Clock, retry: Callable[[Evaluation, str], bool]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._retry = retry
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, tuple[float, Evaluation, str]] = OrderedDict()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, evaluation: Evaluation, tenant: str) -> None:
        """Look for its target from now on; a later one of the same id takes its place. The tenant may be empty."""
        if not self._seconds:
            return
        with self._lock:
            self._waiting[evaluation.id] = (self._clock.monotonic() + self._seconds, evaluation, tenant)
            if len(self._waiting) > _MOST:
                self._waiting.popitem(last=False)

    def look(self) -> None:
        """Look once for the targets of all that wait."""
        now = self._clock.monotonic()
        with self._lock:
            waiting = list(self._waiting.items())
        for key, entry in waiting:
            if self._stopped.is_set():
                return
            if now >= entry[0] or self._retry(*entry[1:]):
                with self._lock:
                    if self._waiting.get(key) is entry:  # not replaced meanwhile
                        del self._waiting[key]

    def start(self) -> None:
        """Look every five seconds, on a thread."""
        if self._seconds:
            self._thread = threading.Thread(target=self._run, name="feedback-pending", daemon=True)
            self._thread.start()

    def stop(self, deadline_seconds: float) -> None:
        """Look no more. Idempotent, and safe without `start`."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(deadline_seconds)

    def _run(self) -> None:
        while not self._stopped.wait(_EVERY_SECONDS):
            self.look()
