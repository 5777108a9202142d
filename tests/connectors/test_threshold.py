"""Consistent probability sampling: thresholds, randomness, trace state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.connectors.threshold import adjusted_count, randomness, threshold_in, threshold_of, with_threshold


@pytest.mark.parametrize(
    ("fraction", "th", "count"),
    [(1.0, "0", 1.0), (0.5, "8", 2.0), (0.25, "c", 4.0), (0.1, "e6666666666666", 10.0), (0.01, "fd70a3d70a3d7", 100.0)],
)
def test_fractions_are_written_as_the_specification_has_them(fraction: float, th: str, count: float) -> None:
    threshold = threshold_of(fraction)
    assert with_threshold(b"", threshold).decode().startswith(f"ot=th:{th}")
    assert adjusted_count(threshold) == pytest.approx(count, rel=1e-12)


def test_none_is_kept_at_0_percent_and_all_are_at_100() -> None:
    ids = [bytes(16), b"\xff" * 16]
    assert [randomness(one, b"") >= threshold_of(0.0) for one in ids] == [False, False]
    assert [randomness(one, b"") >= threshold_of(1.0) for one in ids] == [True, True]


def test_randomness_is_the_end_of_the_trace_id_or_what_the_trace_state_says() -> None:
    trace_id = bytes(9) + bytes.fromhex("01020304050607")
    assert randomness(trace_id, b"") == 0x01020304050607
    assert randomness(trace_id, b"x=1,ot=rv:ffffffffffffff;th:8") == 0xFFFFFFFFFFFFFF
    assert randomness(trace_id, b"ot=rv:short") == 0x01020304050607


def test_other_members_and_sub_keys_of_a_trace_state_stay() -> None:
    found = with_threshold(b"vendor=a:b, ot=rv:00000000000001;th:8;x:y ,other=1", threshold_of(0.25))
    assert found == b"ot=rv:00000000000001;th:c;x:y,vendor=a:b,other=1"
    assert threshold_in(found) == threshold_of(0.25)


@given(st.binary(max_size=60))
def test_any_trace_state_is_read_and_written(trace_state: bytes) -> None:
    assert threshold_in(with_threshold(trace_state, threshold_of(0.5))) == threshold_of(0.5)
    assert 0 <= threshold_in(trace_state) < 1 << 56
