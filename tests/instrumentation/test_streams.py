"""Streams as apps use them: read, left, dropped, cut, cancelled. Acceptance 1, 3, 4, 6, 7, 9."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import time
import weakref

import anthropic
import openai
import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from tests.instrumentation.recording import CONTENT, left_of_calls

QUESTION = [{"role": "user", "content": "Tell me about the capital of France, please, in some detail."}]
WORDS = " ".join(f"word{number}" for number in range(50))
LONG = {"model": "gpt-4o", "messages": QUESTION, "stream": True, "extra_headers": {"x-loopback": f"text={WORDS}"}}


@pytest.fixture
def hooked(recording):
    with recording.hooked("openai", environment=CONTENT):
        yield recording


def left_within_with(client):
    with client.chat.completions.create(**LONG) as stream:
        for number, _ in enumerate(stream, 1):
            if number == 4:
                break


def closed(client):
    stream = client.chat.completions.create(**LONG)
    for _ in range(4):
        next(stream)
    stream.close()


def dropped(client):
    stream = client.chat.completions.create(**LONG)
    for _ in range(4):
        next(stream)


def helper_left(client):
    with client.chat.completions.stream(**{k: v for k, v in LONG.items() if k != "stream"}) as stream:
        for event in stream:
            if event.type == "content.delta" and event.snapshot.count("word") == 3:
                break


@pytest.mark.parametrize("leave", [left_within_with, closed, dropped, helper_left])
def test_a_stream_that_is_left_ends_its_one_span_at_once_and_is_neither_ok_nor_error(hooked, openai_client, leave):
    """Acceptance 1: break within `with`, close(), del, and the SDK's helper."""
    leave(openai_client)
    now = time.time_ns()
    span = hooked.span()
    found = dict(span.attributes)
    assert span.status.status_code is StatusCode.UNSET
    assert "gen_ai.response.finish_reasons" not in found
    assert found["otel_llm.stream.complete"] is False
    assert found["otel_llm.usage.complete"] is False
    assert found["otel_llm.usage.source"] == "estimated"
    assert abs(found["otel_llm.usage.estimated.output_tokens"] - 3) <= 1
    [message] = json.loads(found["gen_ai.output.messages"])
    assert message["parts"] == [{"type": "text", "content": "word0 word1 word2"}]
    assert span.end_time <= now


def test_a_stream_that_nobody_reads_ends_its_span_when_it_is_dropped(hooked, openai_client):
    """Acceptance 1 (d)."""
    stream = openai_client.chat.completions.create(**LONG)
    assert hooked.spans == ()
    del stream
    gc.collect()
    assert hooked.attributes()["otel_llm.stream.chunks"] == 0


def test_a_stream_that_was_only_made_for_its_response_is_seen_in_the_stream_made_of_that(hooked, openai_client):
    """As the helpers of older SDKs do it."""
    stream = openai_client.chat.completions.create(**LONG)
    again = type(stream)(cast_to=stream._cast_to, response=stream.response, client=openai_client)
    del stream
    gc.collect()
    assert hooked.spans == ()
    chunks = list(again)
    assert hooked.attributes()["otel_llm.stream.chunks"] == len(chunks)
    assert hooked.attributes()["otel_llm.stream.complete"] is True
    assert hooked.attributes()["gen_ai.response.finish_reasons"] == ("stop",)


def test_the_estimate_of_the_input_is_close(hooked, openai_client, provider):
    """Acceptance 1: within 5 % of what the provider counts, once a call of the app has reported its usage."""
    text = "The capital of France is the city of Paris, which lies on the river Seine in the north. " * 20
    shorter = [{"role": "user", "content": text[:700]}]
    with openai_client.chat.completions.create(**LONG) as stream:  # the first estimate has nothing to go by
        next(stream)
    openai_client.chat.completions.create(model="gpt-4o", messages=shorter)  # whose usage comes
    hooked.clear()
    with openai_client.chat.completions.create(**{**LONG, "messages": [{"role": "user", "content": text}]}) as stream:
        next(stream)
    served = provider.served()[-1]
    estimate = hooked.attributes()["otel_llm.usage.estimated.input_tokens"]
    assert abs(estimate - served.usage.input_tokens) <= 0.05 * served.usage.input_tokens


