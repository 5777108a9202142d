"""The mean of what people would say about all answers, from a judge on many of them and people on a few.

Both ways below hold whatever the judge is worth: a bad one makes the interval wide, not wrong. With few labels each
has a bias that is small beside its interval; benchmarks/judges.py shows it. They need to know with which probability
each answer was judged and, of those, seen by a person.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal, TypeAlias

Method: TypeAlias = Literal["labels", "ppi", "stratified"]

# A cell of the stratified estimate with fewer labels than this is joined with others. That depends on the labels, and
# biases a little; with 5 in place of 2 it was half a point of a rate of 5 %.
_LEAST_IN_CELL: Final = 2
_LEAST_LABELS: Final = 10


@dataclass(frozen=True, slots=True)
class Case:
    """An answer that was judged.

    Attributes:
        judge: what the judge said, from 0 to 1: 1 for a failure, or a score.
        human: what a person said on the same scale, None when no person saw it.
        probability: with which the answer was sampled to be judged, above 0.
        human_probability: with which a person was to see it, once judged, above 0.
        stratum: what was known about it for free, such as the flags it had.
    """

    judge: float
    human: float | None = None
    probability: float = 1.0
    human_probability: float = 1.0
    stratum: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        value, low, high: from 0 to 1.
        method: how it was come by.
        labels: answers a person saw.
        judged: answers the judge saw.
        worth: how many labels of people alone would give an interval as narrow.
    """

    value: float
    low: float
    high: float
    method: Method
    labels: int
    judged: int
    worth: float


@dataclass(frozen=True, slots=True)
class _Mean:
    """A mean and its variance."""

    value: float
    variance: float


def estimate(cases: Sequence[Case], method: Method = "stratified", confidence: float = 0.95) -> Estimate | None:
    """The mean of what people would say, over all answers that could have been judged.

    Args:
        cases: the answers judged.
        method: `labels` uses the people's alone; `ppi` corrects the judge's mean by what people say about a few, as
            far as that helps (PPI++); `stratified` takes people's means for each of the judge's answers and each
            stratum, weighted by how frequent these are. The last is the narrowest for a judge of few labels.
        confidence: of the interval.

    Returns:
        None with fewer than ten labels: there is nothing to say then.

    Source: Angelopoulos, Duchi and Zrnic, "PPI++: efficient prediction-powered inference" (2023); Cochran, "Sampling
    Techniques", chapter 5A.9 (post-stratification).
    """
    labelled = [case for case in cases if case.human is not None]
    if len(labelled) < _LEAST_LABELS:
        return None
    alone = _by_labels(labelled)
    found = {"labels": lambda: alone, "ppi": lambda: _by_ppi(cases), "stratified": lambda: _by_strata(cases)}[method]()
    error = _t_quantile(confidence, len(labelled) - 1) * math.sqrt(found.variance)
    return Estimate(
        value=_clamped(found.value),
        low=_clamped(found.value - error),
        high=_clamped(found.value + error),
        method=method,
        labels=len(labelled),
        judged=len(cases),
        worth=len(labelled) * alone.variance / found.variance if found.variance else float(len(labelled)),
    )


def _clamped(value: float) -> float:
    return min(1.0, max(0.0, value))


