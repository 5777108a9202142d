"""Cached tokens: one call costs the same whichever convention reports it, in its own way of counting."""

from __future__ import annotations

import json

import pytest

from otel_llm._generated import attributes as names
from otel_llm.operation import AttributeValue
from tests.acceptance.amounts import COST, REASON, STATUS, dollars, priced
from tests.acceptance.through import Attributes, Through
from tests.spans import chat

# One physical call: 5 fresh tokens, 128,955 read from the cache, 1,253 written to it, 393 tokens of answer.
_MODEL = "claude-sonnet-4-5-20250929"
_CURRENT: dict[str, AttributeValue] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.response.model": _MODEL,
    "gen_ai.usage.output_tokens": 393,
}
_OPENINFERENCE: dict[str, AttributeValue] = {
    "openinference.span.kind": "LLM",
    "llm.system": "anthropic",
    "llm.provider": "anthropic",
    "llm.model_name": _MODEL,
    "llm.token_count.prompt": 130_213,
    "llm.token_count.completion": 393,
    "llm.token_count.total": 130_606,
    "llm.token_count.prompt_details.cache_read": 128_955,
    "llm.token_count.prompt_details.cache_write": 1_253,
}
CACHED: dict[str, tuple[str, dict[str, AttributeValue]]] = {
    "Anthropic's own counts, cached tokens left out": (
        "app",
        {
            **_CURRENT,
            "gen_ai.usage.input_tokens": 5,
            "gen_ai.usage.cache_read.input_tokens": 128_955,
            "gen_ai.usage.cache_write.input_tokens": 1_253,
        },
    ),
    "LangChain by OpenInference": (
        "openinference.instrumentation.langchain",
        {**_OPENINFERENCE, "metadata": '{"ls_provider": "anthropic"}'},
    ),
    "OpenInference": ("openinference.instrumentation.anthropic", _OPENINFERENCE),
    "LangChain by LangSmith": (
        "langsmith",
        {
            "langsmith.span.kind": "llm",
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "langchain",
            "langsmith.metadata.ls_provider": "anthropic",
            "langsmith.metadata.ls_model_name": _MODEL,
            "gen_ai.usage.input_tokens": 130_213,
            "gen_ai.usage.output_tokens": 393,
            "gen_ai.usage.total_tokens": 130_606,
            "langsmith.metadata.usage_metadata": json.dumps(
                {
                    "input_tokens": 130_213,
                    "output_tokens": 393,
                    "total_tokens": 130_606,
                    "input_token_details": {"cache_read": 128_955, "cache_creation": 1_253},
                }
            ),
        },
    ),
    "Pydantic AI": (
        "pydantic-ai",
        {
            **_CURRENT,
            "gen_ai.usage.input_tokens": 130_213,
            "gen_ai.usage.details.cache_read_tokens": 128_955,
            "gen_ai.usage.details.cache_write_tokens": 1_253,
            "model_request_parameters": "{}",
        },
    ),
    "OpenLLMetry": (
        "opentelemetry.instrumentation.anthropic",
        {
            "llm.request.type": "completion",
            "gen_ai.system": "Anthropic",
            "gen_ai.request.model": "claude-sonnet-4-5",
            "gen_ai.response.model": _MODEL,
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "Hi",
            "gen_ai.usage.prompt_tokens": 130_213,
            "gen_ai.usage.completion_tokens": 393,
            "llm.usage.total_tokens": 130_606,
            "gen_ai.usage.cache_read_input_tokens": 128_955,
            "gen_ai.usage.cache_creation_input_tokens": 1_253,
        },
    ),
    "OpenLIT, cached tokens left out": (
        "openlit.instrumentation.anthropic",
        {
            **_CURRENT,
            "gen_ai.usage.input_tokens": 5,
            "gen_ai.usage.cache_read.input_tokens": 128_955,
            "gen_ai.usage.cache_creation.input_tokens": 1_253,
            "telemetry.sdk.name": "openlit",
        },
    ),
    "the current conventions": (
        "opentelemetry.instrumentation.genai.anthropic",
        {
            **_CURRENT,
            "gen_ai.usage.input_tokens": 130_213,
            "gen_ai.usage.cache_read.input_tokens": 128_955,
            "gen_ai.usage.cache_write.input_tokens": 1_253,
        },
    ),
}


@pytest.mark.parametrize("source", CACHED)
def test_13_cached_tokens_cost_the_same_whichever_way_they_were_counted(through: Through, source: str) -> None:
    """Given one call with cached tokens, reported in a source's own way of counting, when it has passed, then its input
    is 130,213 tokens and its cost the one cost."""
    scope, attributes = CACHED[source]
    span = through.call(attributes, scope)
    expected = dollars((5, "3"), (128_955, "0.3"), (1_253, "3.75"), (393, "15"))
    assert priced(span) == pytest.approx(expected, abs=1e-9, rel=1e-12)
    assert span[names.GEN_AI_USAGE_INPUT_TOKENS] == 130_213
    assert span[names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS] == 128_955
    assert span[names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS] == 1_253


@pytest.mark.parametrize(
    ("scope", "attributes"),
    [
        pytest.param(
            "com.anthropic.sdk.python",
            {
                **CACHED["the current conventions"][1],
                "anthropic.usage.cache_creation.ephemeral_5m_input_tokens": 253,
                "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 1_000,
            },
            id="Anthropic SDK",
        ),
        pytest.param(
            "langfuse-sdk",
            {
                "langfuse.observation.type": "generation",
                "langfuse.observation.model.name": _MODEL,
                "gen_ai.provider.name": "anthropic",
                "langfuse.observation.usage_details": json.dumps(
                    {
                        "input": 5,
                        "input_cached_tokens": 128_955,
                        "input_cache_creation_5m": 253,
                        "input_cache_creation_1h": 1_000,
                        "output": 393,
                    }
                ),
            },
            id="Langfuse",
        ),
    ],
)
def test_13_tokens_cached_for_an_hour_cost_more(through: Through, scope: str, attributes: Attributes) -> None:
    """Given that 1,000 of the written tokens are kept for an hour, then they cost twice the input price, and the input
    is the same 130,213 tokens."""
    span = through.call(attributes, scope)
    expected = dollars((5, "3"), (128_955, "0.3"), (253, "3.75"), (1_000, "6"), (393, "15"))
    assert priced(span) == pytest.approx(expected, abs=1e-9, rel=1e-12)
    assert span[names.GEN_AI_USAGE_INPUT_TOKENS] == 130_213


def test_13_more_cached_than_input_tokens_are_flagged_where_the_count_includes_them(through: Through) -> None:
    """Given a provider whose count includes cached tokens, and more cached tokens than input, then nothing is clamped:
    the counts stay, the contradiction is marked, and there is no price."""
    span = through.call(
        chat(gen_ai__usage__cache_read__input_tokens=5_000), "opentelemetry.instrumentation.genai.openai"
    )
    assert span[names.GEN_AI_USAGE_INPUT_TOKENS] == 1000
    assert span[names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS] == 5_000
    assert span[names.OTEL_LLM_USAGE_INPUT_SEMANTICS] == "unknown"
    assert (span[STATUS], span[REASON]) == ("unpriced", "invalid_usage")
    assert COST not in span
