from __future__ import annotations

import json
import random
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.quality.regression import (
    BaselineError,
    Case,
    CaseError,
    CaseResult,
    compare,
    read_baseline,
    read_cases,
    run_cases,
    write_baseline,
)
from otel_llm.quality.regression.cases import score
from otel_llm.quality.regression.reports import junit, markdown, sentence


def results(rates: list[float], seed: int, repetitions: int = 4) -> list[CaseResult]:
    draw = random.Random(seed).random
    return [
        CaseResult(f"c{number}", tuple(float(draw() < rate) for _ in range(repetitions)))
        for number, rate in enumerate(rates)
    ]


def by_id(found: list[CaseResult]) -> dict[str, CaseResult]:
    return {one.id: one for one in found}


def test_noise_is_called_worse_in_no_more_than_alpha_of_cases() -> None:
    rates = [random.Random(1).random() for _ in range(30)]
    wrong = sum(
        compare(results(rates, seed), by_id(results(rates, seed + 1000)), alpha=0.1).outcome == "worse"
        for seed in range(100)
    )
    assert wrong <= 17  # of 100 at 10 %: more has a probability of 1 %


def test_many_cases_that_fail_a_little_more_often_are_worse() -> None:
    before, after = results([0.9] * 60, seed=1), results([0.6] * 60, seed=2)
    verdict = compare(after, by_id(before))
    assert verdict.outcome == "worse"
    assert verdict.worse_probability < 0.01
    assert compare(before, by_id(after)).outcome == "better"


def test_with_a_few_cases_the_probability_is_exact() -> None:
    before = by_id([CaseResult(f"c{n}", (1.0,)) for n in range(10)])
    for failing, expected in ((1, 1 / 2), (4, 1 / 16), (5, 1 / 32)):
        after = [CaseResult(f"c{n}", (0.0 if n < failing else 1.0,)) for n in range(10)]
        verdict = compare(after, before)
        assert verdict.worse_probability == expected
        assert verdict.outcome == ("worse" if expected <= 0.05 else "same")
        assert len(verdict.broken) == failing


def test_the_same_results_say_the_same_each_time() -> None:
    before, after = by_id(results([0.7] * 40, seed=3)), results([0.6] * 40, seed=4)
    assert compare(after, before) == compare(after, before)


def test_only_cases_in_both_are_compared_and_the_others_named() -> None:
    before = by_id([CaseResult("a", (1.0,)), CaseResult("gone", (0.0,))])
    verdict = compare([CaseResult("a", (1.0,)), CaseResult("new", (0.0,))], before)
    assert (verdict.added, verdict.missing) == (("new",), ("gone",))
    assert (verdict.before, verdict.after, verdict.outcome) == (1.0, 1.0, "same")
    assert compare([CaseResult("a", (1.0,))], {}).outcome == "no_baseline"


SCORES = st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=1, max_size=4)


@given(st.dictionaries(st.text(min_size=1), st.tuples(SCORES, SCORES), max_size=20))
def test_probabilities_are_probabilities_and_a_baseline_reads_as_it_was_written(
    cases: dict[str, tuple[list[float], list[float]]],
) -> None:
    before = [CaseResult(id_, tuple(one)) for id_, (one, _) in cases.items()]
    after = [CaseResult(id_, tuple(other)) for id_, (_, other) in cases.items()]
    kept = read_baseline(write_baseline(before))
    assert dict(kept) == by_id(before)
    verdict = compare(after, kept)
    assert 0 < verdict.worse_probability <= 1
    assert 0 < verdict.better_probability <= 1
    ET.fromstring(junit("x", after, verdict, is_failed=False))  # noqa: S314 - our own text
    assert sentence(verdict) in markdown("x", after, verdict)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "scores": {}}',
        '{"version": 1, "scores": {"a": []}}',
        '{"version": 1, "scores": {"a": [2]}}',
        '{"version": 1, "scores": {"a": ["x"]}}',
        '{"version": 1, "scores": [1]}',
        '{"version": 1, "scores": {"a": [NaN]}}',
    ],
)
def test_what_is_no_baseline_is_refused(text: str) -> None:
    with pytest.raises(BaselineError):
        read_baseline(text)


