"""The real Anthropic SDK accepts what the loopback provider sends, in every way of calling it."""

from __future__ import annotations

import asyncio

import anthropic
import httpx2
import pytest

from otel_llm.loopback import Usage
from tests.loopback.conftest import WEATHER_SCHEMA

MODEL = "claude-haiku-4-5"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
CITY = [{"role": "user", "content": "Weather in Paris?"}]
WEATHER = {"name": "get_weather", "description": "Get weather", "input_schema": WEATHER_SCHEMA}
BILLED = "input=18495;cache_read=16399;cache_write=2089;output=445"


def directed(client: anthropic.Anthropic, directives: str) -> anthropic.Anthropic:
    return client.with_options(default_headers={"x-loopback": directives})


def test_plain_message_leaves_cached_tokens_out_of_input_tokens(anthropic_client, provider):
    message = directed(anthropic_client, BILLED).messages.create(model=MODEL, max_tokens=64, messages=QUESTION)
    assert message.content[0].text == "Paris is the capital of France."
    assert message.model == "claude-haiku-4-5-20251001"
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens == 7
    assert message.usage.cache_creation_input_tokens == 2089
    assert message.usage.cache_creation.ephemeral_5m_input_tokens == 2089
    assert message.usage.cache_read_input_tokens == 16399
    assert message.usage.output_tokens == 445
    assert provider.served()[0].usage == Usage(18495, 445, cache_read_tokens=16399, cache_write_tokens=2089)


def test_tool_use_with_thinking_then_its_result(anthropic_client):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    settings = {"model": MODEL, "max_tokens": 2048, "tools": [WEATHER], "thinking": thinking}
    asked = anthropic_client.messages.create(messages=CITY, **settings)
    assert [block.type for block in asked.content] == ["thinking", "text", "tool_use"]
    assert asked.content[2].input == {"city": "Paris"}
    assert asked.stop_reason == "tool_use"
    assert asked.usage.output_tokens_details.thinking_tokens > 0
    result = {"type": "tool_result", "tool_use_id": asked.content[2].id, "content": "12C"}
    turn = [*CITY, {"role": "assistant", "content": asked.content}, {"role": "user", "content": [result]}]
    assert anthropic_client.messages.create(messages=turn, **settings).stop_reason == "end_turn"


def test_stream_usage_is_cumulative(anthropic_client):
    client = directed(anthropic_client, BILLED)
    events = list(client.messages.create(model=MODEL, max_tokens=64, messages=QUESTION, stream=True))
    by_type = {event.type: event for event in events}
    assert by_type["message_start"].message.usage.output_tokens == 1
    assert by_type["message_delta"].usage.output_tokens == 445
    assert by_type["message_delta"].usage.cache_read_input_tokens == 16399
    deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert "".join(deltas) == "Paris is the capital of France."


def test_stream_helper_assembles_the_same_message_as_a_plain_call(anthropic_client):
    settings = {"model": MODEL, "max_tokens": 2048, "messages": CITY, "tools": [WEATHER]}
    client = directed(anthropic_client, BILLED + ";id=msg_1;tool_ids=toolu_A1;thinking=I should call the tool.")
    with client.messages.stream(**settings) as stream:
        streamed = stream.get_final_message()
    plain = client.messages.create(**settings)
    assert streamed.model_dump() == plain.model_dump()
    assert streamed.content[0].thinking == "I should call the tool."


@pytest.mark.parametrize(("life", "written_1h"), [({}, False), ({"ttl": "1h"}, True)])
def test_marked_prefix_is_written_then_read(anthropic_client, life, written_1h):
    control = {"type": "ephemeral", **life}
    system = [{"type": "text", "text": "policy " * 1000, "cache_control": control}]
    settings = {"model": MODEL, "max_tokens": 64, "messages": QUESTION, "system": system}
    first, second = (anthropic_client.messages.create(**settings).usage for _ in range(2))
    assert (first.cache_creation_input_tokens, first.cache_read_input_tokens) == (1750, 0)
    assert first.cache_creation.ephemeral_1h_input_tokens == (1750 if written_1h else 0)
    assert (second.cache_creation_input_tokens, second.cache_read_input_tokens) == (0, 1750)
    assert first.input_tokens == second.input_tokens < 20


def test_short_or_unmarked_prompts_are_not_cached(anthropic_client):
    marked = [{"type": "text", "text": "short", "cache_control": {"type": "ephemeral"}}]
    for system in (marked, "policy " * 1000):
        for _ in range(2):
            usage = anthropic_client.messages.create(model=MODEL, max_tokens=64, messages=QUESTION, system=system).usage
            assert (usage.cache_creation_input_tokens, usage.cache_read_input_tokens) == (0, 0)


@pytest.mark.parametrize(
    ("model", "error", "kind"),
    [
        ("err429", anthropic.RateLimitError, "rate_limit_error"),
        ("err400", anthropic.BadRequestError, "invalid_request_error"),
        ("err500", anthropic.InternalServerError, "api_error"),
        ("err529", anthropic.APIStatusError, "overloaded_error"),
    ],
)
def test_errors_arrive_as_the_sdks_own_exceptions(anthropic_client, model, error, kind):
    with pytest.raises(error) as raised:
        anthropic_client.messages.create(model=model, max_tokens=64, messages=QUESTION)
    assert raised.value.body["error"]["type"] == kind


def test_retry_after_is_sent(anthropic_client):
    with pytest.raises(anthropic.RateLimitError) as raised:
        directed(anthropic_client, "error=429;retry_after=7").messages.create(
            model=MODEL, max_tokens=64, messages=QUESTION
        )
    assert raised.value.response.headers["retry-after"] == "7"


def test_beta_path_and_async_client_work(anthropic_client, provider):
    beta = anthropic_client.beta.messages.create(model=MODEL, max_tokens=64, messages=QUESTION)
    assert beta.content[0].text == "Paris is the capital of France."

    async def talk() -> str:
        async with (
            anthropic.AsyncAnthropic(base_url=provider.anthropic_base_url, api_key="any") as client,
            client.messages.stream(model=MODEL, max_tokens=64, messages=QUESTION) as stream,
        ):
            return await stream.get_final_text()

    assert asyncio.run(talk()) == "Paris is the capital of France."
    assert len(provider.served()) == 2


def test_a_dropped_stream_breaks_off_and_is_billed(anthropic_client, provider):
    client = directed(anthropic_client, "drop_after=3")
    with pytest.raises(httpx2.RemoteProtocolError):  # the SDK lets the transport's error through
        list(client.messages.create(model=MODEL, max_tokens=64, messages=QUESTION, stream=True))
    [served] = provider.served()
    assert not served.completed
    assert served.usage.output_tokens > 0
