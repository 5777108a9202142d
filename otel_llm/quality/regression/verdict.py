"""Compares results with a baseline, case by case, and says whether they are worse.

Were nothing changed, each case's difference would be as probable the other way round. So the differences' sum is
compared with the sums that come out when signs are turned at random: all ways for a few cases, many of them for more.

Source: Fisher, "The Design of Experiments" (1935), section 21; counting the observed sum among the random ones keeps
the test exact (Phipson and Smyth, 2010).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal

from otel_llm.quality.regression.run import CaseResult

_ALL_WAYS_UP_TO: Final = 12
_RANDOM_WAYS: Final = 20_000
# Sums are of doubles.
_SLACK: Final = 1e-9

Outcome = Literal["worse", "better", "same", "no_baseline"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A case in both.

    Attributes:
        id: the case's.
        before, after: its mean scores.
    """

    id: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Results beside a baseline.

    Attributes:
        outcome: `same` when no difference is proven, which is no proof that there is none.
        worse_probability: of a sum as low as this were nothing changed; 1 without differences.
        better_probability: of one as high.
        before, after: mean scores over the cases in both, None when there are none.
        differences: cases whose score changed, the worst first.
        broken: cases that always succeeded in the baseline and never do now.
        added, missing: cases that only the results or only the baseline have.
    """

    outcome: Outcome
    worse_probability: float
    better_probability: float
    before: float | None
    after: float | None
    differences: tuple[Difference, ...]
    broken: tuple[str, ...]
    added: tuple[str, ...]
    missing: tuple[str, ...]


def compare(results: Iterable[CaseResult], baseline: Mapping[str, CaseResult], alpha: float = 0.05) -> Verdict:
    """What the results say beside the baseline.

    Args:
        results: what came out now.
        baseline: what came out then, by case.
        alpha: with which probability results are called worse when nothing was changed, at most.
    """
    now = {one.id: one for one in results}
    both = [Difference(id_, baseline[id_].mean, one.mean) for id_, one in now.items() if id_ in baseline]
    moved = sorted((one for one in both if one.after != one.before), key=lambda one: (one.after - one.before, one.id))
    worse, better = _probabilities([one.after - one.before for one in moved])
    outcome: Outcome = "same"
    if not both:
        outcome = "no_baseline"
    elif worse <= alpha:
        outcome = "worse"
    elif better <= alpha:
        outcome = "better"
    return Verdict(
        outcome=outcome,
        worse_probability=worse,
        better_probability=better,
        before=sum(one.before for one in both) / len(both) if both else None,
        after=sum(one.after for one in both) / len(both) if both else None,
        differences=tuple(moved),
        broken=tuple(one.id for one in moved if one.before == 1.0 and one.after == 0.0),
        added=tuple(sorted(now.keys() - baseline.keys())),
        missing=tuple(sorted(baseline.keys() - now.keys())),
    )


def _probabilities(differences: Sequence[float]) -> tuple[float, float]:
    """Of a sum as low as that of the differences, and of one as high."""
    if not differences:
        return 1.0, 1.0
    observed = sum(differences)
    sizes = [abs(one) for one in differences]
    low = high = number = 0
    for total in _sums(sizes):
        number += 1
        low += total <= observed + _SLACK
        high += total >= observed - _SLACK
    if len(sizes) <= _ALL_WAYS_UP_TO:
        return low / number, high / number
    return (low + 1) / (number + 1), (high + 1) / (number + 1)


def _sums(sizes: Sequence[float]) -> Iterable[float]:
    if len(sizes) <= _ALL_WAYS_UP_TO:
        for signs in product((1.0, -1.0), repeat=len(sizes)):
            yield sum(sign * size for sign, size in zip(signs, sizes, strict=True))
        return
    # The same signs each time: a build that is run again says the same.
    draw = random.Random(0)  # noqa: S311 - no secret
    for _ in range(_RANDOM_WAYS):
        bits = draw.getrandbits(len(sizes))
        yield sum(size if bits >> place & 1 else -size for place, size in enumerate(sizes))
