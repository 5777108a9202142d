"""The wish to stop, and until when: shared by the thread that asks and the one that stops."""

from __future__ import annotations

import math
import threading

from otel_llm.clock import Clock


class Stopping:
    """Whether a worker shall stop, and its last moment; thread-safe.

    Args:
        clock: for the deadline.
    """

    __slots__ = ("_asked", "_clock", "_deadline", "_over")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked = threading.Event()
        self._over = threading.Event()
        self._deadline = math.inf

    def ask(self, deadline_seconds: float) -> None:
        """Stop within this many seconds; a wait that is on ends now."""
        self._deadline = self._clock.monotonic() + deadline_seconds
        self._asked.set()

    def end(self) -> None:
        """The deadline has passed: all waits end."""
        self._over.set()

    @property
    def is_asked(self) -> bool:
        """Whether somebody asked to stop."""
        return self._asked.is_set()

    @property
    def is_over(self) -> bool:
        """Whether nothing may be tried any more."""
        return self._over.is_set()

    def remaining_seconds(self) -> float:
        """Time until the deadline, never negative; infinite when nobody asked to stop."""
        return max(self._deadline - self._clock.monotonic(), 0.0)

    def wait_until_asked(self, seconds: float) -> bool:
        """Wait; ends as soon as stopping is asked for, at once when it was asked for before. Whether it was."""
        return self._asked.wait(max(seconds, 0.0))

    def wait(self, seconds: float) -> None:
        """Wait; ends early when stopping is asked for, or when it was asked for before and the deadline has come."""
        event = self._over if self._asked.is_set() else self._asked
        event.wait(min(seconds, self.remaining_seconds()))
