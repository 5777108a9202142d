"""Time as an argument: whoever needs the time or a wait takes a Clock."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where code gets its time from."""

    def unix_nano(self) -> int:
        """Wall-clock time in nanoseconds since 1970; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's clock."""

    __slots__ = ()

    def unix_nano(self) -> int:
        """Wall-clock time in nanoseconds since 1970."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()
