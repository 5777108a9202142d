"""What an expression may use, and how a name is found. Source: cel-spec, doc/langdef.md, "Name Resolution"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from otel_llm.policy.cel.overloads import Overload
from otel_llm.policy.cel.types import Type


@dataclass(frozen=True, slots=True)
class Declarations:
    """What an expression may use.

    Attributes:
        variables: names and types of what is known when it runs.
        constants: names, types and values of what is known now.
        functions: all overloads by name.
        container: a namespace in which names are looked up first.
    """

    variables: Mapping[str, Type]
    constants: Mapping[str, tuple[Type, object]]
    functions: Mapping[str, Sequence[Overload]]
    container: str = ""

    def resolve(self, name: str, *, is_absolute: bool = False) -> str | None:
        """The full name of a variable or constant, None when there is none."""
        return next((one for one in self._candidates(name, is_absolute) if self._is_known(one)), None)

    def function(self, name: str) -> Sequence[Overload]:
        """The overloads of a function."""
        for candidate in self._candidates(name, is_absolute=False):
            if candidate in self.functions:
                return self.functions[candidate]
        return ()

    def _is_known(self, name: str) -> bool:
        return name in self.variables or name in self.constants

    def _candidates(self, name: str, is_absolute: bool) -> Iterable[str]:  # noqa: FBT001 - internal
        container = "" if is_absolute else self.container
        while container:
            yield f"{container}.{name}"
            container = container.rpartition(".")[0]
        yield name
