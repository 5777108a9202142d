"""Sections to components, and components to pipelines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from otel_llm.components import KINDS, ComponentType, Kind, find_type
from otel_llm.config.addresses import check_addresses
from otel_llm.config.connections import check_connections
from otel_llm.config.document import name_of
from otel_llm.config.exposure import exposures, literal_secrets
from otel_llm.config.service import PipelineConfig, ServiceConfig
from otel_llm.config.settings import Component, PipelineSettings, Settings
from otel_llm.config.structs import convert_section
from otel_llm.config.topics import check_topics, forgetful_queues
from otel_llm.config.values import Expanded, Value, join, plain, spread
from otel_llm.config.workers import check_workers
from otel_llm.delivery.config import Config as DeliveryConfig
from otel_llm.errors import ConfigError
from otel_llm.nearest import hint
from otel_llm.signals import SIGNALS, Signal

_SECTIONS: Final = (*(f"{kind}s" for kind in KINDS), "service")
# What people who come from the Collector write, and what is there instead.
_INSTEAD: Final = {
    "extensions": "there are no extensions; health, readiness and metrics are at service.admin.endpoint",
}
_DELIVERY_KEYS: Final = tuple(one.encode_name for one in msgspec.structs.fields(DeliveryConfig))

Components = dict[Kind, dict[str, Component | None]]


def resolve(document: dict[str, Value], source: str, problems: list[str]) -> Settings:
    """The document as settings.

    Args:
        document: with its variables expanded.
        source: what to call it.
        problems: those found before; this adds its own.

    Raises:
        ConfigError: there are problems, old or new.
    """
    for key in document:
        if key not in _SECTIONS:
            remedy = f"; {_INSTEAD[key]}" if key in _INSTEAD else hint(key, _SECTIONS)
            problems.append(f"{key}: unknown section{remedy}")
    components: Components = {kind: _components(kind, document.get(f"{kind}s"), problems) for kind in KINDS}
    problems += [
        f"connectors.{id_}: {kind}s has one of that name too, so pipelines could mean either; name it otherwise"
        for kind in ("receiver", "exporter")
        for id_ in components["connector"]
        if id_ in components[kind]
    ]
    service = _service(document.get("service"), source, problems)
    pipelines = _pipelines(document.get("service"), components, problems)
    used = {kind: _used(kind, components[kind], pipelines) for kind in KINDS}
    check_topics(pipelines, problems)
    check_connections(pipelines, used["connector"], problems)
    problems += literal_secrets(document.get("exporters"))
    if service is not None:
        check_addresses(used["receiver"], used["exporter"], service.admin.endpoint, problems)
        others = (*used["processor"], *used["exporter"], *used["connector"])
        check_workers(service.workers, used["receiver"], others, problems)
    if problems or service is None:
        raise ConfigError(problems)
    return Settings(
        receivers=used["receiver"],
        processors=used["processor"],
        exporters=used["exporter"],
        connectors=used["connector"],
        pipelines=tuple(pipelines),
        service=service,
        warnings=(
            *_unused(components, used),
            *exposures(used["receiver"], service.admin),
            *forgetful_queues(pipelines),
        ),
        source=source,
    )


def _section(value: Value, path: str, problems: list[str]) -> dict[str, Value]:
    """A value that has to be a section; empty when it is nothing, or something else, which is reported."""
    if isinstance(value, Expanded):
        if value.failed:
            return {}
        value = spread(value)
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    problems.append(f"{path}: expected a section, got {name_of(value)}")
    return {}


def _components(kind: Kind, value: Value, problems: list[str]) -> dict[str, Component | None]:
    """Those of one kind by id; None for each that has a problem, so that pipelines may still name it."""
    path = f"{kind}s"
    section = _section(value, path, problems)
    return {id_: _component(kind, id_, item, join(path, id_), problems) for id_, item in section.items()}


def _ends(kind: Kind, components: Components) -> dict[str, Component | None]:
    """What may stand in a pipeline's list of a kind: at both of its ends, connectors as well."""
    return components[kind] if kind == "processor" else {**components[kind], **components["connector"]}


def _component(kind: Kind, id_: str, value: Value, path: str, problems: list[str]) -> Component | None:
    type_name, slash, name = id_.partition("/")
    if not type_name or type_name != type_name.strip() or (slash and not name.strip()):
        problems.append(f"{path}: expected type or type/name, got {id_[:100]!r}")
        return None
    try:
        found = find_type(kind, type_name)
    except ConfigError as error:
        problems += [f"{path}: {problem}" for problem in error.problems]
        return None
    section = _section(value, path, problems)
    delivery_section = _take_delivery(found, section) if kind == "exporter" else {}
    delivery = convert_section(delivery_section, DeliveryConfig, path, problems)
    config = convert_section(_rest(section, delivery_section), found.config, path, problems)
    if config is None or delivery is None:
        return None
    return Component(id_, found, config, delivery)


