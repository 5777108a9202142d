"""What can be wrong with an expression: when it is loaded, and when it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CelError(Exception):
    """An evaluation has no value: something is absent, out of range, or of a type that an operation is not for.

    `&&`, `||`, `all` and `exists` absorb it where the other operands decide. Its text never quotes data.
    """


class BudgetError(Exception):
    """An evaluation took more steps than it may. Nothing absorbs it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an expression.

    Attributes:
        position: offset of the character it is about.
        message: what was found and what was expected.
    """

    position: int
    message: str


class ExpressionError(ValueError):
    """An expression cannot be used.

    Attributes:
        source: the expression.
        problems: all that were found, at least one.
    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{line}:{column}: {message}" for line, column, message in self.located()))

    def located(self) -> list[tuple[int, int, str]]:
        """Line and column, both from 1, and message of each problem."""
        found = []
        for problem in self.problems:
            before = self.source[: problem.position]
            line = before.count("\n") + 1
            column = problem.position - (before.rfind("\n") + 1) + 1
            found.append((line, column, problem.message))
        return found
