"""Definitions, arguments and results of tools; finish reasons; documents."""

from __future__ import annotations

from typing import Any

import pytest

from otel_llm.dialects.messages import (
    canonical_documents,
    canonical_finish_reason,
    canonical_finish_reasons,
    canonical_tool_definitions,
    dump,
    tool_arguments,
    tool_result,
)

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "name": "weather", "description": "Weather of a city", "parameters": SCHEMA}
PLAIN = {"name": "weather", "description": "Weather of a city"}

DEFINITIONS: dict[str, Any] = {
    "the conventions'": [WEATHER],
    "openai": [{"type": "function", "function": {**PLAIN, "parameters": SCHEMA, "strict": True}}],
    "openai responses": [{**WEATHER, "strict": True}],
    "anthropic": [{**PLAIN, "input_schema": SCHEMA}],
    "anthropic custom": [{**PLAIN, "type": "custom", "input_schema": SCHEMA, "cache_control": {"type": "ephemeral"}}],
    "vercel": [dump({**PLAIN, "type": "function", "inputSchema": SCHEMA})],
    "bedrock": {"tools": [{"toolSpec": {**PLAIN, "inputSchema": {"json": SCHEMA}}}], "toolChoice": {"auto": {}}},
    "gemini": [{"functionDeclarations": [{**PLAIN, "parameters": SCHEMA}]}],
    "gemini sdk": [{"function_declarations": [{**PLAIN, "parametersJsonSchema": SCHEMA}], "google_search": None}],
    "pydantic ai": {
        "function_tools": [{**PLAIN, "parameters_json_schema": SCHEMA, "strict": None}],
        "output_mode": "text",
    },
    "openai functions": {"functions": [{**PLAIN, "parameters": SCHEMA}]},
    "openllmetry": [{**PLAIN, "parameters": dump(SCHEMA)}],
    "a repr": repr([{"type": "function", "function": {**PLAIN, "parameters": SCHEMA, "strict": None}}]),
}


@pytest.mark.parametrize("shape", DEFINITIONS)
def test_the_same_tool_is_the_same_in_every_shape(shape: str) -> None:
    assert canonical_tool_definitions(DEFINITIONS[shape]) == [WEATHER]
    assert canonical_tool_definitions(dump(DEFINITIONS[shape])) == [WEATHER]


def test_a_providers_own_tool_keeps_its_type_and_settings() -> None:
    tools = [
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 1, "user_location": None},
        {"type": "file_search", "vector_store_ids": ["vs"]},
        {"google_search": {}},
    ]
    assert canonical_tool_definitions(tools) == [
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 1},
        {"type": "file_search", "name": "file_search", "vector_store_ids": ["vs"]},
        {"type": "google_search", "name": "google_search"},
    ]


@pytest.mark.parametrize("value", [None, "", "weather", 5, [], [5, "x", {}], {"a": 1}, "[{'name': object()}]"])
def test_what_defines_no_tool_gives_none(value: Any) -> None:
    assert canonical_tool_definitions(value) == []


@pytest.mark.parametrize(
    "value",
    [
        {"city": "Oslo"},
        '{"city": "Oslo"}',
        '"{\\"city\\": \\"Oslo\\"}"',
        "{'city': 'Oslo'}",
        {"input_str": "{'city': 'Oslo'}", "tags": [], "metadata": {}, "kwargs": {}},
        '{"inputs": {"city": "Oslo"}, "tags": [], "metadata": {"k": 1}, "kwargs": {"name": "weather"}}',
        {"inputs": [{"name": "weather", "args": {"city": "Oslo"}, "id": "c1", "type": "tool_call"}], "tags": []},
    ],
)
def test_arguments_are_read_out_of_json_reprs_and_envelopes(value: Any) -> None:
    assert tool_arguments(value) == {"city": "Oslo"}


@pytest.mark.parametrize("value", [None, 5, "Oslo", "{not json", {"inputs": 1, "other": 2}, {"input": "x"}, ["a"]])
def test_arguments_of_no_known_shape_stay_as_they_are(value: Any) -> None:
    assert tool_arguments(value) == value


def test_a_repr_is_read_with_its_quotes_escapes_and_words() -> None:
    text = r"""{'a': "it's", 'b': 'say \'hi\'\n', "c": [True, False, None], 'd': -1.5e3, 'é': 'True, None'}"""
    assert tool_arguments(text) == {
        "a": "it's",
        "b": "say 'hi'\n",
        "c": [True, False, None],
        "d": -1500.0,
        "é": "True, None",
    }


MESSAGE = {
    "lc": 1,
    "type": "constructor",
    "id": ["langchain", "schema", "messages", "ToolMessage"],
    "kwargs": {"content": "-3 C", "type": "tool", "tool_call_id": "c1"},
}


@pytest.mark.parametrize(
    "value",
    [
        "-3 C",
        '"-3 C"',
        MESSAGE,
        {"output": MESSAGE, "kwargs": {"color": "green"}},
        dump({"output": MESSAGE, "kwargs": {}}),
        {"type": "tool", "content": "-3 C", "tool_call_id": "c1"},
        [{"type": "text", "text": "-3 C"}],
        [{"text": "-3 C"}],
        {"type": "text", "value": "-3 C"},
    ],
)
def test_results_are_read_out_of_json_and_envelopes(value: Any) -> None:
    assert tool_result(value) == "-3 C"


