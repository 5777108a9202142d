"""What to do with all spans of one shape: scope and set of keys. Made once a shape, then only run.

The law of this module: work is linear in the number of keys, and memory is bounded whatever arrives. A span of the
current generation gets checks of values only, and its content is never read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects import steps
from otel_llm.dialects.content import READERS
from otel_llm.dialects.detection import detect_shape
from otel_llm.dialects.extractors import EXTRACTORS
from otel_llm.dialects.inclusive import USAGE_KEYS, MakeInclusive, RemoveRepeated, check_usage, remove_zeros
from otel_llm.dialects.steps import Check, NameOperation, Settle, Step, Verify, on_operation
from otel_llm.dialects.tables import Table, common
from otel_llm.dialects.tables import table as table_of
from otel_llm.dialects.values import coercion

_USAGE_PREFIX: Final = "gen_ai.usage."
# Keys whose value decides nothing here; whatever type they have is left.
_UNTYPED: Final = frozenset({"string", "any"})


@dataclass(frozen=True, slots=True)
class Course:
    """What to do with spans of a shape that one convention writes.

    Attributes:
        steps: to run first; they need a draft.
        checks: to run then.
    """

    steps: tuple[Step, ...]
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """The course for spans of a shape that one convention's value marks.

    Attributes:
        key: the attribute to look at.
        values: what it must be.
        course: to take then.
    """

    key: str
    values: frozenset[str]
    course: Course


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with spans of a shape.

    Attributes:
        keys: the keys of the shape.
        branches: to be tried first, in this order.
        course: to take when none fits.
    """

    keys: frozenset[str]
    branches: tuple[Branch, ...]
    course: Course


_NO_TWINS: Final[Mapping[str, str]] = {}


def make_plan(scope_name: str, scope_version: str, keys: frozenset[str], twins: Mapping[str, str] = _NO_TWINS) -> Plan:
    """The plan for spans of a scope with exactly these keys.

    Args:
        scope_name: the scope.
        scope_version: its version.
        keys: the keys.
        twins: older names that are written beside the current ones -> the current ones. Those that a span has are left
            where they are; beside the current one they may be ours, and say nothing about where the span is from.
    """
    telling = keys.difference(twin for twin, key in twins.items() if key in keys)
    detected = detect_shape(scope_name, scope_version, telling)
    kept = frozenset(twins)
    branches = tuple(
        Branch(condition.key, condition.values, _course(condition.table, scope_name, keys, kept))
        for condition in detected.conditions
    )
    return Plan(keys, branches, _course(detected.table, scope_name, keys, kept))


def _course(table: Table, scope_name: str, keys: Collection[str], twins: frozenset[str]) -> Course:
    if table.current:
        return _current(table, scope_name, keys, twins)
    return Course(tuple(_foreign_steps(table, scope_name, keys, twins)), ())


def _current(table: Table, scope_name: str, keys: Collection[str], twins: frozenset[str]) -> Course:
    index = _index(table.id)
    if names.OTEL_LLM_DIALECT in keys:
        # Rewritten before: other names that are still there were kept on purpose, and may mean what was taken away.
        return Course(tuple(index.secrets(keys)), _checks(table, scope_name, keys))
    aliased = [rule for rule in index.settled(keys, twins) if rule.sources != (rule.key,)]
    held = {rule.key for rule in aliased}.union(keys)
    return Course(
        steps=(*index.secrets(keys), *aliased, *_discarded(index, keys)),
        checks=_checks(table, scope_name, held),
    )


def _checks(table: Table, scope_name: str, held: Collection[str]) -> tuple[Check, ...]:
    usage = check_usage(held, _make_inclusive(table, scope_name, held))
    provider = steps.check_provider if names.GEN_AI_PROVIDER_NAME in held else None
    reasons = steps.settle_finish_reasons if names.GEN_AI_RESPONSE_FINISH_REASONS in held else None
    return tuple(check for check in (provider, reasons, usage) if check is not None)


def _foreign_steps(table: Table, scope_name: str, keys: Collection[str], twins: frozenset[str]) -> Iterable[Step]:
    index = _index(table.id)
    yield from index.secrets(keys)
    settled = index.settled(keys, twins)
    yield from _in_few_steps(settled)
    yield from _operation_rules(table, keys)
    yield on_operation(steps.settle_provider)
    held = {rule.key for rule in settled}.union(keys)
    if table.content == "convert":
        yield from (read for key, read in READERS.items() if key in held)
    yield from (EXTRACTORS[name] for name in table.extract)
    if names.SERVER_ADDRESS in held:
        yield steps.settle_address
    if table.extract:
        yield on_operation(steps.settle_provider)
    yield on_operation(steps.settle_finish_reasons)
    if names.GEN_AI_REQUEST_TOP_K in held:
        yield steps.settle_top_k
    yield on_operation(_make_inclusive(table, scope_name, keys))
    if table.usage.zeros == "absent":
        yield on_operation(remove_zeros)
    usage = tuple(sorted({key for key in held if key.startswith(_USAGE_PREFIX)}.union(USAGE_KEYS)))
    yield on_operation(RemoveRepeated(frozenset(common().without_usage), usage))
    yield steps.settle_error
    if table.remove_events or table.remove_event_prefixes:
        yield steps.remove_events(frozenset(table.remove_events), table.remove_event_prefixes)
    yield from _discarded(index, keys)
    yield steps.mark(table.id)


