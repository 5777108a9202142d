"""Operators, conversions, and the functions of the language itself. Source: cel-spec, doc/langdef.md."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from itertools import product
from typing import Final

from otel_llm.policy.cel import times
from otel_llm.policy.cel.errors import CelError
from otel_llm.policy.cel.overloads import Overload
from otel_llm.policy.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    list_of,
    map_of,
    optional_of,
    parameter,
    type_of,
)
from otel_llm.policy.cel.values import (
    INT_MAX,
    INT_MIN,
    UINT_MAX,
    OptionalValue,
    TypeValue,
    Uint,
    contains,
    equal,
    index,
    optional_index,
    type_name,
)

# What `+`, `replace`, `join` and the like may make: characters, bytes or items.
MOST_SIZE: Final = 8_388_608

_A: Final = parameter("A")
_B: Final = parameter("B")
_INTEGER_TEXT: Final = re.compile(r"[+-]?[0-9]{1,20}\Z")
_DOUBLE_TEXT: Final = re.compile(
    # At no place two ways to go on: a long text that is no number would be tried in all of them.
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?|\.[0-9]+(?:e[+-]?[0-9]+)?|inf|infinity|nan)\Z",
    re.IGNORECASE,
)
_BOOLS: Final = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
# int() of a double: these two are the first doubles beyond an int64 on either side.
_DOUBLE_LIMIT: Final = 2.0**63


def checked_int(value: int) -> int:
    """A result that has to fit into 64 bits with a sign."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise CelError("integer overflow")


def checked_uint(value: int) -> Uint:
    """A result that has to fit into 64 bits without one."""
    if 0 <= value <= UINT_MAX:
        return Uint(value)
    raise CelError("unsigned integer overflow")


def check_size(size: int) -> None:
    """Refuse to make something larger than anything should be.

    Raises:
        CelError: it would be.
    """
    if size > MOST_SIZE:
        raise CelError("the result would be too large")


def _concatenated(one: Sequence[object], other: Sequence[object]) -> Sequence[object]:
    check_size(len(one) + len(other))
    return one + other  # type: ignore[operator, no-any-return] # both str, or both bytes


def _joined(one: Sequence[object], other: Sequence[object]) -> list[object]:
    check_size(len(one) + len(other))
    return [*one, *other]


def _divide(one: int, other: int) -> int:
    """Integer division, towards zero."""
    if other == 0:
        raise CelError("division by zero")
    quotient = abs(one) // abs(other)
    return quotient if (one < 0) == (other < 0) else -quotient


def _remainder(one: int, other: int) -> int:
    """What is left of it; with the sign of the dividend."""
    if other == 0:
        raise CelError("modulus by zero")
    rest = abs(one) % abs(other)
    return -rest if one < 0 else rest


def _divide_doubles(one: float, other: float) -> float:
    """Division as IEEE 754 has it: by zero it is infinite, or no number."""
    if other != 0:
        return one / other
    if one == 0 or math.isnan(one) or math.isnan(other):
        return math.nan
    return math.copysign(math.inf, one) * math.copysign(1.0, other)


def _multiply_doubles(one: float, other: float) -> float:
    return one * other


def _to_int(value: float) -> int:
    if -_DOUBLE_LIMIT < value < _DOUBLE_LIMIT:
        return int(value)
    raise CelError("integer out of range")


def _to_uint(value: float) -> Uint:
    if -1.0 < value < 2.0 * _DOUBLE_LIMIT:
        return checked_uint(int(value))
    raise CelError("unsigned integer out of range")


def _parse_int(text: str) -> int:
    if not _INTEGER_TEXT.match(text):
        raise CelError("int() of a string that is no integer")
    return checked_int(int(text))


def _parse_uint(text: str) -> Uint:
    if not _INTEGER_TEXT.match(text):
        raise CelError("uint() of a string that is no integer")
    return checked_uint(int(text))


def _parse_double(text: str) -> float:
    if not _DOUBLE_TEXT.match(text):
        raise CelError("double() of a string that is no number")
    return float(text)


def _parse_bool(text: str) -> bool:
    if text not in _BOOLS:
        raise CelError("bool() of a string that is no bool")
    return _BOOLS[text]


