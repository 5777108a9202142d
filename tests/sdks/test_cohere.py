"""The Cohere SDK under our hook, over a server on loopback that speaks both versions of its API."""

from __future__ import annotations

import contextlib
import gc
import json

import pytest

cohere = pytest.importorskip("cohere", reason="cohere is not installed; see tests/sdks/README.md")

from tests.instrumentation.recording import CONTENT  # noqa: E402
from tests.sdks.answers import Answer, lines, named_events  # noqa: E402

MESSAGES = [{"role": "user", "content": "Hi"}]
USAGE = {
    "billed_units": {"input_tokens": 5.0, "output_tokens": 7.0},
    "tokens": {"input_tokens": 71.0, "output_tokens": 7.0},
}
MESSAGE = {"role": "assistant", "content": [{"type": "text", "text": "Paris"}]}
ANSWER = {"id": "co-1", "finish_reason": "COMPLETE", "message": MESSAGE, "usage": USAGE}


def said(text):
    return "content-delta", {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": text}}}}


START = ("message-start", {"type": "message-start", "id": "co-1", "delta": {"message": {"role": "assistant"}}})
BLOCK = (
    "content-start",
    {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
)
END = ("message-end", {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": USAGE}})


@pytest.fixture
def hooked(recording):
    with recording.hooked("cohere"):
        yield recording


@pytest.fixture
def client(server):
    return cohere.ClientV2("any", base_url=server.url)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_chat_is_one_span_with_billed_counts(hooked, client, server, run, asynchronous):
    server.answers["/v2/chat"] = Answer(ANSWER)

    async def call():
        return await cohere.AsyncClientV2("any", base_url=server.url).chat(model="command-r", messages=MESSAGES, k=3)

    run(call()) if asynchronous else client.chat(model="command-r", messages=MESSAGES, k=3)
    assert hooked.span().name == "chat command-r"
    assert hooked.attributes() == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "cohere",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "gen_ai.request.model": "command-r",
        "gen_ai.request.top_k": 3,
        "gen_ai.response.id": "co-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 7,
    }


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stream_is_one_span_with_the_usage_of_its_end(hooked, client, server, run, asynchronous):
    server.answers["/v2/chat"] = named_events(START, BLOCK, said("a"), said("b"), END)

    async def stream():
        client = cohere.AsyncClientV2("any", base_url=server.url)
        return [one async for one in client.chat_stream(model="command-r", messages=MESSAGES)]

    chunks = run(stream()) if asynchronous else list(client.chat_stream(model="command-r", messages=MESSAGES))
    assert len(chunks) == 5
    found = hooked.attributes()
    assert found["gen_ai.usage.input_tokens"] == 5
    assert found["gen_ai.response.id"] == "co-1"
    assert found["gen_ai.response.finish_reasons"] == ("stop",)
    assert found["otel_llm.stream.complete"] is True


def test_an_abandoned_stream_is_one_span_with_an_estimate(hooked, client, server):
    """Acceptance 1."""
    server.answers["/v2/chat"] = named_events(START, BLOCK, *(said("word ") for _ in range(200)), END)
    stream = client.chat_stream(model="command-r", messages=MESSAGES)
    for _ in range(5):
        next(stream)
    with contextlib.suppress(RuntimeError):  # early versions swallow GeneratorExit
        stream.close()
    del stream
    gc.collect()
    found = hooked.attributes()
    assert found["otel_llm.usage.source"] == "estimated"
    assert "gen_ai.response.finish_reasons" not in found


def test_version_1_is_read_as_well(recording, server):
    client = cohere.Client("any", base_url=server.url)
    meta = {"api_version": {"version": "1"}, "billed_units": {"input_tokens": 5, "output_tokens": 7}}
    answer = {"response_id": "r-1", "generation_id": "g-1", "text": "Paris", "finish_reason": "COMPLETE", "meta": meta}
    server.answers["/v1/chat"] = Answer(answer)
    history = [{"role": "USER", "message": "Hello"}, {"role": "CHATBOT", "message": "Hi!"}]
    with recording.hooked("cohere", environment=CONTENT):
        client.chat(message="Capital?", model="command-r", chat_history=history, preamble="Be terse.")
        server.answers["/v1/chat"] = lines(
            {"is_finished": False, "event_type": "stream-start", "generation_id": "g-1"},
            {"is_finished": False, "event_type": "text-generation", "text": "Par"},
            {"is_finished": False, "event_type": "text-generation", "text": "is"},
            {"is_finished": True, "event_type": "stream-end", "finish_reason": "COMPLETE", "response": answer},
        )
        list(client.chat_stream(message="Capital?", model="command-r"))
    for span in recording.spans:
        assert span.attributes["gen_ai.response.id"] == "r-1"
        assert span.attributes["gen_ai.usage.input_tokens"] == 5
        [message] = json.loads(span.attributes["gen_ai.output.messages"])
        assert message["parts"] == [{"type": "text", "content": "Paris"}]
    found = recording.spans[0].attributes
    assert [one["role"] for one in json.loads(found["gen_ai.input.messages"])] == ["user", "assistant", "user"]
    assert json.loads(found["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be terse."}]


def test_rerank_and_embed_are_operations_of_their_own(hooked, client, server):
    results = [{"index": 0, "relevance_score": 0.9}]
    server.answers["/v2/rerank"] = Answer(
        {"id": "rr", "results": results, "meta": {"billed_units": {"search_units": 1}}}
    )
    embedded = {
        "id": "em",
        "embeddings": {"float": [[0.1]]},
        "texts": ["a"],
        "meta": {"billed_units": {"input_tokens": 3}},
    }
    server.answers["/v2/embed"] = Answer({**embedded, "response_type": "embeddings_by_type"})
    client.rerank(model="rerank-v3.5", query="capital", documents=["a", "b"])
    client.embed(model="embed-v4.0", texts=["a"], input_type="search_query", embedding_types=["float"])
    rerank, embed = hooked.spans
    assert (rerank.name, embed.name) == ("rerank rerank-v3.5", "embeddings embed-v4.0")
    assert embed.attributes["gen_ai.usage.input_tokens"] == 3
    assert embed.attributes["gen_ai.request.encoding_formats"] == ("float",)


def test_captured_content_has_streamed_tool_calls(recording, client, server):
    function = {"name": "now", "arguments": ""}
    call = {"id": "c1", "type": "function", "function": function}
    piece = {"message": {"tool_calls": {"function": {"arguments": '{"zone":"UTC"}'}}}}
    server.answers["/v2/chat"] = named_events(
        START,
        ("tool-call-start", {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": call}}}),
        ("tool-call-delta", {"type": "tool-call-delta", "index": 0, "delta": piece}),
        END,
    )
    with recording.hooked("cohere", environment=CONTENT):
        list(client.chat_stream(model="command-r", messages=MESSAGES))
    [message] = json.loads(recording.attributes()["gen_ai.output.messages"])
    assert message["parts"] == [{"type": "tool_call", "id": "c1", "name": "now", "arguments": {"zone": "UTC"}}]


def test_an_error_has_the_sdks_name(hooked, client, server):
    server.answers["/v2/chat"] = Answer({"message": "no"}, status=401)
    with pytest.raises(cohere.errors.UnauthorizedError) as raised:
        client.chat(model="command-r", messages=MESSAGES)
    assert hooked.attributes()["error.type"] == f"{type(raised.value).__module__}.UnauthorizedError"


@pytest.mark.usefixtures("with_baggage")
def test_no_baggage_goes_to_the_provider(hooked, client, server):
    """Acceptance 28."""
    server.answers["/v2/chat"] = Answer(ANSWER)
    client.chat(model="m", messages=MESSAGES)
    assert not {"baggage", "traceparent"} & server.asked[0].headers.keys()
    assert len(hooked.spans) == 1
