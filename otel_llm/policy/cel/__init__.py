"""CEL, the Common Expression Language: checked when it is loaded, compiled to Python, bounded when it runs.

    text ─▶ parser ─▶ checker (names, types) ─▶ emitter ─▶ one Python function ─▶ value, CelError or BudgetError

Language: https://github.com/google/cel-spec, without protobuf messages; with the extensions for strings, math,
optionals, encoders, bindings and comprehensions of two variables. `tests/policy/cel` runs its conformance cases.
"""

from __future__ import annotations

from otel_llm.policy.cel.environment import Environment, Program
from otel_llm.policy.cel.errors import BudgetError, CelError, ExpressionError, Problem
from otel_llm.policy.cel.overloads import Overload
from otel_llm.policy.cel.types import Type
from otel_llm.policy.cel.variables import ABSENT, Failure, Variables

__all__ = [
    "ABSENT",
    "BudgetError",
    "CelError",
    "Environment",
    "ExpressionError",
    "Failure",
    "Overload",
    "Problem",
    "Program",
    "Type",
    "Variables",
]
