"""Bedrock through aiobotocore under our hook, over a server on loopback that speaks its API."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
from contextlib import asynccontextmanager

import pytest

session = pytest.importorskip("aiobotocore.session", reason="aiobotocore is not installed; see tests/sdks/README.md")

from aiobotocore.response import StreamingBody  # noqa: E402

from tests.instrumentation.recording import CONTENT  # noqa: E402
from tests.sdks.answers import Answer  # noqa: E402
from tests.sdks.eventstream import KIND, message  # noqa: E402

MODEL = "us.amazon.nova-micro-v1:0"
MESSAGES = [{"role": "user", "content": [{"text": "Hi"}]}]
ASKED = {"modelId": MODEL, "messages": MESSAGES}
INVOKED = {"modelId": "mistral.mistral-7b-instruct-v0:2", "body": json.dumps({"prompt": "Hi", "max_tokens": 9})}
USAGE = {"inputTokens": 7, "outputTokens": 9, "totalTokens": 16}
SAID = {"outputs": [{"text": "Paris", "stop_reason": "stop"}]}
HEADERS = {"X-Amzn-Bedrock-Input-Token-Count": "70", "X-Amzn-Bedrock-Output-Token-Count": "90"}
BOTH = ("aiobotocore", "botocore")  # an app that imports the one has the other


def delta(text):
    return message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})


START = message("messageStart", {"role": "assistant"})
END = (
    message("contentBlockStop", {"contentBlockIndex": 0}),
    message("messageStop", {"stopReason": "end_turn"}),
    message("metadata", {"usage": USAGE, "metrics": {"latencyMs": 1}}),
)


@asynccontextmanager
async def bedrock(server, service="bedrock-runtime"):
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
    made = session.get_session().create_client(service, region_name="us-east-1", endpoint_url=server.url, **keys)
    async with made as client:
        yield client


@pytest.fixture(params=[BOTH, BOTH[:1]], ids=["beside botocore's hook", "alone"])
def hooked(recording, request):
    with recording.hooked(*request.param, environment=CONTENT):
        yield recording


def test_converse_is_one_span(hooked, server, run):
    said = {"role": "assistant", "content": [{"text": "Paris"}]}
    answer = {"output": {"message": said}, "stopReason": "end_turn", "usage": USAGE, "metrics": {"latencyMs": 1}}
    server.answers["/converse"] = Answer(answer)

    async def app():
        async with bedrock(server) as client:
            return await client.converse(**ASKED, inferenceConfig={"maxTokens": 10})

    assert run(app())["output"]["message"] == said
    assert hooked.span().name == f"chat {MODEL}"
    found = hooked.attributes()
    assert found["gen_ai.provider.name"] == "aws.bedrock"
    assert found["server.port"] == server.port
    assert found["gen_ai.request.max_tokens"] == 10
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (7, 9)
    assert json.loads(found["gen_ai.output.messages"])[0]["parts"][0]["content"] == "Paris"


def test_a_converse_stream_is_one_span_and_stays_the_sdks(hooked, server, run):
    from aiobotocore.eventstream import AioEventStream  # noqa: PLC0415

    server.answers["/converse-stream"] = Answer(chunks=[START, delta("Par"), delta("is"), *END], kind=KIND)

    async def app():
        async with bedrock(server) as client:
            stream = (await client.converse_stream(**ASKED))["stream"]
            assert type(stream) is AioEventStream
            return [event async for event in stream]

    assert len(run(app())) == 6
    found = hooked.attributes()
    assert found["gen_ai.usage.input_tokens"] == 7
    assert found["gen_ai.response.finish_reasons"] == ("stop",)
    assert found["otel_llm.stream.complete"] is True
    assert json.loads(found["gen_ai.output.messages"])[0]["parts"][0]["content"] == "Paris"


@pytest.mark.parametrize("way", ["break and close", "drop", "never", "cancel"])
def test_an_abandoned_converse_stream_is_one_span(hooked, server, run, way):
    """Acceptance 1."""
    chunks = [START, *(delta("word ") for _ in range(50)), *END]
    pause = 0.05 if way == "cancel" else 0
    server.answers["/converse-stream"] = Answer(chunks=chunks, kind=KIND, pause_seconds=pause)
    third = asyncio.Event()

    async def read(stream):
        number = 0
        async for _ in stream:
            number += 1
            if number == 4:
                third.set()
                if way != "cancel":
                    break

    async def app():
        async with bedrock(server) as client:
            answer = await client.converse_stream(**ASKED)
            if way == "cancel":
                reading = asyncio.create_task(read(answer["stream"]))
                await third.wait()
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
            elif way != "never":
                await read(answer["stream"])
            if way == "break and close":
                answer["stream"].close()
            del answer
            gc.collect()

    run(app())
    gc.collect()
    found = hooked.attributes()
    assert found["otel_llm.stream.complete"] is False
    assert found["otel_llm.usage.source"] == "estimated"
    assert hooked.span().status.status_code.name == "UNSET"


def test_an_error_within_a_stream_is_an_error(hooked, server, run):
    from botocore.exceptions import EventStreamError  # noqa: PLC0415

    failure = message("modelStreamErrorException", {"message": "no"}, exception=True)
    server.answers["/converse-stream"] = Answer(chunks=[delta("a"), failure], kind=KIND)

    async def app():
        async with bedrock(server) as client:
            return [event async for event in (await client.converse_stream(**ASKED))["stream"]]

    with pytest.raises(EventStreamError):
        run(app())
    assert hooked.attributes()["error.type"] == "botocore.exceptions.EventStreamError"


@pytest.mark.parametrize("way", ["read", "pieces", "lines", "into", "within", "close", "drop"])
def test_a_body_is_seen_however_the_app_takes_it(hooked, server, run, way):
    server.answers["/invoke"] = Answer(SAID, headers=HEADERS)

    async def take(body):
        if way == "read":
            return await body.read()
        if way == "pieces":
            return b"".join([piece async for piece in body.iter_chunks(7)])
        if way == "lines":
            return b"".join([line async for line in body.iter_lines()])
        if way == "into":
            target, data = bytearray(7), b""
            while count := await body.readinto(target):
                data += bytes(target[:count])
            return data
        if way == "within":
            async with body as within:
                return await within.read()
        if way == "close":
            body.close()
        return None

    async def app():
        async with bedrock(server) as client:
            got = await client.invoke_model(**INVOKED)
            if way == "into" and not hasattr(type(got["body"]), "readinto"):
                pytest.skip("this version has no readinto")
            data = await take(got["body"])
            del got
            gc.collect()
            return data

    data = run(app())
    assert data is None or json.loads(data) == SAID
    found = hooked.attributes()
    assert found["gen_ai.operation.name"] == "text_completion"
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (70, 90)
    is_passed_by = way == "within" and hasattr(StreamingBody, "__wrapped__")
    assert ("gen_ai.response.finish_reasons" in found) is (data is not None and not is_passed_by)


def test_a_stream_of_invoke_model(hooked, server, run):
    def chunk(text, reason=None):
        data = json.dumps({"outputs": [{"text": text, "stop_reason": reason}]}).encode()
        return message("chunk", {"bytes": base64.b64encode(data).decode()})

    server.answers["/invoke-with-response-stream"] = Answer(chunks=[chunk("Par"), chunk("is")], kind=KIND)

    async def app():
        async with bedrock(server) as client:  # which keeps the events, and not the stream
            return [event async for event in (await client.invoke_model_with_response_stream(**INVOKED))["body"]]

    assert len(run(app())) == 2
    assert hooked.attributes()["otel_llm.stream.complete"] is True
    assert json.loads(hooked.attributes()["gen_ai.output.messages"])[0]["parts"][0]["content"] == "Paris"


def test_an_error_is_the_sdks_own(hooked, server, run):
    kind = {"x-amzn-ErrorType": "ValidationException"}
    server.answers["/converse"] = Answer({"message": "no such model"}, status=400, headers=kind)

    async def app():
        async with bedrock(server) as client:
            with pytest.raises(client.exceptions.ValidationException):
                await client.converse(**ASKED)

    run(app())
    assert hooked.attributes()["error.type"].endswith("ValidationException")


def test_other_services_are_left_alone(hooked, server, run):
    async def app():
        async with bedrock(server, "s3") as client:
            with pytest.raises(client.exceptions.ClientError):
                await client.get_object(Bucket="b", Key="k")

    run(app())
    assert hooked.spans == ()


@pytest.mark.usefixtures("with_baggage")
def test_no_baggage_goes_to_the_provider(hooked, server, run):
    """Acceptance 28."""
    server.answers["/converse"] = Answer({"output": {"message": {"role": "assistant", "content": []}}, "usage": USAGE})

    async def app():
        async with bedrock(server) as client:
            await client.converse(**ASKED)

    run(app())
    assert not {"baggage", "traceparent"} & server.asked[0].headers.keys()
    assert len(hooked.spans) == 1


def test_everything_is_put_back(recording):
    from aiobotocore import client, eventstream, response  # noqa: PLC0415

    places = [
        (client.AioBaseClient, "_make_api_call"),
        (eventstream.AioEventStream, "__aiter__"),
        (eventstream.AioEventStream, "close"),
        (response.StreamingBody, "read"),
    ]
    before = [getattr(owner, name) for owner, name in places]
    with recording.hooked("aiobotocore"):
        assert not [one for one, (owner, name) in zip(before, places, strict=True) if getattr(owner, name) is one]
    assert [getattr(owner, name) for owner, name in places] == before
    assert "close" not in vars(eventstream.AioEventStream)
