"""Runs cases against a function."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from otel_llm.quality.regression.cases import Case, score

#: What the case and the answer are worth, from 0 to 1, or whether it is good.
Evaluator = Callable[[Case, object], float | bool]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A case that was run.

    Attributes:
        id: the case's.
        scores: one for each repetition, from 0 to 1.
        seconds: how long each took.
        problems: why repetitions have no proper score: the type of what was raised.
    """

    id: str
    scores: tuple[float, ...]
    seconds: tuple[float, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def mean(self) -> float:
        """The mean score."""
        return sum(self.scores) / len(self.scores)


def run_cases(
    cases: Iterable[Case],
    function: Callable[[object], object],
    monotonic: Callable[[], float],
    evaluator: Evaluator | None = None,
    repetitions: int = 1,
    concurrency: int = 1,
) -> list[CaseResult]:
    """Run each case so many times.

    Args:
        cases: the data set.
        function: what is under test; gets a case's input and returns the answer. One that raises scores 0.
        monotonic: a clock, in seconds.
        evaluator: scores an answer, in place of what the case expects.
        repetitions: how often each case is run.
        concurrency: how many run at the same time, on threads.
    """

    def once(case: Case) -> tuple[float, float, str]:
        started = monotonic()
        try:
            answer = function(case.input)
            found = float((evaluator or score)(case, answer))
            problem = "" if 0.0 <= found <= 1.0 else "ScoreOutOfRange"
        except Exception as error:  # noqa: BLE001 - what is under test is anybody's: an exception is its result
            found, problem = 0.0, type(error).__name__
        return (found if not problem and math.isfinite(found) else 0.0), monotonic() - started, problem

    with ThreadPoolExecutor(concurrency) as pool:
        waiting = [(case, [pool.submit(once, case) for _ in range(repetitions)]) for case in cases]
        results = [(case, [one.result() for one in futures]) for case, futures in waiting]
    return [
        CaseResult(
            case.id,
            tuple(found for found, _, _ in outcomes),
            tuple(seconds for _, seconds, _ in outcomes),
            tuple(problem for _, _, problem in outcomes if problem),
        )
        for case, outcomes in results
    ]
