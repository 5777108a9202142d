"""Checks telemetry against the pinned conventions (semconv/upstream) and our own registry: what is wrong, as sentences.

Stricter than the conventions' schemas, which accept parts of any shape: each part is checked by its type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from tests.dialects.messages_checks import assert_messages, assert_part

_UPSTREAM = Path(__file__).parents[2] / "semconv" / "upstream" / "signals.yaml"
_PYTHON = {"string": str, "int": int, "double": float, "boolean": bool, "string[]": tuple}
_LEVELS = ("required", "conditionally_required", "recommended", "opt_in")
_OURS = "otel_llm."
_CONTENT = {
    names.GEN_AI_INPUT_MESSAGES: assert_messages,
    names.GEN_AI_OUTPUT_MESSAGES: assert_messages,
    names.GEN_AI_SYSTEM_INSTRUCTIONS: lambda parts: [assert_part(part) for part in parts],
}
_METRICS = {value.name: value for value in vars(definitions).values() if isinstance(value, definitions.Metric)}


@cache
def _upstream() -> dict[str, Any]:
    return yaml.safe_load(_UPSTREAM.read_text(encoding="utf-8"))


def _span_types(operation: object) -> list[dict[str, Any]]:
    """The span type of an operation and its refinements."""
    spans = _upstream()["spans"]
    base = [name for name, one in spans.items() if operation in one.get("operations", ())]
    refinements = _upstream()["span_refinements"].values()
    return [spans[name] for name in base] + [one for one in refinements if one["refines"] in base]


def span_problems(span: Any) -> Iterator[str]:
    """What is wrong with a span of an SDK call."""
    attributes = dict(span.attributes)
    types = _span_types(attributes.get(names.GEN_AI_OPERATION_NAME))
    if not types:
        yield f"{attributes.get(names.GEN_AI_OPERATION_NAME)} is no operation of the conventions"
        return
    if span.kind.name.lower() != types[0]["kind"]:
        yield f"kind is {span.kind.name}"
    expected = _name(types[0]["name"], attributes)
    if span.name != expected:
        yield f"name is {span.name}, expected {expected}"
    yield from _attribute_problems(attributes, types)
    failed = span.status.status_code.name == "ERROR"
    if failed and names.ERROR_TYPE not in attributes:
        yield "ERROR without error.type"
    if span.status.description:
        yield "a status message, which may hold content"


def _name(pattern: str, attributes: Mapping[str, Any]) -> str:
    parts = (re.sub(r"\{(.+?)\}", lambda key: str(attributes.get(key[1], "")), part) for part in pattern.split())
    return " ".join(part for part in parts if part)


def _attribute_problems(attributes: Mapping[str, Any], types: list[dict[str, Any]]) -> Iterator[str]:
    allowed = {key for one in types for level in _LEVELS for key in one.get(level, ())}
    yield from (f"no {key}" for key in types[0]["required"] if key not in attributes)
    if names.SERVER_ADDRESS in attributes and names.SERVER_PORT not in attributes:
        yield "server.address without server.port"
    for key, value in attributes.items():
        if key not in allowed and not key.startswith(_OURS):
            yield f"{key} has no place on such a span"
        kind = names.ATTRIBUTE_TYPES.get(key)
        if kind is None:
            yield f"{key} is in no registry"
        elif kind in _PYTHON and type(value) is not _PYTHON[kind]:
            yield f"{key} is {type(value).__name__}, not {kind}"
        if key in names.ENUM_VALUES and key.startswith(_OURS) and value not in names.ENUM_VALUES[key]:
            yield f"{key} is {value}"
        if key in _CONTENT:
            yield from _content_problems(key, value)


def _content_problems(key: str, value: Any) -> Iterator[str]:
    items = json.loads(value) if isinstance(value, str) else value
    try:
        _CONTENT[key](items)
    except AssertionError as error:
        yield f"{key}: {error}"


def metric_problems(points: Mapping[str, list[Any]]) -> Iterator[str]:
    """What is wrong with data points by metric."""
    for name, found in points.items():
        definition = _METRICS.get(name)
        if definition is None:
            yield f"{name} is no metric"
            continue
        for point in found:
            keys = set(point.attributes)
            yield from (f"{name}: {key} has no place there" for key in keys - set(definition.attributes))
            yield from (f"{name}: no {key}" for key in definition.required - keys)
            if definition.buckets and tuple(point.explicit_bounds) != definition.buckets:
                yield f"{name}: other buckets"


def event_problems(record: Any) -> Iterator[str]:
    """What is wrong with an event."""
    if record.body is not None:
        yield "a body"
    if not record.span_id or not record.trace_id:
        yield "no span"
    attributes = dict(record.attributes)
    if record.event_name == "gen_ai.client.inference.operation.details":
        yield from _attribute_problems(attributes, _span_types(attributes.get(names.GEN_AI_OPERATION_NAME)))
    elif record.event_name == "gen_ai.client.operation.exception":
        if "exception.type" not in attributes:
            yield "no exception.type"
        if record.severity_number.value != 13:
            yield "not WARN"
    else:
        yield f"{record.event_name} is no event"
