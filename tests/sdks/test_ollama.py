"""The Ollama SDK under our hook, over a server on loopback that speaks its API."""

from __future__ import annotations

import json

import pytest

ollama = pytest.importorskip("ollama", reason="ollama is not installed; see tests/sdks/README.md")
from ollama import chat as imported_before_the_hook  # noqa: E402

from tests.instrumentation.recording import CONTENT  # noqa: E402
from tests.sdks.answers import Answer, lines  # noqa: E402

MESSAGES = [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "Hi"}]
LAST = {"done": True, "done_reason": "stop", "prompt_eval_count": 20, "eval_count": 7, "total_duration": 5}


def piece(text, **more):
    return {"model": "llama3", "created_at": "2026-01-01T00:00:00Z", "message": message(text), "done": False, **more}


def message(text):
    return {"role": "assistant", "content": text}


@pytest.fixture
def hooked(recording):
    with recording.hooked("ollama"):
        yield recording


@pytest.fixture
def client(server):
    return ollama.Client(server.url)


def test_a_chat_is_one_span(hooked, client, server):
    server.answers["/api/chat"] = Answer(piece("Paris", **LAST))
    client.chat("llama3", MESSAGES, options={"temperature": 0, "num_predict": 9}, format="json")
    assert hooked.span().name == "chat llama3"
    assert hooked.attributes() == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "ollama",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "gen_ai.request.model": "llama3",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.output.type": "json",
        "gen_ai.response.model": "llama3",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 7,
    }


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stream_is_one_span_with_the_counts_of_its_last_chunk(hooked, client, server, run, asynchronous):
    server.answers["/api/chat"] = lines(piece("a"), piece("b"), piece("", **LAST))

    async def stream():
        return [one async for one in await ollama.AsyncClient(server.url).chat("llama3", MESSAGES, stream=True)]

    chunks = run(stream()) if asynchronous else list(client.chat("llama3", MESSAGES, stream=True))
    assert [one.message.content for one in chunks] == ["a", "b", ""]
    found = hooked.attributes()
    assert found["gen_ai.usage.output_tokens"] == 7
    assert found["otel_llm.stream.chunks"] == 3
    assert found["otel_llm.stream.complete"] is True


@pytest.mark.parametrize("way", ["close", "drop", "never"])
def test_an_abandoned_stream_is_one_span_with_an_estimate(hooked, client, server, way):
    """Acceptance 1."""
    server.answers["/api/chat"] = lines(*(piece("word ") for _ in range(50)), piece("", **LAST))
    stream = client.chat("llama3", MESSAGES, stream=True)
    for _ in range(0 if way == "never" else 3):
        next(stream)
    if way == "close":
        stream.close()
    del stream
    found = hooked.attributes()
    assert found["otel_llm.stream.complete"] is False
    assert found["otel_llm.usage.source"] == "estimated"
    assert found["otel_llm.usage.estimated.output_tokens"] == (0 if way == "never" else 3)
    assert "gen_ai.response.finish_reasons" not in found


def test_a_function_imported_before_the_hook_is_seen(hooked, server, monkeypatch):
    """Acceptance 46."""
    monkeypatch.setattr(imported_before_the_hook.__self__._client, "base_url", server.url)
    server.answers["/api/chat"] = Answer(piece("Paris", **LAST))
    imported_before_the_hook("llama3", MESSAGES)
    assert hooked.span().name == "chat llama3"


def test_generate_and_embed_are_operations_of_their_own(hooked, client, server):
    generated = {"model": "llama3", "created_at": "2026-01-01T00:00:00Z", "response": "Paris", **LAST}
    server.answers["/api/generate"] = Answer(generated)
    server.answers["/api/embed"] = Answer({"model": "e", "embeddings": [[0.1]], "prompt_eval_count": 4})
    client.generate("llama3", "Hi")
    client.embed("e", ["a", "b"])
    assert [(span.name, span.attributes["gen_ai.usage.input_tokens"]) for span in hooked.spans] == [
        ("text_completion llama3", 20),
        ("embeddings e", 4),
    ]


def test_captured_content_has_instructions_and_streamed_tool_calls(recording, client, server):
    call = {"function": {"name": "now", "arguments": {"zone": "UTC"}}}
    server.answers["/api/chat"] = lines(piece("Hm"), piece("m", message={**message(""), "tool_calls": [call]}, **LAST))
    with recording.hooked("ollama", environment=CONTENT):
        list(client.chat("llama3", MESSAGES, stream=True))
    found = recording.attributes()
    assert json.loads(found["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be terse."}]
    [said] = json.loads(found["gen_ai.output.messages"])
    assert said["parts"][0] == {"type": "text", "content": "Hm"}
    assert said["parts"][1]["arguments"] == {"zone": "UTC"}


def test_an_error_within_a_stream_is_an_error(hooked, client, server):
    server.answers["/api/chat"] = lines(piece("a"), {"error": "out of memory"})
    with pytest.raises(ollama.ResponseError):
        list(client.chat("llama3", MESSAGES, stream=True))
    assert hooked.attributes()["error.type"] == "ollama._types.ResponseError"


@pytest.mark.usefixtures("with_baggage")
@pytest.mark.parametrize("stream", [False, True])
def test_the_span_is_current_while_the_request_goes_out_and_not_while_the_app_reads(hooked, client, server, stream):
    """Acceptance 4 and 28."""
    from opentelemetry import baggage, context, trace  # noqa: PLC0415

    seen = []
    client._client.event_hooks["request"].append(
        lambda _: seen.append((trace.get_current_span().get_span_context().span_id, baggage.get_all()))
    )
    before = context.get_current()
    server.answers["/api/chat"] = lines(piece("a"), piece("", **LAST)) if stream else Answer(piece("Paris", **LAST))
    answer = client.chat("llama3", MESSAGES, stream=stream)
    for _ in answer if stream else ():
        assert context.get_current() == before
    assert seen == [(hooked.span().context.span_id, {})]
