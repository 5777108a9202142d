from __future__ import annotations

import json
import random

import pytest

from otel_llm.quality.drift.scalars import ScalarDetector
from otel_llm.quality.drift.shift import Shift


def feed(detector: ScalarDetector, number: int, seed: int, scale: float = 1.0, weight: float = 1e-5) -> list[Shift]:
    draw = random.Random(seed).lognormvariate
    found = (detector.update(scale * draw(0, 1), weight, at) for at in range(number))
    return [shift for shift in found if shift is not None]


def detector(seed: int = 0) -> ScalarDetector:
    return ScalarDetector(random.Random(seed).random)


def test_false_alarms_are_no_more_frequent_than_what_was_spent() -> None:
    assert 0 < len(feed(detector(), 100_000, seed=1, weight=0.001)) <= 100


def test_equal_values_raise_no_more_false_alarms_either() -> None:
    one, draw = detector(), random.Random(2).choice
    found = [shift for _ in range(50_000) if (shift := one.update(draw([0.0, 0.0, 0.0, 1.0, 7.0]), 0.001))]
    assert len(found) <= 50


@pytest.mark.parametrize(("scale", "direction"), [(1.6, "up"), (0.6, "down")])
def test_values_that_move_are_found_with_their_direction(scale: float, direction: str) -> None:
    one = detector()
    assert feed(one, 3000, seed=3) == []
    (shift,) = feed(one, 400, seed=4, scale=scale)
    assert shift.direction == direction
    # The median of this lognormal distribution is 1, its 90th percentile 3.6 and its 10th 0.28; all of them move.
    before = {"median": 1.0, "p90": 3.6, "p10": 0.28}[str(shift.statistic)]
    assert shift.before == pytest.approx(before, rel=0.15)
    assert shift.after == pytest.approx(before * scale, rel=0.5)
    assert shift.since_unix_nano < 150


def test_when_all_values_move_by_a_little_it_is_the_median_that_is_said() -> None:
    one, draw = detector(), random.Random(15).random
    assert [shift for _ in range(3000) if (shift := one.update(draw(), 1e-5))] == []
    (shift, *_) = [shift for _ in range(2000) if (shift := one.update(max(draw(), draw()), 1e-5))]
    assert (shift.direction, shift.statistic) == ("up", "median")
    assert shift.before == pytest.approx(0.5, abs=0.05)
    assert shift.after == pytest.approx(0.7, abs=0.15)


def test_a_few_slow_ones_more_are_found() -> None:
    one, draw = detector(), random.Random(5)
    feed(one, 3000, seed=6)
    found = []
    for _ in range(400):  # an eighth of the calls wait; the median stays
        value = draw.lognormvariate(0, 1) + (20.0 if draw.random() < 0.12 else 0.0)
        found += [shift for shift in [one.update(value, 1e-5)] if shift is not None]
    (shift,) = found
    assert (shift.direction, shift.statistic) == ("up", "p90")
    assert shift.before == pytest.approx(3.6, rel=0.2)
    assert shift.after is not None
    assert shift.after > 10


@pytest.mark.parametrize("seen", [100, 5000])
def test_it_goes_on_from_its_state_as_if_nothing_had_been(seen: int) -> None:
    one, other = detector(7), detector(7)
    feed(one, seen, seed=8)
    other.restore(json.loads(json.dumps(one.state())))
    one._random = random.Random(9).random
    other._random = random.Random(9).random
    assert feed(one, 1000, seed=10, scale=2) == feed(other, 1000, seed=10, scale=2)
    assert one.state() == other.state()


def test_evidence_of_two_workers_adds_up() -> None:
    one, other = detector(11), detector(12)
    feed(one, 1000, seed=13, weight=1e-7)
    feed(other, 2000, seed=14, weight=1e-7)
    expected = one.evidence + other.evidence
    one.merge(other)
    assert one.evidence == pytest.approx(expected)
    assert one.evidence > 0
    assert one.baseline == other.baseline  # of the one that has seen more


@pytest.mark.parametrize("damage", [{"bins": [1]}, {"edges": [2.0, 1.0]}, {"evidence": []}, {"runs": [[]]}])
def test_a_state_that_does_not_fit_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises((IndexError, KeyError, TypeError, ValueError)):
        detector().restore({**detector().state(), **damage})
