"""Detector for numbers: latency, cost, length, a score. Whatever their distribution is."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import Final, Self, cast

from otel_llm.quality.drift.shift import Direction, Shift, State, Statistic

# Observations that only say where the bins are. They are compared with nothing: bins that know the values in them would
# make ranks that are not quite even.
_FOR_BINS: Final = 128
_BINS: Final = 32
# Ranks are told apart to this part: enough for any bet below, and each rank's winnings are worked out beforehand.
_RANKS: Final = 64
# Bets on all values moving (the slope of the winnings over the rank), and on more values in the upper or lower tenth.
_SLOPES: Final = (1.8, 1.0, 0.4)
_TAIL: Final = 0.1
_TAIL_WINNINGS: Final = (2.0, 5.0)
# Ranks are 0.5 on average; a shift counts towards "since when" from this much.
_ALLOWANCE: Final = 0.06
# Of the values since a shift began, the last so many are kept, to say where they are now.
_KEPT: Final = 31


def _winnings() -> tuple[tuple[float, ...], ...]:
    """For each rank from low to high, what each bet pays. Every bet pays 1 on average over the ranks."""
    rows = []
    for rank in range(_RANKS):
        middle = (rank + 0.5) / _RANKS
        row = [1.0 + slope * (middle - 0.5) for slope in _SLOPES]
        row += [_tail(1.0 - middle, pays) for pays in _TAIL_WINNINGS]
        row += [1.0 - slope * (middle - 0.5) for slope in _SLOPES]
        row += [_tail(middle, pays) for pays in _TAIL_WINNINGS]
        rows.append(tuple(row))
    averages = [sum(row[bet] for row in rows) / _RANKS for bet in range(len(rows[0]))]
    return tuple(tuple(pays / average for pays, average in zip(row, averages, strict=True)) for row in rows)


def _tail(distance: float, pays: float) -> float:
    """What a bet on values this close to one end pays; `distance` from 0 at that end to 1."""
    return pays if distance < _TAIL else (1.0 - _TAIL * pays) / (1.0 - _TAIL)


_WINNINGS: Final = _winnings()
_BETS: Final = len(_WINNINGS[0])
_UPWARD_BETS: Final = _BETS // 2


class _Run:
    """The last stretch of ranks above (or below) even, by Page's CUSUM, and its last values."""

    __slots__ = ("observations", "start_unix_nano", "sum", "values")

    def __init__(self) -> None:
        self.sum = 0.0
        self.start_unix_nano = 0
        self.observations = 0
        self.values: deque[float] = deque(maxlen=_KEPT)

    def add(self, excess: float, value: float, now_unix_nano: int) -> None:
        if self.sum <= 0.0:
            self.start_unix_nano, self.observations = now_unix_nano, 0
            self.sum = 0.0
            self.values.clear()
        self.sum += excess
        self.observations += 1
        self.values.append(value)

    def quantile(self, share: float) -> float | None:
        ordered = sorted(self.values)
        return ordered[int(len(ordered) * share)] if ordered else None


