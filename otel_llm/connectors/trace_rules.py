"""What makes a trace worth keeping, and what is known of it so far."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from otel_llm._generated.attributes import OtelLlmSamplingRule
from otel_llm.codecs.span_facts import SpanFacts


@dataclass(frozen=True, slots=True)
class Rules:
    """What is kept in any case.

    Attributes:
        errors: traces with a span that ended with an error.
        verdicts: verdicts of policy that make a violation.
        cost: from what amount on; None for any.
        currency: of that amount; calls in another currency do not count.
        duration_nanoseconds: from which duration on; None for any.
    """

    errors: bool
    verdicts: frozenset[str]
    cost: Decimal | None
    currency: str
    duration_nanoseconds: int | None


class Summary:
    """What is known of a trace: grows with each span."""

    __slots__ = ("cost", "end_unix_nano", "is_error", "is_violation", "start_unix_nano")

    def __init__(self) -> None:
        self.is_violation = False
        self.is_error = False
        self.cost = Decimal(0)
        self.start_unix_nano = 0
        self.end_unix_nano = 0

    def add(self, span: SpanFacts, rules: Rules) -> None:
        """One more span of the trace."""
        self.is_error = self.is_error or span.is_error
        self.is_violation = self.is_violation or span.verdict in rules.verdicts
        if span.cost is not None and span.currency == rules.currency:
            self.cost += span.cost
        if span.start_unix_nano and (not self.start_unix_nano or span.start_unix_nano < self.start_unix_nano):
            self.start_unix_nano = span.start_unix_nano
        self.end_unix_nano = max(self.end_unix_nano, span.end_unix_nano)

    def rule(self, rules: Rules) -> OtelLlmSamplingRule | None:
        """The first rule that keeps the trace; None when it is one of the many."""
        if self.is_violation:
            return "violation"
        if self.is_error and rules.errors:
            return "error"
        if rules.cost is not None and self.cost >= rules.cost:
            return "cost"
        if (
            rules.duration_nanoseconds is not None
            and self.end_unix_nano - self.start_unix_nano >= rules.duration_nanoseconds
        ):
            return "duration"
        return None