def test_a_data_set_is_read_line_by_line_and_every_problem_said() -> None:
    good = '{"id": "a", "input": {"x": 1}, "expected": "y", "checks": {"contains": ["y"]}}\n\n'
    (case,) = read_cases(good.splitlines())
    assert case == Case("a", {"x": 1}, "y", {"contains": ["y"]})
    wrong = [
        good.strip(),
        "not json",
        "[1]",
        '{"id": "b"}',
        '{"id": "a", "input": 1}',
        '{"id": "c", "input": 1, "chekcs": {}}',
        '{"id": "d", "input": 1, "checks": {"sounds_like": 1}}',
        '{"id": "e", "input": 1, "checks": {"matches": "("}}',
        '{"id": "f", "input": 1, "checks": [1]}',
    ]
    with pytest.raises(CaseError) as error:
        read_cases(wrong)
    assert [problem.partition(":")[0] for problem in error.value.problems] == [f"line {n}" for n in range(2, 10)]


@pytest.mark.parametrize(
    ("checks", "answer", "expected"),
    [
        ({"equals": "Paris"}, " Paris\n", 1.0),
        ({"contains": ["paris", "France"]}, "PARIS, france", 1.0),
        ({"contains": ["paris", "Rome"]}, "Paris", 0.0),
        ({"contains_not": "sorry"}, "I am Sorry", 0.0),
        ({"matches": "^[0-9]+$"}, "42", 1.0),
        ({"is_json": True}, '{"a": 1}', 1.0),
        ({"is_json": True}, "{", 0.0),
        ({"is_json": False}, "{", 1.0),
        ({"characters_at_most": 3}, "four", 0.0),
        ({}, "anything", 1.0),
    ],
)
def test_checks_say_whether_an_answer_is_good(checks: dict[str, object], answer: str, expected: float) -> None:
    assert score(Case("x", "?", None, checks), answer) == expected


def test_an_answer_is_compared_with_what_was_expected_whatever_its_type() -> None:
    assert score(Case("x", "?", {"a": 1}), {"a": 1}) == 1.0
    assert score(Case("x", "?", {"a": 1}), {"a": 2}) == 0.0
    assert score(Case("x", "?", "yes"), "yes ") == 1.0


def test_each_case_is_run_so_many_times_and_what_raises_scores_nothing() -> None:
    calls: list[object] = []

    def answer(asked: object) -> str:
        calls.append(asked)
        if asked == "boom":
            raise ZeroDivisionError
        return str(asked)

    ticks = iter(range(1000))
    cases = [Case("good", "a", "a"), Case("bad", "b", "c"), Case("broken", "boom")]
    good, bad, broken = run_cases(cases, answer, lambda: float(next(ticks)), repetitions=3)
    assert len(calls) == 9
    assert (good.scores, bad.scores, broken.scores) == ((1.0,) * 3, (0.0,) * 3, (0.0,) * 3)
    assert broken.problems == ("ZeroDivisionError",) * 3
    assert good.seconds == (1.0,) * 3


def test_an_evaluator_scores_in_place_of_checks_and_within_its_bounds() -> None:
    cases = [Case("a", 0.5), Case("b", 7.0), Case("c", float("nan"))]
    found = run_cases(cases, lambda asked: asked, lambda: 0.0, lambda _, answer: float(str(answer)))
    assert [one.scores for one in found] == [(0.5,), (0.0,), (0.0,)]
    assert found[1].problems == ("ScoreOutOfRange",)


def test_junit_says_failure_only_of_what_is_broken_and_holds_any_text() -> None:
    odd = 'a"<&\x00\ud800'
    before = by_id([CaseResult(odd, (1.0,)), CaseResult("flaky", (1.0, 0.0))])
    after = [CaseResult(odd, (0.0,), (0.5,), ("KeyError",)), CaseResult("flaky", (0.0, 1.0), (0.1, 0.1))]
    suite = ET.fromstring(junit("my set", after, compare(after, before), is_failed=True))[0]  # noqa: S314 - our own text
    assert suite.attrib == {"name": "my set", "tests": "3", "failures": "2", "errors": "0", "skipped": "1"}
    kinds = [[child.tag for child in case] for case in suite]
    assert kinds == [["failure"], ["skipped"], ["failure"]]
    assert "KeyError" in suite[0][0].attrib["message"]


def test_markdown_cannot_be_broken_out_of() -> None:
    after = [CaseResult("a|b`<script>\n# x", (0.0,))]
    text = markdown("n", after, compare(after, by_id([CaseResult("a|b`<script>\n# x", (1.0,))])))
    assert "<script>" not in text
    assert "\n# x" not in text
    assert json.dumps(text)