def test_returning_from_an_async_loop_ends_the_span_within_the_loops_next_turns(hooked, provider):
    """Acceptance 1 (e)."""

    async def first_chunk(client):
        async for chunk in await client.chat.completions.create(**LONG):
            return chunk
        return None

    async def app():
        async with openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="any") as client:
            await first_chunk(client)
            for _ in range(10):
                await asyncio.sleep(0)
            return len(hooked.spans)

    gc.disable()
    try:
        assert asyncio.run(app()) == 1
    finally:
        gc.enable()
    assert hooked.span().status.status_code is StatusCode.UNSET


def test_cancelling_an_async_stream_ends_the_span_at_once_and_is_no_error(hooked, provider):
    """Acceptance 6: CancelledError goes on unchanged; its type is on the span, which is not an ERROR."""

    async def app():
        async with openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="any") as client:
            started = asyncio.Event()

            async def read():
                slow = {**LONG, "extra_headers": {"x-loopback": "chunk_delay_ms=200;text=a b c d"}}
                async for _ in await client.chat.completions.create(**slow):
                    started.set()

            task = asyncio.create_task(read())
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return hooked.spans

    [span] = asyncio.run(app())
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["error.type"] == "asyncio.CancelledError"
    assert span.attributes["otel_llm.usage.complete"] is False


def test_cancelling_an_awaited_call_ends_its_span_at_once(hooked, provider):
    """Acceptance 6 (a)."""

    async def app():
        async with openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="any") as client:
            call = client.chat.completions.create(
                model="gpt-4o", messages=QUESTION, extra_headers={"x-loopback": "delay_ms=2000"}
            )
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(call, 0.1)
            return hooked.spans

    [span] = asyncio.run(app())
    assert span.attributes["error.type"] == "asyncio.CancelledError"
    assert span.status.status_code is StatusCode.UNSET


def test_a_connection_that_is_cut_is_an_error_with_what_came_before(hooked, openai_client):
    stream = openai_client.chat.completions.create(
        **{**LONG, "extra_headers": {"x-loopback": f"drop_after=4;text={WORDS}"}}
    )
    with pytest.raises(openai.APIConnectionError):
        list(stream)
    span = hooked.span()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "openai.APIConnectionError"
    assert span.attributes["otel_llm.stream.complete"] is False


def test_reading_on_after_a_break_is_one_span(hooked, openai_client):
    stream = openai_client.chat.completions.create(**LONG)
    for _ in stream:
        break
    assert hooked.spans == ()
    rest = list(stream)
    assert hooked.attributes()["otel_llm.stream.chunks"] == len(rest) + 1


def test_no_usage_is_asked_for_that_the_app_did_not_ask_for(hooked, openai_client, provider):
    """Acceptance 7: the wire is unchanged, and the count is an estimate that says so."""
    list(openai_client.chat.completions.create(**LONG))  # the first estimate has nothing to go by
    list(openai_client.chat.completions.create(**LONG, stream_options={"include_usage": True}))
    hooked.clear()
    before = hooked.points()["gen_ai.client.inference.usage.output_tokens"]
    list(openai_client.chat.completions.create(**LONG))
    served = provider.served()[-1]
    assert served.usage_reported is False
    found = hooked.attributes()
    assert found["otel_llm.usage.source"] == "estimated"
    assert "gen_ai.usage.output_tokens" not in found
    estimate = found["otel_llm.usage.estimated.output_tokens"]
    assert abs(estimate - served.usage.output_tokens) <= 0.1 * served.usage.output_tokens
    assert hooked.points()["gen_ai.client.inference.usage.output_tokens"][0].value == before[0].value


