"""A price list compiled for one moment: integers to multiply and add.

`quick_total` is the short path for the calls that nearly all spans are (text in, text out, perhaps a prompt cache);
everything else, and every breakdown, is bills.py. A property test holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from otel_llm.cost.money import to_atto
from otel_llm.cost.units import UNIT_OF_NAME, UNITS, Unit
from otel_llm.cost.usage import QUANTITY_BITS, Usage

#: A price in the data: text for `per` units, or [text, [more input tokens than this, text], ...].
PriceText = str | Sequence[str | Sequence[int | str]]


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices that hold together, in attos for one unit (audio: for one hour).

    Attributes:
        prices: the published price by unit name; a unit that is absent has none.
        leaf: the price that applies to each unit: its own, else that of what it is part of, else None.
        has_text: input and output both have a price. This and the rest are for the short path, in quanta: small numbers
            multiply faster.
        quantum: attos in one of these.
        input: for an input token.
        output: for an output token.
        cache_read: what a cached token costs more than an input token (negative, as a rule).
        cache_write: what a written token costs more than an input token.
        cache_write_1h: what an hour's writing costs more than an ordinary one.
        request: for a request, 0 when there is no fee.
        reasoning: reasoning has a price of its own.
    """

    prices: Mapping[str, int]
    leaf: Mapping[str, int | None]
    has_text: bool
    quantum: int
    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    request: int
    reasoning: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """The prices of one model, processing and tier over one period.

    Attributes:
        base: the prices up to the first context tier.
        tiers: (more input tokens than this, prices for the whole call), highest first.
        minimum_audio_seconds: fewer are billed as this many.
        valid_from: the first day (UTC, ISO 8601) of these prices, None when the data has no beginning.
        standard_instead: a batch or tier was asked for that has no price here, and these are the standard prices.
    """

    base: Rates
    tiers: tuple[tuple[int, Rates], ...]
    minimum_audio_seconds: int
    valid_from: str | None
    standard_instead: bool

    def rates_for(self, input_tokens: int) -> Rates:
        """The prices for a call with that many input tokens: crossing a tier prices all of it anew."""
        for start, rates in self.tiers:
            if input_tokens > start:
                return rates
        return self.base


def compile_plan(
    texts: Mapping[str, PriceText],
    factors: Mapping[str, Fraction],
    minimum_audio_seconds: int,
    valid_from: str | None,
    standard_instead: bool,  # noqa: FBT001 - always passed by name
) -> Plan:
    """Compiles one price list; `factors` multiplies prices by unit name (discounts, currency), "" is all others."""
    starts = sorted({int(step[0]) for text in texts.values() if not isinstance(text, str) for step in text[1:]})
    base = _rates(texts, factors, -1)
    tiers = tuple((start, _rates(texts, factors, start)) for start in reversed(starts))
    return Plan(base, tiers, minimum_audio_seconds, valid_from, standard_instead)


def _rates(texts: Mapping[str, PriceText], factors: Mapping[str, Fraction], start: int) -> Rates:
    """The prices that hold for more than `start` input tokens (-1: below every tier)."""
    prices = {name: _atto_each(name, _text_at(text, start), factors) for name, text in texts.items()}
    leaf = {unit.name: _leaf_price(unit, prices) for unit in UNITS}
    base = leaf["input"] or 0
    write = leaf["cache_write"] or 0
    read = leaf["cache_read"] or 0
    hour = leaf["cache_write_1h"] or 0
    output = leaf["output"] or 0
    request = leaf["request"] or 0
    quantum = math.gcd(base, output, read, write, hour, request) or 1
    return Rates(
        prices=prices,
        leaf=leaf,
        has_text="input" in prices and "output" in prices,
        quantum=quantum,
        input=base // quantum,
        output=output // quantum,
        cache_read=(read - base) // quantum,
        cache_write=(write - base) // quantum,
        cache_write_1h=(hour - write) // quantum,
        request=request // quantum,
        reasoning="reasoning" in prices,
    )


def _text_at(text: PriceText, start: int) -> str:
    if isinstance(text, str):
        return text
    found = str(text[0])
    for step in text[1:]:
        if int(step[0]) <= start:
            found = str(step[1])
    return found


def _atto_each(name: str, text: str, factors: Mapping[str, Fraction]) -> int:
    """Attos for one unit, or for one hour of audio."""
    unit = UNIT_OF_NAME[name]
    price = Fraction(Decimal(text)) * factors.get(name, factors.get("", Fraction(1)))
    return to_atto(price if name == "audio" else price / unit.per)


def _leaf_price(unit: Unit, prices: Mapping[str, int]) -> int | None:
    if unit.name in prices:
        return prices[unit.name]
    # Cached audio without its own price is cached text, not live audio: the first parent decides.
    return _leaf_price(UNIT_OF_NAME[unit.parents[0]], prices) if unit.parents else None


def quick_total(plan: Plan, usage: Usage) -> int | None:
    """The total in attos of a sound text call; None when it needs `bill`: anything unusual, anything wrong.

    Written out flat, because a gateway runs it for every span (benchmarks/price.py). What is not an int is found by
    what it cannot do ("|" with an int) instead of by asking each for its type, which would cost a third more. A bool
    can do all that, so what could be one (0 or 1) is looked at; a part that is False is taken for 0.
    """
    if usage.other is not None:
        return None
    tokens, output, read, write, hour, thought = usage.text
    try:
        bits = tokens | output  # type: ignore[operator]  # negative when either is; too large ones have a high bit
        if bits >> QUANTITY_BITS:
            return None
        if (tokens < 2 or output < 2) and (not bits or type(tokens) is bool or type(output) is bool):  # type: ignore[operator]  # noqa: PLR2004 - the numbers a bool is
            return None
        rates = plan.rates_for(tokens) if plan.tiers else plan.base  # type: ignore[arg-type]  # None | ... raised
        if not rates.has_text:
            return None
        total = tokens * rates.input + output * rates.output + rates.request  # type: ignore[operator]
        if read or write or hour:
            read = read or 0
            write = write or 0
            hour = hour or 0
            if read + write > tokens or hour > write or (read | hour) < 0:  # type: ignore[operator]
                return None
            if read is True or write is True or hour is True:
                return None
            total += read * rates.cache_read + write * rates.cache_write + hour * rates.cache_write_1h
        if thought and (thought is True or rates.reasoning or thought > output or (thought | bits) < 0):  # type: ignore[operator]
            return None
    except TypeError:
        return None
    return total * rates.quantum if type(total) is int else None


def quick_amounts(plan: Plan, usage: Usage) -> dict[str, int]:
    """A total of `quick_total` by cost attribute, in attos, what was not used left out. Only for such usages."""
    tokens, output, read, write, hour, _ = usage.text
    tokens, output, write, hour = tokens or 0, output or 0, write or 0, hour or 0
    rates = plan.rates_for(tokens)
    prices = rates.prices
    plain = tokens
    amounts: dict[str, int] = {}
    if read and "cache_read" in prices:
        plain -= read
        amounts["cache_read"] = read * prices["cache_read"]
    if "cache_write" not in prices:
        write = hour if "cache_write_1h" in prices else 0
    if write:
        plain -= write
        extra = write * rates.cache_write + hour * rates.cache_write_1h
        amounts["cache_write"] = write * prices["input"] + extra * rates.quantum
    if plain:
        amounts["input"] = plain * prices["input"]
    if output:
        amounts["output"] = output * prices["output"]
    if rates.request:
        amounts["request"] = prices["request"]
    return amounts
