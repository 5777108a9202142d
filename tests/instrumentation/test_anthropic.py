"""The real Anthropic SDK under our hook."""

from __future__ import annotations

import asyncio
import json

import anthropic
import pytest
from opentelemetry.trace import ProxyTracer, StatusCode

from otel_llm.instrumentation.outlet import SCOPE
from tests.instrumentation.recording import CONTENT, Recording

ASKED = {
    "model": "claude-opus-4-8",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}
BILLED = {"extra_headers": {"x-loopback": "input=18495;cache_read=18000;cache_write=488;output=445"}}
USAGE = {
    "gen_ai.usage.input_tokens": 18495,
    "gen_ai.usage.output_tokens": 445,
    "gen_ai.usage.cache_read.input_tokens": 18000,
    "gen_ai.usage.cache_write.input_tokens": 488,
}


@pytest.fixture
def hooked(recording):
    with recording.hooked("anthropic"):
        yield recording


def usage(attributes):
    return {key: value for key, value in attributes.items() if key in USAGE}


def test_a_message_counts_cached_tokens_as_input(hooked, anthropic_client):
    answer = anthropic_client.messages.create(**ASKED, system="Be terse.", **BILLED)
    found = hooked.attributes()
    assert answer.usage.input_tokens == 7
    assert usage(found) == USAGE
    assert found["gen_ai.provider.name"] == "anthropic"
    assert found["gen_ai.response.finish_reasons"] == ("stop",)
    assert found["gen_ai.response.id"] == answer.id
    assert hooked.span().name == "chat claude-opus-4-8"


def test_cumulative_usage_of_a_stream_is_not_summed(hooked, anthropic_client):
    """Acceptance 8: usage repeats in each event, and the last one is the whole."""
    events = list(anthropic_client.messages.create(**ASKED, stream=True, **BILLED))
    found = hooked.attributes()
    assert usage(found) == USAGE
    assert found["otel_llm.stream.chunks"] == len(events)
    assert found["otel_llm.stream.complete"] is True


def test_stream_helpers_are_intact_and_traced(hooked, anthropic_client):
    """Acceptance 10: `text_stream` and `get_final_message` bypass nothing."""
    with anthropic_client.messages.stream(**ASKED, **BILLED) as stream:
        assert "".join(stream.text_stream) == "Paris is the capital of France."
        assert stream.get_final_message().stop_reason == "end_turn"
    assert usage(hooked.attributes()) == USAGE


def test_beta_messages_are_traced(hooked, anthropic_client):
    anthropic_client.beta.messages.create(**ASKED, **BILLED)
    assert usage(hooked.attributes()) == USAGE


def test_an_abandoned_stream_keeps_the_input_it_was_told_and_estimates_the_output(hooked, anthropic_client):
    with anthropic_client.messages.stream(**ASKED, **BILLED) as stream:
        for event in stream:
            if event.type == "text":
                break
    span = hooked.span()
    found = dict(span.attributes)
    assert span.status.status_code is StatusCode.UNSET
    assert found["gen_ai.usage.input_tokens"] == 18495
    assert found["otel_llm.stream.complete"] is False
    assert found["otel_llm.usage.complete"] is False
    assert "gen_ai.response.finish_reasons" not in found


def test_async_streams_say_the_same(hooked, provider):
    async def calls():
        async with (
            anthropic.AsyncAnthropic(
                base_url=provider.anthropic_base_url, api_key="any", open_telemetry=False
            ) as client,
            client.messages.stream(**ASKED, **BILLED) as stream,
        ):
            return await stream.get_final_text()

    assert asyncio.run(calls()) == "Paris is the capital of France."
    assert usage(hooked.attributes()) == USAGE


def test_streamed_tool_calls_are_put_together(recording, anthropic_client):
    tool = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    with recording.hooked("anthropic", environment=CONTENT):
        question = [{"role": "user", "content": "Weather in Paris?"}]
        with anthropic_client.messages.stream(**{**ASKED, "messages": question}, tools=[tool]) as stream:
            final = stream.get_final_message()
    found = recording.attributes()
    [call] = [block for block in final.content if block.type == "tool_use"]
    [message] = json.loads(found["gen_ai.output.messages"])
    [part] = [part for part in message["parts"] if part["type"] == "tool_call"]
    assert part == {"type": "tool_call", "id": call.id, "name": "get_weather", "arguments": call.input}
    assert found["gen_ai.response.finish_reasons"] == ("tool_call",)


def test_a_client_that_traces_itself_keeps_its_one_span(hooked, provider):
    """Acceptance 12: never two emitters on one client; metrics are ours, for the SDK has none."""
    options = {"open_telemetry": {"tracer_provider": hooked.tracers}}
    with anthropic.Anthropic(base_url=provider.anthropic_base_url, api_key="any", **options) as client:
        client.messages.create(**ASKED, **BILLED)
    assert [span.instrumentation_scope.name for span in hooked.spans] == ["com.anthropic.sdk.python"]
    [tokens] = hooked.points()["gen_ai.client.inference.usage.input_tokens"]
    assert tokens.value == 18495


def test_a_client_whose_own_spans_go_nowhere_has_ours(hooked, provider):
    """Acceptance 48: by default the SDK traces itself, in an app without OpenTelemetry into nothing."""
    with anthropic.Anthropic(base_url=provider.anthropic_base_url, api_key="any") as client:
        assert isinstance(client._tracer, ProxyTracer)
        client.messages.create(**ASKED, **BILLED)
    assert [span.instrumentation_scope.name for span in hooked.spans] == [SCOPE]


def test_providers_of_our_own_have_our_span_whoever_else_has_one(recording, provider):
    """Acceptance 42: OTEL_LLM_PROVIDERS=private; the SDK's go to the app's."""
    theirs = Recording()
    options = {"open_telemetry": {"tracer_provider": theirs.tracers}}
    with (
        recording.hooked("anthropic", environment={"OTEL_LLM_PROVIDERS": "private"}),
        anthropic.Anthropic(base_url=provider.anthropic_base_url, api_key="any", **options) as client,
    ):
        client.messages.create(**ASKED, **BILLED)
    assert len(theirs.spans) == len(recording.spans) == 1


def test_an_error_is_the_sdks_own_and_names_its_type(hooked, anthropic_client):
    with pytest.raises(anthropic.InternalServerError):
        anthropic_client.messages.create(**{**ASKED, "model": "err500"})
    assert hooked.attributes()["error.type"] == "anthropic.InternalServerError"
