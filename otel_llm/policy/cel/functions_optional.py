"""Optional values. Source: cel-spec, and cel-go, cel/library.go (the documentation of its optional types)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from otel_llm.policy.cel.errors import CelError
from otel_llm.policy.cel.overloads import Overload
from otel_llm.policy.cel.types import BOOL, list_of, optional_of, parameter
from otel_llm.policy.cel.values import NONE, Duration, OptionalValue, Timestamp

_A: Final = parameter("A")
_OPTIONAL: Final = optional_of(_A)
_ZEROS: Final = (Duration(0), Timestamp(0))


def _present(value: object) -> OptionalValue:
    return OptionalValue(is_present=True, value=value)


def _if_not_zero(value: object) -> OptionalValue:
    is_zero = (
        value is None or value in _ZEROS if isinstance(value, Duration | Timestamp) or value is None else not value
    )
    return NONE if is_zero else _present(value)


def _value(optional: OptionalValue) -> object:
    if not optional.is_present:
        raise CelError("value() of an optional that has none")
    return optional.value


def _unwrapped(optionals: Sequence[object]) -> list[object]:
    return [one.value for one in optionals if isinstance(one, OptionalValue) and one.is_present]


def _first(values: Sequence[object]) -> OptionalValue:
    return _present(values[0]) if values else NONE


def _last(values: Sequence[object]) -> OptionalValue:
    return _present(values[-1]) if values else NONE


OPTIONAL: Final = (
    Overload("optional.of", (_A,), _OPTIONAL, _present, may_fail=False),
    Overload("optional.ofNonZeroValue", (_A,), _OPTIONAL, _if_not_zero, may_fail=False),
    Overload("optional.none", (), _OPTIONAL, lambda: NONE, may_fail=False),
    Overload("optional.unwrap", (list_of(_OPTIONAL),), list_of(_A), _unwrapped, may_fail=False, is_linear=True),
    Overload("unwrapOpt", (list_of(_OPTIONAL),), list_of(_A), _unwrapped, is_method=True, is_linear=True),
    Overload("hasValue", (_OPTIONAL,), BOOL, lambda one: one.is_present, is_method=True, may_fail=False),
    Overload("value", (_OPTIONAL,), _A, _value, is_method=True),
    Overload("or", (_OPTIONAL, _OPTIONAL), _OPTIONAL, lambda a, b: a if a.is_present else b, is_method=True),
    Overload("orValue", (_OPTIONAL, _A), _A, lambda a, b: a.value if a.is_present else b, is_method=True),
    Overload("first", (list_of(_A),), _OPTIONAL, _first, is_method=True, may_fail=False),
    Overload("last", (list_of(_A),), _OPTIONAL, _last, is_method=True, may_fail=False),
)
