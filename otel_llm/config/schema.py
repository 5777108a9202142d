"""The configuration as a JSON schema, so that editors complete and check it while it is written.

Editors see the file before `${env:NAME}` is replaced, so wherever something else than a string is wanted the schema
takes such a reference as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias, cast, get_args

import msgspec

from otel_llm.components import KINDS, ComponentType, Kind, aliases, find_type, is_built_in, known_types
from otel_llm.config.fields import field_docs
from otel_llm.config.service import ServiceConfig
from otel_llm.config.types import members
from otel_llm.delivery.config import Config as DeliveryConfig
from otel_llm.errors import ConfigError
from otel_llm.signals import SIGNALS

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
JsonObject: TypeAlias = dict[str, Json]

_REFERENCE: Final[JsonObject] = {"type": "string", "pattern": r"\$\{.+\}"}
_NOTHING: Final[JsonObject] = {"type": "null"}


def installed_types(*, built_in_only: bool = False) -> dict[Kind, list[ComponentType]]:
    """Every component type that can be loaded here, by kind and name; or only those that come with otel_llm."""
    return {kind: [one for one in _types(kind) if is_built_in(kind, one.name) or not built_in_only] for kind in KINDS}


def structs_below(struct: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """The struct and every struct that its fields can hold, each once, outermost first."""
    seen: set[type[msgspec.Struct]] = set()
    waiting = [struct]
    while waiting:
        current = waiting.pop(0)
        if current not in seen:
            seen.add(current)
            yield current
            waiting += [inner for field in msgspec.structs.fields(current) for inner in _structs_in(field.type)]


def configuration_schema(types: dict[Kind, list[ComponentType]] | None = None) -> JsonObject:
    """The schema, JSON Schema draft 2020-12.

    Args:
        types: the component types to cover; by default all that can be loaded here.
    """
    types = installed_types() if types is None else types
    tops: list[type[msgspec.Struct]] = [
        ServiceConfig,
        DeliveryConfig,
        *(one.config for kind in KINDS for one in types[kind]),
    ]
    structs = list(dict.fromkeys(inner for top in tops for inner in structs_below(top)))
    references, definitions = _definitions(structs)
    for one in types["exporter"]:
        _add_delivery(_definition(one.config, references, definitions), references)
    properties: JsonObject = {f"{kind}s": _section(kind, types[kind], references) for kind in KINDS}
    properties["service"] = {"$ref": references[ServiceConfig]}
    _name_pipelines(_definition(ServiceConfig, references, definitions))
    definitions.pop(references[DeliveryConfig].rpartition("/")[2])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "otel-llm configuration",
        "type": "object",
        "properties": properties,
        "required": ["service"],
        "additionalProperties": False,
        "$defs": cast("Json", definitions),
    }


def _types(kind: Kind) -> Iterator[ComponentType]:
    for name in known_types(kind):
        try:
            yield find_type(kind, name)
        except ConfigError:  # it cannot be used here either, so there is nothing to complete
            continue


def _structs_in(wanted: object) -> Iterator[type[msgspec.Struct]]:
    for member, _ in members(wanted):
        if isinstance(member, type) and issubclass(member, msgspec.Struct):
            yield member
        else:
            for argument in get_args(member):
                yield from _structs_in(argument)


def _definitions(
    structs: list[type[msgspec.Struct]],
) -> tuple[dict[type[msgspec.Struct], str], dict[str, JsonObject]]:
    """Struct -> reference, and name -> schema, with the docstrings of fields put in."""
    schemas, components = msgspec.json.schema_components(structs, ref_template="#/$defs/{name}")
    references = {struct: str(schema["$ref"]) for struct, schema in zip(structs, schemas, strict=True)}
    definitions = cast("dict[str, JsonObject]", components)
    for struct in structs:
        definition = _definition(struct, references, definitions)
        docs = field_docs(struct)
        properties = cast("dict[str, JsonObject]", definition["properties"])
        for field in msgspec.structs.fields(struct):
            nothing = all(map(_may_be_empty, _structs_in(field.type)))
            properties[field.encode_name] = _property(
                properties[field.encode_name], docs.get(field.name), nothing=nothing
            )
    return references, definitions


def _definition(
    struct: type[msgspec.Struct],
    references: dict[type[msgspec.Struct], str],
    definitions: dict[str, JsonObject],
) -> JsonObject:
    return definitions[references[struct].rpartition("/")[2]]


def _may_be_empty(struct: type[msgspec.Struct]) -> bool:
    """Whether a section with nothing in it is one with all defaults."""
    return not any(field.required for field in msgspec.structs.fields(struct))


def _property(schema: JsonObject, doc: str | None, *, nothing: bool) -> JsonObject:
    """A field's schema that also takes a reference to a variable, with its docstring; a section may be `nothing`."""
    outside: JsonObject = {"description": doc} if doc else {}
    if "default" in schema:
        outside["default"] = schema.pop("default")
    alternatives = cast("list[JsonObject]", schema.pop("anyOf", None) or [schema])
    if nothing and any("$ref" in one for one in alternatives) and _NOTHING not in alternatives:
        alternatives.append(_NOTHING)  # a section with nothing in it
    if any(one.get("type") == "string" and "enum" not in one for one in alternatives):
        return {**outside, **(alternatives[0] if len(alternatives) == 1 else {"anyOf": cast("Json", alternatives)})}
    return {**outside, "anyOf": cast("Json", [*alternatives, _REFERENCE])}


def _name_pipelines(service: JsonObject) -> None:
    """The keys of `service.pipelines` are signals, with a name behind them for further ones of a signal."""
    properties = cast("dict[str, JsonObject]", service["properties"])
    for section in cast("list[JsonObject]", properties["pipelines"]["anyOf"]):
        if "additionalProperties" in section:
            pattern = f"^({'|'.join(SIGNALS)})(/.*\\S.*)?$"
            section["patternProperties"] = {pattern: section["additionalProperties"]}
            section["additionalProperties"] = False


def _add_delivery(definition: JsonObject, references: dict[type[msgspec.Struct], str]) -> None:
    """What every exporter's section may hold besides its own settings."""
    properties = cast("JsonObject", definition["properties"])
    docs = field_docs(DeliveryConfig)
    for field in msgspec.structs.fields(DeliveryConfig):
        struct = next(_structs_in(field.type))
        properties.setdefault(
            field.encode_name, {"anyOf": [{"$ref": references[struct]}, _NOTHING], "description": docs[field.name]}
        )


def _section(kind: Kind, types: Iterable[ComponentType], references: dict[type[msgspec.Struct], str]) -> JsonObject:
    """`receivers`, `processors` or `exporters`: sections by type, or type/name."""
    patterns: JsonObject = {}
    for one in types:
        names = [one.name, *(alias for alias, name in aliases(kind).items() if name == one.name)]
        pattern = "|".join(map(re.escape, sorted(names)))
        section: JsonObject = {"$ref": references[one.config]}
        patterns[f"^({pattern})(/.+)?$"] = {"anyOf": [section, _NOTHING]} if _may_be_empty(one.config) else section
    return {"type": ["object", "null"], "patternProperties": patterns, "additionalProperties": False}
