"""The answer to "what did this call cost": an amount, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, NamedTuple

from otel_llm.cost.bills import Bill, Line, Problem, bill, bill_provider_cost
from otel_llm.cost.money import ATTO, to_decimal
from otel_llm.cost.plans import Plan, quick_amounts
from otel_llm.cost.schedules import Period
from otel_llm.cost.usage import Usage

#: priced: the total is the list (or the user's) price of all that was used.
#: partial: the total lacks something, or standard prices stand in for others; the reason says what.
#: unpriced: there is no total; the reason says why.
Status = Literal["priced", "partial", "unpriced"]

#: unknown_provider, unknown_model: not in any price list.
#: opaque_model: somebody's own resource (an application inference profile, an endpoint); name it in a user overlay.
#: self_hosted: run by oneself; give a rate in a user overlay.
#: committed_capacity: bought by the hour, so that a call has no price. no_price: listed without a price.
#: no_price_at_date: no price is known for that day, or the span has no start time.
#: no_price_for_batch, no_price_for_tier: standard prices were used although the call was not a standard one.
#: The others are explained with bills.Problem.
Reason = (
    Literal[
        "unknown_provider",
        "unknown_model",
        "opaque_model",
        "self_hosted",
        "committed_capacity",
        "no_price",
        "no_price_at_date",
        "no_price_for_batch",
        "no_price_for_tier",
    ]
    | Problem
)

PriceSource = Literal["catalogue", "overlay", "user", "provider"]


@dataclass(frozen=True, slots=True)
class Basis:
    """Where prices come from, for all calls that look alike; shared by their quotes.

    Attributes:
        provider: the matched provider's id, None when none was.
        model: the matched model's id in the price list, None when none was.
        rule: how the id in the span led there, e.g. "bedrock_arn+snapshot"; "exact" when it simply stands in the list.
        source: whose prices they are, None when there are none.
        currency: ISO 4217.
        price_version: identifies the exact price data.
        periods: the prices, newest first; empty when nothing was matched.
        reason: why nothing was matched.
        substitute: what to say when standard prices stand in for those of the tier or batch asked for.
    """

    provider: str | None
    model: str | None
    rule: str | None
    source: PriceSource | None
    currency: str
    price_version: str
    periods: tuple[Period, ...] = ()
    reason: Reason | None = None
    substitute: Reason = "no_price_for_tier"
    #: The newest prices and their first nanosecond, when they are the same at all hours: nearly every quote's answer.
    newest: Plan | None = field(init=False, default=None)
    newest_start: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.periods and not self.periods[0].windows:
            object.__setattr__(self, "newest", self.periods[0].plan)
            object.__setattr__(self, "newest_start", self.periods[0].start)

    def plan_at(self, at_unix_nano: int) -> Plan | None:
        """The prices at a moment; None when none are known for it."""
        for period in self.periods:
            if at_unix_nano >= period.start:
                return period.plan_at(at_unix_nano) if period.windows else period.plan
        return None


class Quote(NamedTuple):
    """What one call cost. A named tuple for the same reason as Usage.

    Attributes:
        total: the cost in attos (1e-18 of `currency`), exact; None, never 0, when it is not known.
        reason: why the status is not "priced"; None when it is.
        basis: which prices apply and why.
        plan: the prices used; None when there were none.
        usage: what was billed.
        is_quick: the total is that of `quick_total`.
    """

    total: int | None
    reason: Reason | None
    basis: Basis
    plan: Plan | None
    usage: Usage
    is_quick: bool = False

    @property
    def status(self) -> Status:
        """Whether the total is known, and whether it is all there is."""
        if self.reason is None:
            return "priced"
        return "unpriced" if self.total is None else "partial"

    @property
    def total_decimal(self) -> Decimal | None:
        """The exact cost in currency units."""
        return None if self.total is None else to_decimal(self.total)

    @property
    def total_float(self) -> float | None:
        """The cost in currency units, as the nearest double."""
        return None if self.total is None else self.total / ATTO

    @property
    def meters(self) -> tuple[Line, ...]:
        """What the total is the sum of; empty when there is no total."""
        return self.bill().lines if self.total is not None else ()

    @property
    def amounts(self) -> Mapping[str, int]:
        """Attos by cost attribute (`otel_llm.cost.<key>`): the meters summed, what was not used left out."""
        if self.total is None:
            return {}
        if self.is_quick and self.plan is not None:
            return quick_amounts(self.plan, self.usage)
        found: dict[str, int] = {}
        for line in self.meters:
            found[line.unit.meter] = found.get(line.unit.meter, 0) + line.amount
        return found

    @property
    def currency(self) -> str:
        """ISO 4217; what a provider reports is in USD whatever the catalogue's currency."""
        return "USD" if self.usage.provider_cost is not None else self.basis.currency

    @property
    def source(self) -> PriceSource | None:
        """Whose price it is; None when there is none."""
        if self.total is None:
            return None
        return "provider" if self.usage.provider_cost is not None else self.basis.source

    @property
    def provider_matched(self) -> str | None:
        """The price list's provider."""
        return self.basis.provider

    @property
    def model_matched(self) -> str | None:
        """The price list's model."""
        return self.basis.model

    @property
    def rule(self) -> str | None:
        """How the ids in the span led to provider_matched and model_matched."""
        return self.basis.rule

    @property
    def price_version(self) -> str:
        """Identifies the price data: equal versions give equal quotes."""
        return self.basis.price_version

    @property
    def price_valid_from(self) -> str | None:
        """The first day (UTC) of the prices used; None when the list has no beginning for them."""
        return self.plan.valid_from if self.plan else None

    def bill(self) -> Bill:
        """The sum line by line, computed anew: most quotes are never asked for it."""
        if self.usage.provider_cost is not None:
            return bill_provider_cost(self.usage.provider_cost)
        return bill(self.plan, self.usage) if self.plan else Bill()
