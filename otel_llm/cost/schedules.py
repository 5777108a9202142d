"""Which prices hold at a moment: dated periods, and daily or weekly windows within them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from otel_llm.cost.plans import Plan, PriceText, compile_plan

SECOND = 1_000_000_000
DAY_SECONDS = 86_400
#: The end of the last period.
FOREVER = 2**63
#: 1970-01-01, from which OTLP counts, was a Thursday.
_EPOCH_WEEKDAY = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """A dated price list as it stands in the data.

    Attributes:
        texts: prices by unit name.
        start: first day it holds, None for always.
        until: first day it no longer holds, None for never.
        daily: (from, to) in seconds of the UTC day; empty for all day. A window may wrap around midnight.
        weekdays: the days its windows open on, Monday 0; empty for every day.
    """

    texts: Mapping[str, PriceText]
    start: dt.date | None = None
    until: dt.date | None = None
    daily: tuple[tuple[int, int], ...] = ()
    weekdays: frozenset[int] = frozenset()

    def holds_on(self, day: dt.date) -> bool:
        """Whether the entry's dates cover the day."""
        return (self.start is None or self.start <= day) and (self.until is None or day < self.until)


@dataclass(frozen=True, slots=True)
class Variant:
    """Prices that replace some of the standard ones when the call was made in a certain way.

    Attributes:
        when: what must be so, e.g. {"processing": "batch"}.
        entry: the prices and their dates.
    """

    when: Mapping[str, str]
    entry: Entry


@dataclass(frozen=True, slots=True)
class Window:
    """Hours with their own prices, within one UTC day.

    Attributes:
        start: the first second of the day.
        end: the first second that no longer belongs to it.
        weekdays: days it is open on, Monday 0; empty for every day.
        plan: the prices.
    """

    start: int
    end: int
    weekdays: frozenset[int]
    plan: Plan


@dataclass(frozen=True, slots=True)
class Period:
    """What holds from `start` to `end` (nanoseconds, the end not included); no plan means no price is known."""

    start: int
    end: int
    plan: Plan | None
    windows: tuple[Window, ...] = ()

    def plan_at(self, at_unix_nano: int) -> Plan | None:
        """The prices at a moment of this period."""
        days, second = divmod(at_unix_nano // SECOND, DAY_SECONDS)
        for window in self.windows:
            if window.start <= second < window.end:
                if window.weekdays and (days + _EPOCH_WEEKDAY) % 7 not in window.weekdays:
                    continue
                return window.plan
        return self.plan


#: Price factors (discounts, currency) by unit name on a day; see plans.compile_plan.
FactorsOn = Callable[[dt.date | None], Mapping[str, Fraction] | None]


@dataclass(frozen=True, slots=True)
class Source:
    """Everything needed to compile one model's schedule.

    Attributes:
        entries: standard prices; of those that hold, the last one counts.
        variants: what replaces them; of those that apply, the first one that names a unit counts.
        minimum_audio_seconds: fewer are billed as this many.
        factor_days: days on which the factors change.
        factors_on: the factors on a day; None when a currency is asked for and no exchange rate is known.
    """

    entries: Sequence[Entry]
    variants: Sequence[Variant]
    minimum_audio_seconds: int
    factor_days: Sequence[dt.date]
    factors_on: FactorsOn


def compile_schedule(source: Source, context: Mapping[str, str]) -> tuple[Period, ...]:
    """The model's periods, newest first, for calls made as `context` says (processing, service_tier, speed)."""
    chosen = [item for item in source.variants if item.when.items() <= context.items()]
    entries = [*source.entries, *(item.entry for item in chosen)]
    days = {day for entry in entries for day in (entry.start, entry.until) if day} | set(source.factor_days)
    starts: list[dt.date | None] = [None, *sorted(days)]
    ends = [*(_nanoseconds(day) for day in starts[1:] if day), FOREVER]
    periods = [_period(source, chosen, context, start, end) for start, end in zip(starts, ends, strict=True)]
    return tuple(reversed(periods))


def _period(
    source: Source,
    chosen: Sequence[Variant],
    context: Mapping[str, str],
    start: dt.date | None,
    end: int,
) -> Period:
    day = start or dt.date.min
    active = [entry for entry in source.entries if entry.holds_on(day)]
    base = next((entry for entry in reversed(active) if not entry.daily), None)
    factors = source.factors_on(start)
    # A moment of 0 is "not set" in OTLP and has no price, so the first period starts at 1.
    first = 1 if start is None else _nanoseconds(start)
    if base is None or factors is None:
        return Period(first, end, None)

    def compiled(entry: Entry) -> Plan:
        overrides, found = _overrides(chosen, day)
        return compile_plan(
            {**entry.texts, **overrides},
            factors,
            minimum_audio_seconds=source.minimum_audio_seconds,
            valid_from=_newest_start([entry, *(item.entry for item in chosen if item.entry.holds_on(day))]),
            standard_instead=bool(context) and not found,
        )

    windows = tuple(window for entry in reversed(active) if entry.daily for window in _windows(entry, compiled(entry)))
    return Period(first, end, compiled(base), windows)


def _windows(entry: Entry, plan: Plan) -> Iterator[Window]:
    """The entry's hours. Those past midnight belong to the day they begin on, so their end is a window of the next."""
    for opens, closes in entry.daily:
        if opens < closes:
            yield Window(opens, closes, entry.weekdays, plan)
        else:
            yield Window(opens, DAY_SECONDS, entry.weekdays, plan)
            yield Window(0, closes, frozenset((day + 1) % 7 for day in entry.weekdays), plan)


def _newest_start(entries: Sequence[Entry]) -> str | None:
    """The day from which all of these hold together."""
    starts = [entry.start for entry in entries if entry.start]
    return max(starts).isoformat() if starts else None


def _overrides(chosen: Sequence[Variant], day: dt.date) -> tuple[dict[str, PriceText], bool]:
    """The replaced prices on a day, and whether the way the call was made is known at all."""
    active = [item for item in chosen if item.entry.holds_on(day)]
    texts: dict[str, PriceText] = {}
    for item in active:
        for name, text in item.entry.texts.items():
            texts.setdefault(name, text)
    return texts, bool(active)


def _nanoseconds(day: dt.date) -> int:
    return (day - dt.date(1970, 1, 1)).days * DAY_SECONDS * SECOND
