"""A quote as text, line by line, for people who want to check the sum."""

from __future__ import annotations

from decimal import Decimal

from otel_llm.cost.bills import Line
from otel_llm.cost.money import to_decimal
from otel_llm.cost.quote import Quote, Reason

_REASONS: dict[Reason, str] = {
    "unknown_provider": "no price list is known for this provider",
    "unknown_model": "the model is in no price list; add an alias or a rate to the user overlay",
    "opaque_model": "the id names a resource of one account; add an alias for it to the user overlay",
    "self_hosted": "self-hosted models have no list price; add a rate to the user overlay",
    "committed_capacity": "capacity bought by the hour has no price a call",
    "no_price": "the model is listed without a price",
    "no_price_at_date": "no price is known for that time",
    "no_price_for_batch": "no batch price is known, standard prices were used",
    "no_price_for_tier": "no price is known for this service tier, standard prices were used",
    "invalid_usage": "a quantity is negative, not a whole number, absurd, or a part is greater than its whole",
    "incomplete_usage": "input or output was not reported, or a part without its whole",
    "no_usage": "nothing was reported that could be billed",
    "no_price_for_usage": "something was used that the model has no price for",
    "overlap_unknown": "cached and audio or image tokens overlap by an amount that was not reported",
}


def explain(quote: Quote) -> str:
    """The quote as readable text: what was matched, one line a meter, the total, and what is missing."""
    lines = [*_heading(quote), *(_line(line, quote.currency) for line in quote.meters)]
    total = quote.total_decimal
    if total is not None:
        lines.append(f"{'total':<17}{'':>14}   {'':<28} = {plain(total)} {quote.currency}")
    if quote.reason is not None:
        lines.append(f"{quote.status} ({quote.reason}): {_REASONS[quote.reason]}")
        substitute = quote.basis.substitute
        if quote.plan is not None and quote.plan.standard_instead and quote.reason != substitute:
            lines.append(f"also ({substitute}): {_REASONS[substitute]}")
    return "\n".join(lines)


def _heading(quote: Quote) -> list[str]:
    basis = quote.basis
    model = f"{basis.provider}/{basis.model}" if basis.model else "no model matched"
    rule = f" (by {basis.rule})" if basis.rule else ""
    prices = f"prices: {quote.source or 'none'}, version {quote.price_version}"
    since = f", in force since {quote.price_valid_from}" if quote.price_valid_from else ""
    return [f"model: {model}{rule}", prices + since]


def _line(line: Line, currency: str) -> str:
    unit = line.unit
    each = to_decimal(line.unit_price)
    scale = 1 if unit.name == "audio" else unit.per
    per = {1_000_000: "million", 1000: "thousand", 3600: "hour", 1: unit.label}[unit.per]
    price = f"{plain(each * scale)} {currency} a {per}"
    quantity = f"{line.quantity:,}"
    return f"{unit.name:<17}{quantity:>14} x {price:<28} = {plain(to_decimal(line.amount))} {currency}"


def plain(amount: Decimal) -> str:
    """An amount without exponent and without trailing zeros."""
    text = f"{amount:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