def double_text(value: float) -> str:
    """A double as string() gives it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value).removesuffix(".0")


def _decode(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise CelError("string() of bytes that are not UTF-8") from None


def _bool_text(value: bool) -> str:  # noqa: FBT001 - an argument of the language
    return "true" if value else "false"


def _arithmetic() -> list[Overload]:
    found: list[Overload] = []

    def add(
        operator: str, types: tuple[Type, Type, Type], implementation: Callable[..., object], inline: str | None = None
    ) -> None:
        one, other, result = types
        is_linear = implementation in (_concatenated, _joined)
        found.append(
            Overload(
                operator,
                (one, other),
                result,
                implementation,
                inline=inline,
                may_fail=inline is None,
                is_linear=is_linear,
            )
        )

    ints, uints, doubles = (INT, INT, INT), (UINT, UINT, UINT), (DOUBLE, DOUBLE, DOUBLE)
    add("_+_", ints, lambda a, b: checked_int(a + b))
    add("_-_", ints, lambda a, b: checked_int(a - b))
    add("_*_", ints, lambda a, b: checked_int(a * b))
    add("_/_", ints, lambda a, b: checked_int(_divide(a, b)))
    add("_%_", ints, _remainder)
    add("_+_", uints, lambda a, b: checked_uint(int(a) + int(b)))
    add("_-_", uints, lambda a, b: checked_uint(int(a) - int(b)))
    add("_*_", uints, lambda a, b: checked_uint(int(a) * int(b)))
    add("_/_", uints, lambda a, b: checked_uint(_divide(a, b)))
    add("_%_", uints, lambda a, b: checked_uint(_remainder(a, b)))
    add("_+_", doubles, lambda a, b: a + b, inline="({0} + {1})")
    add("_-_", doubles, lambda a, b: a - b, inline="({0} - {1})")
    add("_*_", doubles, _multiply_doubles, inline="({0} * {1})")
    add("_/_", doubles, _divide_doubles)
    add("_+_", (STRING, STRING, STRING), _concatenated)
    add("_+_", (BYTES, BYTES, BYTES), _concatenated)
    add("_+_", (list_of(_A), list_of(_A), list_of(_A)), _joined)
    add("_+_", (TIMESTAMP, DURATION, TIMESTAMP), times.add)
    add("_+_", (DURATION, TIMESTAMP, TIMESTAMP), lambda a, b: times.add(b, a))
    add("_+_", (DURATION, DURATION, DURATION), lambda a, b: times.duration(a.nanos + b.nanos))
    add("_-_", (TIMESTAMP, TIMESTAMP, DURATION), lambda a, b: times.duration(a.unix_nano - b.unix_nano))
    add("_-_", (TIMESTAMP, DURATION, TIMESTAMP), lambda a, b: times.timestamp(a.unix_nano - b.nanos))
    add("_-_", (DURATION, DURATION, DURATION), lambda a, b: times.duration(a.nanos - b.nanos))
    found.append(Overload("-_", (INT,), INT, lambda a: checked_int(-a)))
    found.append(Overload("-_", (DOUBLE,), DOUBLE, lambda a: -a, inline="(-{0})", may_fail=False))
    found.append(Overload("!_", (BOOL,), BOOL, lambda a: not a, inline="(not {0})", may_fail=False))
    return found


_COMPARISONS: Final[dict[str, Callable[..., object]]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _relations() -> list[Overload]:
    numbers = (INT, UINT, DOUBLE)
    comparable = [*product(numbers, numbers), *((one, one) for one in (STRING, BYTES, BOOL, TIMESTAMP, DURATION))]
    found = [
        Overload(
            f"_{sign}_",
            types,
            BOOL,
            compare,
            inline=f"({{0}} {sign} {{1}})",
            may_fail=False,
            is_linear=types[0] in (STRING, BYTES),
        )
        for sign, compare in _COMPARISONS.items()
        for types in comparable
    ]
    found.append(Overload("_==_", (_A, _A), BOOL, equal, is_total=True, may_fail=False, is_linear=True))
    found.append(
        Overload("_!=_", (_A, _A), BOOL, lambda a, b: not equal(a, b), is_total=True, may_fail=False, is_linear=True)
    )
    containers = (list_of(_A), map_of(_A, _B))
    found += [Overload("_in_", (_A, one), BOOL, contains, may_fail=False, is_linear=True) for one in containers]
    return found


def _access() -> list[Overload]:
    found = []
    for container, key, value in ((list_of(_A), INT, _A), (map_of(_A, _B), _A, _B)):
        found.append(Overload("_[_]", (container, key), value, _indexed, is_total=True))
        found.append(Overload("_[?_]", (container, key), optional_of(value), optional_index, is_total=True))
        for function in ("_[_]", "_[?_]"):
            optional = (optional_of(container), key)
            found.append(Overload(function, optional, optional_of(value), optional_index, is_total=True))
    return found


def _indexed(container: object, key: object) -> object:
    return optional_index(container, key) if isinstance(container, OptionalValue) else index(container, key)


def _conversions() -> list[Overload]:
    same = lambda value: value
    table: list[tuple[str, Type, Type, Callable[..., object]]] = [
        ("int", INT, INT, same),
        ("int", UINT, INT, lambda value: checked_int(int(value))),
        ("int", DOUBLE, INT, _to_int),
        ("int", STRING, INT, _parse_int),
        ("int", TIMESTAMP, INT, lambda value: value.unix_nano // times.SECOND),
        ("int", DURATION, INT, lambda value: _divide(value.nanos, times.SECOND)),
        ("uint", UINT, UINT, same),
        ("uint", INT, UINT, checked_uint),
        ("uint", DOUBLE, UINT, _to_uint),
        ("uint", STRING, UINT, _parse_uint),
        ("double", DOUBLE, DOUBLE, same),
        ("double", INT, DOUBLE, float),
        ("double", UINT, DOUBLE, float),
        ("double", STRING, DOUBLE, _parse_double),
        ("string", STRING, STRING, same),
        ("string", BOOL, STRING, _bool_text),
        ("string", INT, STRING, str),
        ("string", UINT, STRING, lambda value: str(int(value))),
        ("string", DOUBLE, STRING, double_text),
        ("string", BYTES, STRING, _decode),
        ("string", TIMESTAMP, STRING, times.timestamp_text),
        ("string", DURATION, STRING, times.duration_text),
        ("bytes", BYTES, BYTES, same),
        ("bytes", STRING, BYTES, lambda value: value.encode("utf-8", "surrogatepass")),
        ("bool", BOOL, BOOL, same),
        ("bool", STRING, BOOL, _parse_bool),
        ("timestamp", TIMESTAMP, TIMESTAMP, same),
        ("timestamp", STRING, TIMESTAMP, times.parse_timestamp),
        ("timestamp", INT, TIMESTAMP, lambda value: times.timestamp(value * times.SECOND)),
        ("duration", DURATION, DURATION, same),
        ("duration", STRING, DURATION, times.parse_duration),
        ("duration", INT, DURATION, lambda value: times.duration(value * times.SECOND)),
    ]
    found = [
        Overload(name, (given,), result, implementation, is_linear=given in (STRING, BYTES))
        for name, given, result, implementation in table
    ]
    found.append(Overload("dyn", (_A,), DYN, same, inline="{0}", may_fail=False))
    found.append(Overload("type", (_A,), type_of(_A), _type, is_total=True, may_fail=False))
    return found


def _type(value: object) -> TypeValue:
    return TypeValue(type_name(value))


def _sizes() -> list[Overload]:
    return [
        Overload("size", (type_,), INT, len, is_method, inline="len({0})", may_fail=False)
        for type_ in (STRING, BYTES, list_of(_A), map_of(_A, _B))
        for is_method in (False, True)
    ]


def _texts() -> list[Overload]:
    table: list[tuple[str, Callable[..., object], str]] = [
        ("contains", lambda text, part: part in text, "({1} in {0})"),
        ("startsWith", lambda text, part: text.startswith(part), "{0}.startswith({1})"),
        ("endsWith", lambda text, part: text.endswith(part), "{0}.endswith({1})"),
    ]
    return [
        Overload(name, (STRING, STRING), BOOL, function, is_method=True, inline=inline, may_fail=False, is_linear=True)
        for name, function, inline in table
    ]


CORE: Final = (*_arithmetic(), *_relations(), *_access(), *_conversions(), *_sizes(), *_texts(), *times.OVERLOADS)

# Names that stand for types themselves.
TYPE_NAMES: Final[dict[str, tuple[Type, TypeValue]]] = {
    name: (type_of(type_), TypeValue(type_.name))
    for name, type_ in {
        "bool": BOOL,
        "int": INT,
        "uint": UINT,
        "double": DOUBLE,
        "string": STRING,
        "bytes": BYTES,
        "null_type": NULL,
        "list": list_of(DYN),
        "map": map_of(DYN, DYN),
        "type": type_of(DYN),
        "google.protobuf.Timestamp": TIMESTAMP,
        "google.protobuf.Duration": DURATION,
        "optional_type": Type("optional_type", (DYN,)),
    }.items()
}
