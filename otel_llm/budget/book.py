"""Sums that wait for the store, and what the store said last.

What calls cost is summed up by counter until the next trip. While the store cannot be reached, sums go on growing; they
are few (budgets times periods), so nothing is lost. A batch on its way is kept until it was answered, and sent again as
it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from otel_llm.budget.allowance import Allowance
from otel_llm.budget.batch import Answer, Batch, Wish
from otel_llm.budget.model import Budget, BudgetStatus, Crossing, Status
from otel_llm.budget.money import PICO_IN_NANO
from otel_llm.budget.periods import Window

_NANO: Final = 10**9
# How long counters outlive their period: a report of the month before, and spans that come late.
_KEEP_SECONDS: Final = 40 * 86_400
# A span that began longer ago belongs to counters that may be gone; one from further ahead has a wrong clock.
_LATEST_NANO: Final = 30 * 86_400 * _NANO
_AHEAD_NANO: Final = 3600 * _NANO


class Entry(NamedTuple):
    """A call that one budget counts.

    Attributes:
        budget: which.
        start_unix_nano: when the call began, 0 when nobody said.
        cost_pico: what it cost, in 1e-12 of the budget's currency; None for a call without a price.
    """

    budget: Budget
    start_unix_nano: int
    cost_pico: int | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a book keeps at most, and for how long it believes what it knows.

    Attributes:
        sums: how many sums may wait.
        fresh_seconds: how old the store's last word may be.
        lease_seconds: how long a lease holds.
    """

    sums: int = 10_000
    fresh_seconds: float = 15.0
    lease_seconds: int = 30


class _Place(NamedTuple):
    """Where calls of one budget and one time are counted: its counters, and when these may be forgotten."""

    window: Window
    spent: str
    calls: str
    unpriced: str
    expires: int


def _place(budget: Budget, start_unix_nano: int) -> _Place:
    window = budget.period.slice_of(start_unix_nano)
    expires = window.end_unix_nano // _NANO + _KEEP_SECONDS
    return _Place(window, budget.spent_key(window), budget.calls_key(window), budget.unpriced_key(window), expires)


