"""What semconv/dialects/*.yaml can say about a source convention, as types.

The YAML files are the source of truth; `semconv/generate_dialects.py` writes them as literals, so that nothing here
reads a file. What a table cannot say is done by an extractor that it names.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, TypeAlias

import msgspec

from otel_llm._generated.dialects import COMMON, DIALECTS

# Does `gen_ai.usage.input_tokens`, as a convention writes it, count the cached tokens?
Semantics: TypeAlias = Literal["inclusive", "exclusive", "unknown"]


class Detection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a span of the convention is recognised. The scope decides; marks count only where the scope says nothing.

    Attributes:
        rank: tables are asked for their marks in this order, lowest first. No two are equal.
        scopes: names of instrumentation scopes.
        scope_prefixes: beginnings of such names; the longest that fits wins over shorter ones.
        scope_versions: scope name -> beginning of the version, for a name that two publishers use.
        keys: attribute keys that only this convention writes.
        key_prefixes: beginnings of such keys.
        values: attribute key -> values that only this convention writes there.
    """

    rank: int
    scopes: tuple[str, ...] = ()
    scope_prefixes: tuple[str, ...] = ()
    scope_versions: dict[str, str] = {}
    keys: tuple[str, ...] = ()
    key_prefixes: tuple[str, ...] = ()
    values: dict[str, tuple[str, ...]] = {}


class OperationRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One attribute from which the operation's name is known.

    Attributes:
        key: the attribute. It is removed when its value is in `values` or `root`, unless it is the canonical one.
        values: its value -> `gen_ai.operation.name`; an empty name for a step that is no operation of the conventions.
        root: the same, for a span without a parent; it wins.
        keep: leave the attribute in place.
    """

    key: str
    values: dict[str, str]
    root: dict[str, str] = {}
    keep: bool = False


class UsageRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the convention's token counts mean.

    Attributes:
        input: whether the input count includes cached tokens, where `providers` and `scopes` do not say.
        providers: the same by `gen_ai.provider.name`.
        scopes: the same by scope name; it wins.
        totals: the total is the provider's own and proves something, or the library made it by adding up.
        zeros: "count" when 0 is a count; "absent" when input 0 and output 0 mean that nothing was reported.
    """

    input: Semantics = "unknown"
    providers: dict[str, Semantics] = {}
    scopes: dict[str, Semantics] = {}
    totals: Literal["provider", "own"] = "provider"
    zeros: Literal["count", "absent"] = "count"


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One source convention.

    Attributes:
        id: its name, as in `otel_llm.dialect`.
        title: its name for people.
        current: it already writes the pinned generation; such spans are checked, not rewritten, and not marked.
        detection: how its spans are recognised.
        attributes: canonical key -> other keys for the same thing, best first.
        scale: factor for the number under one of those other keys.
        keep: other keys that stay beside the canonical one, because they mean something of their own.
        operations: where the operation's name comes from, best first.
        values: canonical key -> value of this convention -> canonical value.
        absent: canonical key -> values the convention writes when nothing was given.
        remove: keys without a meaning after normalising.
        remove_prefixes: beginnings of such keys.
        remove_events: names of span events without a meaning after normalising.
        remove_event_prefixes: beginnings of such names.
        content: "keep" when message attributes are canonical as they come, "convert" when they must be read.
        extract: extractors to run, in order (see otel_llm.dialects.extractors).
        usage: what its token counts mean.
    """

    id: str
    title: str
    detection: Detection
    current: bool = False
    attributes: dict[str, tuple[str, ...]] = {}
    scale: dict[str, float] = {}
    keep: tuple[str, ...] = ()
    operations: tuple[OperationRule, ...] = ()
    values: dict[str, dict[str, str]] = {}
    absent: dict[str, tuple[str | int | float | bool | list[str], ...]] = {}
    remove: tuple[str, ...] = ()
    remove_prefixes: tuple[str, ...] = ()
    remove_events: tuple[str, ...] = ()
    remove_event_prefixes: tuple[str, ...] = ()
    content: Literal["keep", "convert"] = "convert"
    extract: tuple[str, ...] = ()
    usage: UsageRules = UsageRules()


class Providers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How providers are named.

    Attributes:
        names: spelling in lower case -> `gen_ai.provider.name`.
        prefixes: beginning of a spelling -> `gen_ai.provider.name`; longest first wins.
        not_providers: frameworks that put their own name there.
        by_host: provider that several products share -> its host's part -> provider.
        hosts: end of the server's name -> provider.
        models: beginning of the model's name -> provider.
    """

    names: dict[str, str]
    prefixes: dict[str, str]
    not_providers: tuple[str, ...]
    by_host: dict[str, dict[str, str]]
    hosts: dict[str, str]
    models: dict[str, str]


class Common(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for every convention, after its own rules.

    Attributes:
        attributes: as in Table.
        scale: as in Table.
        keep: as in Table.
        absent: as in Table, for conventions that are not current.
        totals: keys of token totals, for the arithmetic check only.
        secrets: keys removed on sight, since they hold headers or environment variables.
        secret_prefixes: beginnings of such keys.
        without_usage: operations that report no token counts of their own; counts there repeat those of other spans.
        providers: how providers are named.
    """

    attributes: dict[str, tuple[str, ...]]
    scale: dict[str, float]
    keep: tuple[str, ...]
    absent: dict[str, tuple[str | int | float | bool | list[str], ...]]
    totals: tuple[str, ...]
    secrets: tuple[str, ...]
    secret_prefixes: tuple[str, ...]
    without_usage: tuple[str, ...]
    providers: Providers


@cache
def tables() -> tuple[Table, ...]:
    """Every convention, by rank."""
    return tuple(sorted(msgspec.convert(DIALECTS, tuple[Table, ...]), key=lambda table: table.detection.rank))


@cache
def common() -> Common:
    """What holds for every convention."""
    return msgspec.convert(COMMON, Common)


@cache
def table(dialect: str) -> Table:
    """The table of a convention.

    Raises:
        KeyError: there is no such convention.
    """
    return {table.id: table for table in tables()}[dialect]
