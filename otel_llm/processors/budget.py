"""The budget processor: what each call cost, counted against the budgets that it belongs to.

Counting is a sum in memory; a thread takes the sums to the store that all processes share (otel_llm/counters). Changes
nothing of an operation but to say that a limit was reached. Calls are stopped before they are made, where an app asks
`BudgetAdmission`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final, Self

from otel_llm._generated import attributes as names
from otel_llm.budget.book import Entry
from otel_llm.budget.model import Budget, BudgetStatus
from otel_llm.components import Context
from otel_llm.cost.money import to_pico
from otel_llm.operation import Operation
from otel_llm.processors.budget_config import Config
from otel_llm.processors.budget_counting import Counting
from otel_llm.processors.budget_subject import Subjects
from otel_llm.processors.seen import SeenSpans
from otel_llm.processors.uncounted import is_left_to, take

__all__ = ["BudgetProcessor", "Config", "create"]

_logger = logging.getLogger(__name__)

# What was billed, or should have been: a call whose cost is known, or one that nobody could price.
_PRICED: Final = frozenset({"priced", "partial"})
_UNPRICED: Final = frozenset({"unpriced", "error"})


class BudgetProcessor:
    """Counts operations.

    Args:
        config: the user's settings.
        context: name, metrics, clock, and where events go.

    Raises:
        ConfigError: see `Counting`.
    """

    writes = frozenset({names.OTEL_LLM_BUDGET_EXCEEDED, names.OTEL_LLM_COST_UNCOUNTED})

    def __init__(self, config: Config, context: Context) -> None:
        self.name = context.name
        self._counting = Counting(config, context, f"processors.{context.name}", leases=False)
        self._subjects = Subjects(self._counting.budgets)
        self._count_already_priced = config.count_already_priced
        self._told_of_already_priced = False
        self._seen = SeenSpans(config.remembered_spans)
        self._predecessor: Counting | None = None
        self.reads = self._subjects.reads | {
            names.OTEL_LLM_COST_STATUS,
            names.OTEL_LLM_COST_TOTAL,
            names.OTEL_LLM_COST_CURRENCY,
        }

    def process(self, operations: Iterable[Operation]) -> None:
        """Count those that were billed, each once."""
        entries: list[Entry] = []
        reached = self._counting.reached()
        try:
            for operation in operations:
                if self._counts(operation):
                    self._count(operation, entries, reached)
        finally:
            if entries:  # those before one that failed count, too
                self._counting.add(entries)

    def _counts(self, operation: Operation) -> bool:
        status = operation.get(names.OTEL_LLM_COST_STATUS)
        if status not in _PRICED and status not in _UNPRICED:
            return False
        if operation.get(names.OTEL_LLM_BUDGET_RESERVATION) is not None:  # the app has counted it
            return False
        if is_left_to(operation, "budget"):
            take(operation, "budget")
            return self._seen.is_new(operation)
        if not operation.was_set(names.OTEL_LLM_COST_STATUS) and not self._count_already_priced:
            self._tell_of_already_priced(operation)
            return False
        return self._seen.is_new(operation)

    def _tell_of_already_priced(self, operation: Operation) -> None:
        """Once: a budget that stays at nothing while money is spent must not look like one that is well."""
        if self._told_of_already_priced or not self._subjects.budgets_of(operation):
            return
        self._told_of_already_priced = True
        _logger.warning(
            "processors.%s: calls come priced by a gateway before this one and are not counted here; if that one "
            "counts them for no budget, set count_already_priced: true",
            self.name,
        )

    def _count(self, operation: Operation, entries: list[Entry], reached: frozenset[str]) -> None:
        budgets = self._subjects.budgets_of(operation)
        if not budgets:
            return
        cost = None
        if operation.get(names.OTEL_LLM_COST_STATUS) in _PRICED:
            cost = to_pico(operation.get(names.OTEL_LLM_COST_TOTAL))
        currency = operation.get(names.OTEL_LLM_COST_CURRENCY)
        start = operation.start_unix_nano
        entries += [Entry(one, start, cost if one.currency == currency else None) for one in budgets]
        if reached:
            mark(operation, budgets, reached)

    def statuses(self) -> list[BudgetStatus]:
        """What is known of each budget now."""
        return self._counting.statuses()

    def flush(self) -> bool:
        """Write what was counted into the store now; whether that could be done. For tests, and without `start`."""
        return self._counting.keeper.flush()

    def succeed(self, predecessor: Self) -> None:
        """Go on with the memory of spans of the processor of the configuration before."""
        self._seen = predecessor._seen
        self._told_of_already_priced = predecessor._told_of_already_priced
        self._predecessor = predecessor._counting

    def start(self) -> None:
        """Begin to write into the store."""
        if self._predecessor is not None:  # both know the same, and the sum of levels is none
            self._predecessor.hide()
            self._predecessor = None
        self._counting.start()

    def shutdown(self, deadline_seconds: float) -> None:
        """Write what is left."""
        self._counting.shutdown(deadline_seconds)


def mark(operation: Operation, budgets: Iterable[Budget], reached: frozenset[str]) -> None:
    """Say on an operation which of its budgets are exceeded."""
    exceeded = tuple(budget.name for budget in budgets if budget.name in reached)
    if exceeded:
        operation.set(names.OTEL_LLM_BUDGET_EXCEEDED, exceeded)


def create(config: Config, context: Context) -> BudgetProcessor:
    """The processor.

    Raises:
        ConfigError: see `Counting`.
    """
    return BudgetProcessor(config, context)
