"""Groq and Together under our hook: Stainless's SDKs with OpenAI's shapes."""

from __future__ import annotations

import importlib
import json

import pytest

from tests.instrumentation.recording import CONTENT
from tests.sdks.answers import Answer, events

MESSAGES = [{"role": "user", "content": "Hi"}]
USAGE = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}
MESSAGE = {"role": "assistant", "content": "Paris"}
ANSWER = {
    "id": "c-1",
    "object": "chat.completion",
    "created": 1,
    "model": "llama-3.1-8b",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
    "usage": USAGE,
}
SDKS = {"groq": ("Groq", "AsyncGroq", "groq"), "together": ("Together", "AsyncTogether", "together_ai")}


def chunk(text=None, finish=None, **more):
    delta = {"role": "assistant", "content": text} if text else {}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m-2", "choices": choices, **more}


@pytest.fixture(params=SDKS)
def sdk(request, recording):
    module = pytest.importorskip(request.param, reason=f"{request.param} is not installed; see tests/sdks/README.md")
    with recording.hooked(request.param):
        yield module, *SDKS[request.param]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_chat_is_one_span_of_its_provider(sdk, recording, server, run, asynchronous):
    module, sync, asyncs, provider = sdk
    server.answers["/chat/completions"] = Answer(ANSWER)

    async def call():
        client = getattr(module, asyncs)(base_url=server.url, api_key="any")
        return await client.chat.completions.create(model="llama-3.1-8b", messages=MESSAGES, temperature=0)

    if asynchronous:
        run(call())
    else:
        client = getattr(module, sync)(base_url=server.url, api_key="any")
        client.chat.completions.create(model="llama-3.1-8b", messages=MESSAGES, temperature=0)
    assert recording.span().name == "chat llama-3.1-8b"
    found = recording.attributes()
    assert found["gen_ai.provider.name"] == provider
    assert found["gen_ai.usage.input_tokens"] == 20
    assert found["gen_ai.response.finish_reasons"] == ("stop",)
    assert not any(key.startswith("openai.") for key in found)


@pytest.mark.parametrize("last", [{"usage": USAGE}, {"x_groq": {"id": "r", "usage": USAGE}}])
def test_a_stream_has_its_last_chunks_usage(sdk, recording, server, last):
    module, sync, _, provider = sdk
    if "x_groq" in last and provider != "groq":
        pytest.skip("a field of Groq")
    server.answers["/chat/completions"] = events(chunk("a"), chunk("b"), chunk(finish="stop", **last), done=True)
    client = getattr(module, sync)(base_url=server.url, api_key="any")
    assert len(list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))) == 3
    found = recording.attributes()
    assert found["gen_ai.usage.output_tokens"] == 7
    assert found["gen_ai.response.model"] == "m-2"
    assert found["otel_llm.stream.complete"] is True


def test_streamed_content_is_joined(recording, server):
    for name, (sync, *_) in SDKS.items():
        module = pytest.importorskip(name, reason=f"{name} is not installed; see tests/sdks/README.md")
        server.answers["/chat/completions"] = events(chunk("Par"), chunk("is"), chunk(finish="stop"), done=True)
        with recording.hooked(name, environment=CONTENT):
            client = getattr(module, sync)(base_url=server.url, api_key="any")
            list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))
    for span in recording.spans:
        [message] = json.loads(span.attributes["gen_ai.output.messages"])
        assert message["parts"] == [{"type": "text", "content": "Paris"}]


def test_an_error_is_the_sdks_own(sdk, recording, server):
    module, sync, *_ = sdk
    server.answers["/chat/completions"] = Answer({"error": {"message": "no"}}, status=400)
    client = getattr(module, sync)(base_url=server.url, api_key="any", max_retries=0)
    with pytest.raises(module.BadRequestError):
        client.chat.completions.create(model="m", messages=MESSAGES)
    assert recording.attributes()["error.type"] == f"{module.BadRequestError.__module__}.BadRequestError"


def test_together_reranks():
    pytest.importorskip("together", reason="together is not installed; see tests/sdks/README.md")
    table = importlib.import_module("otel_llm.instrumentation.providers.together")
    assert table.endpoint("post", "/rerank").operation == "rerank"
    assert table.endpoint("post", "/fine-tunes") is None
