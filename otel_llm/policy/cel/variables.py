"""The variables of one evaluation, each looked up when it is first read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from otel_llm.policy.cel.errors import BudgetError, CelError


class Absent:
    """The type of ABSENT."""

    __slots__ = ()


ABSENT: Final = Absent()


@dataclass(frozen=True, slots=True)
class Failure:
    """What a variable is when it is there and cannot be read.

    Attributes:
        message: why; never content.
        kind: what reading it raises.
    """

    message: str
    kind: type[CelError | BudgetError] = CelError


class Variables(dict[str, object]):
    """Values by name; what has been read already is in the dict itself.

    Args:
        load: see there; None for a subclass that has its own.
    """

    __slots__ = ("_load", "_without")

    def __init__(self, load: Callable[[str], object] | None = None) -> None:
        self._load = load
        # Those that cannot be read, with the failure; None when there is no such variable.
        self._without: dict[str, Failure | None] = {}

    def load(self, name: str) -> object:
        """The value of a variable, ABSENT when there is none, or a Failure."""
        return ABSENT if self._load is None else self._load(name)

    def __missing__(self, name: str) -> object:
        if name not in self._without:
            try:
                value = self.load(name)
            except (CelError, BudgetError) as error:
                value = Failure(str(error), type(error))
            if value is not ABSENT and type(value) is not Failure:
                self[name] = value
                return value
            self._without[name] = value if type(value) is Failure else None
        failure = self._without[name]
        if failure is None:
            raise CelError(f"{name} is absent")
        raise failure.kind(failure.message)

    def has(self, name: str) -> bool:
        """Whether there is such a variable, be it readable or not."""
        if name in self:
            return True
        if name not in self._without:
            try:
                self[name]
            except CelError:
                pass
            else:
                return True
        return self._without[name] is not None
