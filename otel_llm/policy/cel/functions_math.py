"""The extension for mathematics. Source: cel-go, ext/math.go (its documentation)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from otel_llm.policy.cel.errors import CelError
from otel_llm.policy.cel.functions_core import checked_int
from otel_llm.policy.cel.overloads import Overload
from otel_llm.policy.cel.types import BOOL, DOUBLE, DYN, INT, UINT, Type, list_of
from otel_llm.policy.cel.values import UINT_MAX, Uint

_MOST_ARGUMENTS: Final = 8
_BITS: Final = 64
_NUMBERS: Final = (int, float, Uint)


def _extreme(choose: Callable[..., object]) -> Callable[..., object]:
    def of(*values: object) -> object:
        if len(values) == 1 and isinstance(values[0], list | tuple):
            values = tuple(values[0])
        if not values:
            raise CelError("the greatest or least of nothing")
        if any(type(value) not in _NUMBERS for value in values):
            raise CelError("no such overload: the greatest or least of something that is no number")
        return choose(values)

    return of


def _round(value: float) -> float:
    """Half away from zero."""
    if not math.isfinite(value):
        return value
    return math.copysign(math.floor(abs(value) + 0.5), value) if abs(value) < 2.0**52 else value


def _finite(function: Callable[[float], int]) -> Callable[[float], float]:
    return lambda value: float(function(value)) if math.isfinite(value) else value


def _sign(value: float) -> float:
    return value if math.isnan(value) or value == 0 else math.copysign(1.0, value)


def _sqrt(value: float) -> float:
    return math.sqrt(value) if not value < 0 else math.nan


def _shift(value: int, bits: int, *, is_left: bool) -> int:
    """A shift of 64 bits; to the right it brings in zeros, whatever the sign."""
    if bits < 0:
        raise CelError("shift by a negative number of bits")
    if bits >= _BITS:
        return 0
    unsigned = value & UINT_MAX
    return (unsigned << bits) & UINT_MAX if is_left else unsigned >> bits


def _signed(value: int) -> int:
    return value - 2**_BITS if value >= 2 ** (_BITS - 1) else value


def _extremes(name: str, choose: Callable[..., object]) -> list[Overload]:
    implementation = _extreme(choose)

    def overload(parameters: Sequence[Type], result: Type) -> Overload:
        is_list = parameters[0].name == "list"
        return Overload(name, tuple(parameters), result, implementation, is_total=True, is_linear=is_list)

    found = [overload([one], one) for one in (INT, UINT, DOUBLE)]
    found += [overload([list_of(one)], one) for one in (INT, UINT, DOUBLE, DYN)]
    for number in range(2, _MOST_ARGUMENTS + 1):
        found += [overload([one] * number, one) for one in (INT, UINT, DOUBLE)]
        found.append(overload([DYN] * number, DYN))
    return found


def _bits() -> list[Overload]:
    found = []
    table: dict[str, Callable[[int, int], int]] = {
        "math.bitAnd": lambda a, b: int(a) & int(b),
        "math.bitOr": lambda a, b: int(a) | int(b),
        "math.bitXor": lambda a, b: int(a) ^ int(b),
    }
    for name, function in table.items():
        found.append(Overload(name, (INT, INT), INT, function, may_fail=False))
        found.append(Overload(name, (UINT, UINT), UINT, lambda a, b, f=function: Uint(f(a, b)), may_fail=False))
    found.append(Overload("math.bitNot", (INT,), INT, lambda a: ~a, may_fail=False))
    found.append(Overload("math.bitNot", (UINT,), UINT, lambda a: Uint(~int(a) & UINT_MAX), may_fail=False))
    for name, is_left in (("math.bitShiftLeft", True), ("math.bitShiftRight", False)):
        found.append(Overload(name, (INT, INT), INT, lambda a, b, left=is_left: _signed(_shift(a, b, is_left=left))))
        found.append(
            Overload(name, (UINT, INT), UINT, lambda a, b, left=is_left: Uint(_shift(int(a), b, is_left=left)))
        )
    return found


def _real() -> list[Overload]:
    same = lambda value: value
    table: list[tuple[str, Type, Type, Callable[..., object]]] = [
        ("math.ceil", DOUBLE, DOUBLE, _finite(math.ceil)),
        ("math.floor", DOUBLE, DOUBLE, _finite(math.floor)),
        ("math.trunc", DOUBLE, DOUBLE, _finite(math.trunc)),
        ("math.round", DOUBLE, DOUBLE, _round),
        ("math.abs", DOUBLE, DOUBLE, abs),
        ("math.abs", INT, INT, lambda value: checked_int(abs(value))),
        ("math.abs", UINT, UINT, same),
        ("math.sign", DOUBLE, DOUBLE, _sign),
        ("math.sign", INT, INT, lambda value: (value > 0) - (value < 0)),
        ("math.sign", UINT, UINT, lambda value: Uint(value > 0)),
        ("math.sqrt", DOUBLE, DOUBLE, _sqrt),
        ("math.sqrt", INT, DOUBLE, lambda value: _sqrt(float(value))),
        ("math.sqrt", UINT, DOUBLE, lambda value: _sqrt(float(value))),
        ("math.isNaN", DOUBLE, BOOL, math.isnan),
        ("math.isInf", DOUBLE, BOOL, math.isinf),
        ("math.isFinite", DOUBLE, BOOL, math.isfinite),
    ]
    return [Overload(name, (given,), result, function) for name, given, result, function in table]


MATH: Final = (*_extremes("math.greatest", max), *_extremes("math.least", min), *_bits(), *_real())
