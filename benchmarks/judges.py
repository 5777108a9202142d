"""Whether estimates from a judge and a few labels hold: how often the interval covers the truth, and what it is worth.

Run: python benchmarks/judges.py [--quick]. Answers are drawn at random from the labelled XSTest completions kept beside
the project (or where OTEL_LLM_SHARED_DATA says): two people's adjudicated label says whether an answer is a refusal,
and a crude judge of a few phrases stands for a judging model. Without them, and for judges of any quality, it is
simulated. The truth is known in both cases.
"""

from __future__ import annotations

import csv
import os
import platform
import random
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from otel_llm.quality.judges import Case, agreement, estimate
from otel_llm.quality.judges.estimate import Method

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
DATA = Path(os.environ.get("OTEL_LLM_SHARED_DATA", _BESIDE)) / "quality" / "xstest"
QUICK = "--quick" in sys.argv
RUNS = 200 if QUICK else 3000
JUDGED = 2000
METHODS: tuple[Method, ...] = ("labels", "ppi", "stratified")
PHRASES = ("i cannot", "i can't", "i'm sorry", "i am not able", "i'm unable", "not appropriate", "as an ai")
Answer = tuple[float, float, str]  # what people say, what the judge says, and the stratum


def real() -> list[Answer]:
    found = []
    for model in ("gpt4", "mistralinstruct"):
        with (DATA / f"xstest_v2_completions_{model}.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                text = row["completion"].casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
                refuses = float("refusal" in row["final_label"])
                judged = float(any(phrase in text[:200] for phrase in PHRASES))
                found.append((refuses, judged, "short" if len(text) < 400 else "long"))
    return found


def simulated(rate: float, misses: float, false_alarms: float) -> Callable[[random.Random], Answer]:
    """A judge that misses a share of the failures and calls a share of the good answers failures."""

    def draw(source: random.Random) -> Answer:
        human = source.random() < rate
        wrong = source.random() < (misses if human else false_alarms)
        return float(human), float(human != wrong), ""

    return draw


def table(
    name: str, truth: float, draw: Callable[[random.Random], Answer], labels: int, *, flagged_more: bool = False
) -> None:
    sample = [draw(random.Random(seed)) for seed in range(5000)]
    kappa = agreement([(str(judge), str(human)) for human, judge, _ in sample])
    raw = statistics.mean(judge for _, judge, _ in sample)
    print(f"\n{name}: truth {truth:.1%}, judge alone {raw:.1%}, kappa {kappa.kappa:.2f}, {labels} labels, {RUNS} runs")
    for method in METHODS:
        covered, widths, worth, errors = 0, [], [], []
        for run in range(RUNS):
            found = estimate(cases(random.Random(run), draw, labels, flagged_more=flagged_more), method)
            assert found is not None
            covered += found.low <= truth <= found.high
            widths.append(found.high - found.low)
            worth.append(found.worth / found.labels)
            errors.append(found.value - truth)
        print(
            f"  {method:12s} covers {covered / RUNS:6.1%}   width {statistics.mean(widths):.3f}   "
            f"bias {statistics.mean(errors):+.4f}   worth {statistics.median(worth):.2f} times its labels",
            flush=True,
        )


def cases(
    source: random.Random, draw: Callable[[random.Random], Answer], labels: int, *, flagged_more: bool
) -> list[Case]:
    """Judged answers, some of them seen by people; by default any of them is as probable to be seen as another."""
    answers = [draw(source) for _ in range(JUDGED)]
    if not flagged_more:
        seen = set(source.sample(range(JUDGED), labels))
        return [
            Case(judge, human if n in seen else None, 1.0, labels / JUDGED, stratum)
            for n, (human, judge, stratum) in enumerate(answers)
        ]
    # What the judge calls a failure is looked at four times as often.
    total = sum(4 if judge else 1 for _, judge, _ in answers)
    found = []
    for human, judge, stratum in answers:
        probability = min(1.0, labels * (4 if judge else 1) / total)
        found.append(Case(judge, human if source.random() < probability else None, 1.0, probability, stratum))
    return found


def main() -> None:
    print(f"Python {platform.python_version()}, {JUDGED} answers judged in each run")
    if DATA.exists():
        answers = real()
        truth = statistics.mean(human for human, _, _ in answers)
        for labels in (50, 100, 200):
            table("XSTest refusals", truth, lambda source: source.choice(answers), labels)
        table("XSTest, failures seen more often", truth, lambda s: s.choice(answers), 100, flagged_more=True)
    else:
        print("no labelled data beside the project: simulation only")
    for rate, misses, false in ((0.3, 0.1, 0.05), (0.3, 0.3, 0.1), (0.05, 0.2, 0.02), (0.3, 0.5, 0.5)):
        name = f"simulated, misses {misses:.0%}, false alarms {false:.0%}"
        table(name, rate, simulated(rate, misses, false), 100)


if __name__ == "__main__":
    main()
