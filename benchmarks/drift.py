"""What the drift detectors promise and cost: false alarms, delays, CPU time an update.

Run: python benchmarks/drift.py [--quick]. Everything is simulated with fixed seeds, but for the last tables, which read
the labelled data kept beside the project (or where OTEL_LLM_SHARED_DATA says). River's ADWIN and Page-Hinkley stand
beside ours where river is installed (it is no dependency of the project).
"""

from __future__ import annotations

import csv
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from otel_llm.quality.drift import Monitor, Settings, features_of
from otel_llm.quality.drift.categories import CategoryDetector
from otel_llm.quality.drift.rates import RateDetector
from otel_llm.quality.drift.scalars import ScalarDetector
from otel_llm.quality.drift.texts import TextDetector

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
DATA = Path(os.environ.get("OTEL_LLM_SHARED_DATA", _BESIDE)) / "quality"
ALPHA = 1e-5
QUICK = "--quick" in sys.argv
NULL = 100_000 if QUICK else 2_000_000
RUNS = 10 if QUICK else 101
# A baseline that is learnt is a matter of luck, so its medians need more runs.
LEARNT_RUNS = 10 if QUICK else 301
LIMIT = 40_000
ANSWERS = {"stop": 0.9, "length": 0.06, "tool_calls": 0.04}


def rates(rate: float, seed: int) -> Iterator[int]:
    draw = random.Random(seed).random
    while True:
        yield 0 if draw() < rate else -1


def values(scale: float, seed: int) -> Iterator[float]:
    draw = random.Random(seed).lognormvariate
    while True:
        yield scale * draw(0, 1)


def categories(seed: int) -> Iterator[str]:
    draw = random.Random(seed)
    while True:
        yield from draw.choices(list(ANSWERS), list(ANSWERS.values()), k=1000)


def false_alarms(update: Callable[[object], object], stream: Iterator[object]) -> int:
    return sum(update(next(stream)) is not None for _ in range(NULL))


def null_table() -> None:
    print(f"\nNothing changes: false alarms in {NULL:,} observations, at most {NULL * ALPHA:g} are promised")
    declared = RateDetector(declared=[0.02])
    learnt = RateDetector()
    both = RateDetector(sides="both")
    ends = CategoryDetector()
    scalar = ScalarDetector(random.Random(1).random)
    for name, update, stream in (
        ("rate 2 %, declared", lambda x: declared.update(x, ALPHA), rates(0.02, 1)),
        ("rate 2 %, learnt", lambda x: learnt.update(x, ALPHA), rates(0.02, 2)),
        ("rate 2 %, learnt, both sides", lambda x: both.update(x, ALPHA), rates(0.02, 3)),
        ("three categories, learnt", lambda x: ends.update(x, ALPHA), categories(4)),
        ("numbers (lognormal)", lambda x: scalar.update(x, ALPHA), values(1, 5)),
    ):
        print(f"  {name:36s}{false_alarms(update, stream):6d}", flush=True)


def delays(make, before, after, warm: int, runs: int) -> tuple[float, int, int]:
    """Median, 90th percentile and number of those not found; those with an alarm before the change are left out."""
    found = []
    for run in range(runs):
        detector, old, new = make(run), before(run), after(run + 10_000)
        if any(detector.update(next(old), ALPHA, n) for n in range(warm)):
            continue
        found.append(next((n for n in range(1, LIMIT) if detector.update(next(new), ALPHA, warm + n)), LIMIT))
    found.sort()
    return statistics.median(found), found[int(0.9 * len(found))], found.count(LIMIT)


