"""Which source convention a span is written in: by its scope; where the scope says nothing, by keys and values.

Frameworks forward each other's attributes, so the scope comes first. `schema_url` is never asked: upstream stamps an
old one on spans of the current generation. What depends on the shape alone, scope and keys, is decided once a shape.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Final

from otel_llm._generated.attributes import OTEL_LLM_DIALECT
from otel_llm.dialects.tables import Table, table, tables
from otel_llm.operation import Operation

CURRENT: Final = "otel_genai"


@dataclass(frozen=True, slots=True)
class Condition:
    """A convention that is recognised by a value, which a shape does not know.

    Attributes:
        key: the attribute to look at.
        values: what it must be.
        table: the convention then.
    """

    key: str
    values: frozenset[str]
    table: Table


@dataclass(frozen=True, slots=True)
class Detected:
    """What a shape says.

    Attributes:
        conditions: to be tried in this order before the shape's own answer.
        table: the convention when no condition holds.
    """

    conditions: tuple[Condition, ...]
    table: Table


def detect_shape(scope_name: str, scope_version: str, keys: Collection[str]) -> Detected:
    """The convention of all spans of a scope with these keys; the current one when nothing tells."""
    if OTEL_LLM_DIALECT in keys:  # it was here before
        return Detected((), table(CURRENT))
    scoped = _by_scope(scope_name, scope_version)
    if scoped is not None:
        return Detected((), scoped)
    conditions: list[Condition] = []
    for candidate in tables():
        if _is_marked(candidate, keys):
            return Detected(tuple(conditions), candidate)
        conditions += [
            Condition(key, frozenset(values), candidate)
            for key, values in candidate.detection.values.items()
            if key in keys
        ]
    return Detected(tuple(conditions), table(CURRENT))


def detect(operation: Operation) -> str:
    """The id of the convention that a span is written in."""
    detected = detect_shape(operation.scope_name, operation.scope_version, operation.keys())
    return choose(detected, operation).id


def choose(detected: Detected, operation: Operation) -> Table:
    """The convention of one span of a shape."""
    for condition in detected.conditions:
        value = operation.get(condition.key)
        if isinstance(value, str) and value in condition.values:
            return condition.table
    return detected.table


def _by_scope(name: str, version: str) -> Table | None:
    exact, prefixes = _scopes()
    for candidate in tables():
        beginning = candidate.detection.scope_versions.get(name)
        if beginning is not None and version.startswith(beginning):
            return candidate
    found = exact.get(name)
    return found or next((candidate for prefix, candidate in prefixes if name.startswith(prefix)), None)


@cache
def _scopes() -> tuple[dict[str, Table], tuple[tuple[str, Table], ...]]:
    """Scope name -> convention, and beginnings of names, longest first."""
    exact = {name: candidate for candidate in tables() for name in candidate.detection.scopes}
    prefixes = [(prefix, candidate) for candidate in tables() for prefix in candidate.detection.scope_prefixes]
    return exact, tuple(sorted(prefixes, key=lambda item: -len(item[0])))


def _is_marked(candidate: Table, keys: Collection[str]) -> bool:
    detection = candidate.detection
    if any(key in keys for key in detection.keys):
        return True
    prefixes = detection.key_prefixes
    return bool(prefixes) and any(key.startswith(prefixes) for key in keys)
