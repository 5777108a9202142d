"""Operations that came priced: has whoever priced them counted them, too?

A gateway that prices counts as well, where it has the processors for that. An app prices what it exports and counts
nothing, so it says on each span who has yet to count it. The first that does takes its word out.
"""

from __future__ import annotations

from typing import Final, Literal

from otel_llm._generated.attributes import OTEL_LLM_COST_STATUS, OTEL_LLM_COST_UNCOUNTED
from otel_llm.operation import Operation

Counting = Literal["metrics", "budget"]
COUNTING: Final[tuple[Counting, ...]] = ("metrics", "budget")


def leave_to(operation: Operation, left: tuple[Counting, ...]) -> None:
    """Say of an operation that was priced here that these are still to count it."""
    if left and operation.was_set(OTEL_LLM_COST_STATUS):
        operation.set(OTEL_LLM_COST_UNCOUNTED, left)


def is_left_to(operation: Operation, counting: Counting) -> bool:
    """Whether an operation that came priced is still to be counted."""
    left = operation.get(OTEL_LLM_COST_UNCOUNTED)
    return isinstance(left, list | tuple) and counting in left


def take(operation: Operation, counting: Counting) -> None:
    """It is counted now."""
    left = operation.get(OTEL_LLM_COST_UNCOUNTED)
    if not isinstance(left, list | tuple):
        return
    rest = tuple(word for word in left if isinstance(word, str) and word != counting)
    if rest:
        operation.set(OTEL_LLM_COST_UNCOUNTED, rest)
    else:
        operation.remove(OTEL_LLM_COST_UNCOUNTED)
