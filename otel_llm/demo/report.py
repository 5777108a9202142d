"""The calls as cells of a table, and what has to be said beside it."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from otel_llm.demo.checks import Comparison
from otel_llm.ledger.evaluations import StoredEvaluation
from otel_llm.ledger.row import Row
from otel_llm.ledger.totals import Totals

UNKNOWN: Final = "-"
_SYMBOLS: Final = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
_FEWEST_DECIMALS: Final = 4
_SECOND: Final = 10**9

_CURRENT: Final = "current"
_WHY: Final = {
    "unknown_model": "nobody publishes one; write your own into a file and name it in processors.cost.prices",
    "no_usage": "the provider sent no token counts and there is no text to estimate them from (try --content)",
}


class State(StrEnum):
    """What is known about the cost of a call."""

    PRICED = "priced"
    ESTIMATED = "estimated"
    PARTIAL = "partial"
    UNPRICED = "unpriced"
    FAILED = "failed"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Call:
    """One line of the table.

    Attributes:
        state: for colours.
        time: of day, UTC.
        model: the one that answered.
        requested: the one that was asked for, which is often a shorter name of it.
        cached: input tokens read from a cache.
        cost: amount with its currency; as many decimals as all calls need, so that they align.
        status: state and reason.
        convention: what the span was written in.
    """

    state: State
    time: str
    service: str
    operation: str
    provider: str
    model: str
    requested: str
    input: str
    cached: str
    output: str
    cost: str
    status: str
    latency: str
    convention: str


def calls(rows: Sequence[Row]) -> list[Call]:
    """The lines of the table."""
    decimals = _decimals(row.cost for row in rows)
    return [_call(row, decimals) for row in rows]


def _call(row: Row, decimals: int) -> Call:
    state = state_of(row)
    return Call(
        state=state,
        time=_time(row.start_unix_nano),
        service=row.service or UNKNOWN,
        operation=row.operation or UNKNOWN,
        provider=row.provider or UNKNOWN,
        model=row.model or UNKNOWN,
        requested=row.request_model or row.model or UNKNOWN,
        input=_count(row.input_tokens),
        cached=_count(row.cache_read_tokens or None),
        output=_count(row.output_tokens),
        cost=_cost(row, state, decimals),
        status=_status(row, state),
        latency=_latency(row.duration_nano),
        convention=row.dialect or _CURRENT,
    )


def _cost(row: Row, state: State, decimals: int) -> str:
    if row.cost is None:
        return UNKNOWN
    # What rests on a guess is about right, what is known in part is a lower bound.
    mark = {State.ESTIMATED: "~", State.PARTIAL: ">"}.get(state, "")
    return mark + money(row.cost, row.cost_currency, decimals)


def total_call(rows: Sequence[Row], totals: Totals) -> Call:
    """The line below the table: tokens and costs of all calls, and whether costs are missing from it."""
    decimals = _decimals(row.cost for row in rows)
    costs = [money(amount, currency, decimals) for currency, amount in totals.costs.items()]
    return Call(
        state=State.PARTIAL if totals.is_partial else State.PRICED,
        time="total",
        service="",
        operation="",
        provider="",
        model=f"{totals.operations} calls",
        requested=f"{totals.operations} calls",
        input=f"{totals.input_tokens:,}",
        cached=f"{totals.cache_read_tokens:,}",
        output=f"{totals.output_tokens:,}",
        cost=" + ".join(costs) or UNKNOWN,
        status=f"PARTIAL: {totals.unpriced_calls + totals.partial_calls} without a price" if totals.is_partial else "",
        latency="",
        convention="",
    )


def state_of(row: Row) -> State:
    """What is known about the cost; a row without any status is one whose processor failed."""
    if row.status == "error":
        return State.FAILED
    if row.cost_status == "priced":
        return State.ESTIMATED if row.is_cost_estimated or row.usage_source == "estimated" else State.PRICED
    return {"partial": State.PARTIAL, "unpriced": State.UNPRICED}.get(row.cost_status or "", State.ERROR)


def _status(row: Row, state: State) -> str:
    if state is State.FAILED:
        return f"failed: {(row.error_type or 'unknown').rpartition('.')[2]}"
    if state is State.ERROR:
        return "error: the cost processor failed"
    if state in (State.PARTIAL, State.UNPRICED):
        return f"{state}: {row.cost_reason or 'unknown'}"
    return str(state)


def notes(rows: Iterable[Row], totals: Totals | None) -> Iterator[str]:
    """What the table cannot say: why a price is missing, what is not in the sum, what was translated."""
    rows = tuple(rows)
    for row in rows:
        if state_of(row) is State.UNPRICED and row.cost_reason in _WHY:
            yield f"{row.request_model} has no price: {_WHY[row.cost_reason]}"
        if state_of(row) is State.ESTIMATED:
            yield f"{row.request_model} (~): no token counts from the provider, so its cost is estimated from the text"
    if totals is not None and totals.calls_without_usage:
        number = totals.calls_without_usage
        yield f"the sums of tokens leave out {_calls(number)} whose counts are unknown: unknown is not 0"
    written = sum(row.cache_write_tokens or 0 for row in rows)
    if written:
        yield f"{written:,} of the tokens in were written to the provider's cache, which has a price of its own"
    for row in rows:
        if row.verdict not in (None, "allow"):
            yield f"policy (in shadow): {row.verdict} on {row.request_model}, a model that the demo's rules do not name"
    for convention, number in sorted(Counter(row.dialect for row in rows if row.dialect).items()):
        yield f"{_calls(number)} came in the convention '{convention}'; all leave in OpenTelemetry's current one"


def batch_notes(rows: Sequence[Row], evaluations: Sequence[StoredEvaluation], alarms: Sequence[str]) -> Iterator[str]:
    """What was noticed about the answers of the batch job, whose texts are captured."""
    for flags, number in sorted(Counter(row.quality_flags for row in rows if row.quality_flags).items()):
        yield f"signal   {flags.replace(',', ', ')} on {number} of {_calls(len(rows))}"
    for alarm in alarms:
        yield f"drift    {alarm}"
    for stored in evaluations[:1]:
        one = stored.evaluation
        count = f"; {len(evaluations)} judged" if len(evaluations) > 1 else ""
        yield f"judge    {one.name}: {one.label or one.score}{count} (by the provider's stand-in, which always says so)"


def agreement(comparison: Comparison) -> Iterator[str]:
    """The check against the provider, first its result."""
    yield (
        "checked against the provider's own count: "
        f"{comparison.agreed} of {comparison.compared} calls agree, token for token"
    )
    for difference in comparison.differences:
        yield f"DIFFERENT  {difference}"
    if comparison.untold:
        yield f"not comparable: {', '.join(comparison.untold)}, whose usage the provider did not send to anybody"
    if comparison.refused:
        yield f"refused by the provider and not billed, here as there: {_calls(comparison.refused)}"


def is_as_it_should_be(rows: Iterable[Row], comparison: Comparison) -> bool:
    """Whether the ledger says what the provider served, and no processor failed."""
    failed = any(state_of(row) is State.ERROR for row in rows)
    return comparison.agreed > 0 and not comparison.differences and not failed


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number} calls"


def money(amount: Decimal, currency: str | None, decimals: int) -> str:
    """An amount as a person reads it: `$0.0021` or `0.0021 CHF`."""
    symbol = _SYMBOLS.get(currency or "")
    return f"{symbol}{amount:.{decimals}f}" if symbol else f"{amount:.{decimals}f} {currency or '?'}"


def _decimals(costs: Iterable[Decimal | None]) -> int:
    """As many as the finest amount needs: nothing looks like 0 that is not, and the column adds up."""
    exponents = [cost.normalize().as_tuple().exponent for cost in costs if cost]
    return max([_FEWEST_DECIMALS, *(-exponent for exponent in exponents if isinstance(exponent, int))])


def _count(tokens: int | None) -> str:
    return UNKNOWN if tokens is None else f"{tokens:,}"


def _time(unix_nano: int) -> str:
    return dt.datetime.fromtimestamp(unix_nano // _SECOND, dt.UTC).strftime("%H:%M:%S") if unix_nano else UNKNOWN


def _latency(nano: int | None) -> str:
    return UNKNOWN if nano is None else f"{nano / 1e6:,.0f} ms"
