from __future__ import annotations

import json
import random
import statistics

import pytest

from otel_llm.quality.drift.categories import CategoryDetector
from otel_llm.quality.drift.rates import RateDetector
from tests.quality.drift.streams import alarms, happens

ONE_IN_1000 = 0.001


def test_false_alarms_are_no_more_frequent_than_what_was_spent() -> None:
    number = 150_000
    found = alarms(RateDetector(declared=[0.02]), happens(0.02, number, seed=1), ONE_IN_1000)
    assert 0 < len(found) <= number * ONE_IN_1000


@pytest.mark.parametrize("sides", ["up", "down", "both"])
def test_a_learnt_baseline_raises_no_more_false_alarms_either(sides: str) -> None:
    number = 100_000
    detector = RateDetector(1000, 8000, sides)  # type: ignore[arg-type] # one of them
    assert len(alarms(detector, happens(0.1, number, seed=2), ONE_IN_1000)) <= number * ONE_IN_1000


def test_a_rate_that_doubles_is_found_and_said_from_what_to_what_since_when() -> None:
    delays = []
    for seed in range(11):
        detector = RateDetector(declared=[0.02])
        assert alarms(detector, happens(0.02, 3000, seed), 1e-5) == []
        (number, shift), *_ = alarms(detector, happens(0.04, 6000, seed + 100), 1e-5, start=3000)
        delays.append(number - 3000)
        assert shift.direction == "up"
        assert shift.before == 0.02
        assert shift.after is not None
        assert 0.025 < shift.after < 0.09
        assert shift.since_unix_nano <= number
        assert number - shift.since_unix_nano == pytest.approx(shift.observations, abs=1)
    assert statistics.median(delays) <= 900


def test_the_baseline_is_learnt_first_and_then_anew_after_an_alarm() -> None:
    detector = RateDetector(500, 4000)
    assert alarms(detector, happens(0.05, 499, seed=3), 1e-4) == []
    assert detector.baseline is None
    assert alarms(detector, happens(0.05, 3501, seed=4), 1e-4) == []
    assert detector.baseline == pytest.approx(0.05, abs=0.01)
    found = alarms(detector, happens(0.3, 5000, seed=5), 1e-4)
    assert len(found) == 1  # what it moved to is the new baseline
    assert detector.baseline == pytest.approx(0.3, abs=0.05)


def test_a_fall_is_found_when_falls_count_and_only_then() -> None:
    both, up = RateDetector(1000, 8000, "both"), RateDetector(1000, 8000, "up")
    for detector, wanted in ((both, ["down"]), (up, [])):
        alarms(detector, happens(0.3, 8000, seed=6), 1e-4)
        found = alarms(detector, happens(0.15, 1500, seed=7), 1e-4, start=8000)
        assert [shift.direction for _, shift in found] == wanted
    assert both.observations < 1500  # it has begun anew
    assert up.observations == 9500


def test_it_goes_on_from_its_state_as_if_nothing_had_been() -> None:
    one, other = RateDetector(200, 1600, "both"), RateDetector(200, 1600, "both")
    alarms(one, happens(0.1, 777, seed=8), 1e-6)
    other.restore(json.loads(json.dumps(one.state())))
    after = [alarms(detector, happens(0.2, 3000, seed=9), 1e-6, start=777) for detector in (one, other)]
    assert after[0] == after[1]
    assert after[0]
    assert one.state() == other.state()


def test_evidence_of_two_workers_adds_up() -> None:
    one, other = RateDetector(declared=[0.1]), RateDetector(declared=[0.1])
    alarms(one, happens(0.12, 300, seed=10), 1e-7)
    alarms(other, happens(0.12, 200, seed=11), 1e-7)
    expected = one.evidence + other.evidence
    one.merge(other)
    assert one.evidence == pytest.approx(expected)
    assert one.evidence > 0


def test_workers_that_bet_on_other_sides_keep_what_they_have() -> None:
    one, other = RateDetector(100, sides="both"), RateDetector(100)
    for detector, number in ((one, 300), (other, 200)):
        alarms(detector, happens(0.1, number, seed=21), 1e-7)
    held = one.evidence
    one.merge(other)
    assert one.evidence == held


