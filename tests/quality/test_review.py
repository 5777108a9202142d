from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from otel_llm.quality.review import Case, Opinion, make_queue

GOOD = Opinion("helpful", 0.9, "", "model", "judge")
POOR = Opinion("helpful", 0.1, "", "model", "judge")
UNSURE = Opinion("helpful", 0.5, "", "model", "judge")
STARS = Opinion("stars", 4.0, "", "human", "user")


def case(number: int, *opinions: Opinion, flags: tuple[str, ...] = (), is_hedged: bool = False) -> Case:
    return Case(number.to_bytes(24, "big"), flags, is_hedged, opinions)


def human(who: str) -> Opinion:
    return Opinion("review", 1.0, "good", "human", who)


def reasons(*cases: Case) -> list[str]:
    by_key = {one.case.key: one.reason for one in make_queue(cases, "review", "ann", 100)}
    return [by_key[case.key] for case in cases]


def test_disagreement_is_between_opinions_and_between_opinion_and_signals() -> None:
    thumbs = Opinion("user_feedback", 0.0, "thumbs_down", "human", "user")
    assert reasons(case(1, GOOD, thumbs), case(2, GOOD, flags=("refusal",)), case(3, POOR)) == ["disagreement"] * 3
    assert (
        reasons(case(1, POOR, flags=("refusal",)), case(2, GOOD, flags=("slow",)), case(3, GOOD, STARS))
        == ["random"] * 3
    )


def test_low_confidence_is_a_middling_score_a_label_or_a_hedge() -> None:
    cannot = Opinion("helpful", None, "cannot_tell", "model", "judge")
    assert reasons(case(1, UNSURE), case(2, cannot), case(3, is_hedged=True)) == ["low_confidence"] * 3


def test_what_somebody_has_labelled_does_not_come_back_to_them_and_rarely_to_others() -> None:
    cases = [case(number, human("ann")) for number in range(1000)]
    assert make_queue(cases, "review", "ann", 1000) == []
    assert 60 < len(make_queue(cases, "review", "bob", 1000)) < 140
    assert len(make_queue(cases, "other", "ann", 1000)) == 1000


def test_a_fifth_of_the_queue_is_drawn_at_random_with_its_probability() -> None:
    cases = [case(number, POOR) for number in range(100)] + [case(number) for number in range(100, 600)]
    queue = make_queue(cases, "review", "ann", 50)
    assert [one.reason for one in queue[:10]] == (["disagreement"] * 4 + ["random"]) * 2
    assert {one.probability for one in queue if one.reason == "random"} == {10 / 500}
    assert {one.probability for one in queue if one.reason != "random"} == {None}


@given(st.lists(st.sampled_from([(), (GOOD,), (POOR,), (UNSURE,), (GOOD, POOR)]), max_size=60), st.integers(1, 40))
def test_a_queue_is_within_its_limit_and_has_no_case_twice(opinions: list[tuple[Opinion, ...]], limit: int) -> None:
    cases = [case(number, *one) for number, one in enumerate(opinions)]
    queue = make_queue(cases, "review", "ann", limit)
    assert len(queue) == min(limit, len(cases))
    assert len({one.case.key for one in queue}) == len(queue)
    assert queue == make_queue(list(reversed(cases)), "review", "ann", limit)
