"""What makes a registry sound beyond its JSON schema: names, references, examples, metrics.

Every rule yields sentences that say what is wrong and what to do; none stops at the first problem.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise

from semconv.naming import constant_clashes, metric_problems, name_problems, namespace_clashes
from semconv.vocabulary import AttributeDefinition, EnumType, MetricDefinition, Ref, Refinement, Registry, Upstream

_STRINGS = ("string", "string[]", "template[string]", "template[string[]]")
_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "int": (int,),
    "double": (float, int),
    "boolean": (bool,),
}


def all_problems(registry: Registry, upstream: Upstream) -> Iterator[str]:
    """Every problem of a registry whose files have the right shape."""
    yield from _names(registry, upstream)
    yield from _duplicates(registry)
    for attribute in registry.attributes():
        yield from _attribute(attribute)
    for metric in registry.metrics():
        yield from _metric(metric)
    yield from _references(registry, upstream)
    yield from _unused(registry)


def _names(registry: Registry, upstream: Upstream) -> Iterator[str]:
    attributes = [attribute.key for attribute in registry.attributes()]
    metrics = [metric.name for metric in registry.metrics()]
    events = [event.name for event in registry.events()]
    for name in (*attributes, *metrics, *events):
        yield from name_problems(name)
    for metric in registry.metrics():
        yield from metric_problems(metric.name, metric.unit, is_counter=metric.instrument == "counter")
    for kind, names in (("attribute", attributes), ("metric", metrics), ("event", events)):
        yield from (f"{kind} {problem}" for problem in namespace_clashes(names))
    for kind, names in (
        ("attribute", [*attributes, *upstream.all_attributes()]),
        ("metric", metrics),
        ("event", events),
    ):
        yield from (f"{kind} {problem}" for problem in constant_clashes(names))


def _duplicates(registry: Registry) -> Iterator[str]:
    files = registry.files.values()
    refinements = [
        refinement.id
        for file in files
        for refinement in (*file.span_refinements, *file.event_refinements, *file.metric_refinements)
    ]
    kinds: Mapping[str, Iterable[str]] = {
        "attribute": (attribute.key for attribute in registry.attributes()),
        "metric": (metric.name for metric in registry.metrics()),
        "event": (event.name for event in registry.events()),
        "attribute group": (group.id for file in files for group in file.attribute_groups),
        "refinement": refinements,
    }
    for kind, names in kinds.items():
        yield from (f"{kind} {name!r} is defined {count} times" for name, count in Counter(names).items() if count > 1)


def _attribute(attribute: AttributeDefinition) -> Iterator[str]:
    if not attribute.brief.strip().endswith("."):
        yield f"attribute {attribute.key!r} needs a brief that is a sentence, ending in a full stop"
    if isinstance(attribute.type, EnumType):
        yield from _enum(attribute.key, attribute.type)
    elif attribute.examples is None:
        if attribute.type in _STRINGS:
            yield f"attribute {attribute.key!r} is a {attribute.type} and needs examples"
    else:
        yield from _examples(attribute.key, attribute.type, attribute.examples)


def _enum(key: str, enum: EnumType) -> Iterator[str]:
    if not enum.members:
        yield f"enum attribute {key!r} has no members"
    for what, found in (
        ("id", [member.id for member in enum.members]),
        ("value", [member.value or member.id for member in enum.members]),
    ):
        yield from (
            f"enum attribute {key!r} has the {what} {one!r} {n} times" for one, n in Counter(found).items() if n > 1
        )
    for member in enum.members:
        if not member.brief.strip().endswith("."):
            yield f"member {member.id!r} of {key!r} needs a brief that is a sentence, ending in a full stop"


def _examples(key: str, declared: str, given: object) -> Iterator[str]:
    """Examples are of the declared type: a list of values, or of lists for an array type."""
    element = declared.removeprefix("template[").removesuffix("]").removesuffix("[")
    expected = _PYTHON_TYPES.get(element)
    if expected is None:
        return
    listed: Sequence[object] = given if isinstance(given, list) else [given]
    for example in listed:
        is_array = declared.endswith("[]")
        values: Sequence[object] = example if isinstance(example, list) else [example]
        if is_array != isinstance(example, list) or not all(_is(value, expected) for value in values):
            yield f"example {example!r} of attribute {key!r} is not a {declared}"


def _is(value: object, expected: tuple[type, ...]) -> bool:
    return isinstance(value, expected) and (bool in expected or not isinstance(value, bool))


def _metric(metric: MetricDefinition) -> Iterator[str]:
    generation = metric.annotations.code_generation
    if generation.metric_value_type is None:
        yield (
            f"metric {metric.name!r} does not say its value type; "
            "set annotations.code_generation.metric_value_type to int or double"
        )
    bounds = generation.explicit_bucket_boundaries
    if metric.instrument == "histogram" and not bounds:
        yield (
            f"histogram {metric.name!r} has no buckets; "
            "set annotations.code_generation.explicit_bucket_boundaries to ascending bounds"
        )
    if metric.instrument != "histogram" and bounds:
        yield f"{metric.instrument} {metric.name!r} has buckets, which only a histogram can have"
    if any(low >= high for low, high in pairwise(bounds)):
        yield f"buckets of {metric.name!r} are not strictly ascending: {list(bounds)}"


def _sites(registry: Registry) -> Iterator[tuple[str, tuple[Ref, ...]]]:
    """Everything that refers to attributes: (what to call it, its references)."""
    for file in registry.files.values():
        yield from ((f"attribute group {group.id!r}", group.attributes) for group in file.attribute_groups)
        yield from ((f"metric {metric.name!r}", metric.attributes) for metric in file.metrics)
        yield from ((f"event {event.name!r}", event.attributes) for event in file.events)
        for refinement in (*file.span_refinements, *file.event_refinements, *file.metric_refinements):
            yield f"refinement {refinement.id!r}", refinement.attributes


def _references(registry: Registry, upstream: Upstream) -> Iterator[str]:
    own = {attribute.key for attribute in registry.attributes()}
    deprecated = upstream.attributes.deprecated
    known = own | upstream.attributes.genai.keys() | upstream.attributes.core.keys()
    groups = registry.groups()
    for site, refs in _sites(registry):
        for ref in refs:
            if ref.ref_group is not None and ref.ref_group not in groups:
                yield f"{site} refers to the unknown group {ref.ref_group!r}{_hint(ref.ref_group, groups)}"
            if ref.ref in deprecated:
                yield f"{site} refers to {ref.ref!r}, which is deprecated{_instead(deprecated[ref.ref].replaced_by)}"
            elif ref.ref is not None and ref.ref not in known:
                yield f"{site} refers to the unknown attribute {ref.ref!r}{_hint(ref.ref, known)}"
            if ref.level == "conditionally_required" and not ref.condition.strip():
                yield f"{site} requires {ref.ref!r} conditionally but gives no condition"
        yield from _repeated(site, refs)
    yield from _cycles(registry)
    yield from _refined(registry, upstream)


def _instead(name: str | None) -> str:
    return f"; use {name!r}" if name else ""


def _repeated(site: str, refs: tuple[Ref, ...]) -> Iterator[str]:
    counts = Counter(ref.ref or ref.ref_group for ref in refs)
    yield from (f"{site} refers to {name!r} {count} times" for name, count in counts.items() if count > 1)


def _hint(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _cycles(registry: Registry) -> Iterator[str]:
    groups = registry.groups()
    inner = {
        name: {ref.ref_group for ref in group.attributes if ref.ref_group is not None and ref.ref_group in groups}
        for name, group in groups.items()
    }
    for start, direct in inner.items():
        reached: set[str] = set()
        waiting = direct
        while waiting:
            reached |= waiting
            waiting = {deeper for name in waiting for deeper in inner[name]} - reached
        if start in reached:
            yield f"attribute group {start!r} contains itself"


def _refined(registry: Registry, upstream: Upstream) -> Iterator[str]:
    signals = upstream.signals
    for file in registry.files.values():
        yield from _unknown_targets("span", file.span_refinements, signals.spans)
        yield from _unknown_targets("event", file.event_refinements, signals.events)
        yield from _unknown_targets("metric", file.metric_refinements, signals.metrics)


def _unknown_targets(kind: str, refinements: Iterable[Refinement], known: Iterable[str]) -> Iterator[str]:
    for refinement in refinements:
        if refinement.ref not in known:
            hint = _hint(refinement.ref, known)
            yield f"refinement {refinement.id!r} refines the unknown {kind} {refinement.ref!r}{hint}"


def _unused(registry: Registry) -> Iterator[str]:
    used = {ref.ref for _, refs in _sites(registry) for ref in refs}
    for attribute in registry.attributes():
        if attribute.key not in used:
            yield f"attribute {attribute.key!r} is on no span, metric or event; refer to it from a group or remove it"
