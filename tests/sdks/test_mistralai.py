"""The Mistral SDK under our hook, over a server on loopback that speaks its API."""

from __future__ import annotations

import json

import pytest

try:
    from mistralai.client import Mistral
except ImportError:
    try:
        from mistralai import Mistral
    except ImportError:
        pytest.skip("mistralai is not installed; see tests/sdks/README.md", allow_module_level=True)

from tests.instrumentation.recording import CONTENT
from tests.sdks.answers import Answer, events

MESSAGES = [{"role": "user", "content": "Hi"}]
USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 7,
    "total_tokens": 27,
    "prompt_tokens_details": {"cached_tokens": 16},
}
ANSWER = {
    "id": "m-1",
    "object": "chat.completion",
    "created": 1,
    "model": "mistral-small-latest",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris"}, "finish_reason": "stop"}],
    "usage": USAGE,
}


def chunk(text="", finish=None, **more):
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": finish}
    return {"id": "m-1", "object": "x", "created": 1, "model": "mistral-small-latest", "choices": [choice], **more}


@pytest.fixture
def hooked(recording):
    with recording.hooked("mistralai"):
        yield recording


@pytest.fixture
def client(server):
    with Mistral(api_key="any", server_url=server.url) as client:
        yield client


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_chat_is_one_span(hooked, client, server, run, asynchronous):
    server.answers["/chat/completions"] = Answer(ANSWER)
    asked = {"model": "mistral-small-latest", "messages": MESSAGES, "temperature": 0, "random_seed": 3}
    if asynchronous:
        run(client.chat.complete_async(**asked))
    else:
        client.chat.complete(**asked)
    found = hooked.attributes()
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "mistral_ai",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "gen_ai.request.model": "mistral-small-latest",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.seed": 3,
        "gen_ai.response.id": "m-1",
        "gen_ai.response.model": "mistral-small-latest",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 7,
        **({"gen_ai.usage.cache_read.input_tokens": 16} if "gen_ai.usage.cache_read.input_tokens" in found else {}),
    }


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stream_stays_the_sdks_and_is_one_span(hooked, client, server, run, asynchronous):
    answer = events(chunk("a"), chunk("b"), chunk(finish="stop", usage=USAGE), done=True)
    server.answers["/chat/completions"] = answer

    async def stream():
        found = await client.chat.stream_async(model="m", messages=MESSAGES)
        return type(found).__name__, [one async for one in found]

    if asynchronous:
        kind, chunks = run(stream())
    else:
        found = client.chat.stream(model="m", messages=MESSAGES)
        kind, chunks = type(found).__name__, list(found)
    assert kind.startswith("EventStream")
    assert len(chunks) == 3
    found = hooked.attributes()
    assert found["gen_ai.usage.input_tokens"] == 20
    assert found["gen_ai.response.finish_reasons"] == ("stop",)
    assert found["otel_llm.stream.complete"] is True


def test_a_stream_left_in_its_with_block_ends_there(hooked, client, server):
    """Acceptance 1."""
    answer = events(*(chunk("word ") for _ in range(50)), done=True)
    server.answers["/chat/completions"] = answer
    with client.chat.stream(model="m", messages=MESSAGES) as stream:
        for _ in range(3):
            next(stream)
    found = hooked.attributes()
    assert found["otel_llm.stream.complete"] is False
    assert found["otel_llm.usage.estimated.output_tokens"] == 3
    assert found["otel_llm.usage.source"] == "estimated"


def test_fill_in_the_middle_agents_and_embeddings_are_seen(hooked, client, server):
    server.answers["/fim/completions"] = Answer(ANSWER)
    server.answers["/agents/completions"] = Answer(ANSWER)
    server.answers["/embeddings"] = Answer(
        {**ANSWER, "data": [{"embedding": [0.1], "index": 0, "object": "embedding"}]}
    )
    client.fim.complete(model="codestral", prompt="def f(")
    client.agents.complete(agent_id="ag-1", messages=MESSAGES)
    client.embeddings.create(model="mistral-embed", inputs=["a"])
    assert [span.name for span in hooked.spans] == ["text_completion codestral", "chat", "embeddings mistral-embed"]
    assert [span.attributes["gen_ai.usage.input_tokens"] for span in hooked.spans] == [20, 20, 20]


def test_captured_content_is_messages_and_streamed_tool_calls(recording, client, server):
    call = {"id": "c1", "index": 0, "function": {"name": "now", "arguments": '{"zone": "UTC"}'}}
    last = chunk(finish="tool_calls", usage=USAGE)
    last["choices"][0]["delta"]["tool_calls"] = [call]
    server.answers["/chat/completions"] = events(chunk("Hm"), last, done=True)
    with recording.hooked("mistralai", environment=CONTENT):
        list(client.chat.stream(model="m", messages=[{"role": "system", "content": "Be terse."}, *MESSAGES]))
    found = recording.attributes()
    assert json.loads(found["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be terse."}]
    [said] = json.loads(found["gen_ai.output.messages"])
    assert said["parts"][0] == {"type": "text", "content": "Hm"}
    assert said["parts"][1]["arguments"] == {"zone": "UTC"}
    assert found["gen_ai.response.finish_reasons"] == ("tool_call",)


def test_an_error_is_the_sdks_own(hooked, client, server):
    server.answers["/chat/completions"] = Answer({"message": "no"}, status=401)
    with pytest.raises(Exception, match="401") as raised:
        client.chat.complete(model="m", messages=MESSAGES)
    assert hooked.attributes()["error.type"] == f"{type(raised.value).__module__}.{type(raised.value).__qualname__}"


@pytest.mark.usefixtures("with_baggage")
def test_no_baggage_goes_to_the_provider(hooked, client, server):
    """Acceptance 28."""
    server.answers["/chat/completions"] = Answer(ANSWER)
    client.chat.complete(model="m", messages=MESSAGES)
    assert not {"baggage", "traceparent"} & server.asked[0].headers.keys()
    assert len(hooked.spans) == 1
