"""What holds for any input: nothing raises, twice is once, the result is JSON and in the conventions' shape."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_llm.dialects.messages import (
    canonical_documents,
    canonical_finish_reasons,
    canonical_messages,
    canonical_tool_definitions,
    dump,
    indexed_documents,
    indexed_messages,
    indexed_tools,
    message_events,
    message_events_json,
    tool_arguments,
    tool_result,
)
from otel_llm.dialects.messages_events import EVENT_NAMES
from otel_llm.dialects.messages_parts import TYPED, UNTYPED
from otel_llm.dialects.messages_shapes import CONTAINERS
from tests.dialects.messages_checks import assert_messages, assert_part

KEYS = sorted(
    {*UNTYPED, *CONTAINERS}
    | {
        "additional_kwargs",
        "args",
        "arguments",
        "call_id",
        "content",
        "data",
        "event.name",
        "file_id",
        "finish_reason",
        "format",
        "id",
    }
    | {
        "image_url",
        "input",
        "kwargs",
        "lc",
        "media_type",
        "metadata",
        "mime_type",
        "modality",
        "name",
        "output",
        "parts",
        "page_content",
    }
    | {
        "reasoning",
        "refusal",
        "response",
        "response_metadata",
        "result",
        "role",
        "score",
        "server_tool_call",
        "source",
        "status",
    }
    | {
        "stop_reason",
        "summary",
        "system",
        "thinking",
        "thought",
        "toolCallId",
        "tool_call_id",
        "tool_calls",
        "type",
        "uri",
        "url",
        "value",
    }
)
TYPES = sorted(
    {*TYPED, "message", "human", "ai", "tool", "chat", "web_search_call", "mcp_call", "web_search_tool_result"}
    | {"computer_call_output", "foo", "generic", "compaction", "redacted_thinking", "media", "custom"}
)
TEXTS = ["user", "assistant", "tool", "data:image/png;base64,AA==", '{"a":1}', '[{"text":"x"}]', "https://x", "stop"]

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.binary(max_size=3)
    | st.sampled_from(TEXTS + TYPES + ["HumanMessage"])
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    objects = st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    return (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | objects
        | st.builds(lambda found, kind: {**found, "type": kind}, objects, st.sampled_from(TYPES))
        | st.builds(
            lambda found, role: {**found, "role": role}, objects, st.sampled_from(["user", "model", "tool", "x"])
        )
    )


anything = st.recursive(leaves, containers, max_leaves=20)
roles = st.sampled_from(["user", "assistant"])
thorough = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


@thorough
@given(anything, roles)
def test_any_value_becomes_messages_in_the_conventions_shape(value: Any, role: str) -> None:
    found = canonical_messages(value, role)
    assert_messages(found.messages)
    for part in found.system:
        assert_part(part)
    assert found.finish_reasons == canonical_finish_reasons(found.finish_reasons)
    json.loads(dump([found.messages, found.system]))


@thorough
@given(anything, roles)
def test_messages_read_twice_are_the_same(value: Any, role: str) -> None:
    once = canonical_messages(value, role)
    twice = canonical_messages(once.messages, role)
    assert twice.messages == once.messages
    assert (twice.system, twice.finish_reasons) == ([], [])


@thorough
@given(anything, roles)
def test_messages_that_went_through_json_read_the_same(value: Any, role: str) -> None:
    once = canonical_messages(dump(value), role)
    assert dump(canonical_messages(dump(once.messages), role).messages) == dump(once.messages)


@thorough
@given(anything)
def test_definitions_of_tools_read_twice_are_the_same(value: Any) -> None:
    once = canonical_tool_definitions(value)
    assert canonical_tool_definitions(once) == once
    assert all(isinstance(tool["type"], str) and tool["type"] and tool["name"] for tool in once)


@thorough
@given(anything)
def test_documents_read_twice_are_the_same(value: Any) -> None:
    once = canonical_documents(value)
    assert canonical_documents(once) == once
    assert all(isinstance(document.get("id", ""), str) for document in once)
    json.loads(dump(once))


@thorough
@given(anything)
def test_finish_reasons_read_twice_are_the_same(value: Any) -> None:
    once = canonical_finish_reasons(value)
    assert canonical_finish_reasons(once) == once
    assert "" not in once


@thorough
@given(anything)
def test_arguments_and_results_of_tools_are_json(value: Any) -> None:
    json.loads(dump([tool_arguments(value), tool_result(value)]))


names = st.sampled_from([*sorted(EVENT_NAMES), "exception"])


@thorough
@given(
    st.lists(
        st.tuples(names, st.dictionaries(st.sampled_from([*KEYS, "gen_ai.prompt"]), anything), anything), max_size=4
    )
)
def test_any_events_become_messages_in_the_conventions_shape(events: list[tuple[str, dict[str, Any], Any]]) -> None:
    for found in message_events(events) + message_events_json([event[2] for event in events]):
        assert_messages(found.messages)


paths = st.lists(
    st.sampled_from(["0", "1", "007", "-1", "message", "role", "content", "contents", "tool_calls", "tool_call", "id"])
    | st.sampled_from(["function", "name", "arguments", "message_content", "type", "text", "document", "tool", "x"]),
    max_size=6,
)


@thorough
@given(st.dictionaries(paths.map(lambda path: ".".join(["p", *path])), anything, max_size=12))
def test_any_indexed_attributes_become_messages_in_the_conventions_shape(attributes: dict[str, Any]) -> None:
    assert_messages(indexed_messages(attributes, "p", "openllmetry").messages)
    assert_messages(indexed_messages(attributes, "p", "openinference").messages)
    json.loads(dump([indexed_tools(attributes, "p"), indexed_documents(attributes, "p")]))


class Foreign:
    """An object that JSON does not know, with content in its repr."""

    def __repr__(self) -> str:
        return "secret"


@thorough
@given(st.recursive(leaves | st.characters(categories=["Cs"]), containers, max_leaves=10))
def test_dump_is_valid_utf8_json_whatever_the_value(value: Any) -> None:
    json.loads(dump(value).encode("utf-8"))


def test_dump_keeps_what_is_not_ascii_and_replaces_what_is_not_a_character() -> None:
    assert dump({"é": "日本\ud800"}) == '{"é":"日本�"}'


def test_dump_has_a_word_for_what_json_has_none_for() -> None:
    assert dump([float("nan"), b"\x00", Foreign(), 10**40]) == f'[null,"AA==","<Foreign>",{10**40}]'


def deep(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


def test_values_nested_beyond_reason_are_cut_not_raised() -> None:
    assert json.loads(dump(deep(100_000)))
    for value in (deep(100_000), "[" * 100_000 + "]" * 100_000, '{"messages":' * 50_000 + "1" + "}" * 50_000):
        assert len(canonical_messages(value).messages) == 1
        assert canonical_documents(value) is not None
        assert canonical_tool_definitions(value) == []
        assert dump([tool_arguments(value), tool_result(value)])
