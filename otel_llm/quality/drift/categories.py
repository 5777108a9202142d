"""Detector for categories that are not known beforehand: which model answers, how answers end."""

from __future__ import annotations

from collections import Counter
from typing import Final, Self, cast

from otel_llm.quality.drift.rates import RateDetector
from otel_llm.quality.drift.shift import Shift, State

OTHER: Final = "(other)"
_MOST_CATEGORIES: Final = 7
# Categories are text of others.
_MOST_CHARACTERS: Final = 128
_FOR_NAMES: Final = 256


class CategoryDetector:
    """Alarms when categories come at other rates than in the baseline.

    The first 256 observations say which categories are told apart: the seven most frequent, and all others as one.
    A change of any kind makes some category more frequent, so rises are all that is bet on.

    Args:
        reference, reference_limit: as for RateDetector, counted from there.

    Attributes:
        evidence, observations: see Detector.
    """

    __slots__ = ("_counts", "_limit", "_numbers", "_rates", "_reference")

    def __init__(self, reference: int = 2000, reference_limit: int = 64_000) -> None:
        self._reference = reference
        self._limit = reference_limit
        self._begin()

    def _begin(self) -> None:
        self._counts: Counter[str] = Counter()
        self._numbers: dict[str, int] = {}
        self._rates: RateDetector | None = None

    @property
    def evidence(self) -> float:
        """See Detector."""
        return 0.0 if self._rates is None else self._rates.evidence

    @property
    def observations(self) -> int:
        """See Detector."""
        return self._counts.total() + (0 if self._rates is None else self._rates.observations)

    @property
    def baseline(self) -> float | None:
        """The rate of the most frequent category."""
        return None if self._rates is None else self._rates.baseline

    def update(self, category: str, weight: float, now_unix_nano: int = 0) -> Shift | None:
        """Take one observation; arguments as for RateDetector."""
        category = category[:_MOST_CHARACTERS]
        if self._rates is None:
            self._count(category)
            return None
        number = self._numbers.get(category, len(self._numbers))
        shift = self._rates.update(number, weight, now_unix_nano)
        if shift is not None:
            self._begin()
        return shift

    def _count(self, category: str) -> None:
        if category not in self._counts and len(self._counts) >= _FOR_NAMES:
            category = OTHER
        self._counts[category] += 1
        if self._counts.total() >= _FOR_NAMES:
            names = [name for name, _ in self._counts.most_common(_MOST_CATEGORIES) if name != OTHER]
            self._watch(names)

    def _watch(self, names: list[str]) -> None:
        self._numbers = {name: number for number, name in enumerate(names)}
        self._rates = RateDetector(self._reference, self._limit, "up", (*names, OTHER))

    def merge(self, other: Self) -> None:
        """Take over what a detector of another worker holds; evidence adds up where both tell the same ones apart."""
        if other._rates is None:
            return
        if self._rates is not None and self._rates.categories == other._rates.categories:
            self._rates.merge(other._rates)
        elif self._rates is None or self._rates.evidence < other._rates.evidence:
            self._counts, self._numbers, self._rates = other._counts, other._numbers, other._rates

    def state(self) -> State:
        """See Detector."""
        rates = None if self._rates is None else self._rates.state()
        return {"kind": "category", "counts": dict(self._counts), "rates": rates}

    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises:
            KeyError, TypeError, ValueError: it is not one of this detector.
        """
        self._counts = Counter({str(key): int(n) for key, n in cast("dict[str, int]", state["counts"]).items()})
        rates = cast("State | None", state["rates"])
        if rates is not None:
            *names, _ = cast("list[str]", rates["categories"])
            self._watch([str(name) for name in names])
            cast("RateDetector", self._rates).restore(rates)