class ScalarDetector:
    """Alarms when values rank too high or too low among all before them.

    The rank of a value among those before it, with chance deciding between equals, is even between 0 and 1 as long as
    the values are exchangeable, whatever they are; and independent of all earlier ranks. Bets on the rank need no
    baseline and hold exactly. What breaks them is that values are not exchangeable: thin out bursts (one observation
    for each conversation), and expect alarms from daily patterns.

    Source: Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", chapter 8 (conformal martingales).

    Args:
        random: numbers from 0 to 1.

    Attributes:
        evidence, observations: see Detector.
    """

    __slots__ = (
        "_bins",
        "_edges",
        "_evidence",
        "_falls",
        "_first",
        "_random",
        "_rises",
        "_values",
        "evidence",
        "observations",
    )

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._begin()

    def _begin(self) -> None:
        self.evidence = 0.0
        self.observations = 0
        self._first: list[float] = []
        self._edges: list[float] = []
        self._bins = [0] * _BINS
        self._values = 0
        self._evidence = [0.0] * _BETS
        self._rises = _Run()
        self._falls = _Run()

    @property
    def baseline(self) -> float | None:
        """The median of all values, as exactly as the bins know it."""
        return self._quantile(0.5)

    def _quantile(self, share: float) -> float | None:
        seen = 0
        for count, edge in zip(self._bins, self._edges, strict=False):  # the last bin has no upper edge
            seen += count
            if seen >= share * self._values:
                return edge
        return self._edges[-1] if self._edges else None

    def update(self, value: float, weight: float, now_unix_nano: int = 0) -> Shift | None:
        """Take one observation; arguments as for RateDetector."""
        self.observations += 1
        if not self._edges:
            self._first.append(value)
            if len(self._first) == _FOR_BINS:
                self._make_bins()
            return None
        rank = self._rank(value)
        weight /= _BETS
        self._evidence = held = [
            (before + weight) * pays for before, pays in zip(self._evidence, _WINNINGS[int(rank * _RANKS)], strict=True)
        ]
        self.evidence = total = sum(held)
        if rank > 0.5 or self._rises.sum > 0.0:  # noqa: PLR2004 - the middle of the ranks
            self._rises.add(rank - 0.5 - _ALLOWANCE, value, now_unix_nano)
        if rank < 0.5 or self._falls.sum > 0.0:  # noqa: PLR2004 - the middle of the ranks
            self._falls.add(0.5 - _ALLOWANCE - rank, value, now_unix_nano)
        if total >= 1.0:
            shift = self._shift()
            self._begin()
            return shift
        return None

    def _make_bins(self) -> None:
        ordered = sorted(self._first)
        self._edges = [ordered[len(ordered) * edge // _BINS] for edge in range(1, _BINS)]
        self._first = []

    def _rank(self, value: float) -> float:
        """Where the value stands among all up to now, from 0 to below 1."""
        place = bisect_right(self._edges, value)
        bins = self._bins
        bins[place] += 1
        self._values = number = self._values + 1
        return (sum(bins[:place]) + self._random() * bins[place]) / number

    def _shift(self) -> Shift:
        best = max(range(_BETS), key=self._evidence.__getitem__)
        direction: Direction = "up" if best < _UPWARD_BETS else "down"
        run = self._rises if direction == "up" else self._falls
        # Which bets won: those on all values, or those on one end.
        is_middle = best % _UPWARD_BETS < len(_SLOPES)
        statistic: Statistic = "median" if is_middle else "p90" if direction == "up" else "p10"
        share = {"median": 0.5, "p90": 0.9, "p10": 0.1}[statistic]
        before, after = self._quantile(share), run.quantile(share)
        return Shift(direction, statistic, before, after, run.start_unix_nano, run.observations)

    def merge(self, other: Self) -> None:
        """Take over what a detector of another worker holds for the same signal: evidence adds up.

        Bins are merged only where they are the same; else those that have seen more stay.
        """
        self._evidence = [a + b for a, b in zip(self._evidence, other._evidence, strict=True)]
        self.evidence = sum(self._evidence)
        if other._values > self._values:
            self._edges, self._bins = list(other._edges), list(other._bins)
            self._values = other._values

    def state(self) -> State:
        """See Detector."""
        return {
            "kind": "scalar",
            "observations": self.observations,
            "first": list(self._first),
            "edges": list(self._edges),
            "bins": list(self._bins),
            "evidence": list(self._evidence),
            "runs": [
                [run.sum, run.observations, run.start_unix_nano, list(run.values)] for run in (self._rises, self._falls)
            ],
        }

    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises:
            KeyError, TypeError, ValueError: it is not one of this detector.
        """
        self.observations = int(cast("int", state["observations"]))
        self._first = [float(value) for value in cast("list[float]", state["first"])]
        self._edges = [float(edge) for edge in cast("list[float]", state["edges"])]
        self._bins = [int(count) for count in cast("list[int]", state["bins"])]
        self._values = sum(self._bins)
        self._evidence = [float(one) for one in cast("list[float]", state["evidence"])]
        self.evidence = sum(self._evidence)
        runs = cast("list[tuple[float, int, int, list[float]]]", state["runs"])
        for run, (total, observations, start, values) in zip((self._rises, self._falls), runs, strict=True):
            run.sum, run.observations, run.start_unix_nano = float(total), int(observations), int(start)
            run.values.extend(map(float, values))
        fits = len(self._bins) == _BINS and len(self._evidence) == _BETS and len(self._edges) in (0, _BINS - 1)
        if not fits or self._edges != sorted(self._edges):
            raise ValueError("the state does not fit together")
