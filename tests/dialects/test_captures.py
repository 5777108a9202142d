"""Real telemetry of many libraries for the same calls: all of it must come out as the one canonical span.

The captured files are not part of the project; these tests skip without them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from otel_llm._generated import attributes as names
from otel_llm.dialects import detect, normalize
from otel_llm.operation import Operation
from tests.dialects.spans import again, operations_of
from tests.shared_data import SHARED_DATA, shared_data_path

_FILES = sorted(path.stem for path in (SHARED_DATA / "dialects").glob("*.json") if path.stem != "canonical_expected")

# Expected field -> attribute.
_FIELDS = {
    "operation": names.GEN_AI_OPERATION_NAME,
    "provider": names.GEN_AI_PROVIDER_NAME,
    "request_model": names.GEN_AI_REQUEST_MODEL,
    "response_model": names.GEN_AI_RESPONSE_MODEL,
    "input_tokens": names.GEN_AI_USAGE_INPUT_TOKENS,
    "output_tokens": names.GEN_AI_USAGE_OUTPUT_TOKENS,
    "cache_read": names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
    "cache_write": names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS,
    "reasoning": names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
    "finish": names.GEN_AI_RESPONSE_FINISH_REASONS,
    "response_id": names.GEN_AI_RESPONSE_ID,
    "stream": names.GEN_AI_REQUEST_STREAM,
}
_COUNTS = {"input_tokens", "output_tokens", "cache_read", "cache_write", "reasoning"}
# The data's own list of what a file cannot tell uses these letters.
_LETTERS = {"r": "reasoning", "cr": "cache_read", "cw": "cache_write", "i": "input_tokens", "o": "output_tokens"}
_CONTENT = {"text", "tool_calls", "reasoning_text", "input_contains"}
_BILLED = {"chat", "generate_content", "text_completion", "embeddings"}

# What else an emitter does not put on its spans, by file, scenario ("*" for all) and field, and why that is so. A field
# that is listed and comes out right fails the test: the list is exact.
_NO_CONTENT = "captured with content off"
_LOST: dict[str, dict[str, dict[str, str]]] = {
    "anthropic_sdk_native_2.11.0": {
        "anthropic_tools": dict.fromkeys(("tool_calls", "reasoning_text"), _NO_CONTENT),
        "anthropic_tool_result": {"input_contains": _NO_CONTENT},
    },
    "upstream_genai_1.3b0__no_content": {
        "openai_chat": {"text": _NO_CONTENT},
        "openai_chat_tools": {"tool_calls": _NO_CONTENT},
        "openai_chat_tool_result": {"input_contains": _NO_CONTENT},
        "openai_chat_stream_tools": {"tool_calls": _NO_CONTENT},
        "anthropic_tools": dict.fromkeys(("tool_calls", "reasoning_text"), _NO_CONTENT),
        "anthropic_tool_result": {"input_contains": _NO_CONTENT},
    },
    "otel_contrib_openai_v2_2.2b0__message_events": {
        "openai_chat": {"stop_sequences": "not written", "text": "in log records"},
        "openai_chat_tools": {"tool_calls": "in log records"},
        "openai_chat_tool_result": {
            "input_contains": "in log records",
            "cache_read": "not written",
            "reasoning": "not written",
        },
        "openai_chat_stream_usage": dict.fromkeys(("finish", "stream"), "not written for streams"),
        "openai_chat_stream_tools": {
            "finish": "not written for streams",
            "stream": "not written for streams",
            "tool_calls": "in log records",
        },
    },
    "openllmetry_0.62.4": {"openai_chat": dict.fromkeys(("seed", "stop_sequences"), "not written")},
    "openllmetry_0.38.12__legacy_indexed": {
        "openai_chat": dict.fromkeys(("seed", "stop_sequences"), "not written"),
        "openai_chat_tool_result": dict.fromkeys(("cache_read", "reasoning"), "not written"),
        "anthropic_tools": {"reasoning_text": "thinking blocks are left out"},
        "anthropic_stream": {"response_model": "not written for streams"},
        "anthropic_stream_tools": {"response_model": "not written for streams"},
    },
    "openlit_1.45.0": {
        "openai_chat_tool_result": {
            "reasoning": "not written",
            "input_contains": "the assistant's tool call is left out of its input messages",
        },
        "anthropic_tools": {"reasoning_text": "thinking blocks are left out"},
    },
    "langfuse_sdk_5.0.4": {
        "openai_chat": {
            "request_model": "overwritten by the response's",
            "finish": "not written",
            "response_id": "not written",
            "stop_sequences": "not written",
        },
        "openai_chat_tools": {
            "request_model": "overwritten by the response's",
            "finish": "not written",
            "response_id": "not written",
        },
        "openai_responses": {"request_model": "overwritten by the response's", "response_id": "not written"},
        "openai_responses_stream": {"request_model": "overwritten by the response's"},
        "openai_embeddings": {"request_model": "overwritten by the response's"},
        **{
            scenario: {"request_model": "overwritten by the response's", "response_id": "not written"}
            for scenario in ("openai_chat_stream_usage", "openai_chat_stream_nousage", "openai_chat_stream_tools")
        },
    },
    "logfire_5.2.0__latest": {
        "openai_responses": {"finish": "not written"},
        "openai_responses_stream": {
            "response_model": "the requested one is written",
            "response_id": "not written for streams",
            "finish": "not written",
        },
        **{
            scenario: {"response_model": "the requested one is written", "response_id": "not written for streams"}
            for scenario in (
                "openai_chat_stream_usage",
                "openai_chat_stream_nousage",
                "openai_chat_stream_tools",
                "anthropic_stream",
                "anthropic_stream_tools",
            )
        },
    },
}


def _expected() -> dict[str, Any]:
    return json.loads(shared_data_path("dialects/canonical_expected.json").read_text(encoding="utf-8"))


def _capture(name: str) -> dict[str, list[Operation]]:
    document = json.loads(shared_data_path(f"dialects/{name}.json").read_text(encoding="utf-8"))
    return {scenario: list(operations_of(request)) for scenario, request in document["scenarios"].items()}


def _parts(messages: tuple[Mapping[str, object], ...]) -> Iterator[dict[str, Any]]:
    for message in messages:
        parts = message["parts"]
        assert isinstance(parts, list)
        yield from parts


def _joined(span: Operation, kind: str) -> str:
    return " ".join(part["content"] for part in _parts(span.output_messages) if part["type"] == kind).strip()


def _content_is(span: Operation, field: str, value: Any) -> bool:
    if field == "text":
        return _joined(span, "text") == value
    if field == "reasoning_text":
        return _joined(span, "reasoning") == value
    if field == "tool_calls":
        calls = [part for part in _parts(span.output_messages) if part["type"] == "tool_call"]
        return [{key: call.get(key) for key in ("id", "name", "arguments")} for call in calls] == value
    call = "call_A1" if span.provider_name == "openai" else "toolu_A1"
    found = {(part["type"], part.get("id")) for part in _parts(span.input_messages)}
    return {("tool_call", call), ("tool_call_response", call)} <= found


def _wrong(span: Operation, expected: Mapping[str, Any]) -> set[str]:
    """The fields that are not as expected. A count may stand where none is expected when it says it is estimated."""
    estimated = span.get(names.OTEL_LLM_USAGE_SOURCE) == "estimated"
    wrong = set()
    for field, value in expected.items():
        if field in _FIELDS:
            held = span.get(_FIELDS[field])
            if held != value and not (estimated and value is None and field in _COUNTS):
                wrong.add(field)
        elif field in _CONTENT and not _content_is(span, field, value):
            wrong.add(field)
    for parameter, value in expected.get("params", {}).items():
        if span.get(f"gen_ai.request.{parameter}") != value:
            wrong.add(parameter)
    if expected.get("status") == "ERROR" and not (span.status_code == 2 and span.get(names.ERROR_TYPE)):
        wrong.add("error")
    return wrong


def _excused(name: str, scenario: str, expected: Mapping[str, Any]) -> set[str]:
    """Fields that the data itself says are lost for good."""
    said = _expected()["fields_not_recoverable_from_telemetry"].get(name, {}).get(scenario, {})
    if said == "no usage":
        return {field for field in _COUNTS if expected.get(field) is not None}
    return {_LETTERS[letter] for letter in said} if isinstance(said, dict) else set()


@pytest.mark.parametrize("name", _FILES)
def test_every_span_of_a_capture_is_recognised(name: str) -> None:
    expected = _expected()["detection"][name]
    found = Counter(detect(span) for spans in _capture(name).values() for span in spans)
    assert dict(found) == expected


@pytest.mark.parametrize("name", _FILES)
def test_every_scenario_of_a_capture_comes_out_canonical(name: str) -> None:
    scenarios = _expected()["scenarios"]
    problems = {}
    for scenario, spans in _capture(name).items():
        expected = scenarios.get(scenario)
        if expected is None or not spans:
            continue
        for span in spans:
            normalize(span)
        # Where two spans tell of one call (Logfire's streams, native beside upstream) the fuller one counts.
        wrong = min((_wrong(span, expected) for span in spans), key=len)
        lost = _excused(name, scenario, expected) | set(_LOST.get(name, {}).get(scenario, {}))
        if wrong != lost:
            problems[scenario] = {"wrong": sorted(wrong - lost), "right though listed as lost": sorted(lost - wrong)}
    assert problems == {}


@pytest.mark.parametrize("name", _FILES)
def test_a_capture_normalised_twice_is_normalised_once(name: str) -> None:
    for spans in _capture(name).values():
        for span in spans:
            normalize(span)
            second = again(span)
            normalize(second)
            assert not second.changes.set, span.name
            assert not second.changes.removed, span.name
            assert not second.changes.removed_events, span.name


@pytest.mark.parametrize("name", _FILES)
def test_no_secret_of_a_capture_survives(name: str) -> None:
    for spans in _capture(name).values():
        for span in spans:
            normalize(span)
            kept = span.keys()
            assert not any("headers" in key or "LANGSMITH_" in key for key in kept), span.name


@pytest.mark.parametrize("name", ["strands_1.62.0_openai", "strands_1.62.0_anthropic", "vercel_ai_5.0.277"])
def test_billed_operations_count_every_token_once(name: str) -> None:
    """Acceptance 12: agents and wrappers repeat what the calls below them used."""
    naive, true = _expected()["naive_vs_true_input_token_sum"][name]
    spans = [span for spans in _capture(name).values() for span in spans]
    for span in spans:
        normalize(span)
    assert sum(span.input_tokens or 0 for span in spans if span.operation_name in _BILLED) == true
    assert true < naive
