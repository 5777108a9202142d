"""The real OpenAI SDK accepts what the loopback provider sends, in every way of calling it."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel

from otel_llm.loopback import LoopbackProvider, Usage
from tests.loopback.conftest import WEATHER_SCHEMA

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
CITIES = [{"role": "user", "content": "Weather in Paris and Rome?"}]
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER_SCHEMA}}
BILLED = "input=2006;cache_read=1920;output=300;reasoning=192"


class City(BaseModel):
    name: str
    people: int


def directed(client: openai.OpenAI, directives: str) -> openai.OpenAI:
    return client.with_options(default_headers={"x-loopback": directives})


def test_plain_chat_reports_text_model_and_usage(openai_client, provider):
    answer = directed(openai_client, BILLED).chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    assert answer.choices[0].message.content == "Paris is the capital of France."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "gpt-4o-mini-2024-07-18"
    assert answer.usage.prompt_tokens == 2006
    assert answer.usage.prompt_tokens_details.cached_tokens == 1920
    assert answer.usage.completion_tokens == 300
    assert answer.usage.completion_tokens_details.reasoning_tokens == 192
    assert answer.usage.total_tokens == 2306
    [served] = provider.served()
    assert served.response_id == answer.id
    assert served.usage == Usage(2006, 300, cache_read_tokens=1920, reasoning_tokens=192)


def test_every_answer_has_an_id_of_its_own(openai_client):
    ids = {openai_client.chat.completions.create(model="gpt-4o", messages=QUESTION).id for _ in range(3)}
    assert len(ids) == 3


def test_the_same_requests_get_the_same_answers_from_a_new_provider():
    def dump() -> list[dict[str, object]]:
        with LoopbackProvider() as fresh, openai.OpenAI(base_url=fresh.openai_base_url, api_key="any") as client:
            calls = [{"messages": QUESTION}, {"messages": CITIES, "tools": [WEATHER]}]
            return [client.chat.completions.create(model="gpt-4o", **call).model_dump() for call in calls]

    assert dump() == dump()


def stream(client: openai.OpenAI, **parameters: object) -> list[ChatCompletionChunk]:
    return list(client.chat.completions.create(model="gpt-4o-mini", stream=True, **parameters))


def test_stream_reports_usage_only_when_asked(openai_client, provider):
    asked = stream(openai_client, messages=QUESTION, stream_options={"include_usage": True})
    silent = stream(openai_client, messages=QUESTION)
    assert "".join(c.choices[0].delta.content or "" for c in asked if c.choices) == "Paris is the capital of France."
    assert asked[-1].choices == []
    assert asked[-1].usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in silent)
    assert [served.usage_reported for served in provider.served()] == [True, False]
    assert provider.served()[0].usage == provider.served()[1].usage


def test_parallel_tool_calls_stream_in_fragments(openai_client):
    chunks = stream(openai_client, messages=CITIES, tools=[WEATHER])
    calls: dict[int, str] = {}
    for chunk in chunks:
        for call in chunk.choices[0].delta.tool_calls or []:
            calls[call.index] = calls.get(call.index, "") + (call.function.arguments or "")
    assert [json.loads(arguments) for arguments in calls.values()] == [{"city": "Paris"}, {"city": "Rome"}]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert len(chunks) > 6


@pytest.mark.parametrize(("settings", "cities"), [({}, ["Paris", "Rome"]), ({"parallel_tool_calls": False}, ["Paris"])])
def test_tools_are_called_then_their_result_is_answered(openai_client, settings, cities):
    asked = openai_client.chat.completions.create(model="gpt-4o", messages=CITIES, tools=[WEATHER], **settings)
    message = asked.choices[0].message
    assert message.content is None
    assert [json.loads(call.function.arguments)["city"] for call in message.tool_calls] == cities
    results = [{"role": "tool", "tool_call_id": call.id, "content": "12C"} for call in message.tool_calls]
    turn = [*CITIES, message.model_dump(exclude_none=True), *results]
    answered = openai_client.chat.completions.create(model="gpt-4o", messages=turn, tools=[WEATHER])
    assert answered.choices[0].finish_reason == "stop"
    assert answered.choices[0].message.content


def test_tool_choice_none_is_obeyed(openai_client):
    answer = openai_client.chat.completions.create(model="gpt-4o", messages=CITIES, tools=[WEATHER], tool_choice="none")
    assert answer.choices[0].message.tool_calls is None


def test_several_choices_are_answered_and_billed(openai_client, provider):
    answer = openai_client.chat.completions.create(model="gpt-4o", messages=QUESTION, n=3)
    chunks = stream(openai_client, messages=QUESTION, n=2)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {chunk.choices[0].index for chunk in chunks} == {0, 1}
    three, two = (served.usage.output_tokens for served in provider.served())
    assert three * 2 == two * 3


def test_a_long_prefix_is_read_from_the_cache_the_second_time(openai_client):
    messages = [{"role": "system", "content": "policy " * 1000}, *QUESTION]
    usages = [openai_client.chat.completions.create(model="gpt-4o", messages=messages).usage for _ in range(2)]
    assert [usage.prompt_tokens_details.cached_tokens for usage in usages] == [0, 1664]
    assert usages[1].prompt_tokens > 1664


def test_reasoning_models_bill_reasoning_they_do_not_show(openai_client):
    usage = openai_client.chat.completions.create(model="o4-mini", messages=QUESTION).usage
    assert usage.completion_tokens > usage.completion_tokens_details.reasoning_tokens == 64


def test_stream_helper_and_parse_helper_work(openai_client):
    with openai_client.chat.completions.stream(model="gpt-4o", messages=CITIES, tools=[]) as events:
        assert events.get_final_completion().choices[0].message.content
    parsed = openai_client.chat.completions.parse(model="gpt-4o", messages=QUESTION, response_format=City)
    assert parsed.choices[0].message.parsed == City(name="name", people=1)


def test_responses_plain_tools_and_stream(openai_client, provider):
    client = directed(openai_client, BILLED + ";id=resp_1")
    plain = client.responses.create(model="gpt-4o-mini", input="What is the capital of France?", instructions="Terse.")
    assert plain.output_text == "Paris is the capital of France."
    assert plain.usage.input_tokens_details.cached_tokens == 1920
    assert plain.usage.output_tokens_details.reasoning_tokens == 192
    tool = {"type": "function", "name": "get_weather", "parameters": WEATHER_SCHEMA, "strict": False}
    called = openai_client.responses.create(model="gpt-4o", input=CITIES, tools=[tool])
    assert [item.arguments for item in called.output] == ['{"city":"Paris"}', '{"city":"Rome"}']
    events = list(client.responses.create(model="gpt-4o", input="capital of France", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    assert events[-1].response.usage.total_tokens == 2306
    assert len(provider.served()) == 3


def test_responses_helpers_work(openai_client):
    tool = {"type": "function", "name": "get_weather", "parameters": WEATHER_SCHEMA, "strict": True}
    with openai_client.responses.stream(model="gpt-4o", input=CITIES, tools=[tool], reasoning={"summary": "auto"}) as s:
        final = s.get_final_response()
    assert [item.type for item in final.output] == ["reasoning", "function_call", "function_call"]
    parsed = openai_client.responses.parse(model="gpt-4o", input="x", text_format=City)
    assert parsed.output_parsed == City(name="name", people=1)


def test_embeddings_are_stable_unit_vectors_in_either_encoding(openai_client):
    default = openai_client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    floats = openai_client.embeddings.create(model="text-embedding-3-small", input="one", encoding_format="float")
    assert len(default.data) == 2
    assert default.data[0].embedding == pytest.approx(floats.data[0].embedding, abs=1e-6)
    assert sum(value * value for value in floats.data[0].embedding) == pytest.approx(1.0, abs=1e-4)
    assert default.usage.prompt_tokens == 2
    tokens = openai_client.embeddings.create(model="text-embedding-3-small", input=[1, 2, 3], dimensions=3)
    assert len(tokens.data[0].embedding) == tokens.usage.prompt_tokens == 3


@pytest.mark.parametrize(
    ("model", "error", "status"),
    [
        ("err429", openai.RateLimitError, 429),
        ("gpt-4o#error=400", openai.BadRequestError, 400),
        ("gpt-4o#error=404", openai.NotFoundError, 404),
        ("gpt-4o#error=500", openai.InternalServerError, 500),
    ],
)
def test_errors_arrive_as_the_sdks_own_exceptions(openai_client, provider, model, error, status):
    with pytest.raises(error) as raised:
        openai_client.chat.completions.create(model=model, messages=QUESTION)
    assert raised.value.status_code == status
    [served] = provider.served()
    assert (served.status, served.usage) == (status, None)


def test_the_sdks_retry_succeeds_when_the_failures_end(provider):
    with openai.OpenAI(base_url=provider.openai_base_url, api_key="any", max_retries=2) as client:
        client.chat.completions.create(model="gpt-4o#error=429;fail_times=2;retry_after=0", messages=QUESTION)
    assert [served.status for served in provider.served()] == [429, 429, 200]


def test_a_dropped_stream_breaks_off_and_is_billed(openai_client, provider):
    received = []
    with pytest.raises(openai.APIConnectionError):  # noqa: PT012 - the loop is what raises
        for chunk in directed(openai_client, "drop_after=2").chat.completions.create(
            model="gpt-4o", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        ):
            received.append(chunk)  # noqa: PERF402 - what came before the error counts
    assert len(received) == 2
    [served] = provider.served()
    assert (served.completed, served.usage_reported) == (False, False)
    assert served.usage.output_tokens > 0


def test_a_dropped_plain_answer_is_a_connection_error(openai_client):
    with pytest.raises(openai.APIConnectionError):
        directed(openai_client, "drop_after=0").chat.completions.create(model="gpt-4o", messages=QUESTION)


def test_async_client_chats_and_streams(provider):
    async def talk() -> tuple[str, str]:
        async with openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="any") as client:
            plain = await client.chat.completions.create(model="gpt-4o", messages=QUESTION)
            chunks = await client.chat.completions.create(model="gpt-4o", messages=QUESTION, stream=True)
            streamed = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])
            return plain.choices[0].message.content, streamed

    plain, streamed = asyncio.run(talk())
    assert plain == streamed == "Paris is the capital of France."
