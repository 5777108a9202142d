from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from otel_llm.delivery.account import Account
from otel_llm.delivery.age import WaitingTime
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock


def ages(metrics: Metrics) -> dict[str, float]:
    [family] = [family for family in metrics.collect() if family.definition.name == "otel_llm.delivery.queue.age"]
    return {dict(one.attributes)["otel_llm.signal"]: one.value for one in family.series}


def test_the_age_is_that_of_the_oldest_item_and_nothing_when_all_have_left() -> None:
    clock, metrics = FakeClock(), Metrics()
    account = Account("test", metrics, clock)
    account.accept("traces", 3)
    account.accept("logs", 1)
    assert ages(metrics) == {"traces": 0.0, "logs": 0.0}
    clock.advance(15)
    account.accept("traces", 2)
    account.export("logs", 1)
    assert ages(metrics) == {"traces": 15.0, "logs": 0.0}
    clock.advance(15)
    account.export("traces", 2)
    assert ages(metrics)["traces"] == 30.0
    account.drop("traces", 1, "rejected")
    assert ages(metrics)["traces"] == 15.0, "the two that came later are the oldest now"
    account.export("traces", 2)
    assert ages(metrics)["traces"] == 0.0


def test_what_never_waited_says_nothing_about_what_does() -> None:
    clock, metrics = FakeClock(), Metrics()
    account = Account("test", metrics, clock)
    account.accept("traces", 1)
    assert ages(metrics) == {"traces": 0.0}
    clock.advance(60)
    account.refuse_room("traces", 100, "queue_full")
    assert ages(metrics) == {"traces": 60.0}


# Each step: seconds that pass, items that come, items of those waiting that leave (as many as there are).
STEPS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), st.integers(0, 5)), max_size=60)


@given(STEPS)
def test_it_is_never_more_than_the_truth_and_less_by_no_more_than_the_time_between_two_looks(
    steps: list[tuple[int, int, int]],
) -> None:
    waiting, arrivals = WaitingTime(), deque[int]()
    now = entered = left = longest_pause = 0
    for pause, come, go in steps:
        now += pause
        longest_pause = max(longest_pause, pause)
        arrivals.extend([now] * come)
        entered += come
        for _ in range(min(go, len(arrivals))):
            arrivals.popleft()
            left += 1
        truth = now - arrivals[0] if arrivals else 0
        assert truth - longest_pause <= waiting.at_least(now, entered, left) <= truth


def test_an_outage_of_any_length_takes_a_bounded_number_of_marks_and_keeps_the_first() -> None:
    waiting = WaitingTime()
    for second in range(10_000):
        assert waiting.at_least(second, second + 1, 0) == second
    assert len(waiting.marks) <= 512
