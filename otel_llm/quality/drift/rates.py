"""Detector for how often something happens: failures, refusals, or which of a few categories an answer falls into."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, Self, TypeAlias, cast

from otel_llm.quality.drift.shift import Direction, Shift, State
from otel_llm.quality.intervals import lower_bound, upper_bound

Sides: TypeAlias = Literal["up", "down", "both"]

# How much the odds are bet to have moved. Chosen for a rate of 2 %; small changes need the small ones, and each further
# bet costs all others a share of the weight.
_RATIOS: Final = (1.4, 2.0, 3.5, 10.0)
# With several outcomes, fewer bets on each: some outcome always gains much, if only relatively.
_RATIOS_OF_MANY: Final = (1.6, 3.5)
# The chance that any of the bounds taken from the baseline is wrong.
_RISK: Final = 0.05
# A rise counts towards "since when" from this much above the baseline.
_ALLOWANCE: Final = 1.4
_LOWEST_RATE: Final = 1e-9


class _Run:
    """The last stretch in which an outcome came more (or less) often than the baseline, by Page's CUSUM.

    Only an outcome that happens is looked at: what happened in between is made up for then.
    """

    __slots__ = ("hits", "last", "start", "start_unix_nano", "sum")

    def __init__(self) -> None:
        self.sum = 0.0
        self.last = 0  # the number of the observation it was brought up to
        self.start = 0
        self.start_unix_nano = 0
        self.hits = 0

    def rise(self, number: int, allowance: float, now_unix_nano: int) -> None:
        """The outcome has happened, at this observation; more of it is a rise."""
        before = self.sum - allowance * (number - self.last)
        if before <= 0.0:
            before = 0.0
            self.start, self.start_unix_nano, self.hits = number - 1, now_unix_nano, 0
        self.sum = before + 1.0
        self.hits += 1
        self.last = number

    def fall(self, number: int, allowance: float, now_unix_nano: int) -> None:
        """The outcome has happened; less of it is a fall."""
        self.hits += 1
        self.sum += allowance * (number - self.last) - 1.0
        self.last = number
        if self.sum <= 0.0:
            self.sum = 0.0
            self.start, self.start_unix_nano, self.hits = number, now_unix_nano, 0


class RateDetector:
    """Alarms when outcomes come at another rate than in the baseline.

    For each outcome the bets are likelihood ratios of a rate with other odds against the highest (a rise) or lowest (a
    fall) rate that the baseline allows: below (above) that they lose on average, whatever the true rate is. The bounds
    come from the first `reference` observations and again at each doubling up to `reference_limit`; all of them hold
    together in 95 of 100 baselines, and the false-alarm guarantee holds where they do. So do the closest of them
    together: a later bound that is wider than an earlier one, as after a change that is being found, is left out. A
    baseline that is declared, as a service level is, has no such risk.

    Args:
        reference: after how many observations it first compares, at least 1.
        reference_limit: after how many the baseline no longer changes.
        sides: which changes count.
        categories: names of the outcomes. One outcome, "", when there are none: it happens or it does not.
        declared: rates that are not to be exceeded, one for each outcome, in place of a baseline that is learnt. After
            an alarm they are compared with again after `reference` observations, as a baseline would be.

    Attributes:
        evidence, observations: see Detector.
    """

    __slots__ = (
        "_bounds",
        "_categories",
        "_declared",
        "_evidence",
        "_factors",
        "_falls",
        "_hits",
        "_limit",
        "_next_bound",
        "_rates",
        "_reference",
        "_rises",
        "_share",
        "_sides",
        "evidence",
        "observations",
    )

    def __init__(
        self,
        reference: int = 2000,
        reference_limit: int = 64_000,
        sides: Sides = "up",
        categories: Sequence[str] = ("",),
        declared: Sequence[float] | None = None,
    ) -> None:
        self._reference = reference
        self._limit = reference_limit
        self._sides = sides
        self._categories = tuple(categories)
        self._declared = None if declared is None else tuple(declared)
        self._begin()
        if self._declared is not None:
            self._next_bound = 0
            self._compare_with(self._declared, self._declared, self._declared)

    def _begin(self) -> None:
        count = len(self._categories)
        self.evidence = 0.0
        self.observations = 0
        self._hits = [0] * count
        self._rises = [_Run() for _ in range(count)]
        self._falls = [_Run() for _ in range(count)]
        self._rates = [0.0] * count
        # The closest bounds so far: the highest rates, then the lowest.
        self._bounds: tuple[list[float], list[float]] = ([1.0] * count, [0.0] * count)
        self._next_bound = self._reference
        self._evidence: list[float] = []
        self._factors: tuple[tuple[float, ...], ...] = ()

    @property
    def baseline(self) -> float | None:
        """The rate of the first outcome in the baseline."""
        return self._rates[0] if self._factors else None

    @property
    def categories(self) -> tuple[str, ...]:
        """The outcomes."""
        return self._categories

    def update(self, outcome: int, weight: float, now_unix_nano: int = 0) -> Shift | None:
        """Take one observation.

        Args:
            outcome: which of the outcomes happened; -1 when none of them did.
            weight: what is spent on it, fixed before the observation is known.
            now_unix_nano: when.
        """
        self.observations = number = self.observations + 1
        if self._factors:
            weight *= self._share
            self._evidence = held = [
                (before + weight) * factor
                for before, factor in zip(self._evidence, self._factors[outcome], strict=True)
            ]
            self.evidence = total = sum(held)
            if outcome >= 0:
                self._follow(outcome, number, now_unix_nano)
            if total >= 1.0:
                shift = self._shift(number)
                self._begin()
                return shift
        if outcome >= 0:
            self._hits[outcome] += 1
        if number == self._next_bound:
            self._take_bounds()
        return None

    def _follow(self, outcome: int, number: int, now_unix_nano: int) -> None:
        rate = self._rates[outcome]
        if self._sides != "down":
            self._rises[outcome].rise(number, rate * _ALLOWANCE, now_unix_nano)
        if self._sides != "up":
            self._falls[outcome].fall(number, rate / _ALLOWANCE, now_unix_nano)

    def _take_bounds(self) -> None:
        if self._declared is not None:  # after an alarm
            self._next_bound = 0
            self._compare_with(self._declared, self._declared, self._declared)
            return
        # The bounds of all outcomes and sides, now and at each doubling to come, are to hold together. The first ones
        # get more of the risk: where there is little to learn from it narrows a bound most.
        number = self.observations
        looks = int(math.log2(max(1.0, self._limit / self._reference))) + 1
        look = int(math.log2(number / self._reference)) + 1
        share = 1.0 / look / sum(1.0 / one for one in range(1, looks + 1))
        risk = _RISK * share / len(self._hits) / (2 if self._sides == "both" else 1)
        highest, lowest = self._bounds
        for outcome, hits in enumerate(self._hits):
            high, low = upper_bound(hits, number, risk), lower_bound(hits, number, risk)
            is_closer = high < highest[outcome] if self._sides != "down" else low > lowest[outcome]
            if is_closer or not self._factors:
                self._rates[outcome] = hits / number
            highest[outcome], lowest[outcome] = min(highest[outcome], high), max(lowest[outcome], low)
        self._compare_with(self._rates, highest, lowest)
        self._next_bound = number * 2 if number * 2 <= self._limit else 0

    def _compare_with(self, rates: Sequence[float], highest: Sequence[float], lowest: Sequence[float]) -> None:
        ratios = _RATIOS if len(rates) == 1 else _RATIOS_OF_MANY
        bets: list[tuple[int, float, float]] = []  # outcome, the baseline's rate, the rate bet on
        for outcome in range(len(rates)):
            if self._sides != "down":
                bets += [(outcome, highest[outcome], _moved(highest[outcome], ratio)) for ratio in ratios]
            if self._sides != "up":
                bets += [(outcome, lowest[outcome], _moved(lowest[outcome], 1 / ratio)) for ratio in ratios]
        # One row for each outcome and, at the end, where -1 finds it, one for none of them.
        self._factors = tuple(
            tuple(_factor(rate, other, happened=outcome == one) for outcome, rate, other in bets)
            for one in (*range(len(rates)), -1)
        )
        self._rates = list(rates)
        self._share = 1.0 / len(bets)
        if not self._evidence:
            self._evidence = [0.0] * len(bets)
            for run in (*self._rises, *self._falls):
                run.last = run.start = self.observations

    def _shift(self, number: int) -> Shift:
        best = max(range(len(self._evidence)), key=self._evidence.__getitem__)
        of_one = len(self._evidence) // len(self._categories)
        outcome, bet = divmod(best, of_one)
        rises = self._sides == "up" or (self._sides == "both" and bet < of_one // 2)
        run = self._rises[outcome] if rises else self._falls[outcome]
        direction: Direction = "up" if rises else "down"
        since = max(1, number - run.start)
        name = self._categories[outcome] or None
        return Shift(direction, "rate", self._rates[outcome], run.hits / since, run.start_unix_nano, since, name)

    def merge(self, other: Self) -> None:
        """Take over what a detector of another worker holds for the same signal.

        Evidence adds up, as both were paid for. The baseline stays that of the one that has seen more.
        """
        evidence = [one for one in (self._evidence, other._evidence) if one]
        if other._factors and (not self._factors or other.observations > self.observations):
            self._factors, self._rates, self._share = other._factors, list(other._rates), other._share
            self._hits, self.observations, self._next_bound = list(other._hits), other.observations, other._next_bound
            self._rises, self._falls = other._rises, other._falls
            self._bounds = other._bounds
            self._evidence = other._evidence
        if len({len(one) for one in evidence}) == 1:  # else they bet on other sides: those that stay count alone
            self._evidence = [sum(held) for held in zip(*evidence, strict=True)]
        self.evidence = sum(self._evidence)

    def state(self) -> State:
        """See Detector."""
        return {
            "kind": "rate",
            "categories": list(self._categories),
            "sides": self._sides,
            "declared": None if self._declared is None else list(self._declared),
            "observations": self.observations,
            "hits": list(self._hits),
            "next_bound": self._next_bound,
            "rates": list(self._rates),
            "bounds": [list(side) for side in self._bounds],
            "factors": [list(row) for row in self._factors],
            "evidence": list(self._evidence),
            "runs": [
                [run.sum, run.last, run.start, run.start_unix_nano, run.hits] for run in (*self._rises, *self._falls)
            ],
        }

    def restore(self, state: State) -> None:
        """Go on from a state; begin anew when it was made with other settings.

        Raises:
            KeyError, TypeError, ValueError: it is not one of this detector.
        """
        if state["categories"] != list(self._categories):
            raise ValueError("the state has other categories")
        declared = None if self._declared is None else list(self._declared)
        if (state["sides"], state["declared"]) != (self._sides, declared):
            return
        self.observations = int(cast("int", state["observations"]))
        self._hits = [int(hits) for hits in cast("list[int]", state["hits"])]
        self._next_bound = int(cast("int", state["next_bound"]))
        self._rates = [float(rate) for rate in cast("list[float]", state["rates"])]
        highest, lowest = cast("list[list[float]]", state.get("bounds", self._bounds))
        self._bounds = (list(map(float, highest)), list(map(float, lowest)))
        self._factors = tuple(tuple(map(float, row)) for row in cast("list[list[float]]", state["factors"]))
        self._evidence = [float(one) for one in cast("list[float]", state["evidence"])]
        self._share = 1.0 / max(1, len(self._evidence))
        self.evidence = sum(self._evidence)
        runs = (*self._rises, *self._falls)
        for run, values in zip(runs, cast("list[list[float]]", state["runs"]), strict=True):
            run.sum = float(values[0])
            run.last, run.start, run.start_unix_nano, run.hits = (int(value) for value in values[1:])
        self._check()

    def _check(self) -> None:
        count = len(self._categories)
        rows = {len(row) for row in self._factors}
        sizes = {len(self._hits), len(self._rates), *map(len, self._bounds)}
        if sizes != {count} or rows - {len(self._evidence)}:
            raise ValueError("the state does not fit together")
        if self._factors and len(self._factors) != count + 1:
            raise ValueError("the state does not fit together")


def _moved(rate: float, ratio: float) -> float:
    """The rate with its odds moved."""
    rate = min(max(rate, _LOWEST_RATE), 1.0 - _LOWEST_RATE)
    odds = rate / (1.0 - rate) * ratio
    return odds / (1.0 + odds)


def _factor(rate: float, other: float, *, happened: bool) -> float:
    """The likelihood of what happened under another rate, over that under this one."""
    rate = min(max(rate, _LOWEST_RATE), 1.0 - _LOWEST_RATE)
    return other / rate if happened else (1.0 - other) / (1.0 - rate)
