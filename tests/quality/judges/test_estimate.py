from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.quality.judges import Case, agreement, estimate
from otel_llm.quality.judges.estimate import Method

METHODS: tuple[Method, ...] = ("labels", "ppi", "stratified")
TRUTH = 0.3


def judged(seed: int, misses: float = 0.2, false_alarms: float = 0.05, labels: int = 100) -> list[Case]:
    """A thousand answers, three in ten of them bad, and a judge; people saw so many of them."""
    draw = random.Random(seed)
    seen = set(draw.sample(range(1000), labels))
    found = []
    for number in range(1000):
        human = draw.random() < TRUTH
        wrong = draw.random() < (misses if human else false_alarms)
        label = float(human) if number in seen else None
        found.append(Case(float(human != wrong), label, human_probability=labels / 1000))
    return found


@pytest.mark.parametrize("method", METHODS)
def test_the_interval_covers_the_truth_as_often_as_it_says(method: Method) -> None:
    found = [estimate(judged(seed), method) for seed in range(200)]
    covered = sum(one is not None and one.low <= TRUTH <= one.high for one in found) / 200
    assert 0.92 <= covered <= 0.985  # of 200; benchmarks/judges.py has the figure


@pytest.mark.parametrize("method", ["ppi", "stratified"])
def test_a_judge_makes_labels_worth_twice_as_many(method: Method) -> None:
    found = [estimate(judged(seed, misses=0.1), method) for seed in range(20)]
    assert sum(one.worth for one in found if one is not None) / 20 >= 200


@pytest.mark.parametrize("method", METHODS)
def test_a_judge_that_knows_nothing_does_no_harm(method: Method) -> None:
    found = [estimate(judged(seed, misses=0.5, false_alarms=0.5), method) for seed in range(30)]
    values = [one for one in found if one is not None]
    assert sum(one.value for one in values) / 30 == pytest.approx(TRUTH, abs=0.03)
    assert sum(one.worth for one in values) / 30 > 85


@pytest.mark.parametrize("method", METHODS)
def test_a_biased_judge_and_labels_that_prefer_failures_give_no_biased_estimate(method: Method) -> None:
    values = []
    for seed in range(60):
        draw = random.Random(seed)
        cases = []
        for _ in range(800):
            human = draw.random() < TRUTH
            judge = human and draw.random() < 0.6
            sampled = 1.0 if judge else 0.5
            if draw.random() >= sampled:
                continue  # judged half of what did not look bad
            shown = 0.4 if judge else 0.1
            cases.append(Case(float(judge), float(human) if draw.random() < shown else None, sampled, shown))
        found = estimate(cases, method)
        assert found is not None
        values.append(found.value)
    assert sum(values) / 60 == pytest.approx(TRUTH, abs=0.025)


def test_a_few_labels_say_nothing() -> None:
    assert estimate(judged(1, labels=9)) is None
    assert estimate([]) is None


@pytest.mark.parametrize("method", METHODS)
def test_labels_that_are_all_the_same_are_not_taken_for_certainty(method: Method) -> None:
    cases = [Case(0.0, 0.0 if number < 30 else None, human_probability=0.1) for number in range(300)]
    found = estimate(cases, method)
    assert found is not None
    assert found.value == 0.0
    assert found.high > 0.02


ANSWERS = st.builds(
    Case,
    judge=st.floats(0, 1),
    human=st.none() | st.floats(0, 1),
    probability=st.floats(0.001, 1),
    human_probability=st.floats(0.001, 1),
    stratum=st.sampled_from(["", "a", "b"]),
)


@given(st.lists(ANSWERS, max_size=60), st.sampled_from(METHODS))
def test_an_estimate_is_a_share_within_its_interval(cases: list[Case], method: Method) -> None:
    found = estimate(cases, method)
    if found is not None:
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_agreement_is_that_of_the_textbook() -> None:
    # Fleiss, Levin and Paik, "Statistical Methods for Rates and Proportions", the form of table 18.1.
    pairs = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    found = agreement(pairs)
    assert found.kappa == pytest.approx(0.4)
    assert found.share == pytest.approx(0.7)
    assert found.low is not None
    assert found.high is not None
    # The large-sample error of this table is 0.127.
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.127, rel=0.06)


def test_a_judge_below_the_bar_or_with_few_labels_is_not_calibrated() -> None:
    good = [("pass", "pass")] * 60 + [("fail", "fail")] * 30 + [("pass", "fail")] * 10
    assert agreement(good).is_calibrated()
    assert not agreement(good[:99]).is_calibrated()
    assert not agreement([*good[:70], *[("fail", "pass")] * 30]).is_calibrated()
    assert not agreement([("cannot_tell", "pass")] * 50 + [("fail", "fail")] * 50).is_calibrated()


def test_labels_that_are_all_the_same_say_nothing_about_a_judge() -> None:
    found = agreement([("pass", "pass")] * 200)
    assert (found.kappa, found.share, found.labels) == (None, 1.0, 200)
    assert not found.is_calibrated()
    assert agreement([]).kappa is None
