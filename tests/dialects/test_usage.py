"""Token counts: what a usage object says, and whether the input count has cached tokens in it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.dialects import normalize
from otel_llm.dialects.usage import is_exclusive, read_usage
from tests.dialects.spans import operation

INPUT = "gen_ai.usage.input_tokens"
OUTPUT = "gen_ai.usage.output_tokens"
READ = "gen_ai.usage.cache_read.input_tokens"
WRITE = "gen_ai.usage.cache_write.input_tokens"
REASONING = "gen_ai.usage.reasoning.output_tokens"
SEMANTICS = "otel_llm.usage.input_semantics"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param(
            {
                "prompt_tokens": 50,
                "completion_tokens": 9,
                "total_tokens": 59,
                "prompt_tokens_details": {"cached_tokens": 32, "audio_tokens": 3},
                "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 0},
            },
            {INPUT: 50, OUTPUT: 9, READ: 32, REASONING: 4, "gen_ai.usage.audio.input_tokens": 3},
            id="OpenAI chat",
        ),
        pytest.param(
            {
                "input_tokens": 50,
                "output_tokens": 9,
                "total_tokens": 59,
                "input_tokens_details": {"cached_tokens": 32},
                "output_tokens_details": {"reasoning_tokens": 4},
            },
            {INPUT: 50, OUTPUT: 9, READ: 32, REASONING: 4},
            id="OpenAI responses",
        ),
        pytest.param(
            {
                "input_tokens": 7,
                "output_tokens": 9,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 20,
                "cache_creation": {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5},
                "server_tool_use": {"web_search_requests": 2},
            },
            {
                INPUT: 127,
                OUTPUT: 9,
                READ: 100,
                WRITE: 20,
                "otel_llm.usage.cache_write_1h.input_tokens": 5,
                "otel_llm.usage.web_searches": 2,
            },
            id="Anthropic",
        ),
        pytest.param(
            {"inputTokens": 20000, "outputTokens": 9, "totalTokens": 36009, "cacheReadInputTokens": 16000},
            {INPUT: 36000, OUTPUT: 9, READ: 16000},
            id="Bedrock Converse",
        ),
        pytest.param(
            {
                "promptTokenCount": 10,
                "candidatesTokenCount": 20,
                "thoughtsTokenCount": 100,
                "cachedContentTokenCount": 4,
                "totalTokenCount": 130,
            },
            {INPUT: 10, OUTPUT: 120, READ: 4, REASONING: 100},
            id="Gemini",
        ),
        pytest.param(
            {
                "input_tokens": 127,
                "output_tokens": 9,
                "total_tokens": 136,
                "input_token_details": {"cache_read": 100, "cache_creation": 20},
                "output_token_details": {"reasoning": 4},
            },
            {INPUT: 127, OUTPUT: 9, READ: 100, WRITE: 20, REASONING: 4},
            id="LangChain",
        ),
        pytest.param(
            {"input": 7, "input_cached_tokens": 100, "input_cache_creation": 20, "output": 9},
            {INPUT: 127, OUTPUT: 9, READ: 100, WRITE: 20},
            id="Langfuse",
        ),
        pytest.param({"prompt_tokens": "NaN", "completion_tokens": -1}, {}, id="no counts"),
        pytest.param({}, {}, id="nothing"),
    ],
)
def test_a_usage_object_as_canonical_counts(usage, expected):
    assert read_usage(usage) == expected


def test_acceptance_15_gemini_thoughts_are_output_and_openai_reasoning_is_part_of_it():
    openai = read_usage(
        {"prompt_tokens": 1, "completion_tokens": 100, "completion_tokens_details": {"reasoning_tokens": 80}}
    )
    gemini = read_usage({"promptTokenCount": 10, "candidatesTokenCount": 20, "thoughtsTokenCount": 100})
    assert openai[OUTPUT] == 100
    assert gemini[OUTPUT] == 120


_RAW = {
    "input_tokens": 5,
    "output_tokens": 10,
    "cache_read_input_tokens": 128_955,
    "cache_creation_input_tokens": 1_253,
    "cache_creation": {"ephemeral_5m_input_tokens": 1_000, "ephemeral_1h_input_tokens": 253},
}
_SAME_CALL = {
    "raw Anthropic through MLflow": (
        "mlflow.tracing.provider",
        {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanOutputs": json.dumps({"id": "msg_1", "usage": _RAW})},
    ),
    "raw Anthropic through Langfuse": (
        "langfuse-sdk",
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "claude-sonnet-4-5",
            "langfuse.observation.usage_details": json.dumps(_RAW),
        },
    ),
    "LangChain through LangSmith": (
        "langsmith",
        {
            "langsmith.span.kind": "llm",
            "langsmith.metadata.usage_metadata": json.dumps(
                {
                    "input_tokens": 130_213,
                    "output_tokens": 10,
                    "total_tokens": 130_223,
                    "input_token_details": {"cache_read": 128_955, "cache_creation": 1_253},
                }
            ),
        },
    ),
    "Pydantic AI": (
        "pydantic-ai",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            INPUT: 130_213,
            OUTPUT: 10,
            READ: 128_955,
            "gen_ai.usage.cache_creation.input_tokens": 1_253,
        },
    ),
    "OpenLLMetry": (
        "opentelemetry.instrumentation.anthropic",
        {
            "llm.request.type": "chat",
            "gen_ai.system": "Anthropic",
            "gen_ai.usage.prompt_tokens": 130_213,
            "gen_ai.usage.completion_tokens": 10,
            "gen_ai.usage.cache_read_input_tokens": 128_955,
            "gen_ai.usage.cache_creation_input_tokens": 1_253,
        },
    ),
    "OpenInference": (
        "openinference.instrumentation.anthropic",
        {
            "openinference.span.kind": "LLM",
            "llm.provider": "anthropic",
            "llm.token_count.prompt": 130_213,
            "llm.token_count.completion": 10,
            "llm.token_count.prompt_details.cache_read": 128_955,
            "llm.token_count.prompt_details.cache_write": 1_253,
        },
    ),
    "OpenLIT": (
        "openlit.instrumentation.anthropic",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            INPUT: 5,
            OUTPUT: 10,
            READ: 128_955,
            "gen_ai.usage.cache_creation.input_tokens": 1_253,
            "gen_ai.client.token.usage": 15,
        },
    ),
}


@pytest.mark.parametrize("emitter", _SAME_CALL)
def test_acceptance_13_the_same_call_counts_the_same_whoever_tells_of_it(emitter):
    scope, attributes = _SAME_CALL[emitter]
    span = operation(attributes, scope)
    normalize(span)
    assert span.input_tokens == 130_213
    assert span.output_tokens == 10
    assert span.cache_read_input_tokens == 128_955
    assert span.cache_write_input_tokens == 1_253


def _span(scope: str, **usage: int | str):
    keys = {"entered": INPUT, "output": OUTPUT, "read": READ, "write": WRITE, "total": "gen_ai.usage.total_tokens"}
    attributes = {keys.get(key, key): value for key, value in usage.items()}
    provider = attributes.pop("provider", "anthropic")
    span = operation({"gen_ai.operation.name": "chat", "gen_ai.provider.name": provider, **attributes}, scope)
    normalize(span)
    return span


def test_acceptance_13_a_contradiction_is_flagged_and_not_clamped():
    span = _span("opentelemetry.instrumentation.genai.openai", provider="openai", entered=10, read=50)
    assert span.input_tokens == 10
    assert span.cache_read_input_tokens == 50
    assert span.get(SEMANTICS) == "unknown"


def test_fewer_input_than_cached_tokens_can_only_leave_them_out():
    span = _span("", entered=7, read=100, write=20)
    assert span.input_tokens == 127
    assert span.get(SEMANTICS) == "repaired"


def test_more_input_than_cached_tokens_proves_nothing():
    span = _span("strands.telemetry.tracer", entered=20_000, read=16_000)
    assert span.input_tokens == 20_000
    assert span.get(SEMANTICS) == "unknown"


@pytest.mark.parametrize(("total", "expected"), [(20_009, 20_000), (36_009, 36_000)])
def test_the_providers_total_proves_what_the_input_counts(total, expected):
    span = _span("strands.telemetry.tracer", entered=20_000, output=9, read=16_000, total=total)
    assert span.input_tokens == expected


def test_a_total_that_the_library_added_up_proves_nothing():
    span = _span("openlit.instrumentation.anthropic", entered=20_000, output=9, read=16_000, total=20_009)
    assert span.input_tokens == 36_000


def test_an_inclusive_count_is_not_remarked_upon():
    span = _span("opentelemetry.instrumentation.genai.anthropic", entered=130, read=100)
    assert span.get(SEMANTICS) is None
    assert not span.is_changed


def test_counts_mended_by_a_first_gateway_are_not_mended_by_a_second():
    span = _span("opentelemetry.instrumentation.genai.bedrock", entered=127, read=100, **{SEMANTICS: "repaired"})
    assert span.input_tokens == 127


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1, "NaN", "-3", True, 1.5, "many", "9" * 30])
def test_what_is_no_count_is_taken_away_and_said_to_be(wrong):
    span = operation({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", INPUT: wrong, OUTPUT: 3})
    normalize(span)
    assert span.get(INPUT) is None
    assert span.get(OUTPUT) == 3
    assert span.get("otel_llm.usage.complete") is False


@pytest.mark.parametrize(
    ("given_", "count"), [("12", 12), (12.0, 12), ('"12"', 12), (0, 0), ("9007199254740993", 2**53 + 1)]
)
def test_a_count_in_another_type_is_a_count(given_, count):
    span = operation({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", INPUT: given_})
    normalize(span)
    assert span.get(INPUT) == count
    assert type(span.get(INPUT)) is int


_COUNT = st.integers(0, 10**9)


@given(fresh=_COUNT, read=_COUNT, write=_COUNT, output=_COUNT)
def test_arithmetic_never_proves_the_wrong_thing(fresh, read, write, output):
    whole = fresh + read + write
    assert is_exclusive(whole + output, (whole, read, write, output)) is not True
    assert is_exclusive(whole + output, (fresh, read, write, output)) is not False
