"""Pricing in full: which quantity is billed at which price, and what is wrong with a usage that cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from otel_llm.cost.money import to_atto
from otel_llm.cost.plans import Plan, Rates
from otel_llm.cost.units import FEES, UNIT_OF_NAME, UNITS, Unit
from otel_llm.cost.usage import MAXIMUM_QUANTITY, Usage

#: Why a bill is missing or incomplete.
#: invalid_usage: a quantity is negative, not finite, absurd, of the wrong type, or a part exceeds its whole.
#: incomplete_usage: a part is reported without its whole, or only one of input and output is.
#: no_usage: nothing is reported, or only zeros.
#: no_price_for_usage: something was used that the model has no price for.
#: overlap_unknown: cached and audio (or image) tokens must overlap and the report does not say by how much.
Problem = Literal["invalid_usage", "incomplete_usage", "no_usage", "no_price_for_usage", "overlap_unknown"]

Quantities = dict[str, int]


@dataclass(frozen=True, slots=True)
class Line:
    """One priced quantity.

    Attributes:
        unit: what was counted.
        quantity: how many were billed at this price; parts with a line of their own are not in it. Audio: seconds.
        unit_price: attos for one (audio: for an hour, as a price an hour need not divide by 3600).
        amount: attos.
    """

    unit: Unit
    quantity: int | float
    unit_price: int
    amount: int


@dataclass(frozen=True, slots=True)
class Bill:
    """A priced usage.

    Attributes:
        lines: what was billed; empty when nothing could be.
        problem: why nothing was billed, or, beside lines, why they are not all there is. None when all is well.
    """

    lines: tuple[Line, ...] = ()
    problem: Problem | None = None

    @property
    def total(self) -> int | None:
        """Attos, the sum of the lines; None, never 0, when nothing could be billed."""
        return sum(line.amount for line in self.lines) if self.lines else None


#: What a provider's own figure is booked under.
PROVIDER_COST = Unit("provider_cost", "provider_cost", "other", 1, "call")


def bill_provider_cost(cost: float) -> Bill:
    """The provider's own figure, in USD, as a bill of one line."""
    if not _is_amount(cost):
        return Bill(problem="invalid_usage")
    amount = to_atto(Fraction(Decimal(repr(cost))))
    return Bill((Line(PROVIDER_COST, 1, amount, amount),))


def bill(plan: Plan, usage: Usage) -> Bill:
    """Prices any usage line by line. Never raises, whatever the usage holds."""
    quantities = _quantities(usage)
    if quantities is None or not _parts_fit(quantities):
        return Bill(problem="invalid_usage")
    seconds = usage.audio_seconds or 0
    if not seconds and not any(count for name, count in quantities.items() if name not in FEES):
        return Bill(problem="no_usage")
    if _has_part_without_whole(quantities):
        return Bill(problem="incomplete_usage")
    rates = plan.rates_for(quantities.get("input", 0))
    guessed = _settle_overlap(quantities, rates)
    problem: Problem | None = "overlap_unknown" if guessed else _missing(quantities, rates, seconds)
    lines, unpriced = _lines(quantities, rates)
    if lines is None:
        return Bill(problem="overlap_unknown")
    if seconds and "audio" in rates.prices:
        lines.append(_audio_line(max(seconds, plan.minimum_audio_seconds), rates.prices["audio"]))
    elif seconds and not quantities.get("input"):
        unpriced = True  # audio tokens, when they are reported, already pay for the audio
    if not any(line.unit.name not in FEES for line in lines):
        return Bill(problem="no_price_for_usage" if unpriced else problem or "no_usage")
    return Bill(tuple(lines), "no_price_for_usage" if unpriced else problem)


def _quantities(usage: Usage) -> Quantities | None:
    """The reported counts by unit name; None when one of them is not a count. Audio seconds are checked, not kept."""
    found: Quantities = {}
    for unit in UNITS:
        value = getattr(usage, unit.field)
        if value is None:
            continue
        if unit.name == "audio":
            if not _is_amount(value):
                return None
        elif type(value) is int and 0 <= value <= MAXIMUM_QUANTITY:
            found[unit.name] = value
        else:
            return None
    return found


