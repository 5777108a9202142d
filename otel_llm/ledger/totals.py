"""Sums over the ledger's rows, which say beside each sum what is missing from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final, Literal

from otel_llm.ledger.database import Statements
from otel_llm.ledger.row import to_units

Dimension = Literal[
    "day",
    "service",
    "environment",
    "owner",
    "tenant",
    "user",
    "feature",
    "operation",
    "provider",
    "model",
    "request_model",
    "response_model",
    "conversation_id",
    "prompt_name",
    "prompt_version",
    "cost_status",
    "cost_reason",
    "cost_source",
    "price_version",
    "usage_source",
    "status",
    "error_type",
    "verdict",
    "dialect",
]

# Dimensions that are not columns, or are a database's own words. Days are UTC, and each database's matter.
_EXPRESSIONS: Final[Mapping[str, str]] = {"model": "coalesce(response_model, request_model)", "user": '"user"'}

# A call is what is billed, or what might be: spans of agents, workflows and tools repeat the tokens of their children.
_IS_CALL: Final = """(cost_status IN ('priced', 'partial', 'unpriced', 'error') OR (cost_status IS NULL
    AND operation IN ('chat', 'generate_content', 'text_completion', 'embeddings')))"""
_HAS_COST: Final = f"({_IS_CALL} AND cost_status IN ('priced', 'partial') AND cost_total IS NOT NULL)"
_IS_UNPRICED: Final = f"({_IS_CALL} AND NOT coalesce({_HAS_COST}, FALSE))"

# How each field of Totals that is a number is summed.
_SUMS: Final[Mapping[str, str]] = {
    "operations": "count(*)",
    "errors": "count(*) FILTER (WHERE status = 'error')",
    "calls": f"count(*) FILTER (WHERE {_IS_CALL})",
    "priced_calls": f"count(*) FILTER (WHERE {_HAS_COST})",
    "partial_calls": f"count(*) FILTER (WHERE {_HAS_COST} AND cost_status = 'partial')",
    "unpriced_calls": f"count(*) FILTER (WHERE {_IS_UNPRICED})",
    "calls_without_usage": f"count(*) FILTER (WHERE {_IS_CALL} AND input_tokens IS NULL AND output_tokens IS NULL)",
    "input_tokens": f"sum(input_tokens) FILTER (WHERE {_IS_CALL})",
    "output_tokens": f"sum(output_tokens) FILTER (WHERE {_IS_CALL})",
    "cache_read_tokens": f"sum(cache_read_tokens) FILTER (WHERE {_IS_CALL})",
    "cache_write_tokens": f"sum(cache_write_tokens) FILTER (WHERE {_IS_CALL})",
    "reasoning_tokens": f"sum(reasoning_tokens) FILTER (WHERE {_IS_CALL})",
    "unpriced_input_tokens": f"sum(input_tokens) FILTER (WHERE {_IS_UNPRICED})",
    "unpriced_output_tokens": f"sum(output_tokens) FILTER (WHERE {_IS_UNPRICED})",
}
# A sum of whole 1e-12 units could pass 2**63 in a ledger of nine million currency units, so it is taken in two parts.
_COST_PARTS: Final = (
    f"sum(cost_total / 1000000) FILTER (WHERE {_HAS_COST}), sum(cost_total % 1000000) FILTER (WHERE {_HAS_COST})"
)
_MICRO: Final = 1_000_000
_PRICED_CALLS: Final = tuple(_SUMS).index("priced_calls")


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a group of rows. Tokens and costs are those of calls, what is not known left out.

    Attributes:
        group: the group's value of each dimension, None where rows have none.
        operations: rows, agents and tools included.
        errors: rows that failed.
        calls: rows that are model calls.
        priced_calls: calls whose cost is known, at least in part.
        partial_calls: those of them whose cost is known in part only.
        unpriced_calls: calls without a cost: `costs` is too low by theirs.
        calls_without_usage: calls whose tokens are unknown: the sums of tokens are too low by theirs.
        input_tokens, output_tokens: of all calls; the three that follow are parts of these.
        unpriced_input_tokens, unpriced_output_tokens: of the unpriced calls.
        costs: exact sum for each currency (ISO 4217; empty when a row did not say).
    """

    group: Mapping[str, str | None]
    operations: int
    errors: int
    calls: int
    priced_calls: int
    partial_calls: int
    unpriced_calls: int
    calls_without_usage: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    unpriced_input_tokens: int
    unpriced_output_tokens: int
    costs: Mapping[str, Decimal]

    @property
    def is_partial(self) -> bool:
        """Whether the costs are only a part of what was spent."""
        return self.unpriced_calls > 0 or self.partial_calls > 0


def read_totals(
    statements: Statements, by: Sequence[Dimension], since_unix_nano: int, until_unix_nano: int
) -> list[Totals]:
    """Totals for each combination of the dimensions' values, the most expensive first."""
    expressions = {**_EXPRESSIONS, "day": statements.dialect.day}
    groups = [expressions.get(name, name) for name in by]
    select = ", ".join([*groups, "cost_currency", *_SUMS.values(), _COST_PARTS])
    statement = (
        f"SELECT {select} FROM operations WHERE start_unix_nano >= ? AND start_unix_nano < ? "  # noqa: S608 - by is a
        f"GROUP BY {', '.join([*groups, 'cost_currency'])}"  # closed set of names, checked by the caller
    )
    merged: dict[tuple[str | None, ...], tuple[dict[str, int], dict[str, int]]] = {}
    for row in statements.execute(statement, (since_unix_nano, until_unix_nano)):
        key, currency, numbers = row[: len(by)], row[len(by)] or "", row[len(by) + 1 :]
        sums, costs = merged.setdefault(key, (dict.fromkeys(_SUMS, 0), {}))
        # PostgreSQL's sums are decimals.
        *counts, micro, rest = (int(number or 0) for number in numbers)
        for name, number in zip(_SUMS, counts, strict=True):
            sums[name] += number
        if counts[_PRICED_CALLS]:
            costs[currency] = costs.get(currency, 0) + micro * _MICRO + rest
    totals = [_totals(by, key, sums, costs) for key, (sums, costs) in merged.items()]
    return sorted(totals, key=lambda total: (-max(total.costs.values(), default=Decimal(0)), -total.operations))


def _totals(
    by: Sequence[str], key: tuple[str | None, ...], sums: Mapping[str, int], costs: Mapping[str, int]
) -> Totals:
    group = MappingProxyType(dict(zip(by, key, strict=True)))
    exact = MappingProxyType({currency: to_units(pico) for currency, pico in sorted(costs.items())})
    return Totals(group=group, costs=exact, **sums)
