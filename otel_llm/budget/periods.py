"""Days, months and rolling windows, as spans of time.

A calendar period begins at midnight of the budget's zone, whatever the clocks did in between. A rolling one is made of
slices, 24 in a window, and forgets a slice as a whole: it looks back up to one slice further than it says, never less.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, Literal, NamedTuple, TypeAlias

PeriodType: TypeAlias = Literal["day", "month", "rolling"]

SLICES: Final = 24
_SECOND: Final = 10**9
_HOUR: Final = 3600
# Where the calendar of Python ends, short of a day for any zone.
_LAST_UNIX_NANO: Final = 253_402_000_000 * _SECOND


class Window(NamedTuple):
    """A span of time, the end not included; nanoseconds since 1970."""

    start_unix_nano: int
    end_unix_nano: int


@dataclass(frozen=True, slots=True)
class Period:
    """The time that a limit is for.

    Attributes:
        type: a calendar day or month, or the last `hours`.
        zone: whose calendar; of no meaning for a rolling one.
        hours: of a rolling one.
    """

    type: PeriodType
    zone: tzinfo = UTC
    hours: int = 24

    def slice_of(self, unix_nano: int) -> Window:
        """What a moment is counted in: its day or month, or a slice of a rolling window."""
        unix_nano = min(max(unix_nano, 0), _LAST_UNIX_NANO)
        if self.type == "rolling":
            length = self._slice_nano
            start = unix_nano // length * length
            return Window(start, start + length)
        local = datetime.fromtimestamp(unix_nano // _SECOND, self.zone)
        first = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        if self.type == "month":
            first = first.replace(day=1)
            return Window(_nano(first), _nano((first + timedelta(days=32)).replace(day=1)))
        return Window(_nano(first), _nano(first + timedelta(days=1)))  # wall-clock time: 23 to 25 hours

    def slices(self, now_unix_nano: int) -> tuple[Window, ...]:
        """What is to be summed up for the current period; the newest last."""
        current = self.slice_of(now_unix_nano)
        if self.type != "rolling":
            return (current,)
        length = self._slice_nano
        return tuple(
            Window(start, start + length)
            for start in range(current.start_unix_nano - SLICES * length, current.end_unix_nano, length)
            if start >= 0
        )

    def current(self, now_unix_nano: int) -> Window:
        """The period that it is now; a rolling one ends now."""
        if self.type != "rolling":
            return self.slice_of(now_unix_nano)
        return Window(now_unix_nano - self.hours * _HOUR * _SECOND, now_unix_nano)

    def elapsed(self, now_unix_nano: int) -> float:
        """The share of the current period that has passed; 1 for a rolling one."""
        start, end = self.current(now_unix_nano)
        return (now_unix_nano - start) / (end - start)

    @property
    def _slice_nano(self) -> int:
        return self.hours * _HOUR * _SECOND // SLICES


def _nano(moment: datetime) -> int:
    return int(moment.timestamp()) * _SECOND
