from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.budget.periods import SLICES, Period

HOUR = 3600 * 10**9
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "America/Sao_Paulo")
LAST = 4_000_000_000 * 10**9


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


def test_a_day_begins_at_midnight_of_the_zone_and_has_23_hours_when_clocks_go_forward() -> None:
    period = Period("day", ZoneInfo("Europe/Berlin"))
    window = period.slice_of(at("2026-03-29T12:00:00+02:00"))
    assert window == (at("2026-03-29T00:00:00+01:00"), at("2026-03-30T00:00:00+02:00"))
    assert window.end_unix_nano - window.start_unix_nano == 23 * HOUR


def test_the_hour_that_comes_twice_is_of_one_day() -> None:
    period = Period("day", ZoneInfo("Europe/Berlin"))
    first, second = at("2026-10-25T02:30:00+02:00"), at("2026-10-25T02:30:00+01:00")
    assert period.slice_of(first) == period.slice_of(second)


def test_a_month_is_the_month_of_the_zone() -> None:
    just_before = at("2026-12-01T04:59:59+00:00")
    assert Period("month", ZoneInfo("America/New_York")).slice_of(just_before) == (
        at("2026-11-01T00:00:00-04:00"),
        at("2026-12-01T00:00:00-05:00"),
    )
    assert Period("month").slice_of(just_before).start_unix_nano == at("2026-12-01T00:00:00+00:00")


@given(moment=st.integers(0, LAST), zone=st.sampled_from(ZONES), kind=st.sampled_from(["day", "month"]))
def test_calendar_periods_hold_the_moment_and_follow_each_other_without_a_gap(
    moment: int, zone: str, kind: str
) -> None:
    period = Period(kind, ZoneInfo(zone))  # type: ignore[arg-type] # one of the literals
    window = period.slice_of(moment)
    # Half a second is nothing's business here: a period begins at a whole second.
    assert window.start_unix_nano <= moment < window.end_unix_nano
    assert period.slice_of(window.start_unix_nano) == window
    assert period.slice_of(window.end_unix_nano).start_unix_nano == window.end_unix_nano
    assert 0 <= period.elapsed(moment) < 1


@given(moment=st.integers(10**18, LAST), hours=st.integers(1, 720), ago=st.floats(0, 1))
def test_a_rolling_window_never_forgets_too_early_and_at_most_a_slice_too_late(
    moment: int, hours: int, ago: float
) -> None:
    period = Period("rolling", hours=hours)
    slices = period.slices(moment)
    assert len(slices) == SLICES + 1
    length = slices[0].end_unix_nano - slices[0].start_unix_nano
    assert slices[0].start_unix_nano > moment - hours * HOUR - length
    within = moment - int(ago * hours * HOUR) + 1
    assert period.slice_of(min(within, moment)) in slices


@pytest.mark.parametrize("moment", [0, 2**63 - 1, 2**64])
@pytest.mark.parametrize("kind", ["day", "month", "rolling"])
def test_absurd_moments_have_a_period(moment: int, kind: str) -> None:
    assert Period(kind, UTC).slice_of(moment).start_unix_nano >= 0  # type: ignore[arg-type] # one of the literals
