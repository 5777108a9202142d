from __future__ import annotations

import random
from decimal import Decimal

import pytest

from otel_llm.quality.judges import Sampling
from otel_llm.quality.judges.limits import DailySpending, Rate

HOUR = 3600 * 10**9


def traces(number: int) -> list[bytes]:
    draw = random.Random(1)
    return [draw.randbytes(16) for _ in range(number)]


def test_so_many_are_taken_as_was_asked_for() -> None:
    sampling = Sampling()
    taken = sum(sampling.takes(trace, 0.1) for trace in traces(20_000))
    assert taken == pytest.approx(2000, abs=150)
    assert all(sampling.takes(trace, 1.0) for trace in traces(100))
    assert not any(sampling.takes(trace, 0.0) for trace in traces(100))


def test_every_judge_takes_the_same_traces_and_more_of_them_at_a_higher_share() -> None:
    few = [trace for trace in traces(2000) if Sampling().takes(trace, 0.1)]
    assert few == [trace for trace in traces(2000) if Sampling().takes(trace, 0.1)]
    assert all(Sampling().takes(trace, 0.2) for trace in few)
    assert few != [trace for trace in traces(2000) if Sampling(salt="x").takes(trace, 0.1)]


def test_what_looks_bad_is_taken_more_often() -> None:
    sampling = Sampling(flagged=0.5, others=0.01)
    assert sampling.probability(is_flagged=True) == 0.5
    assert sampling.probability(is_flagged=False) == 0.01


def test_requests_are_spread_over_the_minute() -> None:
    rate = Rate(60)
    now, made = 0.0, 0
    while now < 60:
        wait = rate.wait_seconds(now)
        made += wait == 0.0
        now += wait + 0.001
    assert 60 <= made <= 67  # a tenth of them may come at once


def test_tokens_are_spread_and_what_is_more_than_the_bucket_holds_is_paid_off_afterwards() -> None:
    rate = Rate(6000)  # 600 at once, 100 a second
    assert rate.wait_seconds(0.0, 500) == 0.0
    assert rate.wait_seconds(0.0, 500) == pytest.approx(4.0)
    assert rate.wait_seconds(4.0, 500) == 0.0
    assert rate.wait_seconds(10.0, 5000) == 0.0  # never: it would wait for ever
    assert rate.wait_seconds(10.0, 1) == pytest.approx(44.01)
    rate.give_back(4400)
    assert rate.wait_seconds(10.0, 1) == pytest.approx(0.01)


def test_money_is_set_aside_before_it_is_spent() -> None:
    spending = DailySpending(Decimal("1.00"))
    assert spending.reserve(Decimal("0.60"), 0)
    assert not spending.reserve(Decimal("0.60"), 0)  # both at once would pass the limit
    spending.settle(Decimal("0.60"), Decimal("0.10"), 0)
    assert spending.reserve(Decimal("0.60"), HOUR)
    assert spending.spent(HOUR) == Decimal("0.70")


def test_a_day_has_its_own_money_and_a_clock_that_goes_back_gives_none() -> None:
    spending = DailySpending(Decimal(1))
    assert spending.reserve(Decimal(1), 30 * HOUR)
    assert not spending.reserve(Decimal(1), 2 * HOUR)
    assert spending.reserve(Decimal(1), 50 * HOUR)
    assert spending.spent(50 * HOUR) == 1
