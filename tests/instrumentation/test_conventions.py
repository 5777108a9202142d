"""Everything the hooks emit is as the pinned conventions have it, with content and without, in success and failure."""

from __future__ import annotations

import asyncio

import anthropic
import openai
import pytest

from tests.instrumentation.conventions import event_problems, metric_problems, span_problems
from tests.instrumentation.recording import Recording

EVERYTHING = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_AND_EVENT"}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CONVERSATION = [
    {"role": "system", "content": "Be terse."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Weather in Paris and Rome? \U0001f600 \u0000"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        ],
    },
    {
        "role": "assistant",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"a":"X"}'}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "14 degrees"},
    {"role": "user", "content": "And in Rome?"},
]
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
CLAUDE_TOOL = {"name": "get_weather", "input_schema": {"type": "object"}}
CLAUDE = {
    "model": "claude-opus-4-8",
    "max_tokens": 2000,
    "messages": [{"role": "user", "content": "Weather in Paris?"}],
}


def openai_calls(client: openai.OpenAI) -> None:
    chat = client.chat.completions
    options = {"model": "gpt-4o", "messages": CONVERSATION, "temperature": 1, "top_p": 0.5, "seed": 7, "stop": "END"}
    chat.create(**options, tools=[TOOL], n=1, response_format={"type": "json_object"}, service_tier="flex")
    list(chat.create(**options, tools=[TOOL], stream=True, stream_options={"include_usage": True}))
    with chat.create(**options, stream=True) as stream:
        next(stream)
    chat.with_raw_response.create(**options)
    client.responses.create(model="gpt-5", input="hi", instructions="Be terse.", reasoning={"effort": "low"})
    list(client.responses.create(model="gpt-5", input=[{"role": "user", "content": "hi"}], stream=True))
    client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    with pytest.raises(openai.APIError):
        chat.create(model="err500", messages=CONVERSATION)


def anthropic_calls(client: anthropic.Anthropic) -> None:
    client.messages.create(**CLAUDE, system="Be terse.", tools=[CLAUDE_TOOL], stop_sequences=["END"])
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    with client.messages.stream(**CLAUDE, tools=[CLAUDE_TOOL], extra_headers={"x-loopback": "thinking=hm"}) as stream:
        stream.until_done()
    client.messages.create(**CLAUDE, **thinking)
    with pytest.raises(anthropic.APIError):
        client.messages.create(**{**CLAUDE, "model": "err429"})


async def cancelled(client: openai.AsyncOpenAI) -> None:
    call = client.chat.completions.create(
        model="gpt-4o", messages=CONVERSATION, extra_headers={"x-loopback": "delay_ms=2000"}
    )
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call, 0.05)


@pytest.mark.filterwarnings("ignore:Using Claude")
@pytest.mark.parametrize("environment", [{}, EVERYTHING, {**EVERYTHING, "OTEL_LLM_CONTENT": "redacted"}])
def test_spans_metrics_and_events_are_valid(provider, openai_client, anthropic_client, environment):
    recording = Recording()
    engine = recording.engine(environment)
    with recording.hooked("openai", "anthropic", engine=engine):
        openai_calls(openai_client)
        anthropic_calls(anthropic_client)
        async_client = openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="any")

        async def app():
            async with async_client:
                await cancelled(async_client)

        asyncio.run(app())
    assert engine.boundary.failures == 0
    assert len(recording.spans) == 13
    problems = [f"{span.name}: {problem}" for span in recording.spans for problem in span_problems(span)]
    problems += metric_problems(recording.points())
    problems += [
        f"{record.event_name}: {problem}" for record in recording.events() for problem in event_problems(record)
    ]
    assert problems == []
    if environment:
        assert sum("gen_ai.input.messages" in span.attributes for span in recording.spans) == 12  # not on embeddings


def test_events_of_a_finalizer_have_the_ids_of_their_span(openai_client):
    """Acceptance 50: a stream that is dropped, whichever thread drops it."""
    recording = Recording()
    environment = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "EVENT_ONLY"}
    with recording.hooked("openai", environment=environment):
        stream = openai_client.chat.completions.create(model="gpt-4o", messages=CONVERSATION, stream=True)
        next(stream)
        del stream
    [record] = recording.events()
    span = recording.span()
    assert (record.trace_id, record.span_id) == (span.context.trace_id, span.context.span_id)
    assert record.attributes["gen_ai.input.messages"][0]["role"] == "user"
    assert "gen_ai.input.messages" not in span.attributes
