"""What a detector says when it alarms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

Direction: TypeAlias = Literal["up", "down", "different"]
Statistic: TypeAlias = Literal["rate", "median", "p90", "p10"]
# What a detector is kept as between runs: JSON.
State: TypeAlias = dict[str, object]


@dataclass(frozen=True, slots=True)
class Shift:
    """A change that was found.

    Attributes:
        direction: where it moved.
        statistic: what the levels are: a rate, the median of numbers, or their 90th (10th) percentile when it is the
            largest (smallest) ones that have moved; None where there is no such number (texts).
        before: the level it moved from.
        after: the level since.
        since_unix_nano: when it began, as far as can be told.
        observations: how many stand behind `after`.
        category: which category moved most, None for anything but categories.
    """

    direction: Direction
    statistic: Statistic | None
    before: float | None
    after: float | None
    since_unix_nano: int
    observations: int
    category: str | None = None


class Detector(Protocol):
    """Looks at one signal of one segment.

    Attributes:
        evidence: what it holds, at least 0; it alarms at 1 and then begins anew.
        observations: how many it has seen since it began.
    """

    evidence: float
    observations: int

    @property
    def baseline(self) -> float | None:
        """The level it compares with, None while it has none."""
        ...

    def state(self) -> State:
        """Everything it needs to go on later, as JSON values."""
        ...
