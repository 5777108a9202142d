"""What emitted code calls, by the names it calls it by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from otel_llm.policy.cel import values
from otel_llm.policy.cel.errors import BudgetError, CelError
from otel_llm.policy.cel.values import OptionalValue


def _fail(message: str) -> object:
    raise CelError(message)


def _exhausted() -> None:
    raise BudgetError("the expression took too many steps")


def _steps(value: object, bits: int) -> int:
    """How many steps an argument of a linear function counts for: everything in it, however deep."""
    if isinstance(value, str | bytes):
        return len(value) >> bits
    if isinstance(value, dict):
        return sum(1 + _steps(one, bits) for one in value.values())
    if isinstance(value, list | tuple):
        return sum(1 + _steps(one, bits) for one in value)
    return 0


def _present_items(items: Iterable[tuple[object, bool]]) -> list[object]:
    found = []
    for item, is_optional in items:
        if not is_optional:
            found.append(item)
        elif not isinstance(item, OptionalValue):
            raise CelError("no such overload: an optional item of a list that is no optional")
        elif item.is_present:
            found.append(item.value)
    return found


def _present_entries(entries: Iterable[tuple[object, object, bool]]) -> Iterable[tuple[object, object]]:
    for key, value, is_optional in entries:
        for present in _present_items([(value, is_optional)]):
            yield key, present


def _optional(value: object) -> OptionalValue:
    if isinstance(value, OptionalValue):
        return value
    raise CelError("no such overload: expected an optional")


HELPERS: Final[Mapping[str, object]] = {
    "_CelError": CelError,
    "_present": lambda value: OptionalValue(is_present=True, value=value),
    "_none": values.NONE,
    "_optional": _optional,
    "_entries": _present_entries,
    "_exhausted": _exhausted,
    "_fail": _fail,
    "_equal": values.equal,
    "_contains": values.contains,
    "_has": values.has,
    "_items": values.items,
    "_list": _present_items,
    "_make_map": values.make_map,
    "_optional_select": values.optional_select,
    "_pairs": values.pairs,
    "_select": values.select,
    "_steps": _steps,
    "_truth": values.truth,
}
