"""How long to wait before trying again: exponential with full jitter, never less than the destination asked for.

Full jitter spreads clients that failed at the same moment evenly over the interval.
"""

from __future__ import annotations

from collections.abc import Callable

# A destination that asks for more is asked again after this all the same; it may have sent a date for a number.
LONGEST_RETRY_AFTER_SECONDS = 3600.0


class Backoff:
    """The waits after consecutive failures of one batch.

    Args:
        initial_seconds: upper end of the first wait; doubles with each further failure.
        max_seconds: upper end of any wait.
        random: returns a float in [0, 1).
    """

    __slots__ = ("_initial", "_max", "_random", "_upper")

    def __init__(self, initial_seconds: float, max_seconds: float, random: Callable[[], float]) -> None:
        self._initial = initial_seconds
        self._max = max_seconds
        self._random = random
        self._upper = min(initial_seconds, max_seconds)

    def next(self, retry_after_seconds: float | None) -> float:
        """Seconds to wait after one more failure, at least what the destination asked for."""
        jitter = self._random() * self._upper
        self._upper = min(2 * self._upper, self._max)
        if retry_after_seconds is None:
            return jitter
        return min(retry_after_seconds, LONGEST_RETRY_AFTER_SECONDS) + jitter

    def reset(self) -> None:
        """Begin again with the first wait."""
        self._upper = min(self._initial, self._max)
