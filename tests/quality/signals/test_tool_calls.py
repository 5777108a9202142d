"""Tool calls and schemas, hostile ones included."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from otel_llm.quality.signals.json_schema import breaks
from otel_llm.quality.signals.tool_calls import ToolCall, fault, read_tools

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}, "unit": {"enum": ["C", "F"]}},
    "required": ["city"],
}
TOOLS = read_tools([{"type": "function", "name": "weather", "parameters": WEATHER}])


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("weather", {"city": "Bern", "days": 3, "unit": "C"}, None),
        ("weather", '{"city": "Bern"}', None),
        ("wether", {"city": "Bern"}, "unknown_tool"),
        ("weather", {"days": 3}, "invalid_tool_arguments"),
        ("weather", {"city": "Bern", "days": 0}, "invalid_tool_arguments"),
        ("weather", {"city": "Bern", "days": "3"}, "invalid_tool_arguments"),
        ("weather", {"city": "Bern", "unit": "K"}, "invalid_tool_arguments"),
        ("weather", {"city": "Bern", "made_up": 1}, "invalid_tool_arguments"),
        ("weather", '{"city": "Be', "invalid_tool_arguments"),
        ("weather", "[]", "invalid_tool_arguments"),
        ("weather", '"' + "x" * 100_000, None),  # too long to read is not known to be wrong
        ("weather", "[" * 60_000, "invalid_tool_arguments"),
    ],
)
def test_a_call_is_held_against_what_was_offered(name: str, arguments: object, expected: str | None) -> None:
    assert TOOLS is not None
    assert fault(ToolCall(name, arguments), TOOLS) == expected


def test_tools_of_the_provider_make_names_unknowable() -> None:
    assert read_tools([{"type": "web_search"}]) is None
    assert read_tools([]) is None
    assert read_tools("tools") is None
    assert read_tools([{"type": "function", "function": {"name": "f"}}]) == {"f": None}


def recursive(depth: int) -> dict[str, object]:
    schema: dict[str, object] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"next": schema}}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"pattern": "(a+)+$"},
        {"enum": list(range(50_000))},
        {"anyOf": [{"anyOf": [{"pattern": "x"}] * 200}] * 200},
        {"type": "dict"},
        {"type": 7},
        {"allOf": "yes"},
        ["not", "a", "schema"],
        None,
    ],
    ids=str.__call__,
)
def test_a_hostile_or_unknown_schema_raises_no_alarm(schema: object) -> None:
    assert breaks("a" * 40 + "!", schema) is None


def test_a_schema_may_follow_the_depth_of_the_value_but_not_without_end() -> None:
    tree = {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#"}}, "n": {"type": "integer"}},
    }
    assert breaks({"n": 1, "children": [{"n": 2}]}, tree) is False
    assert breaks({"n": 1, "children": [{"n": "two"}]}, tree) is True
    value: dict[str, object] = {"n": 1}
    for _ in range(500):
        value = {"children": [value]}
    assert breaks(value, tree) is None
    assert breaks(json.loads('{"next":' * 30 + "1" + "}" * 30), recursive(30)) is True


SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "integer"},
            {"type": ["number", "null"]},
            {"type": "boolean"},
            {},
            True,
            False,
            {"enum": [1, "a", None]},
            {"const": 1},
            {"minimum": 2},
            {"maxLength": 1},
            {"minItems": 1},
        ]
    ),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries(
            {"properties": st.dictionaries(st.sampled_from("ab"), inner)},
            optional={"required": st.just(["a"]), "additionalProperties": inner},
        ),
        st.builds(
            lambda one, other, key: {key: [one, other]}, inner, inner, st.sampled_from(["anyOf", "allOf", "oneOf"])
        ),
        st.builds(lambda one: {"not": one}, inner),
        st.builds(lambda one, two, three: {"if": one, "then": two, "else": three}, inner, inner, inner),
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 2, 2.0, 2.5, "", "a", "ab"]),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=6,
)


@given(SCHEMAS, VALUES)
def test_what_it_tells_is_what_a_full_validator_says(schema: object, value: object) -> None:
    found = breaks(value, schema)
    if found is not None:
        assert found is not Draft202012Validator(schema).is_valid(value)  # type: ignore[arg-type] # booleans are schemas