def test_parallel_tool_calls_are_put_together_and_sentinels_leave_no_trace(hooked, openai_client, caplog):
    """Acceptance 9: fragments of two calls, NOT_GIVEN and None."""
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
    messages = [{"role": "user", "content": "Weather in Paris and Rome?"}]
    with (
        caplog.at_level(logging.WARNING, "opentelemetry"),
        openai_client.chat.completions.stream(
            model="gpt-4o", messages=messages, tools=[tool], temperature=None, seed=openai.NOT_GIVEN, stop=openai.omit
        ) as stream,
    ):
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    [message] = json.loads(hooked.attributes()["gen_ai.output.messages"])
    assert [part["id"] for part in message["parts"]] == [call.id for call in calls]
    assert [part["arguments"] for part in message["parts"]] == [json.loads(c.function.arguments) for c in calls]
    assert hooked.attributes()["gen_ai.response.finish_reasons"] == ("tool_call",)
    assert caplog.records == []


def test_the_stream_is_the_sdks_own_in_every_way(recording, openai_client):
    """Acceptance 3: same type, same attributes."""
    bare = openai_client.chat.completions.create(**LONG)
    with recording.hooked("openai"):
        seen = openai_client.chat.completions.create(**LONG)
    assert type(seen) is type(bare)
    assert set(dir(seen)) == set(dir(bare))
    with seen as entered:
        assert entered is seen
    assert seen.response.is_closed
    bare.close()


def test_the_callers_current_span_is_never_changed(recording, provider, caplog):
    """Acceptance 4: an async generator around a stream, left and closed by another task."""
    tracer = recording.tracers.get_tracer("app")

    async def words(client):
        async for chunk in await client.chat.completions.create(**LONG):
            yield chunk

    async def app():
        async with openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="any") as client:
            with tracer.start_as_current_span("app") as outer:
                for _ in range(20):
                    generator = words(client)
                    await anext(generator)
                    await asyncio.create_task(generator.aclose())
                    assert trace.get_current_span() is outer

    with caplog.at_level(logging.DEBUG, "opentelemetry.context"), recording.hooked("openai"):
        asyncio.run(app())
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []
    assert sum(span.name.startswith("chat") for span in recording.spans) == 20
    parents = {span.parent.span_id for span in recording.spans if span.name.startswith("chat")}
    assert len(parents) == 1


@pytest.mark.usefixtures("hooked")
def test_no_hook_keeps_a_response_alive_after_its_span(openai_client):
    """Acceptance 52."""
    stream = openai_client.chat.completions.create(**LONG)
    list(stream)
    response = weakref.ref(stream.response)
    del stream
    gc.collect()
    assert response() is None


@pytest.mark.parametrize(
    "number", [500, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)], id="10,000")]
)
@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_left_and_cancelled_streams_are_a_span_each_and_no_memory(recording, provider, caplog, sdk, number):
    """Acceptance 1, 4, 52: nothing is left of them, and no context error is in the log."""
    counted = 0
    short = {**LONG, "extra_headers": {"x-loopback": "text=one two three"}, "max_tokens": 9}

    def client_of():
        if sdk == "openai":
            return openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="any")
        return anthropic.AsyncAnthropic(base_url=provider.anthropic_base_url, api_key="any", open_telemetry=False)

    async def one(client, position):
        create = client.chat.completions.create if sdk == "openai" else client.messages.create
        async for _ in await create(**short):
            if position % 2:
                return
            raise asyncio.CancelledError

    async def app():
        nonlocal counted
        async with client_of() as client:
            for _ in range(number // 50):
                tasks = [asyncio.create_task(one(client, position)) for position in range(50)]
                await asyncio.gather(*tasks, return_exceptions=True)
                await asyncio.sleep(0)
                assert not trace.get_current_span().get_span_context().is_valid
                counted += len(recording.spans)
                recording.clear()

    with caplog.at_level(logging.WARNING), recording.hooked(sdk):
        asyncio.run(app())
    gc.collect()
    assert counted + len(recording.spans) == number
    assert left_of_calls() == []
    assert [record for record in caplog.records if record.name.startswith(("opentelemetry", "otel_llm"))] == []
