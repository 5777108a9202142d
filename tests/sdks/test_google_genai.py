"""The Google GenAI SDK under our hook, over a server on loopback that speaks the Gemini API."""

from __future__ import annotations

import json

import pytest

genai = pytest.importorskip("google.genai", reason="google-genai is not installed; see tests/sdks/README.md")

from google.genai import types  # noqa: E402

from tests.instrumentation.recording import CONTENT  # noqa: E402
from tests.sdks.answers import Answer, events  # noqa: E402

MODEL = "gemini-2.5-flash"
USAGE = {
    "promptTokenCount": 20,
    "candidatesTokenCount": 7,
    "thoughtsTokenCount": 30,
    "toolUsePromptTokenCount": 5,
    "cachedContentTokenCount": 16,
    "totalTokenCount": 62,
}


def generated(text, usage=None, finish="STOP", **more):
    parts = more.pop("parts", [{"text": text}])
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    answer = {"candidates": [candidate], "modelVersion": "gemini-2.5-flash-001", "responseId": "r-1"}
    return {**answer, **({"usageMetadata": usage} if usage else {}), **more}


@pytest.fixture
def client(server):
    return genai.Client(api_key="any", vertexai=False, http_options=types.HttpOptions(base_url=server.url))


@pytest.fixture
def hooked(recording):
    with recording.hooked("google.genai"):
        yield recording


def test_generate_content_is_one_span_whose_thoughts_are_output(hooked, client, server):
    server.answers[":generateContent"] = Answer(generated("Paris", USAGE))
    config = types.GenerateContentConfig(temperature=0, max_output_tokens=50, top_k=3, stop_sequences=["x"])
    answer = client.models.generate_content(model=MODEL, contents="What is the capital of France?", config=config)
    assert answer.text == "Paris"
    assert hooked.span().name == "generate_content gemini-2.5-flash"
    assert hooked.attributes() == {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "gcp.gemini",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "gen_ai.request.model": MODEL,
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.top_k": 3,
        "gen_ai.request.stop_sequences": ("x",),
        "gen_ai.response.id": "r-1",
        "gen_ai.response.model": "gemini-2.5-flash-001",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 25,
        "gen_ai.usage.output_tokens": 37,
        "gen_ai.usage.cache_read.input_tokens": 16,
        "gen_ai.usage.reasoning.output_tokens": 30,
    }


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stream_has_the_usage_of_its_last_chunk_and_not_the_sum(hooked, client, server, run, asynchronous):
    chunks = [generated(word, {**USAGE, "candidatesTokenCount": n}, None) for n, word in enumerate("ab", 1)]
    server.answers[":streamGenerateContent"] = events(*chunks, generated("c", USAGE))

    async def stream():
        return [one.text async for one in await client.aio.models.generate_content_stream(model=MODEL, contents="Hi")]

    texts = (
        run(stream())
        if asynchronous
        else [one.text for one in client.models.generate_content_stream(model=MODEL, contents="Hi")]
    )
    assert texts == ["a", "b", "c"]
    found = hooked.attributes()
    assert found["gen_ai.usage.output_tokens"] == 37
    assert found["gen_ai.request.stream"] is True
    assert found["otel_llm.stream.chunks"] == 3
    assert found["otel_llm.stream.complete"] is True
    assert found["gen_ai.response.finish_reasons"] == ("stop",)


def test_an_abandoned_stream_is_one_span_with_the_last_usage_and_no_reason_to_stop(hooked, client, server):
    chunks = [generated(word, {**USAGE, "candidatesTokenCount": n}, None) for n, word in enumerate("abcdef", 1)]
    server.answers[":streamGenerateContent"] = events(*chunks)
    stream = client.models.generate_content_stream(model=MODEL, contents="Hi")
    next(stream)
    stream.close()
    found = hooked.attributes()
    assert found["otel_llm.stream.complete"] is False
    assert found["gen_ai.usage.output_tokens"] == 31
    assert "gen_ai.response.finish_reasons" not in found


def test_a_chat_and_async_calls_say_the_same(hooked, client, server, run):
    server.answers[":generateContent"] = Answer(generated("Paris", USAGE))
    client.chats.create(model=MODEL).send_message("Hi")
    run(client.aio.models.generate_content(model=MODEL, contents="Hi"))
    assert [span.attributes["gen_ai.usage.output_tokens"] for span in hooked.spans] == [37, 37]


