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


def _steps(value: object, bits: int, most: int) -> int:
    """How many steps an argument of a linear function counts for: everything in it, however deep.

    What an expression made may hold the same list many times over, and so be far larger than it took to make it:
    beyond `most`, nobody goes on counting.
    """
    if isinstance(value, str | bytes):
        return len(value) >> bits
    steps, rest = 0, [value]
    while rest and steps <= most:
        one = rest.pop()
        if isinstance(one, str | bytes):
            steps += len(one) >> bits
        elif isinstance(one, dict):
            steps += len(one)
            rest += one.values()
        elif isinstance(one, list | tuple):
            steps += len(one)
            rest += one
        elif isinstance(one, OptionalValue):
            steps += 1
            rest.append(one.value)
    return steps


def _items_in(value: object, bits: int, most: int) -> int:
    """As `_steps`; what is nothing but a text counts for nothing: it is as long as the data, and no longer."""
    return 0 if isinstance(value, str | bytes) else _steps(value, bits, most)


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
    "_items_in": _items_in,
    "_list": _present_items,
    "_make_map": values.make_map,
    "_optional_select": values.optional_select,
    "_pairs": values.pairs,
    "_select": values.select,
    "_steps": _steps,
    "_truth": values.truth,
}
