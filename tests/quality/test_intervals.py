from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.quality.intervals import beta_probability, lower_bound, upper_bound


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    # Two-sided 95 % intervals of Clopper and Pearson, to four places.
    [(0, 10, 0.0, 0.3085), (1, 10, 0.0025, 0.4450), (5, 100, 0.0164, 0.1128), (10, 10, 0.6915, 1.0)],
)
def test_bounds_are_those_of_the_tables(hits: int, trials: int, low: float, high: float) -> None:
    assert lower_bound(hits, trials, 0.025) == pytest.approx(low, abs=5e-5)
    assert upper_bound(hits, trials, 0.025) == pytest.approx(high, abs=5e-5)


@given(st.integers(1, 300), st.data(), st.floats(0.0001, 0.4))
def test_at_the_bound_so_few_hits_are_as_unlikely_as_was_asked_for(
    trials: int, data: st.DataObject, risk: float
) -> None:
    hits = data.draw(st.integers(0, trials - 1))
    share = upper_bound(hits, trials, risk)
    so_few = sum(math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(hits + 1))
    assert so_few == pytest.approx(risk, rel=1e-6)


@given(st.floats(0.001, 0.999), st.floats(0.5, 1000), st.floats(0.5, 1000))
def test_the_beta_distribution_is_the_mirror_of_itself(x: float, a: float, b: float) -> None:
    assert beta_probability(x, a, b) + beta_probability(1 - x, b, a) == pytest.approx(1, abs=1e-9)
