"""Types of expressions, and when a value of one may stand where another is wanted.

Source: cel-spec, doc/langdef.md, "Gradual type checking". `dyn` goes with everything; what it stands for is then looked
at when the expression runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Type:
    """A type.

    Attributes:
        name: of the type; of a type parameter, a name that starts with `?`.
        parameters: of list, map, optional_type and type.
    """

    name: str
    parameters: tuple[Type, ...] = ()

    def __str__(self) -> str:
        if not self.parameters:
            return self.name
        return f"{self.name}({', '.join(map(str, self.parameters))})"

    @property
    def is_parameter(self) -> bool:
        """Whether it stands for a type that is not known yet."""
        return self.name.startswith("?")


DYN: Final = Type("dyn")
NULL: Final = Type("null_type")
BOOL: Final = Type("bool")
INT: Final = Type("int")
UINT: Final = Type("uint")
DOUBLE: Final = Type("double")
STRING: Final = Type("string")
BYTES: Final = Type("bytes")
TIMESTAMP: Final = Type("google.protobuf.Timestamp")
DURATION: Final = Type("google.protobuf.Duration")

PRIMITIVES: Final = frozenset({BOOL, INT, UINT, DOUBLE, STRING, BYTES, NULL, TIMESTAMP, DURATION})
# A legacy of protobuf: null may stand where a message or an abstract type is wanted.
_NULLABLE: Final = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration", "optional_type"})


def list_of(item: Type) -> Type:
    """`list(item)`."""
    return Type("list", (item,))


def map_of(key: Type, value: Type) -> Type:
    """`map(key, value)`."""
    return Type("map", (key, value))


def optional_of(value: Type) -> Type:
    """`optional_type(value)`."""
    return Type("optional_type", (value,))


def type_of(value: Type) -> Type:
    """`type(value)`."""
    return Type("type", (value,))


def parameter(name: str) -> Type:
    """A type parameter of a function."""
    return Type(f"?{name}")


Substitution = dict[str, Type]


def substitute(type_: Type, known: Substitution) -> Type:
    """The type with its parameters replaced as far as they are known."""
    while type_.is_parameter and type_.name in known:
        type_ = known[type_.name]
    if not type_.parameters:
        return type_
    return Type(type_.name, tuple(substitute(one, known) for one in type_.parameters))


def finished(type_: Type, known: Substitution) -> Type:
    """The type at the end of checking: what nobody determined is dyn."""
    type_ = substitute(type_, known)
    if type_.is_parameter:
        return DYN
    return Type(type_.name, tuple(finished(one, known) for one in type_.parameters))


def assign(wanted: Type, given: Type, known: Substitution) -> bool:
    """Whether a value of type `given` may stand where `wanted` is; notes in `known` what parameters then are."""
    wanted, given = substitute(wanted, known), substitute(given, known)
    if wanted.is_parameter or given.is_parameter:
        if wanted == given:
            return True
        one, other = (wanted, given) if wanted.is_parameter else (given, wanted)
        if _occurs(one, other):
            return False
        known[one.name] = other
        return True
    if DYN in (wanted, given):
        return True
    if given == NULL and wanted.name in _NULLABLE:
        return True
    if wanted.name == given.name == "type":  # types may be compared whatever they are of
        return True
    if wanted.name != given.name or len(wanted.parameters) != len(given.parameters):
        return False
    return all(assign(one, other, known) for one, other in zip(wanted.parameters, given.parameters, strict=True))


def _occurs(one: Type, within: Type) -> bool:
    return one == within or any(_occurs(one, part) for part in within.parameters)


def join(one: Type, other: Type, known: Substitution) -> Type:
    """The type of something that may be either, e.g. an item of a list literal: the more general one, or dyn."""
    trial = dict(known)
    if not (assign(one, other, trial) or assign(other, one, trial)):
        return DYN
    known.update(trial)
    return _more_general(substitute(one, known), substitute(other, known))


def _more_general(one: Type, other: Type) -> Type:
    if DYN in (one, other):
        return DYN
    if one == NULL:
        return other
    if other == NULL or one.is_parameter or one.name != other.name:
        return one
    merged = zip(one.parameters, other.parameters, strict=True)
    return Type(one.name, tuple(_more_general(a, b) for a, b in merged))