def _t_quantile(confidence: float, freedom: int) -> float:
    """Of Student's distribution, two-sided. Source: Abramowitz and Stegun 26.7.5."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _weight(case: Case) -> float:
    """How many answers a labelled one stands for."""
    return 1.0 / (case.probability * case.human_probability)


def _by_labels(labelled: Sequence[Case]) -> _Mean:
    total = sum(map(_weight, labelled))
    mean = sum(_weight(case) * _human(case) for case in labelled) / total
    number = len(labelled)
    spread = sum((_weight(case) / total * (_human(case) - mean)) ** 2 for case in labelled)
    return _Mean(mean, max(spread * number / (number - 1), _least_variance(number)))


def _least_variance(number: int) -> float:
    """Of a mean of so many labels. Not nothing, even when all are the same: one more could be the other."""
    other = 0.5 / (number + 1.0)
    return other * (1.0 - other) / number


def _human(case: Case) -> float:
    if case.human is None:
        raise ValueError("this answer was seen by nobody")
    return case.human


def _by_ppi(cases: Sequence[Case]) -> _Mean:
    """The labels' mean plus that much of the judge's difference between all and the labelled as makes it narrowest."""
    labelled = [case for case in cases if case.human is not None]
    judged_total, labelled_total = sum(1.0 / case.probability for case in cases), sum(map(_weight, labelled))
    judge = sum(case.judge / case.probability for case in cases) / judged_total
    judge_labelled = sum(_weight(case) * case.judge for case in labelled) / labelled_total
    human = sum(_weight(case) * _human(case) for case in labelled) / labelled_total
    # What each answer contributes to the estimate's error: `fixed` and, times the judge's share, `moving`.
    fixed, moving = [], []
    for case in cases:
        share = 1.0 / case.probability / judged_total
        label_share = 0.0 if case.human is None else _weight(case) / labelled_total
        fixed.append(0.0 if case.human is None else label_share * (case.human - human))
        moving.append(share * (case.judge - judge) - label_share * (case.judge - judge_labelled))
    power = sum(one * one for one in moving)
    trust = -sum(a * b for a, b in zip(fixed, moving, strict=True)) / power if power else 0.0
    number = len(labelled)
    spread = sum((a + trust * b) ** 2 for a, b in zip(fixed, moving, strict=True)) * number / (number - 1)
    return _Mean(human + trust * (judge - judge_labelled), max(spread, _least_variance(number)))


def _by_strata(cases: Sequence[Case]) -> _Mean:
    cells = _cells(cases)
    total = sum(1.0 / case.probability for case in cases)
    value = within = 0.0
    means: list[tuple[float, float]] = []
    for members in cells:
        share = sum(1.0 / case.probability for case in members) / total
        labelled = [case for case in members if case.human is not None]
        weight = sum(map(_weight, labelled))
        mean = sum(_weight(case) * _human(case) for case in labelled) / weight
        within += share * share * _cell_variance(labelled, mean, weight)
        value += share * mean
        means.append((share, mean))
    # The shares of the cells are themselves from a sample.
    between = sum(share * (mean - value) ** 2 for share, mean in means) / len(cases)
    return _Mean(value, within + between)


def _cell_variance(labelled: Sequence[Case], mean: float, weight: float) -> float:
    """Of a cell's mean; a little too large, as a few equal labels do not prove that there are no others."""
    number = len(labelled)
    drawn = (mean * number + 0.5) / (number + 1.0)
    seen = sum((_human(case) - mean) ** 2 for case in labelled) / max(1, number - 1)
    spread = max(seen, drawn * (1.0 - drawn))
    return spread * sum((_weight(case) / weight) ** 2 for case in labelled)


def _cells(cases: Sequence[Case]) -> list[list[Case]]:
    """Answers by stratum and judge's answer; cells with few labels joined to that answer's others, then to all."""
    by_both: defaultdict[tuple[str, float], list[Case]] = defaultdict(list)
    for case in cases:
        by_both[case.stratum, round(case.judge, 1)].append(case)
    by_answer: defaultdict[float, list[Case]] = defaultdict(list)
    cells, rest = [], []
    for (_, answer), members in by_both.items():
        if _labels(members) >= _LEAST_IN_CELL:
            cells.append(members)
        else:
            by_answer[answer] += members
    for members in by_answer.values():
        if _labels(members) >= _LEAST_IN_CELL:
            cells.append(members)
        else:
            rest += members
    if rest and _labels(rest) < _LEAST_IN_CELL and cells:
        cells.sort(key=_labels)
        cells[0] = cells[0] + rest
    elif rest:
        cells.append(rest)
    return cells


def _labels(members: Sequence[Case]) -> int:
    return sum(case.human is not None for case in members)
