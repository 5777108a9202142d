"""Values that Python has no type for, equality and keys as CEL has them.

CEL's int, double, string, bytes, bool, null, list and map are Python's int, float, str, bytes, bool, None, list (or
tuple) and dict. Three things differ from Python: `true` is not 1, 1 is 1u is 1.0, and equality never fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from otel_llm.policy.cel.errors import CelError

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1


class Uint(int):
    """An unsigned integer."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A point in time: nanoseconds since 1970, UTC."""

    unix_nano: int


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A span of time in nanoseconds."""

    nanos: int


@dataclass(frozen=True, slots=True)
class OptionalValue:
    """A value that may be absent."""

    is_present: bool
    value: object = None


@dataclass(frozen=True, slots=True)
class TypeValue:
    """A type, as `type(x)` gives it."""

    name: str


@dataclass(frozen=True, slots=True)
class BoolKey:
    """A bool as the key of a map: for Python, True and 1 would be the same key."""

    value: bool


NONE: Final = OptionalValue(is_present=False)

_TYPE_NAMES: Final[Mapping[type, str]] = {
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    tuple: "list",
    dict: "map",
    type(None): "null_type",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    OptionalValue: "optional_type",
    TypeValue: "type",
}
_NUMBERS: Final = frozenset({int, float, Uint})
_LISTS: Final = frozenset({list, tuple})


def type_name(value: object) -> str:
    """The name of a value's type in CEL."""
    return _TYPE_NAMES.get(type(value)) or str(getattr(value, "type_name", "unknown"))


def equal(one: object, other: object) -> bool:
    """CEL's `==`: by value, numbers across their types, everything else unequal across types."""
    kind, other_kind = type(one), type(other)
    if kind in _NUMBERS:
        return other_kind in _NUMBERS and one == other
    if kind in _LISTS:
        if other_kind not in _LISTS or len(one) != len(other):  # type: ignore[arg-type] # both are lists
            return False
        return all(equal(a, b) for a, b in zip(one, other, strict=True))  # type: ignore[call-overload] # both are lists
    if kind is not other_kind:
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return len(one) == len(other) and all(key in other and equal(value, other[key]) for key, value in one.items())
    if isinstance(one, OptionalValue) and isinstance(other, OptionalValue):
        return one.is_present == other.is_present and equal(one.value, other.value)
    return one == other


def contains(value: object, container: object) -> bool:
    """CEL's `in`."""
    if isinstance(container, dict):
        key = map_key(value)
        return key is not None and key in container
    if type(value) is str:
        return value in container  # type: ignore[operator] # nothing but an equal string equals a string
    return any(equal(value, item) for item in container)  # type: ignore[attr-defined] # a list


def map_key(value: object) -> object:
    """A value as the key of a Python dict; None when no map can have it."""
    kind = type(value)
    if kind is str or kind is int or kind is Uint:
        return value
    if isinstance(value, bool):
        return BoolKey(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None


def plain_key(key: object) -> object:
    """The value that a key of a Python dict stands for."""
    return key.value if isinstance(key, BoolKey) else key


def make_map(entries: Iterable[tuple[object, object]]) -> dict[object, object]:
    """A map of a literal or of a comprehension.

    Raises:
        CelError: a key is repeated, or is no int, uint, bool or string.
    """
    made: dict[object, object] = {}
    for key, value in entries:
        kept = None if type(key) is float else map_key(key)
        if kept is None:
            raise CelError("unsupported type of a map's key")
        if kept in made:
            raise CelError("repeated key in a map")
        made[kept] = value
    return made


def index(container: object, key: object) -> object:
    """CEL's `container[key]`."""
    if isinstance(container, dict):
        found = map_key(key)
        if found is None or found not in container:
            raise CelError("no such key")
        return container[found]
    if isinstance(container, list | tuple):
        position = _list_index(key)
        if not 0 <= position < len(container):
            raise CelError("index out of range")
        return container[position]
    raise CelError(f"no such overload: {type_name(container)}[{type_name(key)}]")


def _list_index(key: object) -> int:
    if type(key) is int or type(key) is Uint:
        return key
    if isinstance(key, float) and key.is_integer():
        return int(key)
    raise CelError(f"no such overload: list[{type_name(key)}]")


def optional_index(container: object, key: object) -> OptionalValue:
    """`container[?key]`: absent where `container[key]` fails for want of the key."""
    if isinstance(container, OptionalValue):
        return optional_index(container.value, key) if container.is_present else NONE
    if isinstance(container, dict):
        found = map_key(key)
        return OptionalValue(is_present=True, value=container[found]) if found in container else NONE
    if isinstance(container, list | tuple):
        position = _list_index(key)
        return OptionalValue(is_present=True, value=container[position]) if 0 <= position < len(container) else NONE
    raise CelError(f"no such overload: {type_name(container)}[?{type_name(key)}]")


def select(operand: object, field: str) -> object:
    """CEL's `operand.field`; of an optional, an optional."""
    if isinstance(operand, dict):
        if field in operand:
            return operand[field]
        raise CelError(f"no such key: {field}")
    if isinstance(operand, OptionalValue):
        return optional_select(operand, field)
    raise CelError(f"no such overload: {type_name(operand)}.{field}")


def optional_select(operand: object, field: str) -> OptionalValue:
    """`operand.?field`."""
    if isinstance(operand, OptionalValue):
        return optional_select(operand.value, field) if operand.is_present else NONE
    if isinstance(operand, dict):
        return OptionalValue(is_present=True, value=operand[field]) if field in operand else NONE
    raise CelError(f"no such overload: {type_name(operand)}.?{field}")


def has(operand: object, field: str) -> bool:
    """`has(operand.field)`."""
    if isinstance(operand, dict):
        return field in operand
    if isinstance(operand, OptionalValue):
        return operand.is_present and has(operand.value, field)
    raise CelError(f"no such overload: has({type_name(operand)}.{field})")


def items(container: object) -> Iterable[object]:
    """What a comprehension of one variable goes over: a list's items, a map's keys."""
    if isinstance(container, dict):
        return map(plain_key, container)
    if isinstance(container, list | tuple):
        return container
    raise CelError(f"no such overload: a comprehension over {type_name(container)}")


def pairs(container: object) -> Iterable[tuple[object, object]]:
    """What a comprehension of two variables goes over: index and item, key and value."""
    if isinstance(container, dict):
        return ((plain_key(key), value) for key, value in container.items())
    if isinstance(container, list | tuple):
        return enumerate(container)
    raise CelError(f"no such overload: a comprehension over {type_name(container)}")


def truth(value: object) -> bool:
    """A bool that the checker could not be sure of."""
    if value is True or value is False:
        return value
    raise CelError(f"no such overload: {type_name(value)} where a bool is expected")
