"""The real OpenAI SDK under our hook: what its calls look like as telemetry."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from tests.instrumentation.recording import CONTENT

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ASKED = {"model": "gpt-4o", "messages": QUESTION}
USAGE = {"stream_options": {"include_usage": True}}
BILLED = {"extra_headers": {"x-loopback": "input=2006;cache_read=1920;output=300;reasoning=192"}}


@pytest.fixture
def hooked(recording):
    with recording.hooked("openai"):
        yield recording


def test_a_chat_is_one_client_span_with_the_conventions_attributes(hooked, openai_client):
    answer = openai_client.chat.completions.create(**ASKED, temperature=0, max_tokens=50, **BILLED)
    span = hooked.span()
    assert (span.name, span.kind, span.status.status_code) == ("chat gpt-4o", SpanKind.CLIENT, StatusCode.UNSET)
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "server.address": "127.0.0.1",
        "server.port": openai_client.base_url.port,
        "openai.api.type": "chat_completions",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.response.id": answer.id,
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 2006,
        "gen_ai.usage.output_tokens": 300,
        "gen_ai.usage.cache_read.input_tokens": 1920,
        "gen_ai.usage.reasoning.output_tokens": 192,
        "openai.response.service_tier": "default",
        "openai.response.system_fingerprint": "fp_loopback",
    }
    assert type(span.attributes["gen_ai.request.temperature"]) is float


def test_a_stream_is_one_span_that_ends_with_its_last_chunk(hooked, openai_client):
    stream = openai_client.chat.completions.create(**ASKED, stream=True, **USAGE, **BILLED)
    assert type(stream) is openai.Stream
    assert hooked.spans == ()
    chunks = list(stream)
    found = hooked.attributes()
    assert found["gen_ai.request.stream"] is True
    assert found["gen_ai.usage.output_tokens"] == 300
    assert found["gen_ai.response.finish_reasons"] == ("stop",)
    assert found["otel_llm.stream.chunks"] == len(chunks)
    assert found["otel_llm.stream.complete"] is True
    assert 0 < found["gen_ai.response.time_to_first_chunk"] < 5
    assert "otel_llm.usage.source" not in found


def test_an_async_call_and_an_async_stream_say_the_same_as_sync_ones(hooked, provider):
    async def calls():
        async with openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="any") as client:
            await client.chat.completions.create(**ASKED, **BILLED)
            stream = await client.chat.completions.create(**ASKED, stream=True, **USAGE, **BILLED)
            assert type(stream) is openai.AsyncStream
            return [chunk async for chunk in stream]

    chunks = asyncio.run(calls())
    plain, streamed = (dict(span.attributes) for span in hooked.spans)
    assert streamed["otel_llm.stream.chunks"] == len(chunks)
    for found in (plain, streamed):
        assert found["gen_ai.usage.input_tokens"] == 2006
        assert found["gen_ai.response.finish_reasons"] == ("stop",)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("raw", ["with_raw_response", "with_streaming_response"])
def test_raw_answers_are_read_beside_the_app(hooked, openai_client, raw, stream):
    options = {**ASKED, **BILLED, **({"stream": True, **USAGE} if stream else {})}
    if raw == "with_raw_response":
        answer = openai_client.chat.completions.with_raw_response.create(**options).parse()
        list(answer) if stream else None
    else:
        with openai_client.chat.completions.with_streaming_response.create(**options) as response:
            list(response.iter_lines())
    found = hooked.attributes()
    assert found["gen_ai.usage.input_tokens"] == 2006
    assert found["gen_ai.usage.cache_read.input_tokens"] == 1920
    assert found["gen_ai.response.finish_reasons"] == ("stop",)


@pytest.mark.parametrize("stream", [False, True])
def test_async_raw_answers_are_read_beside_the_app(hooked, provider, stream):
    async def call():
        options = {**ASKED, **BILLED, **({"stream": True, **USAGE} if stream else {})}
        async with (
            openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="any") as client,
            client.chat.completions.with_streaming_response.create(**options) as response,
        ):
            return [line async for line in response.iter_lines()]

    assert asyncio.run(call())
    assert hooked.attributes()["gen_ai.usage.input_tokens"] == 2006


def test_client_post_is_the_same_call(hooked, openai_client):
    openai_client.post("/chat/completions", cast_to=object, body=ASKED)
    assert hooked.span().name == "chat gpt-4o"


def test_an_error_is_the_sdks_own_and_names_its_type(hooked, openai_client):
    with pytest.raises(openai.RateLimitError):
        openai_client.chat.completions.create(model="err429", messages=QUESTION)
    span = hooked.span()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "openai.RateLimitError"
    assert "gen_ai.usage.input_tokens" not in span.attributes


def test_captured_content_is_json_of_the_conventions_messages(recording, openai_client):
    tools = [{"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}]
    with recording.hooked("openai", environment=CONTENT):
        messages = [{"role": "system", "content": "Be terse."}, *QUESTION]
        openai_client.chat.completions.create(model="gpt-4o", messages=messages, tools=tools, tool_choice="none")
    found = recording.attributes()
    text = {"type": "text", "content": "What is the capital of France?"}
    assert json.loads(found["gen_ai.input.messages"]) == [{"role": "user", "parts": [text]}]
    assert json.loads(found["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be terse."}]
    assert json.loads(found["gen_ai.tool.definitions"])[0]["name"] == "now"
    [message] = json.loads(found["gen_ai.output.messages"])
    assert message["role"] == "assistant"


def test_metrics_are_recorded_for_each_call(hooked, openai_client):
    openai_client.chat.completions.create(**ASKED, **BILLED)
    list(openai_client.chat.completions.create(**ASKED, stream=True, **USAGE, **BILLED))
    points = hooked.points()
    assert sum(point.count for point in points["gen_ai.client.inference.duration"]) == 2
    [tokens] = points["gen_ai.client.inference.usage.input_tokens"]
    assert tokens.value == 4012
    assert tokens.attributes["gen_ai.token.modality"] == "unknown"
    assert [point.count for point in points["gen_ai.client.inference.time_to_first_chunk"]] == [1]


def test_content_is_off_by_default(hooked, openai_client):
    openai_client.chat.completions.create(**ASKED)
    assert not [key for key in hooked.attributes() if "messages" in key or "instructions" in key]
    assert hooked.events() == []
