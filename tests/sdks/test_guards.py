# ruff: noqa: E501, PLR0913, PLR0917 - rows, and a test of everything at once
"""Acceptance 26 under every SDK: what a rule stops or takes out of an answer never reaches the app, streamed or not."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json

import pytest

from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.errors import DeniedError
from otel_llm.processors.policy import Config
from otel_llm.processors.policy_admission import create_admission
from otel_llm.telemetry import Metrics
from tests.sdks.answers import Answer, events, lines, named_events
from tests.sdks.eventstream import KIND, message

SECRET = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
BEFORE = "The quick brown fox jumps over the lazy dog. " * 8
TEXT = f"{BEFORE}{SECRET} and that was all there was to it."
MASKED = TEXT.replace(SECRET, "[GITHUB_TOKEN]")
ASKED = [{"role": "user", "content": "What is the token?"}]
RULES = """
apiVersion: otel-llm/v1
kind: PolicySet
metadata: {{name: answers, version: 1, owner: platform}}
spec:
  mode: enforce
  failurePolicy: {{response: fail}}
  rules:
  - {{id: leak, stage: response, when: 'finds("secrets", output.text)', {act}}}
"""
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
ACTS = {
    "deny": "verdict: deny",
    "mask": "verdict: modify, action: {redact: [secrets]}",
    "whole": "verdict: modify, match: 'output.tool_calls.size() == 0', action: {redact: [secrets]}",
}


def pieces(size=5):
    return [TEXT[at : at + size] for at in range(0, len(TEXT), size)]


def openai_stream():
    def chunk(text=None, finish=None):
        choices = [{"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}]
        return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}

    return events(*map(chunk, pieces()), chunk(finish="stop"), done=True)


def openai_answer():
    choices = [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}]
    return Answer(
        {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": USAGE}
    )


def said(chunks):
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def litellm(server, stream, is_async):
    server.answers["/chat/completions"] = openai_stream() if stream else openai_answer()
    library = importlib.import_module("litellm")
    asked = {"model": "openai/m", "messages": ASKED, "api_base": server.url, "api_key": "any", "stream": stream}
    if not is_async:
        answer = library.completion(**asked)
        return said(answer) if stream else answer.choices[0].message.content

    async def call():
        answer = await library.acompletion(**asked)
        return said([one async for one in answer]) if stream else answer.choices[0].message.content

    return asyncio.run(call())


def compatible(module, sync, asynchronous):
    def call(server, stream, is_async):
        server.answers["/chat/completions"] = openai_stream() if stream else openai_answer()
        library = importlib.import_module(module)
        asked = {"model": "m", "messages": ASKED, "stream": stream}
        if not is_async:
            answer = getattr(library, sync)(base_url=server.url, api_key="any").chat.completions.create(**asked)
            return said(answer) if stream else answer.choices[0].message.content

        async def run():
            client = getattr(library, asynchronous)(base_url=server.url, api_key="any")
            answer = await client.chat.completions.create(**asked)
            return said([one async for one in answer]) if stream else answer.choices[0].message.content

        return asyncio.run(run())

    return call


def cohere(server, stream, is_async):
    library = importlib.import_module("cohere")
    if stream:
        deltas = [("content-delta", {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": one}}}}) for one in pieces()]  # fmt: skip
        server.answers["/v2/chat"] = named_events(
            ("message-start", {"type": "message-start", "id": "co", "delta": {"message": {"role": "assistant"}}}),
            *deltas,
            ("message-end", {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}),
        )
    else:
        content = [{"type": "text", "text": TEXT}]
        server.answers["/v2/chat"] = Answer(
            {"id": "co", "finish_reason": "COMPLETE", "message": {"role": "assistant", "content": content}}
        )

    def text(chunks):
        return "".join(one.delta.message.content.text for one in chunks if one.type == "content-delta")

    if not is_async:
        client = library.ClientV2("any", base_url=server.url)
        if stream:
            return text(client.chat_stream(model="m", messages=ASKED))
        return client.chat(model="m", messages=ASKED).message.content[0].text

    async def run():
        client = library.AsyncClientV2("any", base_url=server.url)
        if stream:
            return text([one async for one in client.chat_stream(model="m", messages=ASKED)])
        return (await client.chat(model="m", messages=ASKED)).message.content[0].text

    return asyncio.run(run())


def bedrock(server):
    boto3 = importlib.import_module("boto3")
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
    return boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=server.url, **keys)


CONVERSED = {"modelId": "m", "messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
INVOKED = {"modelId": "meta.llama3", "body": json.dumps({"prompt": "Hi", "max_gen_len": 3})}


def converses(server):
    said = {"role": "assistant", "content": [{"text": TEXT}]}
    usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
    server.answers["/converse"] = Answer(
        {"output": {"message": said}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 1}}
    )
    deltas = [message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": one}}) for one in pieces()]
    last = [
        message("contentBlockStop", {"contentBlockIndex": 0}),
        message("messageStop", {"stopReason": "end_turn"}),
    ]
    chunks = [message("messageStart", {"role": "assistant"}), *deltas, *last]
    server.answers["/converse-stream"] = Answer(chunks=chunks, kind=KIND)


def conversed(got):
    if isinstance(got, dict):
        return got["output"]["message"]["content"][0]["text"]
    assert "messageStop" in got[-1]
    return "".join(one["contentBlockDelta"]["delta"]["text"] for one in got if "contentBlockDelta" in one)


def converse(server, stream, is_async):  # noqa: ARG001 - boto3 has no other
    converses(server)
    client = bedrock(server)
    return conversed(list(client.converse_stream(**CONVERSED)["stream"]) if stream else client.converse(**CONVERSED))


def answers_invocations(server):
    def chunk(text, **more):
        data = json.dumps({"generation": text, "stop_reason": None, **more}).encode()
        return message("chunk", {"bytes": base64.b64encode(data).decode()})

    server.answers["/invoke"] = Answer({"generation": TEXT, "stop_reason": "stop", "prompt_token_count": 1})
    chunks = [*map(chunk, pieces()), chunk("", stop_reason="stop")]
    server.answers["/invoke-with-response-stream"] = Answer(chunks=chunks, kind=KIND)


def invoked(got):
    if isinstance(got, bytes):
        return json.loads(got)["generation"]
    return "".join(json.loads(one["chunk"]["bytes"])["generation"] for one in got)


def invoke(server, stream, is_async):  # noqa: ARG001 - boto3 has no other
    answers_invocations(server)
    client = bedrock(server)
    if not stream:
        return invoked(client.invoke_model(**INVOKED)["body"].read())
    return invoked(list(client.invoke_model_with_response_stream(**INVOKED)["body"]))


def aio_bedrock(server):
    session = importlib.import_module("aiobotocore.session").get_session()
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
    return session.create_client("bedrock-runtime", region_name="us-east-1", endpoint_url=server.url, **keys)


def aio_converse(server, stream, is_async):  # noqa: ARG001 - it has no other
    async def run():
        async with aio_bedrock(server) as client:
            if not stream:
                return await client.converse(**CONVERSED)
            return [one async for one in (await client.converse_stream(**CONVERSED))["stream"]]

    converses(server)
    return conversed(asyncio.run(run()))


def aio_invoke(server, stream, is_async):
    async def run():
        async with aio_bedrock(server) as client:
            if stream:
                return [one async for one in (await client.invoke_model_with_response_stream(**INVOKED))["body"]]
            body = (await client.invoke_model(**INVOKED))["body"]
            if is_async:  # in pieces
                return b"".join([piece async for piece in body.iter_chunks(7)])
            return await body.read()

    answers_invocations(server)
    return invoked(asyncio.run(run()))


def mistral(server, stream, is_async):
    try:
        kind = importlib.import_module("mistralai.client").Mistral
    except (ImportError, AttributeError):
        kind = importlib.import_module("mistralai").Mistral
    server.answers["/chat/completions"] = openai_stream() if stream else openai_answer()
    asked = {"model": "m", "messages": ASKED}
    client = kind(api_key="any", server_url=server.url)
    if not is_async:
        if stream:
            return said(one.data for one in client.chat.stream(**asked))
        return client.chat.complete(**asked).choices[0].message.content

    async def run():
        if stream:
            return said([one.data async for one in await client.chat.stream_async(**asked)])
        return (await client.chat.complete_async(**asked)).choices[0].message.content

    return asyncio.run(run())


def google(server, stream, is_async):
    def generated(text, finish=None):
        return {"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "finishReason": finish}]}

    server.answers[":streamGenerateContent"] = events(*map(generated, pieces()), generated("", "STOP"))
    server.answers[":generateContent"] = Answer(generated(TEXT, "STOP"))
    genai = importlib.import_module("google.genai")
    client = genai.Client(api_key="any", vertexai=False, http_options=genai.types.HttpOptions(base_url=server.url))
    asked = {"model": "m", "contents": "Hi"}
    if not is_async:
        if stream:
            return "".join(one.text or "" for one in client.models.generate_content_stream(**asked))
        return client.models.generate_content(**asked).text

    async def run():
        if stream:
            return "".join([one.text or "" async for one in await client.aio.models.generate_content_stream(**asked)])
        return (await client.aio.models.generate_content(**asked)).text

    return asyncio.run(run())


def ollama(server, stream, is_async):
    def piece(text, **more):
        said = {"role": "assistant", "content": text}
        return {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": said, "done": False, **more}

    last = {"done": True, "done_reason": "stop", "prompt_eval_count": 2, "eval_count": 3}
    server.answers["/api/chat"] = lines(*map(piece, pieces()), piece("", **last)) if stream else Answer(piece(TEXT, **last))  # fmt: skip
    library = importlib.import_module("ollama")
    if not is_async:
        answer = library.Client(server.url).chat("m", ASKED, stream=stream)
        return "".join(one["message"]["content"] for one in answer) if stream else answer["message"]["content"]

    async def run():
        answer = await library.AsyncClient(server.url).chat("m", ASKED, stream=stream)
        if stream:
            return "".join([one["message"]["content"] async for one in answer])
        return answer["message"]["content"]

    return asyncio.run(run())


def hub(server, stream, is_async):
    server.answers["/chat/completions"] = openai_stream() if stream else openai_answer()
    library = importlib.import_module("huggingface_hub")
    if not is_async:
        client = library.InferenceClient(base_url=server.url + "/v1", api_key="any")  # it ends its streams when it goes
        answer = client.chat_completion(ASKED, stream=stream)
        return said(answer) if stream else answer.choices[0].message.content

    async def run():
        client = library.AsyncInferenceClient(base_url=server.url + "/v1", api_key="any")
        answer = await client.chat_completion(ASKED, stream=stream)
        return said([one async for one in answer]) if stream else answer.choices[0].message.content

    return asyncio.run(run())


CALLS = {
    "litellm": ("litellm", litellm),
    "groq": ("groq", compatible("groq", "Groq", "AsyncGroq")),
    "together": ("together", compatible("together", "Together", "AsyncTogether")),
    "cohere": ("cohere", cohere),
    "aio_converse": ("aiobotocore", aio_converse),
    "aio_invoke": ("aiobotocore", aio_invoke),
    "converse": ("botocore", converse),
    "invoke": ("botocore", invoke),
    "mistral": ("mistralai", mistral),
    "google": ("google.genai", google),
    "ollama": ("ollama", ollama),
    "hub": ("huggingface_hub", hub),
}


@pytest.fixture
def admitted(tmp_path, monkeypatch):
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")

    def make(act):
        path = tmp_path / "rules.yaml"
        path.write_text(RULES.format(act=ACTS[act]))
        context = Context("policy", Metrics(), SystemClock())
        return create_admission(Config(paths=(str(path),)), context, {"service.name": "shop"})

    return make


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_26_a_secret_in_an_answer_is_stopped_or_masked(recording, server, admitted, name, stream, is_async, act):
    library, call = CALLS[name]
    package = {"botocore": "boto3"}.get(library, library)
    pytest.importorskip(package, reason=f"{package} is not installed; see tests/sdks/README.md")
    with recording.hooked(library, admissions=[admitted(act)]):
        if act == "deny":
            with pytest.raises(DeniedError) as denied:
                call(server, stream, is_async)
            assert denied.value.rule_id == "leak"
        else:
            assert call(server, stream, is_async) == MASKED
    assert len(recording.spans) == 1
    assert recording.attributes()["otel_llm.policy.rule.id"] == "leak"