def test_a_worker_that_has_no_baseline_yet_takes_over_the_others() -> None:
    one, other = RateDetector(500), RateDetector(500)
    alarms(one, happens(0.1, 100, seed=12), 1e-7)
    alarms(other, happens(0.1, 700, seed=13), 1e-7)
    one.merge(other)
    assert one.baseline == pytest.approx(0.1, abs=0.03)
    assert one.observations == 700


@pytest.mark.parametrize(
    "damage", [{"hits": []}, {"factors": [[1.0]]}, {"categories": ["x"]}, {"runs": []}, {"observations": "many"}]
)
def test_a_state_that_does_not_fit_is_refused(damage: dict[str, object]) -> None:
    detector = RateDetector(100)
    alarms(detector, happens(0.1, 150, seed=14), 1e-7)
    with pytest.raises((KeyError, TypeError, ValueError)):
        RateDetector(100).restore({**detector.state(), **damage})


def answers(shares: dict[str, float], number: int, seed: int) -> list[str]:
    return random.Random(seed).choices(list(shares), list(shares.values()), k=number)


BEFORE = {"stop": 0.9, "length": 0.06, "tool_calls": 0.04}


def test_a_category_that_becomes_frequent_is_named() -> None:
    detector = CategoryDetector(1000, 8000)
    for category in answers(BEFORE, 8000, seed=15):
        assert detector.update(category, 1e-5) is None
    shifts = [
        detector.update(category, 1e-5)
        for category in answers({"stop": 0.75, "length": 0.21, "tool_calls": 0.04}, 1000, seed=16)
    ]
    (found,) = [shift for shift in shifts if shift is not None]
    assert (found.category, found.direction) == ("length", "up")
    assert found.before == pytest.approx(0.06, abs=0.02)
    assert found.after == pytest.approx(0.21, abs=0.1)


def test_a_category_nobody_has_seen_before_is_found_among_the_others() -> None:
    detector = CategoryDetector(1000, 8000)
    for category in answers(BEFORE, 4000, seed=17):
        assert detector.update(category, 1e-5) is None
    found = [shift for number in range(20) if (shift := detector.update(f"model-{number}", 1e-5))]
    assert [shift.category for shift in found] == ["(other)"]


def test_categories_raise_no_more_false_alarms_than_what_was_spent() -> None:
    detector = CategoryDetector(1000, 8000)
    found = [shift for one in answers(BEFORE, 60_000, seed=18) if (shift := detector.update(one, ONE_IN_1000))]
    assert len(found) <= 60


def test_categories_go_on_from_their_state() -> None:
    for number in (100, 3000):
        one, other = CategoryDetector(500), CategoryDetector(500)
        for category in answers(BEFORE, number, seed=19):
            one.update(category, 1e-5)
        other.restore(json.loads(json.dumps(one.state())))
        for category in answers({"stop": 0.8, "length": 0.2}, 500, seed=20):
            assert one.update(category, 1e-5) == other.update(category, 1e-5)
        assert one.state() == other.state()


def test_a_rise_that_is_being_found_does_not_become_the_baseline_at_the_next_doubling() -> None:
    draw = random.Random(5).random
    detector = RateDetector(500, 8000)
    shift, seen = None, 0
    while shift is None:
        seen += 1
        assert seen < 8000
        shift = detector.update(0 if draw() < (0.02 if seen <= 500 else 0.07) else -1, 1e-7, seen)
    assert seen > 1000  # past a doubling, at which more than 2 % had been seen
    assert shift.before is not None
    assert shift.before < 0.025
    state = RateDetector(500, 8000)
    other = RateDetector(500, 8000)
    for number in range(1500):
        state.update(0 if number % 50 == 0 else -1, 1e-9, number)
    other.restore(state.state())
    without = {key: value for key, value in state.state().items() if key != "bounds"}  # as kept by an older version
    old = RateDetector(500, 8000)
    old.restore(without)
    assert (other.baseline, old.baseline) == (state.baseline, state.baseline)
