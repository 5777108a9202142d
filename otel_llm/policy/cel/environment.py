"""An environment: what expressions may use. It compiles text to programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from otel_llm.policy.cel.checker import check
from otel_llm.policy.cel.declarations import Declarations
from otel_llm.policy.cel.emitter import Emitter
from otel_llm.policy.cel.errors import ExpressionError, Problem
from otel_llm.policy.cel.functions_core import CORE, TYPE_NAMES
from otel_llm.policy.cel.functions_math import MATH
from otel_llm.policy.cel.functions_network import NETWORK, NETWORK_TYPES
from otel_llm.policy.cel.functions_optional import OPTIONAL
from otel_llm.policy.cel.functions_text import TEXT
from otel_llm.policy.cel.overloads import Overload
from otel_llm.policy.cel.parser import parse
from otel_llm.policy.cel.regex import Regexes, best_regexes, matches_overloads
from otel_llm.policy.cel.types import Type, assign
from otel_llm.policy.cel.variables import Variables

# Some 10 ms; a comprehension over every message of a long conversation takes a few thousand.
MOST_STEPS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression.

    Attributes:
        source: its text.
        type: of its value.
        variables: names of the variables it may read.
        shown: of those, the ones whose values may show in its value.
        evaluate: gives the value; raises CelError or BudgetError, or RecursionError on data nested too deep.
    """

    source: str
    type: Type
    variables: frozenset[str]
    shown: frozenset[str]
    evaluate: Callable[[Variables], object]


class Environment:
    """What expressions may use.

    Args:
        variables: names, dots allowed, and types of what is known when they run.
        constants: names, types and values of what is known when they are compiled.
        functions: overloads besides those of the language and its extensions.
        container: a namespace in which names are looked up first.
        regexes: the engine of `matches`; the best there is by default.
        is_checked: whether a name or type that is wrong is an error now, and not only when the expression runs.
    """

    def __init__(
        self,
        variables: Mapping[str, Type],
        *,
        constants: Mapping[str, tuple[Type, object]] | None = None,
        functions: Iterable[Overload] = (),
        container: str = "",
        regexes: Regexes | None = None,
        is_checked: bool = True,
    ) -> None:
        by_name: dict[str, list[Overload]] = {}
        # matches() is there twice: patterns of a checked environment have to be known now.
        patterns = matches_overloads(regexes or best_regexes(), may_be_computed=not is_checked)
        for overload in (*CORE, *TEXT, *MATH, *NETWORK, *OPTIONAL, *patterns, *functions):
            by_name.setdefault(overload.function, []).append(overload)
        named = {**TYPE_NAMES, **NETWORK_TYPES, **(constants or {})}
        self._declarations = Declarations(variables, named, by_name, container)
        self._is_checked = is_checked

    def compile(self, source: str, wanted: Type | None = None) -> Program:
        """Compile an expression.

        Args:
            source: the expression.
            wanted: the type its value has to have, None for any.

        Raises:
            ExpressionError: it cannot be used; with every problem.
        """
        tree = parse(source)
        checked = check(tree, self._declarations)
        problems = list(checked.problems) if self._is_checked else []
        type_ = checked.types[tree.id]
        if wanted is not None and not problems and not assign(wanted, type_, {}):
            problems.append(Problem(0, f"expected an expression of type {wanted}, got {type_}"))
        emitter = Emitter(checked, self._declarations, MOST_STEPS)
        if not problems:
            text = emitter.function(tree)
            problems += emitter.problems
        if problems:
            raise ExpressionError(source, problems)
        evaluate = _function(source, text, emitter.namespace)
        return Program(source, type_, frozenset(emitter.variables), frozenset(emitter.shown), evaluate)


def _function(source: str, text: str, namespace: dict[str, object]) -> Callable[[Variables], object]:
    try:
        exec(compile(text, "<cel>", "exec"), namespace)  # noqa: S102 - the emitter made it; see there
    except (SyntaxError, RecursionError, MemoryError):  # Python has a limit of its own for nested blocks
        raise ExpressionError(source, [Problem(0, "nested too deep")]) from None
    return cast("Callable[[Variables], object]", namespace["evaluate"])
