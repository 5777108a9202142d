"""Reads the vocabulary: our registry (Weaver `definition/2` YAML) and the facts of the pinned upstream conventions.

Only shapes are read here; whether the registry is sound is `check.py`'s question. A file without the expected shape
raises `VocabularyError`, which names the file and the place in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import yaml

ROOT = Path(__file__).resolve().parent
REGISTRY = ROOT / "registry"
UPSTREAM = ROOT / "upstream"

Level = Literal["required", "conditionally_required", "recommended", "opt_in"]
LEVELS: tuple[Level, ...] = ("required", "conditionally_required", "recommended", "opt_in")
Instrument = Literal["counter", "updowncounter", "gauge", "histogram"]
ValueType = Literal["int", "double"]

T = TypeVar("T")


class VocabularyError(Exception):
    """A vocabulary file is not readable; the message names the file and the place."""


class _StrictLoader(yaml.SafeLoader):
    """YAML without silent overwriting: a key given twice is an error, where PyYAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:  # noqa: FBT001, FBT002 - PyYAML's signature
        """Build the mapping; raises `yaml.YAMLError` on a repeated key."""
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path) -> object:
    """The plain data of one YAML file; raises VocabularyError when it is not YAML."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - derived from SafeLoader
    except yaml.YAMLError as error:
        raise VocabularyError(f"{path.name}: not valid YAML: {error}") from error


def _read(path: Path, shape: type[T]) -> T:
    try:
        return msgspec.convert(load_yaml(path), shape)
    except msgspec.ValidationError as error:
        raise VocabularyError(f"{path.name}: {error}") from error


class _OwnAnnotation(msgspec.Struct, frozen=True):
    planned: bool = False


class _CodeGeneration(msgspec.Struct, frozen=True):
    metric_value_type: ValueType | None = None
    explicit_bucket_boundaries: tuple[float, ...] = ()


class Annotations(msgspec.Struct, frozen=True):
    """The two annotations we use: `otel_llm.planned` (nothing writes it yet) and what code generation needs."""

    otel_llm: _OwnAnnotation = _OwnAnnotation()
    code_generation: _CodeGeneration = _CodeGeneration()


class EnumMember(msgspec.Struct, frozen=True):
    """One value of an enum; `value` is what is on the wire and defaults to `id`."""

    id: str
    value: str | None = None
    brief: str = ""


class EnumType(msgspec.Struct, frozen=True):
    """A string type with listed values. All enums are open: a reader must accept others."""

    members: tuple[EnumMember, ...]


class AttributeDefinition(msgspec.Struct, frozen=True):
    """One attribute of our registry. `examples` keeps whatever YAML holds; the checker looks at it."""

    key: str
    type: str | EnumType
    brief: str
    stability: str
    note: str = ""
    examples: object = None
    annotations: Annotations = Annotations()


class Ref(msgspec.Struct, frozen=True):
    """A reference to an attribute or, with `ref_group`, to all of a group's."""

    ref: str | None = None
    ref_group: str | None = None
    requirement_level: str | dict[str, str] = "recommended"

    @property
    def level(self) -> str:
        """The bare level, without its condition."""
        return self.requirement_level if isinstance(self.requirement_level, str) else next(iter(self.requirement_level))

    @property
    def condition(self) -> str:
        """When the level holds; empty when it always does."""
        return "" if isinstance(self.requirement_level, str) else next(iter(self.requirement_level.values()))


class AttributeGroup(msgspec.Struct, frozen=True):
    """A named set of references."""

    id: str
    visibility: str
    brief: str = ""
    attributes: tuple[Ref, ...] = ()


class MetricDefinition(msgspec.Struct, frozen=True):
    """One metric of our registry."""

    name: str
    instrument: Instrument
    unit: str
    brief: str
    stability: str
    note: str = ""
    attributes: tuple[Ref, ...] = ()
    annotations: Annotations = Annotations()


class EventDefinition(msgspec.Struct, frozen=True):
    """One event (a log record with a name) of our registry."""

    name: str
    brief: str
    stability: str
    note: str = ""
    attributes: tuple[Ref, ...] = ()
    annotations: Annotations = Annotations()


class Refinement(msgspec.Struct, frozen=True):
    """What we add to an upstream signal."""

    id: str
    ref: str
    brief: str = ""
    attributes: tuple[Ref, ...] = ()


class RegistryFile(msgspec.Struct, frozen=True):
    """The sections of one registry file that we use."""

    file_format: str
    attributes: tuple[AttributeDefinition, ...] = ()
    attribute_groups: tuple[AttributeGroup, ...] = ()
    metrics: tuple[MetricDefinition, ...] = ()
    events: tuple[EventDefinition, ...] = ()
    span_refinements: tuple[Refinement, ...] = ()
    event_refinements: tuple[Refinement, ...] = ()
    metric_refinements: tuple[Refinement, ...] = ()


