"""How well a judge agrees with people, beyond what chance would give."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

# Landis and Koch call 0.61 and more "substantial"; two people who label the same answers usually reach 0.8.
BAR: Final = 0.6
# With fewer labels the interval of kappa is wider than the difference between a good judge and a bad one.
LEAST_LABELS: Final = 100


@dataclass(frozen=True, slots=True)
class Agreement:
    """Cohen's kappa of a judge and people.

    Attributes:
        kappa: 1 for full agreement, 0 for what chance gives; None when it says nothing: no labels, or one label only.
        low, high: its interval, None with it.
        labels: on how many answers it rests.
        share: of the answers on which they agree, None without labels.
    """

    kappa: float | None
    low: float | None
    high: float | None
    labels: int
    share: float | None

    def is_calibrated(self, bar: float = BAR, least_labels: int = LEAST_LABELS) -> bool:
        """Whether the judge may be listened to: enough labels, and kappa not below the bar."""
        return self.kappa is not None and self.kappa >= bar and self.labels >= least_labels


def agreement(pairs: Sequence[tuple[str, str]], confidence: float = 0.95) -> Agreement:
    """The agreement of (judge's label, person's label) pairs.

    That a judge cannot tell is a label like others: it agrees with nobody who could.

    The interval is the jackknife's. Source: Cohen, "A coefficient of agreement for nominal scales" (1960); Efron,
    "The Jackknife, the Bootstrap and Other Resampling Plans" (1982).
    """
    cells = Counter(pairs)
    number = len(pairs)
    if not number:
        return Agreement(None, None, None, 0, None)
    share = sum(count for (judge, person), count in cells.items() if judge == person) / number
    kappa = _kappa(cells)
    if kappa is None:
        return Agreement(None, None, None, number, share)
    spread = 0.0
    for cell, count in cells.items():
        without = _kappa(cells - Counter({cell: 1}))
        spread += count * ((kappa if without is None else without) - kappa) ** 2
    error = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(spread * (number - 1) / number)
    return Agreement(kappa, max(-1.0, kappa - error), min(1.0, kappa + error), number, share)


def _kappa(cells: Counter[tuple[str, str]]) -> float | None:
    number = cells.total()
    if not number:
        return None
    judges: Counter[str] = Counter()
    people: Counter[str] = Counter()
    agreed = 0
    for (judge, person), count in cells.items():
        judges[judge] += count
        people[person] += count
        agreed += count if judge == person else 0
    by_chance = sum(count * people[label] for label, count in judges.items()) / number**2
    if by_chance >= 1.0:  # everybody always says the same: nothing to agree about
        return None
    return (agreed / number - by_chance) / (1.0 - by_chance)
