"""What the comparison of a canary with its control promises: wrong decisions under continuous peeking, and delays.

Run: python benchmarks/compare.py [--quick]. Simulated, fixed seeds. Beside it a z-test that is looked at every 200
pairs, as dashboards are, and one that is looked at once, at the end.
"""

from __future__ import annotations

import math
import platform
import random
import statistics
import sys
import time

from otel_llm.quality.compare import Comparison, Guardrail, Settings

QUICK = "--quick" in sys.argv
RUNS = 60 if QUICK else 400
PAIRS = 4_000 if QUICK else 20_000
ALPHA = 0.01
Z = statistics.NormalDist().inv_cdf(1 - ALPHA)


def run(control: float, canary: float, seed: int, controls_each: int, pairs: int, guardrails: int = 1):
    """Verdict and number of canaries it took."""
    draw = random.Random(seed).random
    comparison = Comparison(Settings([Guardrail(f"s{n}", 0.02) for n in range(guardrails)], ALPHA))
    signals = range(guardrails)
    for number in range(1, pairs + 1):
        for _ in range(controls_each):
            comparison.observe("control", {f"s{n}": draw() < control for n in signals})
        result = comparison.observe("canary", {f"s{n}": draw() < canary for n in signals})
        if result is not None:
            return result.verdict, number
    return "keep_watching", pairs


def z_test(control: float, canary: float, seed: int) -> tuple[bool, bool]:
    """Whether a z-test calls the canary worse: looked at every 200 pairs, and looked at once."""
    draw = random.Random(seed).random
    here = there = 0
    peeked = once = False
    for number in range(1, PAIRS + 1):
        here += draw() < control
        there += draw() < canary
        if number % 200 == 0:
            share = (here + there) / 2 / number
            z = (there - here) / number / math.sqrt(max(share * (1 - share) * 2 / number, 1e-12))
            once = z > Z
            peeked = peeked or once
    return peeked, once


def null_table() -> None:
    print(f"\nNo worse: rolled back within {PAIRS:,} pairs, in {RUNS} runs, at most {ALPHA:.0%} is promised")
    for rate in (0.05, 0.3):
        wrong = sum(run_without_promotion(rate, seed) for seed in range(RUNS)) / RUNS
        tests = [z_test(rate, rate, seed) for seed in range(RUNS)]
        peeked, once = (sum(column) / RUNS for column in zip(*tests, strict=True))
        print(
            f"  rate {rate:.0%}: betting {wrong:.2%}   z-test peeked at {peeked:.1%}, looked at once {once:.1%}",
            flush=True,
        )
    many = [run(0.05, 0.05, seed, 1, PAIRS // 4, 8)[0] for seed in range(RUNS // 2)]
    print(f"  rate 5 %, eight guardrails: rolled back {many.count('roll_back') / len(many):.2%}", flush=True)


def run_without_promotion(rate: float, seed: int) -> bool:
    """Whether it is ever rolled back, when being promoted doesn't end it."""
    draw = random.Random(seed).random
    comparison = Comparison(Settings([Guardrail("s", 0.0)], ALPHA))  # no margin: never promoted but by mistake
    for _ in range(PAIRS):
        comparison.observe("control", {"s": draw() < rate})
        result = comparison.observe("canary", {"s": draw() < rate})
        if result is not None:
            return result.verdict == "roll_back"
    return False


def wrong_promotion_table() -> None:
    print(f"\nWorse by the margin (2 points): promoted, in {RUNS} runs, at most {ALPHA:.0%} is promised")
    verdicts = [run(0.05, 0.07, seed, 1, PAIRS // 2)[0] for seed in range(RUNS)]
    print(f"  5 % -> 7 %: promoted {verdicts.count('promote') / RUNS:.2%}", flush=True)


def delay_table() -> None:
    print(f"\nCanaries until the decision, {RUNS} runs, alpha {ALPHA}")
    print(f"  {'':44s}{'verdict':>14s}{'median':>8s}{'p90':>8s}{'within 2000':>13s}")
    for control, canary, each in (
        (0.05, 0.08, 1),
        (0.05, 0.08, 9),
        (0.02, 0.06, 1),
        (0.05, 0.06, 1),
        (0.05, 0.05, 1),
        (0.05, 0.05, 9),
    ):
        found = [run(control, canary, seed, each, PAIRS) for seed in range(RUNS)]
        verdict = statistics.mode(verdict for verdict, _ in found)
        ends = sorted(number for _, number in found)
        within = sum(number <= 2000 and v == verdict for v, number in found) / RUNS
        name = f"{control:.0%} -> {canary:.0%}, {each} control{'s' if each > 1 else ''} for each canary"
        print(
            f"  {name:44s}{verdict:>14s}{statistics.median(ends):8.0f}{ends[int(0.9 * RUNS)]:8d}{within:13.0%}",
            flush=True,
        )


def cost_table() -> None:
    comparison = Comparison(Settings([Guardrail("s", 0.02)], 1e-60))
    draw = random.Random(1).random
    items = [draw() < 0.05 for _ in range(20_000)]
    best = float("inf")
    for _ in range(7):
        start = time.process_time_ns()
        for item in items:
            comparison.observe("control", {"s": item})
            comparison.observe("canary", {"s": item})
        best = min(best, (time.process_time_ns() - start) / len(items) / 1000)
    print(f"\nCPU µs a pair, one guardrail: {best:.2f}")


def main() -> None:
    print(f"Python {platform.python_version()}")
    null_table()
    wrong_promotion_table()
    delay_table()
    cost_table()


if __name__ == "__main__":
    main()
