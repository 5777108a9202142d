"""A bounded reading of JSON schemas: does a value break its schema, for certain?

Schemas come from telemetry and are hostile until shown otherwise: recursive, huge, with references to other hosts or
patterns that take for ever. So this is no general validator: it follows references within the document only, never runs
a pattern, and gives up after a number of steps. What it cannot tell is `None`, which raises no alarm.
Source: JSON Schema 2020-12, with `nullable` of OpenAPI 3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

MAX_STEPS: Final = 20_000
MAX_DEPTH: Final = 64

Schema = Mapping[str, object]

_ANNOTATIONS: Final = frozenset(
    {
        "title", "description", "default", "example", "examples", "format", "$schema", "$id", "$comment", "deprecated",
        "readOnly", "writeOnly", "$defs", "definitions", "strict", "nullable", "additionalProperties",
        "contentEncoding", "contentMediaType", "optional", "discriminator", "xml", "externalDocs", "$anchor",
    }
)  # fmt: skip


def breaks(value: object, schema: object, *, closed: bool = False) -> bool | None:
    """Whether a value breaks a schema; None when that cannot be told within bounds.

    Args:
        value: as a JSON decoder gives it.
        schema: likewise.
        closed: objects whose schema lists properties and says nothing of others may have no others.
    """
    try:
        holds = _Check(schema, closed=closed).holds(value, schema, 0)
    except (_GivenUpError, RecursionError):
        return None
    return None if holds is None else not holds


class _GivenUpError(Exception):
    """Too many steps, or too deep."""


class _Check:
    """One validation. Each answer is True, False, or None for unknown."""

    __slots__ = ("_closed", "_root", "_steps")

    def __init__(self, root: object, *, closed: bool) -> None:
        self._root = root
        self._closed = closed
        self._steps = 0

    def _step(self, number: int, depth: int) -> None:
        self._steps += number
        if self._steps > MAX_STEPS or depth > MAX_DEPTH:
            raise _GivenUpError

    def holds(self, value: object, schema: object, depth: int) -> bool | None:
        self._step(1, depth)
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping):
            return None
        if value is None and schema.get("nullable") is True:
            return True
        result: bool | None = True
        for keyword, wanted in schema.items():
            holds = self._keyword(value, schema, keyword, wanted, depth)
            if holds is False:
                return False
            if holds is None:
                result = None
        if isinstance(value, Mapping) and result is not False:
            return _both(result, self._others(value, schema, depth))
        return result

    def _keyword(self, value: object, schema: Schema, keyword: str, wanted: object, depth: int) -> bool | None:
        simple = _SIMPLE.get(keyword)
        if simple is not None:
            return simple(value, wanted)
        nested = _NESTED.get(keyword)
        if nested is not None:
            return nested(self, value, wanted, depth)
        if keyword in ("then", "else"):
            return True if "if" in schema else None
        if keyword == "if":
            return self._if(value, schema, depth)
        return True if keyword in _ANNOTATIONS else None

    def _properties(self, value: object, wanted: object, depth: int) -> bool | None:
        if not isinstance(value, Mapping):
            return True
        if not isinstance(wanted, Mapping):
            return None
        result: bool | None = True
        for name, item in value.items():
            if name in wanted:
                result = _both(result, self.holds(item, wanted[name], depth + 1))
        return result

    def _others(self, value: Mapping[str, object], schema: Schema, depth: int) -> bool | None:
        """What the schema says of properties that it does not list."""
        listed = schema.get("properties")
        wanted = schema.get("additionalProperties")
        if "patternProperties" in schema:
            return None if wanted is not None else True
        if wanted is None:
            is_open = (
                not self._closed or not isinstance(listed, Mapping) or not listed or not _COMBINED.isdisjoint(schema)
            )
            wanted = is_open
        if wanted is True:
            return True
        known = listed if isinstance(listed, Mapping) else {}
        result: bool | None = True
        for name, item in value.items():
            if name not in known:
                result = _both(result, self.holds(item, wanted, depth + 1))
        return result

    def _items(self, value: object, wanted: object, depth: int) -> bool | None:
        if not isinstance(value, list):
            return True
        if not isinstance(wanted, Mapping | bool):
            return None
        result: bool | None = True
        for item in value:
            result = _both(result, self.holds(item, wanted, depth + 1))
        return result

    def _enum(self, value: object, wanted: object, depth: int) -> bool | None:
        if not isinstance(wanted, Sequence) or isinstance(wanted, str):
            return None
        self._step(len(wanted), depth)
        return any(_same(value, one) for one in wanted)

    def _all_of(self, value: object, wanted: object, depth: int) -> bool | None:
        result: bool | None = True
        for one in _list(wanted):
            result = _both(result, self.holds(value, one, depth + 1))
        return result

    def _any_of(self, value: object, wanted: object, depth: int) -> bool | None:
        results = [self.holds(value, one, depth + 1) for one in _list(wanted)]
        return True if True in results else None if None in results else not results

    def _one_of(self, value: object, wanted: object, depth: int) -> bool | None:
        results = [self.holds(value, one, depth + 1) for one in _list(wanted)]
        if results.count(True) > 1:
            return False
        return None if None in results else results.count(True) == 1 or not results

    def _not(self, value: object, wanted: object, depth: int) -> bool | None:
        holds = self.holds(value, wanted, depth + 1)
        return None if holds is None else not holds

    def _if(self, value: object, schema: Schema, depth: int) -> bool | None:
        holds = self.holds(value, schema["if"], depth + 1)
        if holds is None:
            return None
        branch = "then" if holds else "else"
        return self.holds(value, schema[branch], depth + 1) if branch in schema else True

    def _reference(self, value: object, wanted: object, depth: int) -> bool | None:
        """A reference within the document; any other is not followed."""
        if not isinstance(wanted, str) or not wanted.startswith("#"):
            return None
        target = self._root
        for step in wanted[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, Mapping) or name not in target:
                return None
            target = target[name]
        return self.holds(value, target, depth + 1)


def _both(one: bool | None, other: bool | None) -> bool | None:  # noqa: FBT001 - three-valued logic
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def _list(value: object) -> Sequence[object]:
    if isinstance(value, list):
        return value
    raise _GivenUpError


def _same(one: object, other: object) -> bool:
    """Equality of JSON values: 1 is 1.0, and neither is true."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


