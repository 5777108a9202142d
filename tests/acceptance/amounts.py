"""Amounts of money in tests: what lines of a bill add up to, and what a span says."""

from __future__ import annotations

from fractions import Fraction

from otel_llm._generated import attributes as names
from otel_llm.operation import AttributeValue
from tests.acceptance.through import Attributes

COST = names.OTEL_LLM_COST_TOTAL
STATUS = names.OTEL_LLM_COST_STATUS
REASON = names.OTEL_LLM_COST_REASON


def dollars(*lines: tuple[int, str]) -> float:
    """The sum of quantities at a price for a million each."""
    return float(sum((quantity * Fraction(price) for quantity, price in lines), Fraction(0)) / 1_000_000)


def priced(attributes: Attributes) -> AttributeValue:
    """The cost of a call that has one."""
    assert attributes[STATUS] == "priced", attributes.get(REASON)
    return attributes[COST]
