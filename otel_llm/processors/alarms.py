"""A drift alarm as the attributes of its log event, and as a sentence."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.operation import AttributeValue
from otel_llm.quality.drift import Alarm

_NANO: Final = 1_000_000_000


def alarm_attributes(alarm: Alarm, segment_by: Iterable[str]) -> dict[str, AttributeValue]:
    """An alarm as the attributes of its log event."""
    shift = alarm.shift
    attributes: dict[str, AttributeValue] = {
        key: value for key, value in zip(segment_by, alarm.segment, strict=True) if value
    }
    attributes |= {
        names.OTEL_LLM_DRIFT_SIGNAL: alarm.signal,
        names.OTEL_LLM_DRIFT_DIRECTION: shift.direction,
        names.OTEL_LLM_DRIFT_SINCE: iso(shift.since_unix_nano),
        names.OTEL_LLM_DRIFT_OBSERVATIONS: shift.observations,
    }
    optional = {
        names.OTEL_LLM_DRIFT_STATISTIC: shift.statistic,
        names.OTEL_LLM_DRIFT_BEFORE: shift.before,
        names.OTEL_LLM_DRIFT_AFTER: shift.after,
        names.OTEL_LLM_DRIFT_CATEGORY: shift.category,
    }
    attributes |= {key: value for key, value in optional.items() if value is not None}
    return attributes


def describe(alarm: Alarm, segment_by: Iterable[str]) -> str:
    """An alarm as a sentence."""
    shift = alarm.shift
    where = ", ".join(f"{key}={value}" for key, value in zip(segment_by, alarm.segment, strict=True) if value)
    what = alarm.signal if shift.category is None else f"{alarm.signal} {shift.category!r}"
    moved = "are others than before"
    if shift.before is not None and shift.after is not None:
        levels = f"from {_level(shift.statistic, shift.before)} to {_level(shift.statistic, shift.after)}"
        moved = f"went {shift.direction} {levels}"
    return f"{what} {moved} since {iso(shift.since_unix_nano)} ({shift.observations} operations; {where})"


def _level(statistic: str | None, value: float) -> str:
    """A level for people."""
    return f"{value:.2%}" if statistic == "rate" else f"{statistic} {value:.4g}"


def iso(unix_nano: int) -> str:
    """A time as ISO 8601, to the second."""
    return datetime.fromtimestamp(unix_nano // _NANO, UTC).isoformat().replace("+00:00", "Z")