@pytest.mark.parametrize("value", [5, {"temp_c": -3}, {"output": "x"}, ["a"], [{"text": "a"}, {"text": "b"}]])
def test_results_of_no_known_shape_stay_as_they_are(value: Any) -> None:
    assert tool_result(value) == value


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("stop", ["stop", "STOP", "end_turn", "stop_sequence", "COMPLETE", "FinishReason.STOP", "completed", '"stop"']),
        ("length", ["length", "MAX_TOKENS", "max_output_tokens", "max-tokens", "model_context_window_exceeded"]),
        ("tool_call", ["tool_call", "tool_calls", "tool-calls", "tool_use", "TOOL_CALL", "function_call"]),
        (
            "content_filter",
            ["content_filter", "content-filter", "SAFETY", "refusal", "guardrail_intervened", "RECITATION"],
        ),
        ("error", ["error", "MALFORMED_FUNCTION_CALL", "ERROR"]),
        ("compaction", ["compaction"]),
        ("pause_turn", ["pause_turn", "FinishReason.PAUSE_TURN"]),
        ("made-up", ["made-up"]),
    ],
)
def test_a_finish_reason_is_the_conventions_word(reason: str, words: list[str]) -> None:
    assert [canonical_finish_reason(word) for word in words] == [reason] * len(words)


@pytest.mark.parametrize(
    ("value", "reasons"),
    [
        (["stop", "tool_calls"], ["stop", "tool_call"]),
        (("stop",), ["stop"]),
        ('["stop"]', ["stop"]),
        ('"stop"', ["stop"]),
        ("stop, length", ["stop", "length"]),
        ("FinishReason.STOP", ["stop"]),
        ("", []),
        (None, []),
        ([None, "", "stop"], ["stop"]),
        ("[stop", ["[stop"]),
        (5, []),
        ({"a": 1}, []),
    ],
)
def test_finish_reasons_come_in_lists_texts_and_json(value: Any, reasons: list[str]) -> None:
    assert canonical_finish_reasons(value) == reasons


DOCUMENT = {"id": "d1", "score": 0.9, "content": "Oslo is cold.", "metadata": {"source": "wiki"}}

DOCUMENTS: dict[str, Any] = {
    "ours": [DOCUMENT],
    "langchain": {
        "documents": [{"id": "d1", "score": 0.9, "page_content": "Oslo is cold.", "metadata": {"source": "wiki"}}]
    },
    "langchain constructor": [
        {
            "lc": 1,
            "type": "constructor",
            "id": ["langchain", "schema", "document", "Document"],
            "kwargs": {"id": "d1", "score": "0.9", "page_content": "Oslo is cold.", "metadata": {"source": "wiki"}},
        }
    ],
    "bedrock knowledge base": {
        "retrievalResults": [
            {"id": "d1", "content": {"text": "Oslo is cold."}, "score": 0.9, "metadata": {"source": "wiki"}}
        ]
    },
    "llamaindex": {
        "nodes": [{"score": 0.9, "node": {"id_": "d1", "text": "Oslo is cold.", "metadata": {"source": "wiki"}}}]
    },
    "openinference metadata": [
        {"document_id": "d1", "score": 0.9, "content": "Oslo is cold.", "metadata": '{"source": "wiki"}'}
    ],
    "cohere rerank": {
        "results": [
            {"relevance_score": 0.9, "document": {"id": "d1", "text": "Oslo is cold.", "metadata": {"source": "wiki"}}}
        ]
    },
}


@pytest.mark.parametrize("shape", DOCUMENTS)
def test_the_same_document_is_the_same_in_every_shape(shape: str) -> None:
    assert canonical_documents(DOCUMENTS[shape]) == [DOCUMENT]
    assert canonical_documents(dump(DOCUMENTS[shape])) == [DOCUMENT]


def test_id_and_score_are_found_in_the_metadata() -> None:
    metadata = {"id": "d1", "score": 0.9}
    assert canonical_documents([{"page_content": "x", "metadata": metadata}]) == [
        {"id": "d1", "score": 0.9, "content": "x", "metadata": metadata}
    ]


def test_a_distance_is_no_score() -> None:
    assert canonical_documents([{"id": 7, "distance": 0.2}]) == [{"id": "7", "metadata": {"distance": 0.2}}]


@pytest.mark.parametrize("score", [float("nan"), float("inf"), "high", True, None, []])
def test_a_score_that_is_no_number_is_absent(score: Any) -> None:
    assert canonical_documents([{"id": "d1", "score": score}]) == [{"id": "d1"}]


def test_texts_are_documents() -> None:
    assert canonical_documents(["a", "", "b"]) == [{"content": "a"}, {"content": "b"}]
    assert canonical_documents("a") == [{"content": "a"}]
    assert canonical_documents(None) == []
