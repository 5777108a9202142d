from __future__ import annotations

import json
import random

import pytest

from otel_llm.quality.drift import Alarm, Monitor, Settings, features_of

SECOND = 1_000_000_000
DAY = 86_400
SHOP = ("shop", "gpt-4o")


def monitor(seed: int = 0, **settings: object) -> Monitor:
    return Monitor(Settings(**settings), random.Random(seed).random)  # type: ignore[arg-type] # fields of Settings


def test_false_alarms_of_the_whole_fleet_stay_within_the_one_budget() -> None:
    """Ten segments of very different traffic, three signals each, nothing changes: 60 alarms allowed in all."""
    draw = random.Random(1)
    one = monitor(false_alarms=60, period_seconds=DAY, reference=300, reference_limit=2400)
    found: list[Alarm] = []
    now = 0
    for _ in range(40_000):
        now += DAY * SECOND // 40_000
        segment = min(int(draw.expovariate(0.5)), 9)
        values = {
            "error": draw.random() < 0.02 * (segment + 1),
            "seconds": draw.expovariate(1),
            "end": draw.choice("ab"),
        }
        found += one.observe((str(segment),), values, now)
    assert one.spent <= 60
    assert len(found) <= 60
    assert one.spent > 30  # a budget that is not spent finds nothing


def test_an_alarm_says_which_signal_of_which_segment_moved() -> None:
    draw = random.Random(2)
    one = monitor(reference=500, reference_limit=4000)
    found: list[Alarm] = []
    for number in range(6000):
        for segment, rate in ((SHOP, 0.02 if number < 4000 else 0.2), (("help", "gpt-4o"), 0.02)):
            values = {"refusal": draw.random() < rate, "seconds": draw.expovariate(1)}
            found += one.observe(segment, values, number * 10 * SECOND)
    (alarm,) = found
    assert (alarm.segment, alarm.signal, alarm.shift.direction) == (SHOP, "refusal", "up")
    assert 4000 <= alarm.unix_nano // SECOND // 10 < 4200
    assert alarm.shift.since_unix_nano // SECOND // 10 == pytest.approx(4000, abs=40)


def test_a_declared_rate_needs_no_baseline() -> None:
    one = monitor(declared={"error": 0.01}, reference=10**9)
    found = [alarm for number in range(100) for alarm in one.observe(SHOP, {"error": True}, number * SECOND)]
    assert found
    assert found[0].shift.before == 0.01


def test_the_segment_not_seen_for_longest_makes_room() -> None:
    one = monitor(most_segments=2)
    for name in ("a", "b", "a", "c"):
        one.observe((name,), {"error": False}, 1)
    assert {watched.segment for watched in one.watched()} == {("a",), ("c",)}
    assert one.evicted == 1


def test_a_value_of_another_kind_than_the_signal_has_says_nothing() -> None:
    one = monitor()
    for value in (True, 1.5, "text", features_of("text")):
        one.observe(SHOP, {"x": value}, 1)
    (watched,) = one.watched()
    assert watched.observations == 1


def test_time_that_goes_back_or_leaps_spends_no_more_than_an_hour() -> None:
    one = monitor(false_alarms=24, period_seconds=DAY)
    for now in (1000, 10, 10**6, 10):
        one.observe(SHOP, {"error": False}, now * DAY * SECOND)
    assert one.spent == pytest.approx(1)


def filled(seed: int, number: int = 900) -> Monitor:
    draw = random.Random(seed)
    one = monitor(seed, reference=200, text_reference=50)
    for at in range(number):
        values = {
            "error": draw.random() < 0.1,
            "seconds": draw.expovariate(1),
            "end": draw.choice(["stop", "length"]),
            "input": features_of(draw.choice(["how are you", "where am i"])),
        }
        one.observe((draw.choice("ab"),), values, at * 60 * SECOND)
    return one


def test_it_goes_on_from_its_state_as_if_nothing_had_been() -> None:
    one, other = filled(3), monitor(reference=200, text_reference=50)
    other.restore(json.loads(json.dumps(one.state())))
    assert other.watched() == one.watched()
    assert other.state() == one.state()
    assert other.spent == one.spent


def test_monitors_of_two_workers_merge() -> None:
    one, other = filled(4), filled(5)
    sums: dict[tuple[tuple[str, ...], str], float] = {}
    for watched in (*one.watched(), *other.watched()):
        if watched.signal in ("error", "seconds"):
            key = (watched.segment, watched.signal)
            sums[key] = sums.get(key, 0.0) + watched.evidence
    spent = one.spent + other.spent
    one.merge(other)
    merged = {(watched.segment, watched.signal): watched.evidence for watched in one.watched()}
    for key, evidence in sums.items():
        assert merged[key] == pytest.approx(evidence)
    assert one.spent == pytest.approx(spent)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"version": 2, "most_detectors": 1, "spent": 0, "segments": []},
        {"version": 1, "most_detectors": 1, "spent": 0, "segments": [[["a"], {"x": {"kind": "unknown"}}]]},
        {"version": 1, "most_detectors": 1, "spent": 0, "segments": [[["a"], {"x": {"kind": "scalar"}}]]},
        {"version": 1, "most_detectors": "x", "spent": 0, "segments": []},
        {"version": 1, "most_detectors": 1, "spent": 0, "segments": [["a"]]},
        {"version": 1, "most_detectors": 1, "spent": 0, "segments": 7},
    ],
)
def test_a_state_that_is_none_is_refused_and_nothing_is_lost(state: dict[str, object]) -> None:
    one = filled(6)
    before = one.state()
    with pytest.raises(ValueError, match="not the state of a monitor"):
        one.restore(state)
    assert one.state() == before
