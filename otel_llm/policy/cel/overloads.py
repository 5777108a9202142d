"""Functions and operators: declared once, for the checker, the emitter, and the choice at run time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from otel_llm.policy.cel.errors import CelError
from otel_llm.policy.cel.types import Type
from otel_llm.policy.cel.values import Duration, OptionalValue, Timestamp, TypeValue, Uint, type_name


@dataclass(frozen=True, slots=True)
class Overload:
    """One form of a function.

    Attributes:
        function: its name, e.g. `startsWith`, `math.ceil`, `_+_`.
        parameters: types of its arguments, the receiver first.
        result: the type of its value.
        implementation: takes arguments of these types; raises CelError.
        is_method: whether it is called on a receiver.
        inline: Python source that does the same, with `{0}`, `{1}` for arguments of exactly these types.
        is_total: whether the implementation looks at the types itself, so that it may be called with anything.
        may_fail: whether it ever raises when the types are right.
        is_linear: whether it takes time in proportion to its arguments, which counts as steps within comprehensions.
        is_slow: whether that is much time for each character.
        is_discreet: whether its value tells nothing of what its arguments say, only that something is there.
        bind: given the arguments, of which those that are not known when the expression is loaded are UNKNOWN, another
            implementation for just this call; raises ValueError, with a message, to refuse the call.
    """

    function: str
    parameters: tuple[Type, ...]
    result: Type
    implementation: Callable[..., object]
    is_method: bool = False
    inline: str | None = None
    is_total: bool = False
    may_fail: bool = True
    is_linear: bool = False
    is_slow: bool = False
    is_discreet: bool = False
    bind: Callable[[Sequence[object]], Callable[..., object]] | None = None


class Unknown:
    """The type of UNKNOWN."""

    __slots__ = ()


UNKNOWN: Final = Unknown()

_PYTHON_TYPES: Final[Mapping[str, frozenset[type]]] = {
    "bool": frozenset({bool}),
    "int": frozenset({int}),
    "uint": frozenset({Uint}),
    "double": frozenset({float}),
    "string": frozenset({str}),
    "bytes": frozenset({bytes}),
    "list": frozenset({list, tuple}),
    "map": frozenset({dict}),
    "null_type": frozenset({type(None)}),
    "google.protobuf.Timestamp": frozenset({Timestamp}),
    "google.protobuf.Duration": frozenset({Duration}),
    "optional_type": frozenset({OptionalValue}),
    "type": frozenset({TypeValue}),
}


def fits(kind: type, type_: Type) -> bool:
    """Whether values of a Python type are of a type of CEL."""
    if type_.is_parameter or type_.name == "dyn":
        return True
    known = _PYTHON_TYPES.get(type_.name)
    return kind in known if known is not None else getattr(kind, "type_name", None) == type_.name


class Dispatcher:
    """Chooses among overloads by what the arguments turn out to be.

    Args:
        overloads: of one function, all methods or none.
    """

    __slots__ = ("_by_kinds", "_name", "_overloads")

    def __init__(self, overloads: Iterable[Overload]) -> None:
        self._overloads = tuple(overloads)
        self._name = self._overloads[0].function
        # Bounded: there are so many types of values and no more.
        self._by_kinds: dict[tuple[type, ...], Callable[..., object]] = {}

    def __call__(self, *arguments: object) -> object:
        """The value.

        Raises:
            CelError: no overload is for these.
        """
        kinds = tuple(map(type, arguments))
        implementation = self._by_kinds.get(kinds)
        if implementation is None:
            implementation = self._by_kinds[kinds] = self._find(kinds, arguments)
        return implementation(*arguments)

    def _find(self, kinds: tuple[type, ...], arguments: tuple[object, ...]) -> Callable[..., object]:
        for overload in self._overloads:
            if len(kinds) == len(overload.parameters) and all(map(fits, kinds, overload.parameters)):
                return overload.implementation
        given = ", ".join(map(type_name, arguments))
        raise CelError(f"no such overload: {self._name}({given})")