def _take_delivery(found: ComponentType, section: dict[str, Value]) -> dict[str, Value]:
    """The part of an exporter's section that is its delivery's; an exporter's own setting of that name comes first."""
    own = {one.encode_name for one in msgspec.structs.fields(found.config)}
    return {key: section[key] for key in _DELIVERY_KEYS if key in section and key not in own}


def _rest(section: dict[str, Value], taken: dict[str, Value]) -> dict[str, Value]:
    return {key: value for key, value in section.items() if key not in taken}


def _service(value: Value, source: str, problems: list[str]) -> ServiceConfig | None:
    if plain(value) is None:
        problems.append(
            f"service: expected a section with pipelines, got nothing in {source}; see docs/configuration.md"
        )
        return None
    service = convert_section(value, ServiceConfig, "service", problems)
    if service is not None and not service.pipelines:
        problems.append("service.pipelines: expected at least one pipeline, such as traces:, got none")
    return service


def _pipelines(service: Value, components: Components, problems: list[str]) -> list[PipelineSettings]:
    """The pipelines that can be read, whatever is wrong with the rest of the service, which was reported with it."""
    found: list[PipelineSettings | None] = []
    reported: list[str] = []
    for id_, value in _section(_section(service, "", reported).get("pipelines"), "", reported).items():
        config = convert_section(value, PipelineConfig, "", reported)
        if config is not None:
            found.append(_pipeline(id_, config, components, problems))
    return [pipeline for pipeline in found if pipeline is not None]


def _pipeline(id_: str, config: PipelineConfig, components: Components, problems: list[str]) -> PipelineSettings | None:
    path = join("service.pipelines", id_)
    signal, slash, name = id_.partition("/")
    if signal not in SIGNALS or (slash and not name.strip()):
        problems.append(f"{path}: expected traces, metrics or logs, or one of them/name{hint(signal, SIGNALS)}")
        return None
    names: dict[Kind, tuple[str, ...]] = {
        "receiver": config.receivers,
        "processor": config.processors,
        "exporter": config.exporters,
    }
    problems += [
        f"{path}.{kind}s: expected at least one {kind}, got none"
        for kind, listed in names.items()
        if kind != "processor" and not listed
    ]
    chosen = {
        kind: _named(kind, listed, _ends(kind, components), signal, f"{path}.{kind}s", problems)
        for kind, listed in names.items()
    }
    return PipelineSettings(id_, signal, chosen["receiver"], chosen["processor"], chosen["exporter"])


def _named(
    kind: Kind,
    names: tuple[str, ...],
    defined: dict[str, Component | None],
    signal: Signal,
    path: str,
    problems: list[str],
) -> tuple[Component, ...]:
    """The components that a pipeline names."""
    found: list[Component] = []
    for index, name in enumerate(names):
        where = join(path, index)
        if name not in defined:
            problems.append(f"{where}: no {kind} {name!r} in {kind}s{hint(name, defined)}")
            continue
        component = defined[name]
        if name in names[:index]:
            problems.append(f"{where}: {name!r} stands in this list before; remove one of them")
        elif component is not None and signal not in component.type.signals:
            takes = " and ".join(sorted(component.type.signals, key=SIGNALS.index))
            problems.append(f"{where}: {name!r} takes {takes}, not {signal}; remove it from this pipeline")
        elif component is not None:
            found.append(component)
    return tuple(found)


def _used(
    kind: Kind, defined: dict[str, Component | None], pipelines: Iterable[PipelineSettings]
) -> tuple[Component, ...]:
    named = [
        component
        for pipeline in pipelines
        for component in (*pipeline.receivers, *pipeline.processors, *pipeline.exporters)
    ]
    ids = {component.id for component in named if component.type.kind == kind}
    return tuple(component for component in defined.values() if component is not None and component.id in ids)


def _unused(components: Components, used: dict[Kind, tuple[Component, ...]]) -> Iterable[str]:
    for kind in KINDS:
        ids = {component.id for component in used[kind]}
        for id_ in components[kind]:
            if id_ not in ids:
                yield f"{kind}s.{id_}: no pipeline names it, so it does nothing; add it to one or remove it"