class _Levelled(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Attribute names by requirement level."""

    required: tuple[str, ...] = ()
    conditionally_required: tuple[str, ...] = ()
    recommended: tuple[str, ...] = ()
    opt_in: tuple[str, ...] = ()

    def by_level(self) -> Iterator[tuple[Level, tuple[str, ...]]]:
        """(level, names), strictest first, empty levels left out."""
        sets = (self.required, self.conditionally_required, self.recommended, self.opt_in)
        return ((level, names) for level, names in zip(LEVELS, sets, strict=True) if names)

    def names(self) -> tuple[str, ...]:
        """All attribute names, strictest level first."""
        return tuple(name for _, names in self.by_level() for name in names)


class UpstreamAttribute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Type and listed values of an upstream attribute; `replaced_by` on names of older generations."""

    type: str
    values: tuple[str, ...] = ()
    replaced_by: str | None = None


class UpstreamSpan(_Levelled, frozen=True):
    """One span type: OTLP kind, name pattern, values of gen_ai.operation.name, attributes by level."""

    kind: Literal["client", "server", "internal"]
    name: str
    operations: tuple[str, ...] = ()
    confirmed: bool = True


class UpstreamRefinement(_Levelled, frozen=True):
    """Levels that a provider changes on a span type."""

    refines: str


class UpstreamMetric(_Levelled, frozen=True):
    """One metric; buckets only for histograms."""

    instrument: Instrument
    unit: str
    value_type: ValueType
    description: str
    buckets: tuple[float, ...] = ()
    confirmed: bool = True
    deprecated: bool = False


class UpstreamEvent(_Levelled, frozen=True):
    """One event; `severity_number` where upstream advises one."""

    severity_number: int | None = None


class UpstreamAttributes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """upstream/attributes.yaml."""

    genai: dict[str, UpstreamAttribute]
    core: dict[str, UpstreamAttribute]
    deprecated: dict[str, UpstreamAttribute]
    message_values: dict[str, tuple[str, ...]]


class UpstreamSignals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """upstream/signals.yaml."""

    spans: dict[str, UpstreamSpan]
    span_refinements: dict[str, UpstreamRefinement]
    metrics: dict[str, UpstreamMetric]
    events: dict[str, UpstreamEvent]


class Revision(msgspec.Struct, frozen=True):
    """What the generator needs of upstream/revision.yaml."""

    repository: str
    schema_url: str
    commits: dict[str, str]


@dataclass(frozen=True, slots=True)
class Upstream:
    """The pinned conventions, as facts."""

    revision: Revision
    attributes: UpstreamAttributes
    signals: UpstreamSignals

    def all_attributes(self) -> Mapping[str, UpstreamAttribute]:
        """Every upstream name we know, older generations included."""
        return {**self.attributes.genai, **self.attributes.core, **self.attributes.deprecated}


@dataclass(frozen=True, slots=True)
class Registry:
    """Our registry, file by file in name order (file name without suffix -> contents)."""

    files: Mapping[str, RegistryFile]

    def attributes(self) -> Iterator[AttributeDefinition]:
        """All attributes, in file order."""
        return (attribute for file in self.files.values() for attribute in file.attributes)

    def metrics(self) -> Iterator[MetricDefinition]:
        """All metrics, in file order."""
        return (metric for file in self.files.values() for metric in file.metrics)

    def events(self) -> Iterator[EventDefinition]:
        """All events, in file order."""
        return (event for file in self.files.values() for event in file.events)

    def metric_refinements(self) -> Iterator[Refinement]:
        """What we add to metrics of the conventions, in file order."""
        return (refinement for file in self.files.values() for refinement in file.metric_refinements)

    def groups(self) -> Mapping[str, AttributeGroup]:
        """All attribute groups by id."""
        return {group.id: group for file in self.files.values() for group in file.attribute_groups}

    def resolve(self, refs: tuple[Ref, ...]) -> Iterator[Ref]:
        """The attribute references behind `refs`, groups opened; the checker has shown that groups exist and end."""
        groups = self.groups()
        for ref in refs:
            if ref.ref_group is not None:
                yield from self.resolve(groups[ref.ref_group].attributes)
            else:
                yield ref


def registry_paths(folder: Path) -> list[Path]:
    """The definition files of a registry folder, in name order; the manifest is not one."""
    return sorted(path for path in folder.glob("*.yaml") if path.name != "manifest.yaml")


def load_registry(folder: Path = REGISTRY) -> Registry:
    """Read a registry folder; raises VocabularyError."""
    return Registry({path.stem: _read(path, RegistryFile) for path in registry_paths(folder)})


def load_upstream(folder: Path = UPSTREAM) -> Upstream:
    """Read the pinned facts; raises VocabularyError."""
    return Upstream(
        revision=_read(folder / "revision.yaml", Revision),
        attributes=_read(folder / "attributes.yaml", UpstreamAttributes),
        signals=_read(folder / "signals.yaml", UpstreamSignals),
    )