def test_each_round_trip_of_automatic_function_calling_is_a_call(hooked, client, server):
    def get_weather(location: str) -> str:
        """The weather."""
        server.answers[":generateContent"] = Answer(generated("Sunny", USAGE))
        return f"sunny in {location}"

    get_weather.__annotations__ = {"location": str, "return": str}  # older versions read no names of types
    call = {"functionCall": {"name": "get_weather", "args": {"location": "Boston"}}}
    server.answers[":generateContent"] = Answer(generated("", {"promptTokenCount": 9}, parts=[call]))
    config = types.GenerateContentConfig(tools=[get_weather])
    assert client.models.generate_content(model=MODEL, contents="Boston?", config=config).text == "Sunny"
    assert [span.attributes["gen_ai.usage.input_tokens"] for span in hooked.spans] == [9, 25]


def test_captured_content_is_messages_instructions_and_tools(recording, client, server):
    call = {"functionCall": {"name": "now", "args": {"zone": "UTC"}}}
    server.answers[":generateContent"] = Answer(generated("", USAGE, parts=[{"text": "Hm", "thought": True}, call]))
    functions = [types.FunctionDeclaration(name="now", description="The time.")]
    config = types.GenerateContentConfig(
        system_instruction="Be terse.", tools=[types.Tool(function_declarations=functions)]
    )
    with recording.hooked("google.genai", environment=CONTENT):
        client.models.generate_content(model=MODEL, contents="What time is it?", config=config)
    found = recording.attributes()
    text = {"type": "text", "content": "What time is it?"}
    assert json.loads(found["gen_ai.input.messages"]) == [{"role": "user", "parts": [text]}]
    assert json.loads(found["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be terse."}]
    assert json.loads(found["gen_ai.tool.definitions"])[0]["name"] == "now"
    [message] = json.loads(found["gen_ai.output.messages"])
    assert message["role"] == "assistant"
    assert [part["type"] for part in message["parts"]] == ["reasoning", "tool_call"]
    assert message["parts"][1]["arguments"] == {"zone": "UTC"}


def test_streamed_content_is_joined(recording, client, server):
    server.answers[":streamGenerateContent"] = events(
        generated("Par", USAGE, None), generated("is", USAGE, None), generated(".", USAGE)
    )
    with recording.hooked("google.genai", environment=CONTENT):
        list(client.models.generate_content_stream(model=MODEL, contents="Hi"))
    [message] = json.loads(recording.attributes()["gen_ai.output.messages"])
    assert message["parts"] == [{"type": "text", "content": "Paris."}]


def test_embeddings_are_one_span(hooked, client, server):
    embedding = {"values": [0.1, 0.2]}
    server.answers[":batchEmbedContents"] = Answer({"embeddings": [embedding, embedding]})
    config = types.EmbedContentConfig(output_dimensionality=2)
    client.models.embed_content(model="text-embedding-004", contents=["a", "b"], config=config)
    found = hooked.attributes()
    assert found["gen_ai.operation.name"] == "embeddings"
    assert found["gen_ai.request.model"] == "text-embedding-004"
    assert found["gen_ai.embeddings.dimension.count"] == 2


def test_vertex_ai_is_named_and_its_embeddings_have_tokens(hooked, server):
    options = types.HttpOptions(base_url=server.url, headers={"authorization": "Bearer any"})
    client = genai.Client(vertexai=True, api_key="any", http_options=options)
    server.answers[":generateContent"] = Answer(generated("Paris", USAGE))
    statistics = {"truncated": False, "token_count": 3}
    server.answers[":predict"] = Answer({"predictions": [{"embeddings": {"values": [0.1], "statistics": statistics}}]})
    client.models.generate_content(model=MODEL, contents="Hi")
    client.models.embed_content(model="text-embedding-005", contents="a")
    generation, embedding = (dict(span.attributes) for span in hooked.spans)
    assert generation["gen_ai.provider.name"] == "gcp.vertex_ai"
    assert generation["gen_ai.request.model"] == MODEL
    assert embedding["gen_ai.usage.input_tokens"] == 3


def test_an_error_is_the_sdks_own(hooked, client, server):
    server.answers[":generateContent"] = Answer({"error": {"code": 400, "message": "no", "status": "BAD"}}, status=400)
    with pytest.raises(genai.errors.ClientError):
        client.models.generate_content(model=MODEL, contents="Hi")
    assert hooked.attributes()["error.type"] == "google.genai.errors.ClientError"


@pytest.mark.usefixtures("with_baggage")
def test_no_baggage_and_no_trace_context_go_to_the_provider(hooked, client, server):
    """Acceptance 28."""
    server.answers[":generateContent"] = Answer(generated("Paris", USAGE))
    client.models.generate_content(model=MODEL, contents="Hi")
    assert not {"baggage", "traceparent"} & server.asked[0].headers.keys()
    assert len(hooked.spans) == 1


def test_taken_out_again_nothing_is_reported(recording, client, server):
    server.answers[":generateContent"] = Answer(generated("Paris", USAGE))
    with recording.hooked("google.genai"):
        pass
    client.models.generate_content(model=MODEL, contents="Hi")
    assert recording.spans == ()