class Book:
    """Counts for budgets. Thread-safe; `take` and `answered` are for one thread.

    Args:
        budgets: the budgets.
        writer: names this process and no other.
        monotonic: the clock that ages are taken by.
        leases: whether calls of this process reserve before they are made.
        limits: see Limits.

    Attributes:
        budgets: the budgets.
        allowance: reservations of this process.
    """

    def __init__(
        self,
        budgets: Sequence[Budget],
        writer: str,
        monotonic: Callable[[], float],
        *,
        leases: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self.budgets = tuple(budgets)
        self._limits = limits or Limits()
        self.allowance = Allowance(monotonic, self._limits.lease_seconds)
        self._writer = writer
        self._monotonic = monotonic
        self._leases = leases
        self._lock = threading.Lock()
        self._picos: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._expires: dict[str, int] = {}
        self._windows: dict[str, tuple[Budget, Window]] = {}  # by the counter of what is spent
        self._last: dict[str, _Place] = {}
        self._sent: Batch | None = None
        self._sent_at = 0.0
        self._sequence = 0
        self._known: dict[str, int] = {}
        self._heard: float | None = None
        self._reached: dict[str, int] = {}  # until when, by budget

    def add(self, entries: Iterable[Entry], now_unix_nano: int) -> int:
        """Count calls; returns how many could not be counted."""
        with self._lock:
            return sum(not self._add(entry, now_unix_nano) for entry in entries)

    def _add(self, entry: Entry, now_unix_nano: int) -> bool:
        budget, start, cost = entry
        if not start or start > now_unix_nano + _AHEAD_NANO:
            start = now_unix_nano
        if start < now_unix_nano - _LATEST_NANO:
            return False
        place = self._last.get(budget.name)
        # Nearly every call is of the same period as the one before, and a calendar takes its time.
        if place is None or not place.window.start_unix_nano <= start < place.window.end_unix_nano:
            place = self._last[budget.name] = _place(budget, start)
        if place.spent not in self._windows:
            if len(self._windows) >= self._limits.sums:
                return False
            self._windows[place.spent] = (budget, place.window)
        counted = place.calls if cost is not None else place.unpriced
        self._counts[counted] = self._counts.get(counted, 0) + 1
        self._expires[counted] = self._expires[place.spent] = place.expires
        if cost is not None:
            self._picos[place.spent] = self._picos.get(place.spent, 0) + cost
        return True

    def take(self, now_unix_nano: int) -> Batch:
        """What is to go to the store now: the batch that was not answered yet, or else a new one."""
        with self._lock:
            if self._sent is not None:
                return self._sent
            deltas = self._counts
            self._counts = {}
            for key, pico in self._picos.items():
                nano, rest = divmod(pico, PICO_IN_NANO)
                self._picos[key] = rest
                if nano:
                    deltas[key] = nano
            expires = {key: self._expires[key] for key in deltas}
            self._sequence += 1
            self._sent_at = self._monotonic()
            self._sent = Batch(
                self._writer,
                self._sequence,
                deltas,
                expires,
                self._reads(now_unix_nano),
                self._wishes(now_unix_nano),
                self._limits.lease_seconds,
            )
            return self._sent

    def _reads(self, now_unix_nano: int) -> tuple[str, ...]:
        return tuple(
            key(window)
            for budget in self.budgets
            for window in budget.period.slices(now_unix_nano)
            for key in (budget.spent_key, budget.calls_key, budget.unpriced_key)
        )

    def _wishes(self, now_unix_nano: int) -> tuple[Wish, ...]:
        if not self._leases:
            return ()
        wanted = [
            (budget.pool_key(now_unix_nano), budget, tuple(map(budget.spent_key, budget.period.slices(now_unix_nano))))
            for budget in self.budgets
            if budget.at_limit == "deny"
        ]
        return self.allowance.wishes(wanted)

    def answered(self, answer: Answer, asked_at: float, now_unix_nano: int) -> list[Crossing]:
        """The store has taken the batch; the thresholds that were crossed by it.

        Args:
            answer: what the store said.
            asked_at: when it was asked, by the monotonic clock.
            now_unix_nano: the time.
        """
        with self._lock:
            batch, self._sent = self._sent, None
            sent_at = self._sent_at
            if batch is None:
                return []
            self._known = dict(answer.values)
            self._heard = asked_at
            crossings = [
                crossing
                for key in batch.deltas
                if key in self._windows
                for crossing in self._crossings(key, batch, answer, now_unix_nano)
            ]
            self._forget(now_unix_nano)
            self._reached = {
                one.budget.name: one.budget.period.slice_of(now_unix_nano).end_unix_nano
                for one in (self._status(budget, now_unix_nano, 0.0) for budget in self.budgets)
                if one.spent_nano is not None and one.spent_nano >= one.budget.limit_nano
            }
        # Leases count from the first sending: an answer that comes again is that of then.
        self.allowance.answered(batch.wishes, answer, self.allowance.asked, sent_at)
        return crossings

    def _crossings(self, key: str, batch: Batch, answer: Answer, now_unix_nano: int) -> list[Crossing]:
        budget, window = self._windows[key]
        keys = [key]
        if budget.period.type == "rolling":
            # All slices of the window in one: so that two slices in one batch tell once, the newest of them speaks.
            keys = [budget.spent_key(one) for one in budget.period.slices(now_unix_nano)]
            keys = [one for one in keys if one in answer.values]
            if key != next((one for one in reversed(keys) if one in batch.deltas), None):
                return []
            window = budget.period.current(now_unix_nano)
        after = sum(answer.values[one] for one in keys)
        before = after - sum(batch.deltas.get(one, 0) for one in keys)
        return [
            Crossing(budget, threshold, after, window)
            for threshold in budget.warn_at
            if before < Decimal(str(threshold)) * budget.limit_nano <= after
        ]

    def _forget(self, now_unix_nano: int) -> None:
        """Let go of periods that are over; a rest of less than a nano goes with them."""
        for key, (_, window) in list(self._windows.items()):
            if window.end_unix_nano < now_unix_nano and self._picos.get(key, 0) < PICO_IN_NANO:
                self._windows.pop(key)
                self._picos.pop(key, None)
        needed = self._windows.keys() | self._counts.keys()
        self._expires = {key: value for key, value in self._expires.items() if key in needed}

    def has_forgotten(self, answer: Answer) -> bool:
        """Whether the store has lost something: counters never fall. Before the answer is taken over."""
        with self._lock:
            return any(answer.values.get(key, value) < value for key, value in self._known.items())

    def failed(self) -> None:
        """The store did not answer."""
        self.allowance.unreachable()

    def settle(self, reservation_id: str, cost_nano: int, entries: Iterable[Entry], now_unix_nano: int) -> int:
        """A call that has reserved has ended: count it, and let go of what was held; returns how many were not counted.

        Both at once: a batch in between would tell the store of the cost, and here it would be taken off twice.
        """
        with self._lock:
            dropped = sum(not self._add(entry, now_unix_nano) for entry in entries)
            self.allowance.settle(reservation_id, cost_nano)
        return dropped

    def reached(self, now_unix_nano: int) -> frozenset[str]:
        """The names of budgets whose limit was reached when the store was heard last, and whose period is not over."""
        reached = self._reached
        if not reached:
            return frozenset()
        return frozenset(name for name, until in reached.items() if now_unix_nano < until)

    def statuses(self, now_unix_nano: int) -> list[BudgetStatus]:
        """What is known of each budget."""
        with self._lock:
            age = None if self._heard is None else max(0.0, self._monotonic() - self._heard)
            return [self._status(budget, now_unix_nano, age) for budget in self.budgets]

    def _status(self, budget: Budget, now_unix_nano: int, age: float | None) -> BudgetStatus:
        slices = budget.period.slices(now_unix_nano)
        status: Status = "unknown" if age is None else "fresh" if age <= self._limits.fresh_seconds else "stale"
        spent, calls, unpriced = (
            None if age is None else sum(map(self._value, map(key, slices)))
            for key in (budget.spent_key, budget.calls_key, budget.unpriced_key)
        )
        if unpriced is not None and calls is not None:
            calls += unpriced
        return BudgetStatus(budget, budget.period.current(now_unix_nano), spent, calls, unpriced, status, age)

    def _value(self, key: str) -> int:
        waiting = self._picos.get(key, 0) // PICO_IN_NANO + self._counts.get(key, 0)
        on_its_way = self._sent.deltas.get(key, 0) if self._sent is not None else 0
        return self._known.get(key, 0) + waiting + on_its_way

    @property
    def waiting(self) -> int:
        """How many sums wait or are on their way."""
        with self._lock:
            sent = len(self._sent.deltas) if self._sent is not None else 0
            return sent + len(self._counts) + sum(pico >= PICO_IN_NANO for pico in self._picos.values())

    @property
    def age_seconds(self) -> float | None:
        """The time since the store was heard."""
        with self._lock:
            return None if self._heard is None else max(0.0, self._monotonic() - self._heard)
