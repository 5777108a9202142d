"""Calls that have begun and whose message does not come: each holds a thread, so they are given a time.

gRPC has a deadline for a call, but it is the client's. Without this, as many clients as there are threads could stop a
receiver by saying nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

# When every thread waits for a message, the slowest have this much, whatever the limit is.
_CROWDED_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.25


class _Call(Protocol):
    def cancel(self) -> None: ...


class SlowCalls:
    """Cancels calls that wait too long; thread-safe. One thread looks.

    Args:
        limit_seconds: how long a message may take to arrive.
        threads: how many calls can wait at a time.
        monotonic: the clock.
    """

    def __init__(self, limit_seconds: float, threads: int, monotonic: Callable[[], float]) -> None:
        self._limit = limit_seconds
        self._threads = threads
        self._monotonic = monotonic
        self._lock = threading.Lock()
        # Call -> since when it waits; in that order.
        self._waiting: dict[_Call, float] = {}
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="otlp-grpc-slow-calls", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def begin(self, call: _Call) -> None:
        """A call waits for its message."""
        with self._lock:
            self._waiting[call] = self._monotonic()

    def end(self, call: _Call) -> None:
        """The message is there, or the call is over."""
        with self._lock:
            self._waiting.pop(call, None)

    def cancel_slow(self) -> int:
        """Cancel the calls that have waited too long; how many there were."""
        with self._lock:
            limit = min(self._limit, _CROWDED_SECONDS) if len(self._waiting) >= self._threads else self._limit
            before = self._monotonic() - limit
            slow = [call for call, since in self._waiting.items() if since <= before]
            for call in slow:
                del self._waiting[call]
        for call in slow:
            call.cancel()
        return len(slow)

    def _run(self) -> None:
        while not self._stopped.wait(min(_LOOK_SECONDS, self._limit / 4)):
            self.cancel_slow()
