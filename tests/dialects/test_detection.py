from __future__ import annotations

import pytest

from otel_llm.dialects import detect
from otel_llm.dialects.tables import tables
from tests.dialects.spans import operation


@pytest.mark.parametrize(
    ("scope", "version", "expected"),
    [
        ("com.anthropic.sdk.python.bedrock", "2.11.0", "anthropic_sdk"),
        ("opentelemetry.instrumentation.genai.openai", "1.3b0", "otel_genai"),
        ("opentelemetry.instrumentation.google_genai", "1.3b0", "otel_genai"),
        ("opentelemetry.instrumentation.openai_v2", "", "otel_legacy"),
        ("opentelemetry.instrumentation.botocore.bedrock-runtime", "0.66b2", "otel_legacy"),
        ("opentelemetry.instrumentation.openai.v1", "0.62.4", "openllmetry"),
        ("traceloop.tracer", "", "openllmetry"),
        ("openinference.instrumentation.langchain", "0.1.80", "openinference"),
        ("openlit.instrumentation.openai", "", "openlit"),
        ("logfire.anthropic", "5.2.0", "logfire"),
        ("logfire", "5.2.0", "logfire"),
        ("pydantic-ai", "2.68.0", "pydantic_ai"),
        ("langfuse-sdk", "5.0.4", "langfuse"),
        ("mlflow.tracing.provider", "", "mlflow"),
        ("langsmith", "", "langsmith"),
        ("strands.telemetry.tracer", "", "strands"),
        ("gcp.vertex.agent", "2.13.0", "google_adk"),
        ("litellm", "", "litellm"),
        ("ai", "", "vercel"),
        ("gen_ai", "", "vercel_otel"),
        ("agent_framework", "", "microsoft"),
        ("semantic_kernel.functions", "", "microsoft"),
        ("autogen SingleThreadedAgentRuntime", "", "microsoft"),
        ("Experimental.Microsoft.Extensions.AI", "", "microsoft"),
    ],
)
def test_the_scope_decides(scope, version, expected):
    assert detect(operation({"gen_ai.provider.name": "openai"}, scope, scope_version=version)) == expected


def test_the_scope_wins_over_attributes_that_a_framework_forwards():
    attributes = {"openinference.span.kind": "LLM", "traceloop.span.kind": "task", "langfuse.observation.type": "span"}
    assert detect(operation(attributes, "pydantic-ai")) == "pydantic_ai"


def test_two_publishers_of_one_scope_name_are_told_apart_by_version():
    name = "opentelemetry.instrumentation.vertexai"
    assert detect(operation({}, name, scope_version="0.62.4")) == "openllmetry"
    assert detect(operation({}, name, scope_version="2.2b0")) == "otel_legacy"


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"anthropic.message.stop_reason": "end_turn", "gen_ai.provider.name": "anthropic"}, "anthropic_sdk"),
        ({"openinference.span.kind": "LLM"}, "openinference"),
        ({"llm.token_count.prompt": 3}, "openinference"),
        ({"telemetry.sdk.name": "openlit", "gen_ai.provider.name": "openai"}, "openlit"),
        ({"gen_ai.usage.raw": "{}", "gen_ai.provider.name": "openai"}, "logfire"),
        ({"gen_ai.aggregated_usage.input_tokens": 3}, "pydantic_ai"),
        ({"langfuse.observation.type": "generation"}, "langfuse"),
        ({"mlflow.spanType": '"LLM"'}, "mlflow"),
        ({"langsmith.span.kind": "llm", "gen_ai.system": "openai"}, "langsmith"),
        ({"gen_ai.system": "strands-agents"}, "strands"),
        ({"gcp.vertex.agent.event_id": "e"}, "google_adk"),
        ({"hidden_params": "{}", "gen_ai.system": "openai"}, "litellm"),
        ({"ai.operationId": "ai.generateText"}, "vercel"),
        ({"gen_ai.operation.name": "agent_step"}, "vercel_otel"),
        ({"gen_ai.system": "microsoft.agent_framework"}, "microsoft"),
        ({"gen_ai.prompt.0.role": "user", "gen_ai.system": "OpenAI"}, "openllmetry"),
        ({"span.type": "claude_code.tool"}, "claude_code"),
        ({"gen_ai.agent.name": "gemini-cli"}, "gemini_cli"),
        ({"gen_ai.request.messages": "[]", "gen_ai.system": "openai"}, "sentry"),
        ({"gen_ai.system": "openai"}, "otel_legacy"),
        ({"gen_ai.provider.name": "openai"}, "otel_genai"),
        ({"span.type": "http", "gen_ai.agent.name": "mine", "gen_ai.provider.name": "openai"}, "otel_genai"),
        ({}, "otel_genai"),
    ],
)
def test_where_the_scope_is_lost_keys_and_values_decide(attributes, expected):
    assert detect(operation(attributes, "my.app")) == expected


def test_a_named_prompt_is_not_a_numbered_one():
    attributes = {
        "gen_ai.prompt.name": "greeting",
        "gen_ai.prompt.variable.who": "Ann",
        "gen_ai.provider.name": "openai",
    }
    assert detect(operation(attributes)) == "otel_genai"


def test_what_was_normalised_before_is_current_whatever_its_scope():
    assert detect(operation({"otel_llm.dialect": "openlit"}, "openlit.instrumentation.openai")) == "otel_genai"


def test_ranks_are_distinct():
    ranks = [table.detection.rank for table in tables()]
    assert len(set(ranks)) == len(ranks)