def delay_table() -> None:
    print(f"\nObservations until a change is found, 1/alpha = {1 / ALPHA:g}, {RUNS} runs")
    print(f"  {'':52s}{'median':>8s}{'p90':>8s}{'missed':>8s}")
    for low, high, warm in ((0.02, 0.04, 3000), (0.02, 0.10, 3000), (0.2, 0.3, 3000)):
        learnt = [2000, 16_000, 64_000] if (low, high) == (0.02, 0.04) else [2000, 16_000]
        makes = [("declared", lambda _, low=low: RateDetector(declared=[low]), warm)]
        makes += [(f"learnt from {first:,}", lambda _: RateDetector(), first) for first in learnt]
        for name, make, first in makes:
            runs = RUNS if name == "declared" else LEARNT_RUNS
            row = delays(make, lambda s, low=low: rates(low, s), lambda s, high=high: rates(high, s), first, runs)
            _row(f"rate {low:.0%} -> {high:.0%}, {name}", row)
    for scale in (1.1, 1.5, 2.0):
        row = delays(
            lambda s: ScalarDetector(random.Random(s + 5).random),
            lambda s: values(1, s),
            lambda s, scale=scale: values(scale, s),
            3000,
            max(10, RUNS // 4),
        )
        _row(f"numbers times {scale} (lognormal), after 3,000", row)


def _row(name: str, row: tuple[float, int, int]) -> None:
    median, ninety, missed = row
    print(f"  {name:52s}{median:8.0f}{ninety:8d}{missed:8d}", flush=True)


def season_table() -> None:
    """What goes up and down with the day, 10,000 operations each, is no change, and is not exchangeable either."""
    day, number_of = 10_000, NULL // 4
    print(f"\nUp and down with the day, {number_of:,} observations: at most {number_of * ALPHA:g} alarms are promised")
    for swing in (0.0, 0.1, 0.25):

        def level(n: int, swing: float = swing) -> float:
            return 1.0 + swing * math.sin(2 * math.pi * n / day)

        for name, seasons in (("all hours together", 1), ("each hour on its own", 24)):
            draw, alarms = random.Random(3).random, 0
            detectors = [RateDetector() for _ in range(seasons)]
            for n in range(number_of):
                hit = 0 if draw() < 0.02 * level(n) else -1
                alarms += detectors[n % day * seasons // day].update(hit, ALPHA, n) is not None
            number, numbers = random.Random(5).lognormvariate, 0
            scalars = [ScalarDetector(random.Random(1).random) for _ in range(seasons)]
            for n in range(number_of):
                value = level(n) * number(0, 0.5)
                numbers += scalars[n % day * seasons // day].update(value, ALPHA, n) is not None
            print(f"  +-{swing:4.0%}, {name:24s} rate 2 %, learnt {alarms:5d}   numbers {numbers:5d}", flush=True)


def peer_table() -> None:
    if importlib.util.find_spec("river") is None:
        print("\nriver is not installed: no peers")
        return
    from river.drift import ADWIN, PageHinkley  # noqa: PLC0415 - only here

    print(f"\nriver {importlib.metadata.version('river')}, 2 % -> 4 % after 20,000, and its false alarms in {NULL:,}")
    for name, make in (
        ("ADWIN", lambda: ADWIN(delta=ALPHA)),
        ("ADWIN, its default", ADWIN),
        ("PageHinkley", PageHinkley),
    ):
        found = []
        for run in range(max(10, RUNS // 4)):
            detector, old, new = make(), rates(0.02, run), rates(0.04, run + 10_000)
            for _ in range(20_000):
                detector.update(next(old) == 0)
            hit = LIMIT
            for n in range(1, LIMIT):
                detector.update(next(new) == 0)
                if detector.drift_detected:
                    hit = n
                    break
            found.append(hit)
        detector, stream, false = make(), rates(0.02, 77), 0
        for _ in range(NULL):
            detector.update(next(stream) == 0)
            false += detector.drift_detected
        print(f"  {name:36s}{statistics.median(found):8.0f}{false:8d}", flush=True)


def cpu_microseconds(update: Callable[[object], object], stream: Iterator[object], number: int = 20_000) -> float:
    items = [next(stream) for _ in range(number)]
    best = float("inf")
    for _ in range(7):
        start = time.process_time_ns()
        for item in items:
            update(item)
        best = min(best, (time.process_time_ns() - start) / number / 1000)
    return best


def cost_table() -> None:
    print("\nCPU µs an update (the least of 7 rounds)")
    declared, both = RateDetector(declared=[0.02]), RateDetector(sides="both")
    ends, scalar = CategoryDetector(), ScalarDetector(random.Random(1).random)
    text = TextDetector(random.Random(1).random, 500)
    for stream, detector in ((rates(0.02, 1), both), (categories(1), ends)):
        for _ in range(5000):
            detector.update(next(stream), 1e-9)
    questions = [features_of(f"what is the price of item {n} and when does it ship to {n % 7}") for n in range(900)]
    monitor = Monitor(Settings(), random.Random(1).random)
    clock = iter(range(0, 10**18, 10**9))

    def eight_signals(x: object) -> object:
        rated = {f"s{n}": x == 0 for n in range(6)}
        return monitor.observe(
            ("shop", "gpt-4o", "", "", "chat"), {**rated, "seconds": 1.5, "end": "stop"}, next(clock)
        )

    for name, update, stream in (
        ("rate", lambda x: declared.update(x, 1e-12), rates(0.02, 1)),
        ("rate, both sides", lambda x: both.update(x, 1e-12), rates(0.02, 2)),
        ("categories", lambda x: ends.update(x, 1e-12), categories(3)),
        ("numbers", lambda x: scalar.update(x, 1e-12), values(1, 4)),
    ):
        print(f"  {name:36s}{cpu_microseconds(update, stream):8.2f}", flush=True)
    print(f"  {'text (of a sample)':36s}{cpu_microseconds(lambda x: text.update(x, 1e-12), iter(questions), 900):8.2f}")
    print(f"  {'a monitor, eight signals':36s}{cpu_microseconds(eight_signals, rates(0.02, 5), 5000):8.2f}")
    size = len(json.dumps(monitor.state()))
    print(f"  state of those eight: {size} bytes")


def answers_of(model: str) -> list[str]:
    with (DATA / "xstest" / f"xstest_v2_completions_{model}.csv").open(newline="") as file:
        return [row["completion"] for row in csv.DictReader(file)]


def model_swap_table() -> None:
    """A model behind the same prompts is exchanged; what is looked at is how long the answers are."""
    if not DATA.exists():
        print("\nno labelled data beside the project: no model swap")
        return
    print(f"\nLength of answers to the XSTest prompts, 1/alpha = {1 / ALPHA:g}, {RUNS} orders, answers until found")
    before, after = answers_of("gpt4"), answers_of("mistralinstruct")
    for name, new in (("gpt4 -> mistralinstruct", after), ("gpt4 -> gpt4", before)):
        found = []
        for run in range(RUNS):
            draw = random.Random(run)
            old = draw.sample(before, len(before))
            # The same model: a half of its answers each, as an answer is not to come twice.
            half = len(old) // 2
            baseline, then = (old, draw.sample(new, len(new))) if new is after else (old[:half], old[half:])
            detector = ScalarDetector(random.Random(run + 1).random)
            for answer in baseline:
                detector.update(len(answer), 0.0)
            hits = (n for n, answer in enumerate(then, 1) if detector.update(len(answer), ALPHA))
            found.append(next(hits, LIMIT))
        print(
            f"  {name:36s}median {statistics.median(found):8.0f}   not found {found.count(LIMIT)} of {RUNS}", flush=True
        )


def text_table() -> None:
    """Questions of one kind, then of another kind mixed in; each question comes once."""
    if not DATA.exists():
        print("no labelled data beside the project: no texts")
        return
    print(
        f"\nXSTest prompts as the baseline of 200, then HaluEval questions among them, {RUNS} orders, texts until found"
    )
    with (DATA / "xstest" / "xstest_v2_completions_gpt4.csv").open(newline="") as file:
        known = [features_of(row["prompt"]) for row in csv.DictReader(file)]
    lines = (DATA / "halueval" / "qa_one-turn_data.json").read_text().splitlines()
    new = [features_of(json.loads(line)["question"]) for line in lines if line.strip()]
    for share in (1.0, 0.5, 0.2, 0.0):
        found = []
        for run in range(RUNS):
            draw = random.Random(run)
            old, others = draw.sample(known, len(known)), draw.sample(new, len(new))
            detector = TextDetector(random.Random(run + 1).random, 200)
            for text in old[:200]:
                detector.update(text, 0.0)
            rest, hit = iter(old[200:]), LIMIT
            for number in range(1, 201):  # so many pairs the baseline is good for
                text = others.pop() if draw.random() < share else next(rest)
                if detector.update(text, ALPHA):
                    hit = number
                    break
            found.append(hit)
        found.sort()
        median, missed = statistics.median(found), found.count(LIMIT)
        print(f"  {share:4.0%} others     median {median:8.0f}   not found {missed} of {RUNS}", flush=True)


def main() -> None:
    print(f"Python {platform.python_version()}")
    null_table()
    delay_table()
    season_table()
    peer_table()
    cost_table()
    model_swap_table()
    text_table()


if __name__ == "__main__":
    main()
