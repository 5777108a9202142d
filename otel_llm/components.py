"""Receivers, processors, exporters and connectors by the type name that stands in the configuration.

A component type is a module (or any object) with two attributes:

    Config                      a msgspec struct: its section of the configuration; a docstring below every field
    create(config, context)     makes the component
    SIGNALS (optional)          the signals it can carry, a frozenset; all three when it does not say

Ours stand in a table and are imported when the configuration first names them, so that nobody pays for what is not
used. Others come from entry points in the groups `otel_llm.receivers`, `otel_llm.processors`, `otel_llm.exporters` and
`otel_llm.connectors`.
They may not take a name of ours or of each other: which of the two would run could depend on the order of installation.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Literal, cast

import msgspec

from otel_llm.clock import Clock
from otel_llm.errors import ConfigError
from otel_llm.log_records import LogRecords
from otel_llm.nearest import hint
from otel_llm.signals import SIGNALS, Signal
from otel_llm.telemetry import Metrics

Kind = Literal["receiver", "processor", "exporter", "connector"]
KINDS: tuple[Kind, ...] = ("receiver", "processor", "exporter", "connector")

# What a foreign module may raise while it is imported, short of what should stop the process anyway.
_IMPORT_FAILURES = (
    ImportError,
    AttributeError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Context:
    """What every component is given besides its configuration.

    Attributes:
        name: its id in the configuration, e.g. `otlp` or `otlp/second`.
        metrics: where its counts and durations go.
        clock: where it takes the time from.
        records: where it emits log records of its own; nobody takes them unless the host has said otherwise.
    """

    name: str
    metrics: Metrics
    clock: Clock
    records: LogRecords = field(default_factory=LogRecords)


@dataclass(frozen=True, slots=True)
class ComponentType:
    """A kind of component that the configuration may name.

    Attributes:
        kind: receiver, processor, exporter or connector.
        name: its type name, never an alias.
        config: the struct of its section.
        create: makes one; takes an instance of `config`. The host knows from the kind what comes back.
        signals: what it can carry.
    """

    kind: Kind
    name: str
    config: type[msgspec.Struct]
    create: Callable[[msgspec.Struct, Context], object]
    signals: frozenset[Signal]


@dataclass(frozen=True, slots=True)
class _BuiltIn:
    """A row of the table: where the module is, and the signals that are known before it is imported."""

    module: str
    signals: frozenset[Signal] = frozenset(SIGNALS)


_TRACES: frozenset[Signal] = frozenset({"traces"})
_LOGS: frozenset[Signal] = frozenset({"logs"})
_TRACES_AND_LOGS: frozenset[Signal] = frozenset({"traces", "logs"})

_BUILT_IN: dict[Kind, dict[str, _BuiltIn]] = {
    "receiver": {
        "otlp": _BuiltIn("otel_llm.receivers.otlp"),
        "file": _BuiltIn("otel_llm.receivers.file"),
        "feedback": _BuiltIn("otel_llm.receivers.feedback", _LOGS),
        "kafka": _BuiltIn("otel_llm.receivers.kafka"),
    },
    "processor": {
        "normalize": _BuiltIn("otel_llm.processors.normalize", _TRACES_AND_LOGS),
        "cost": _BuiltIn("otel_llm.processors.cost", _TRACES),
        "quality": _BuiltIn("otel_llm.processors.quality", _TRACES_AND_LOGS),
        "metrics": _BuiltIn("otel_llm.processors.metrics", _TRACES),
        "policy": _BuiltIn("otel_llm.processors.policy", _TRACES),
        "presets": _BuiltIn("otel_llm.processors.presets", _TRACES),
        "drift": _BuiltIn("otel_llm.processors.drift", _TRACES),
        "compare": _BuiltIn("otel_llm.processors.compare", _TRACES),
        "judge": _BuiltIn("otel_llm.processors.judge", _TRACES),
        "redact": _BuiltIn("otel_llm.processors.redact"),
        "history": _BuiltIn("otel_llm.processors.history", _TRACES),
        "budget": _BuiltIn("otel_llm.processors.budget", _TRACES),
    },
    "exporter": {
        "otlp_grpc": _BuiltIn("otel_llm.exporters.otlp_grpc"),
        "otlp_http": _BuiltIn("otel_llm.exporters.otlp_http"),
        "file": _BuiltIn("otel_llm.exporters.file"),
        "kafka": _BuiltIn("otel_llm.exporters.kafka"),
        "debug": _BuiltIn("otel_llm.exporters.debug"),
        "ledger": _BuiltIn("otel_llm.exporters.ledger", _TRACES_AND_LOGS),
        "open_spans": _BuiltIn("otel_llm.exporters.open_spans", _TRACES_AND_LOGS),
        "langfuse_scores": _BuiltIn("otel_llm.exporters.langfuse_scores", _LOGS),
        "phoenix_annotations": _BuiltIn("otel_llm.exporters.phoenix_annotations", _LOGS),
    },
    "connector": {
        "routing": _BuiltIn("otel_llm.connectors.routing"),
        "tail_sampling": _BuiltIn("otel_llm.connectors.tail_sampling", _TRACES),
    },
}

# Packages that come with another extra than `gateway`.
_EXTRAS: dict[str, str] = {"confluent_kafka": "gateway,kafka"}

# The names that the Collector's configurations in the field use.
_ALIASES: dict[Kind, dict[str, str]] = {
    "receiver": {},
    "processor": {},
    "exporter": {"otlp": "otlp_grpc", "otlphttp": "otlp_http"},
    "connector": {},
}


def known_types(kind: Kind) -> tuple[str, ...]:
    """The type names that a configuration may use here and now, aliases left out, sorted.

    A built-in type whose module is not part of this installation is not among them.
    """
    ours = {name for name, built_in in _BUILT_IN[kind].items() if _exists(built_in.module)}
    return tuple(sorted(ours | {entry.name for entry in _entry_points(kind)}))


def aliases(kind: Kind) -> dict[str, str]:
    """Other names of types -> their type names."""
    return dict(_ALIASES[kind])


def is_built_in(kind: Kind, name: str) -> bool:
    """Whether a type comes with otel_llm."""
    return name in _BUILT_IN[kind]


def find_type(kind: Kind, name: str) -> ComponentType:
    """The component type of that name or alias; imports its module.

    Raises:
        ConfigError: there is none, two claim the name, or it cannot be imported. Each problem says so without a path:
            the caller knows where the name stood.
    """
    name = _ALIASES[kind].get(name, name)
    built_in = _BUILT_IN[kind].get(name)
    claims = [entry for entry in _entry_points(kind) if entry.name == name]
    if len(claims) + (built_in is not None) > 1:
        raise ConfigError([_clash(kind, name, claims)])
    if built_in is not None and _exists(built_in.module):
        return _import_built_in(kind, name, built_in)
    if claims:
        return _load_entry_point(kind, claims[0])
    raise ConfigError([f"unknown {kind} type {name!r}{hint(name, (*known_types(kind), *_ALIASES[kind]))}"])


def _exists(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@cache
def _entry_points(kind: Kind) -> tuple[EntryPoint, ...]:
    """What other packages offer. Reading it means looking at every installed distribution, hence once."""
    return tuple(_distinct(entry_points(group=f"otel_llm.{kind}s")))


def _distinct(found: Iterable[EntryPoint]) -> Iterable[EntryPoint]:
    """A distribution that is on the path twice offers the same thing twice; that is no clash."""
    return {(entry.name, entry.value): entry for entry in found}.values()


def _clash(kind: Kind, name: str, claims: Iterable[EntryPoint]) -> str:
    owners = [f"{_owner(entry)} ({entry.value})" for entry in claims]
    if name in _BUILT_IN[kind]:
        owners.insert(0, "otel_llm itself")
    return f"{kind} type {name!r} is claimed by {' and by '.join(owners)}; uninstall all but one"


def _owner(entry: EntryPoint) -> str:
    return f"package {entry.dist.name}" if entry.dist is not None else "an unknown package"


def _import_built_in(kind: Kind, name: str, built_in: _BuiltIn) -> ComponentType:
    try:
        module = importlib.import_module(built_in.module)
    except ModuleNotFoundError as error:
        missing = error.name or "a package"
        if missing.startswith("otel_llm"):
            raise
        extra = _EXTRAS.get(missing, "gateway")
        problem = f"{kind} type {name!r} needs {missing}, which is not installed; pip install 'otel-llm[{extra}]'"
        raise ConfigError([problem]) from error
    return _component_type(kind, name, module, built_in.signals)


def _load_entry_point(kind: Kind, entry: EntryPoint) -> ComponentType:
    try:
        loaded: object = entry.load()
    except _IMPORT_FAILURES as error:
        problem = (
            f"{kind} type {entry.name!r} of {_owner(entry)} cannot be loaded from {entry.value}: "
            f"{type(error).__name__}: {error}; repair or uninstall it"
        )
        raise ConfigError([problem]) from error
    return _component_type(kind, entry.name, loaded, frozenset(SIGNALS))


def _component_type(kind: Kind, name: str, source: object, signals: frozenset[Signal]) -> ComponentType:
    config = getattr(source, "Config", None)
    create = getattr(source, "create", None)
    if not (isinstance(config, type) and issubclass(config, msgspec.Struct) and callable(create)):
        expected = "expected a Config struct and create(config, context)"
        raise ConfigError([f"{kind} type {name!r}: {expected} in {_name_of(source)}; add them"])
    typed = cast("Callable[[msgspec.Struct, Context], object]", create)
    return ComponentType(kind, name, config, typed, getattr(source, "SIGNALS", signals))


def _name_of(source: object) -> str:
    return str(getattr(source, "__name__", None) or type(source).__name__)