def _in_few_steps(settled: Iterable[Settle]) -> Iterable[Step]:
    """The same, with all attributes that stand under their canonical key and no other in one step."""
    alone = []
    for rule in settled:
        kind = steps.PYTHON_TYPES.get(names.ATTRIBUTE_TYPES.get(rule.key, "any"))
        if kind is not None and rule.sources == (rule.key,):
            alone.append((rule.key, kind, rule))
        else:
            yield rule
    if alone:
        yield Verify(tuple(alone))


def _operation_rules(table: Table, keys: Collection[str]) -> Iterable[Step]:
    rules = tuple(rule for rule in table.operations if rule.key in keys)
    if rules:
        yield NameOperation(rules)


def _discarded(index: Index, keys: Collection[str]) -> Iterable[Step]:
    found = tuple(key for key in keys if index.is_discarded(key))
    if found:
        yield steps.discard(found)


def _make_inclusive(table: Table, scope_name: str, keys: Collection[str]) -> MakeInclusive:
    rules = table.usage
    totals = common().totals if rules.totals == "provider" else ()
    scope = next((found for name, found in rules.scopes.items() if scope_name.startswith(name)), None)
    return MakeInclusive(scope, rules.providers, rules.input, tuple(key for key in totals if key in keys))


@dataclass(frozen=True, slots=True)
class Index:
    """A table and what is common to all, turned round for looking up keys.

    Attributes:
        table: the table.
        canonical: canonical key -> all keys for it, itself first.
        meaning: any of those keys -> canonical keys it may stand for.
        remove: keys to discard.
        remove_prefixes: beginnings of keys to discard.
        is_secret: whether a key is to be removed on sight.
    """

    table: Table
    canonical: dict[str, tuple[str, ...]]
    meaning: dict[str, tuple[str, ...]]
    remove: frozenset[str]
    remove_prefixes: tuple[str, ...]
    is_secret: Callable[[str], bool]

    def secrets(self, keys: Collection[str]) -> Iterable[Step]:
        """The step that removes secrets, if there are any."""
        found = tuple(key for key in keys if self.is_secret(key))
        if found:
            yield steps.remove(found)

    def is_discarded(self, key: str) -> bool:
        """Whether a key is discarded."""
        return key in self.remove or (bool(self.remove_prefixes) and key.startswith(self.remove_prefixes))

    def settled(self, keys: Collection[str], twins: frozenset[str]) -> tuple[Settle, ...]:
        """A step for each canonical attribute that these keys give, unless it needs none; it leaves the twins."""
        wanted = dict.fromkeys(canonical for key in keys for canonical in self.meaning.get(key, ()))
        found = (self._settle(canonical, keys, twins) for canonical in wanted)
        return tuple(step for step in found if step is not None)

    def _settle(self, canonical: str, keys: Collection[str], twins: frozenset[str]) -> Settle | None:
        table = self.table
        sources = tuple(key for key in self.canonical[canonical] if key in keys)
        absent = table.absent.get(canonical, ()) + common().absent.get(canonical, ())
        values = table.values.get(canonical, {})
        kind = names.ATTRIBUTE_TYPES.get(canonical, "any")
        if sources == (canonical,) and kind in _UNTYPED and not absent and not values:
            return None
        return Settle(
            key=canonical,
            sources=sources,
            coerce=coercion(canonical),
            scale={**common().scale, **table.scale},
            values=values,
            absent=absent,
            kept=twins.union(table.keep, common().keep),
        )


@cache
def _index(dialect: str) -> Index:
    table = table_of(dialect)
    shared = common()
    canonical: dict[str, tuple[str, ...]] = {}
    typed = () if table.current else names.ATTRIBUTE_TYPES
    for key in (*typed, *table.attributes, *shared.attributes, *table.absent, *table.values):
        others = (*table.attributes.get(key, ()), *shared.attributes.get(key, ()))
        # What stays beside a canonical attribute means something of its own: it only fills in for other conventions.
        usable = (other for other in others if not (table.current and other in shared.keep))
        canonical[key] = tuple(dict.fromkeys((key, *usable)))
    meaning: dict[str, list[str]] = {}
    for key, sources in canonical.items():
        for source in sources:
            meaning.setdefault(source, []).append(key)
    secrets, secret_prefixes = frozenset(shared.secrets), shared.secret_prefixes
    return Index(
        table=table,
        canonical=canonical,
        meaning={source: tuple(keys) for source, keys in meaning.items()},
        remove=frozenset(table.remove).union(shared.totals),
        remove_prefixes=table.remove_prefixes,
        is_secret=lambda key: key in secrets or key.startswith(secret_prefixes),
    )
