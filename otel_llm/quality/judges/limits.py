"""What judges may use: requests and tokens a minute, and money a day. Thread-safe; times are given, never asked for."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Final

_DAY_NANO: Final = 86_400 * 10**9


class Rate:
    """So many a minute, evenly spread: a bucket. Of requests, or of tokens.

    Args:
        per_minute: how many, above 0; as many as a tenth of them at once.
    """

    __slots__ = ("_last", "_lock", "_most", "_per_second", "_room")

    def __init__(self, per_minute: float) -> None:
        self._per_second = per_minute / 60.0
        self._most = max(1.0, per_minute / 10.0)
        self._room = self._most
        self._last: float | None = None
        self._lock = threading.Lock()

    def wait_seconds(self, monotonic: float, amount: float = 1.0) -> float:
        """0 and the amount is counted, or how long to wait before asking again.

        What is more than may be had at once is let through when the bucket is full, and paid off afterwards.
        """
        needed = min(amount, self._most)
        with self._lock:
            passed = 0.0 if self._last is None else max(0.0, monotonic - self._last)
            self._room = min(self._most, self._room + passed * self._per_second)
            self._last = monotonic
            if self._room >= needed:
                self._room -= amount
                return 0.0
            return (needed - self._room) / self._per_second

    def give_back(self, amount: float) -> None:
        """That much of what was counted was not used; below 0, so much more was."""
        with self._lock:
            self._room = min(self._most, self._room + amount)


class DailySpending:
    """Money spent on a day (UTC), and what is set aside for requests that are on.

    What a request may cost at most is set aside before it is made, so that many at once do not pass the limit
    together.

    Args:
        limit: so much a day at most, in one currency.
    """

    __slots__ = ("_day", "_limit", "_lock", "_spent")

    def __init__(self, limit: Decimal) -> None:
        self._limit = limit
        self._day = -1
        self._spent = Decimal(0)
        self._lock = threading.Lock()

    def reserve(self, amount: Decimal, unix_nano: int) -> bool:
        """Set an amount aside for a request; whether there is so much left."""
        with self._lock:
            self._turn(unix_nano)
            if self._spent + amount > self._limit:
                return False
            self._spent += amount
            return True

    def settle(self, reserved: Decimal, spent: Decimal, unix_nano: int) -> None:
        """Book what a request has cost in place of what was set aside for it."""
        with self._lock:
            if not self._turn(unix_nano):  # else it was set aside on a day that is over
                self._spent = max(Decimal(0), self._spent - reserved) + spent

    def spent(self, unix_nano: int) -> Decimal:
        """On this day so far, with what is set aside."""
        with self._lock:
            self._turn(unix_nano)
            return self._spent

    def _turn(self, unix_nano: int) -> bool:
        """Begin a new day; whether one has begun. A clock that goes back begins none."""
        day = unix_nano // _DAY_NANO
        if day <= self._day:
            return False
        self._day, self._spent = day, Decimal(0)
        return True