_TYPES: Final[Mapping[str, Callable[[object], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: (number := _number(value)) is not None and number == number // 1,
    "number": lambda value: _number(value) is not None,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
}


def _type(value: object, wanted: object) -> bool | None:
    names = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    checks = [_TYPES.get(name.lower()) for name in names]  # Gemini writes STRING
    if any(check is not None and check(value) for check in checks):
        return True
    return None if None in checks else False


def _required(value: object, wanted: object) -> bool | None:
    if not isinstance(value, Mapping):
        return True
    if not isinstance(wanted, list):
        return None
    return all(name in value for name in wanted if isinstance(name, str))


def _bound(of: Callable[[object], float | None], fits: Callable[[float, float], bool]) -> Callable[..., bool | None]:
    """A keyword that compares a number, or a length, with a limit."""

    def check(value: object, wanted: object) -> bool | None:
        limit, found = _number(wanted), of(value)
        if found is None:
            return True
        return None if limit is None else fits(found, limit)

    return check


def _length(kind: type) -> Callable[[object], float | None]:
    return lambda value: len(cast("Sequence[object]", value)) if isinstance(value, kind) else None


_SIMPLE: Final[Mapping[str, Callable[[object, object], bool | None]]] = {
    "type": _type,
    "required": _required,
    "const": _same,
    "minimum": _bound(_number, lambda found, limit: found >= limit),
    "maximum": _bound(_number, lambda found, limit: found <= limit),
    "exclusiveMinimum": _bound(_number, lambda found, limit: found > limit),
    "exclusiveMaximum": _bound(_number, lambda found, limit: found < limit),
    "minLength": _bound(_length(str), lambda found, limit: found >= limit),
    "maxLength": _bound(_length(str), lambda found, limit: found <= limit),
    "minItems": _bound(_length(list), lambda found, limit: found >= limit),
    "maxItems": _bound(_length(list), lambda found, limit: found <= limit),
    "minProperties": _bound(_length(dict), lambda found, limit: found >= limit),
    "maxProperties": _bound(_length(dict), lambda found, limit: found <= limit),
}
_NESTED: Final[Mapping[str, Callable[[_Check, object, object, int], bool | None]]] = {
    "properties": _Check._properties,  # noqa: SLF001 - the table of the class above
    "items": _Check._items,  # noqa: SLF001
    "enum": _Check._enum,  # noqa: SLF001
    "allOf": _Check._all_of,  # noqa: SLF001
    "anyOf": _Check._any_of,  # noqa: SLF001
    "oneOf": _Check._one_of,  # noqa: SLF001
    "not": _Check._not,  # noqa: SLF001
    "$ref": _Check._reference,  # noqa: SLF001
}
# Keywords that may list further properties elsewhere.
_COMBINED: Final = frozenset({"allOf", "anyOf", "oneOf", "$ref", "if"})