def _is_amount(value: object) -> bool:
    """Whether the value is a finite, non-negative, sane number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAXIMUM_QUANTITY


#: Parts that exclude each other, with their whole: their sum cannot exceed it.
_GROUPS = (
    ("input", ("cache_read", "cache_write")),
    ("cache_write", ("cache_write_1h",)),
    ("input", ("input_audio", "input_image", "input_video")),
    ("cache_read", ("cache_read_audio", "cache_read_image")),
    ("input_audio", ("cache_read_audio",)),
    ("input_image", ("cache_read_image",)),
    ("output", ("reasoning", "citation")),
    ("output", ("output_audio", "output_image", "output_video")),
)


def _parts_fit(quantities: Quantities) -> bool:
    return all(
        sum(quantities.get(part, 0) for part in parts) <= quantities[whole]
        for whole, parts in _GROUPS
        if whole in quantities
    )


def _has_part_without_whole(quantities: Quantities) -> bool:
    return any(whole not in quantities and any(quantities.get(part, 0) for part in parts) for whole, parts in _GROUPS)


def _settle_overlap(quantities: Quantities, rates: Rates) -> bool:
    """Adds the least overlap of cache and modality that the totals force, in place; whether that was a guess."""
    forced = sum(quantities.get(part, 0) for part in _GROUPS[0][1] + _GROUPS[2][1]) - quantities.get("input", 0)
    forced -= quantities.get("cache_read_audio", 0) + quantities.get("cache_read_image", 0)
    guessed = False
    for overlap, modality in (("cache_read_audio", "input_audio"), ("cache_read_image", "input_image")):
        if forced <= 0 or overlap in quantities:
            continue
        taken = min(forced, quantities.get("cache_read", 0), quantities.get(modality, 0))
        quantities[overlap] = taken
        forced -= taken
        guessed = guessed or (taken > 0 and modality in rates.prices)
    return guessed


def _missing(quantities: Quantities, rates: Rates, seconds: float) -> Problem | None:
    """Whether only one of input and output is reported where the model bills both."""
    asked = "input" in quantities or "output" in quantities or not seconds
    needs = [name for name in ("input", "output") if rates.leaf[name] and name not in quantities]
    billed_otherwise = any(name in rates.prices for name in quantities if name not in FEES | {"input", "output"})
    return "incomplete_usage" if asked and needs and not (len(needs) == 2 and billed_otherwise) else None  # noqa: PLR2004


def _descendants(name: str) -> frozenset[str]:
    children = {unit.name for unit in UNITS if name in unit.parents}
    return frozenset(children.union(*(_descendants(child) for child in children)))


#: Smallest parts first, so that a whole is billed for what its parts leave of it.
_PARTS_FIRST = tuple(sorted(UNITS, key=lambda unit: len(_descendants(unit.name))))
_DESCENDANTS: Mapping[str, frozenset[str]] = {unit.name: _descendants(unit.name) for unit in UNITS}


def _lines(quantities: Quantities, rates: Rates) -> tuple[list[Line] | None, bool]:
    """The lines in the order of UNITS, and whether something has no price; None when wholes do not cover parts."""
    left: Quantities = {}
    unpriced = False
    for unit in _PARTS_FIRST:
        name = unit.name
        if name not in quantities or not (_has_own_line(unit, rates) or not unit.parents):
            continue
        rest = quantities[name] - sum(left.get(part, 0) for part in _DESCENDANTS[name])
        if rest < 0:
            return None, False
        if rates.leaf[name] is None:
            unpriced = unpriced or (rest > 0 and name not in FEES)
        else:
            left[name] = rest
    return [_line(unit, left[unit.name], rates) for unit in UNITS if left.get(unit.name)], unpriced


def _has_own_line(unit: Unit, rates: Rates) -> bool:
    """Whether the unit is billed apart from what it is part of."""
    if len(unit.parents) == 2:  # noqa: PLR2004 - an overlap: apart when either side is
        return all(_has_own_line(UNIT_OF_NAME[parent], rates) for parent in unit.parents)
    return unit.name in rates.prices


def _line(unit: Unit, quantity: int, rates: Rates) -> Line:
    price = rates.leaf[unit.name] or 0
    return Line(unit, quantity, price, quantity * price)


def _audio_line(seconds: float, hour_price: int) -> Line:
    exact = Fraction(Decimal(repr(seconds))) * hour_price / 3600
    return Line(UNIT_OF_NAME["audio"], seconds, hour_price, round(exact))
