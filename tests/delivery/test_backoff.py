from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from otel_llm.delivery.backoff import LONGEST_RETRY_AFTER_SECONDS, Backoff


def test_the_upper_end_doubles_up_to_the_longest_and_begins_again_after_a_reset() -> None:
    backoff = Backoff(1.0, 30.0, lambda: 1.0)
    assert [backoff.next(None) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    backoff.reset()
    assert backoff.next(None) == 1


def test_jitter_is_full() -> None:
    rng = random.Random(1)
    waits = [Backoff(10.0, 10.0, rng.random).next(None) for _ in range(1000)]
    assert min(waits) < 0.1
    assert max(waits) > 9.9


@given(st.floats(0, 1e9), st.floats(0, 1, exclude_max=True))
def test_a_destination_is_never_asked_before_it_said_unless_that_is_absurd(asked: float, jitter: float) -> None:
    wait = Backoff(1.0, 30.0, lambda: jitter).next(asked)
    assert min(asked, LONGEST_RETRY_AFTER_SECONDS) <= wait <= LONGEST_RETRY_AFTER_SECONDS + 1


def test_an_initial_wait_above_the_longest_is_cut_to_it() -> None:
    assert Backoff(60.0, 30.0, lambda: 1.0).next(None) == 30
