"""What a judge may cost, and what it has cost, by our own prices."""

from __future__ import annotations

from decimal import Decimal

from otel_llm.clock import Clock
from otel_llm.cost import Catalogue, Quote, Usage, estimate_tokens
from otel_llm.processors.judging.question import Reply
from otel_llm.quality.judges.limits import DailySpending


class Spending:
    """The day's money.

    Args:
        catalogue: the prices.
        model, provider: whose prices apply.
        max_output_tokens: the longest answer.
        limit: so much a day at most, None for no limit.
        clock: which day it is.

    Attributes:
        currency: of all amounts, empty when there is no price.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        model: tuple[str | None, str],
        max_output_tokens: int,
        limit: Decimal | None,
        clock: Clock,
    ) -> None:
        self._catalogue = catalogue
        self._provider, self._model = model
        self._most = max_output_tokens
        self._limit = None if limit is None else DailySpending(limit)
        self._clock = clock
        quote = self._quote(Usage(1, 1))
        self.currency = quote.currency if quote.total is not None else ""

    def _quote(self, usage: Usage) -> Quote:
        return self._catalogue.quote(self._provider, self._model, usage, self._clock.unix_nano())

    def most_tokens(self, text: str) -> int:
        """How many tokens a question and its answer may use, about."""
        return estimate_tokens(text) + self._most

    def reserve(self, text: str) -> Decimal | None:
        """Set aside what a question may cost at most; None when there is not so much left, or no price."""
        most = self.price(Usage(estimate_tokens(text), self._most))
        if self._limit is None:
            return most or Decimal(0)
        if most is None or not self._limit.reserve(most, self._clock.unix_nano()):
            return None
        return most

    def settle(self, reserved: Decimal, reply: Reply | None) -> Decimal:
        """Book what a question has cost in place of what was set aside; nothing when there was no answer.

        One that does not say what it has used costs what was set aside.
        """
        spent = Decimal(0)
        if reply is not None:
            spent = reserved
            if reply.input_tokens is not None and reply.output_tokens is not None:
                known = self.price(Usage(max(0, reply.input_tokens), max(0, reply.output_tokens)))
                spent = reserved if known is None else known
        if self._limit is not None:
            self._limit.settle(reserved, spent, self._clock.unix_nano())
        return spent

    def price(self, usage: Usage) -> Decimal | None:
        """What a use costs, None when that is not known."""
        return self._quote(usage).total_decimal
