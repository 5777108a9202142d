"""Streams of observations with a fixed seed."""

from __future__ import annotations

import random
from collections.abc import Iterator

from otel_llm.quality.drift.rates import RateDetector
from otel_llm.quality.drift.shift import Shift


def happens(rate: float, number: int, seed: int) -> Iterator[int]:
    """0 with this probability, else -1: outcomes as RateDetector takes them."""
    draw = random.Random(seed).random
    for _ in range(number):
        yield 0 if draw() < rate else -1


def alarms(detector: RateDetector, outcomes: Iterator[int], weight: float, start: int = 0) -> list[tuple[int, Shift]]:
    """The number of the observation and the shift of each alarm."""
    found = []
    for number, outcome in enumerate(outcomes, start):
        shift = detector.update(outcome, weight, number)
        if shift is not None:
            found.append((number, shift))
    return found
