"""A budget, and which calls are its."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from otel_llm.budget.periods import Period, Window

AtLimit: TypeAlias = Literal["record", "warn", "deny"]
WhenUnknown: TypeAlias = Literal["allow", "deny"]
Status: TypeAlias = Literal["fresh", "stale", "unknown"]


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent by whom in which time.

    Attributes:
        name: unique among all that share a store; counters are kept under it.
        owner: who answers for it.
        match: the values that a call must have, by key; empty for every call.
        limit_nano: most that may be spent in a period, in 1e-9 of a currency unit.
        currency: ISO 4217. Calls priced in another one are calls without a price.
        period: the time that the limit is for.
        warn_at: shares of the limit whose crossing is told.
        at_limit: what becomes of calls when it is reached.
        when_unknown: what becomes of them when nobody can tell whether it is; with `deny` only.
    """

    name: str
    match: Mapping[str, frozenset[str]]
    limit_nano: int
    currency: str
    period: Period
    owner: str | None = None
    warn_at: tuple[float, ...] = (0.5, 0.8, 1.0)
    at_limit: AtLimit = "record"
    when_unknown: WhenUnknown = "allow"

    def matches(self, value: Callable[[str], str | None]) -> bool:
        """Whether a call with these values is counted here."""
        return all(value(key) in values for key, values in self.match.items())

    def spent_key(self, window: Window) -> str:
        """The counter of what was spent, in nanos."""
        return f"{self._prefix}:{window.start_unix_nano // 10**9}:spent"

    def calls_key(self, window: Window) -> str:
        """The counter of calls."""
        return f"{self._prefix}:{window.start_unix_nano // 10**9}:calls"

    def unpriced_key(self, window: Window) -> str:
        """The counter of calls without a price."""
        return f"{self._prefix}:{window.start_unix_nano // 10**9}:unpriced"

    def pool_key(self, now_unix_nano: int) -> str:
        """The leases on what is left of the current period."""
        if self.period.type == "rolling":
            return f"{self._prefix}:leases"
        return f"{self._prefix}:{self.period.current(now_unix_nano).start_unix_nano // 10**9}:leases"

    @property
    def _prefix(self) -> str:
        # What would make other numbers of the old ones is a part of the key.
        hours = self.period.hours if self.period.type == "rolling" else ""
        return f"{self.name}:{self.currency}:{self.period.type}{hours}"


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """What is known of a budget now.

    Attributes:
        budget: the budget.
        window: its current period.
        spent_nano: by everybody, what still waits here included; None before the store was heard for the first time.
        calls, unpriced_calls: likewise.
        status: `fresh`; `stale` when the store has not been heard for too long; `unknown`.
        age_seconds: since the store was heard; None when it never was.
    """

    budget: Budget
    window: Window
    spent_nano: int | None
    calls: int | None
    unpriced_calls: int | None
    status: Status
    age_seconds: float | None

    @property
    def utilization(self) -> float | None:
        """The share of the limit that is spent."""
        return None if self.spent_nano is None else self.spent_nano / self.budget.limit_nano


@dataclass(frozen=True, slots=True)
class Crossing:
    """What is spent has crossed a threshold.

    Attributes:
        budget: of which budget.
        threshold: the share of the limit.
        spent_nano: what is spent now.
        window: the period.
    """

    budget: Budget
    threshold: float
    spent_nano: int
    window: Window


def keys_read(budgets: Sequence[Budget]) -> tuple[str, ...]:
    """The keys that decide to which budgets a call belongs, sorted."""
    return tuple(sorted({key for budget in budgets for key in budget.match}))
