from __future__ import annotations

import json
import random
import statistics

import pytest

from otel_llm.quality.compare import Comparison, Guardrail, Result, Settings

ERROR = Guardrail("error", 0.02)
SECONDS = Guardrail("seconds", 0.15, is_rate=False)


def compare(
    comparison: Comparison, control: float, canary: float, pairs: int, seed: int, controls_each: int = 1
) -> tuple[Result | None, int]:
    """The result that decided, and after how many canaries; None and all of them when nothing did."""
    draw = random.Random(seed).random
    for number in range(1, pairs + 1):
        for _ in range(controls_each):
            assert comparison.observe("control", {"error": draw() < control}) is None or controls_each > 1
        result = comparison.observe("canary", {"error": draw() < canary})
        if result is not None:
            return result, number
    return None, pairs


def test_a_canary_that_fails_more_often_is_rolled_back_within_2000_pairs() -> None:
    ends = []
    for seed in range(15):
        result, number = compare(Comparison(Settings([ERROR])), 0.05, 0.08, 8000, seed)
        assert result is not None
        assert (result.verdict, result.because) == ("roll_back", "error")
        ends.append(number)
    assert statistics.median(ends) <= 2000


def test_a_canary_that_is_no_worse_is_rolled_back_in_no_more_than_alpha_of_cases_however_often_one_looks() -> None:
    alpha, runs = 0.1, 120
    wrong = 0
    for seed in range(runs):
        settings = Settings([Guardrail("error", 0.0)], alpha)
        result, _ = compare(Comparison(settings), 0.2, 0.2, 1500, seed)
        wrong += result is not None and result.verdict == "roll_back"
    assert wrong <= alpha * runs


def test_a_canary_that_is_as_good_is_promoted() -> None:
    result, _ = compare(Comparison(Settings([ERROR])), 0.05, 0.05, 40_000, seed=1)
    assert result is not None
    assert (result.verdict, result.because) == ("promote", None)
    (standing,) = result.standings
    assert standing.safe >= standing.safe_decides
    assert standing.control == pytest.approx(0.05, abs=0.01)
    assert standing.canary == pytest.approx(0.05, abs=0.01)


def test_a_canary_that_is_worse_than_bearable_is_promoted_in_no_more_than_alpha_of_cases() -> None:
    alpha, runs = 0.1, 60
    verdicts = [compare(Comparison(Settings([ERROR], alpha)), 0.05, 0.075, 3000, seed)[0] for seed in range(runs)]
    assert sum(result is not None and result.verdict == "promote" for result in verdicts) <= alpha * runs


def test_more_controls_for_each_canary_find_it_sooner() -> None:
    few, many = (
        statistics.median(compare(Comparison(Settings([ERROR])), 0.05, 0.09, 8000, seed, each)[1] for seed in range(9))
        for each in (1, 8)
    )
    assert many < few


def test_what_gets_slower_is_rolled_back_and_what_changes_for_both_says_nothing() -> None:
    draw = random.Random(2)
    slower, slow = Comparison(Settings([SECONDS])), Comparison(Settings([SECONDS]))
    for number in range(3000):
        load = 1 + number / 300  # for both of them
        slower.observe("control", {"seconds": load * draw.expovariate(1)})
        slower.observe("canary", {"seconds": load * draw.expovariate(1) * 1.5})
        slow.observe("control", {"seconds": load * draw.expovariate(1)})
        slow.observe("canary", {"seconds": load * draw.expovariate(1)})
    assert slower.result.verdict == "roll_back"
    assert slow.result.verdict == "promote"


def test_one_bad_guardrail_is_enough_and_all_good_ones_are_needed() -> None:
    draw = random.Random(3).random
    guardrails = [ERROR, Guardrail("refusal", 0.02), SECONDS]
    one = Comparison(Settings(guardrails))
    result = None
    while result is None:
        one.observe("control", {"error": draw() < 0.05, "refusal": draw() < 0.02, "seconds": draw(), "else": 1})
        result = one.observe("canary", {"error": draw() < 0.05, "refusal": draw() < 0.2, "seconds": draw()})
    assert (result.verdict, result.because) == ("roll_back", "refusal")
    assert [standing.signal for standing in result.standings] == ["error", "refusal", "seconds"]
    assert result.standings[1].worse_decides == pytest.approx(300)


def test_a_decision_stands() -> None:
    one = Comparison(Settings([ERROR]))
    compare(one, 0.05, 0.5, 1000, seed=4)
    before = one.result
    assert before.verdict == "roll_back"
    assert one.observe("canary", {"error": 0.0}) is None
    assert one.result == before


def test_a_canary_without_a_control_is_not_judged() -> None:
    one = Comparison(Settings([ERROR]))
    for _ in range(5000):
        assert one.observe("canary", {"error": 1.0}) is None
    assert one.result.standings[0].blocks == 0
    for _ in range(5000):
        one.observe("control", {"error": 0.0})
    assert one.result.standings[0].blocks < 300  # what waited is bounded


def test_it_goes_on_from_its_state() -> None:
    settings = Settings([ERROR, SECONDS])
    one, other = Comparison(settings), Comparison(settings)
    compare(one, 0.05, 0.06, 500, seed=5)
    other.restore(json.loads(json.dumps(one.state())))
    assert other.result == one.result
    assert compare(one, 0.05, 0.3, 500, seed=6) == compare(other, 0.05, 0.3, 500, seed=6)


def test_what_two_workers_have_seen_decides_together() -> None:
    ours, theirs = Comparison(Settings([ERROR], 1e-4)), Comparison(Settings([ERROR], 1e-4))
    for one, seed in ((ours, 7), (theirs, 8)):
        compare(one, 0.05, 0.15, 200, seed)
        assert one.result.verdict == "keep_watching"
    ours.merge(theirs)
    assert ours.result.verdict == "roll_back"
    assert ours.result.standings[0].blocks == 400


@pytest.mark.parametrize(
    "damage",
    [{"verdict": "perhaps"}, {"version": 9}, {"signals": {}}, {"signals": {"error": {"worse": [1]}}}, {"signals": 1}],
)
def test_a_state_that_is_none_is_refused(damage: dict[str, object]) -> None:
    one = Comparison(Settings([ERROR]))
    with pytest.raises(ValueError, match="not the state of this comparison"):
        one.restore({**one.state(), **damage})
