"""Bedrock through boto3 under our hook, over a server on loopback that speaks its API."""

from __future__ import annotations

import base64
import gc
import io
import json

import pytest

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed; see tests/sdks/README.md")

from tests.instrumentation.recording import CONTENT  # noqa: E402
from tests.sdks.answers import Answer  # noqa: E402
from tests.sdks.eventstream import KIND, message  # noqa: E402

MODEL = "us.amazon.nova-micro-v1:0"
CLAUDE = "anthropic.claude-3-5-sonnet-20241022-v2:0"
MESSAGES = [{"role": "user", "content": [{"text": "Hi"}]}]
USAGE = {
    "inputTokens": 7,
    "outputTokens": 9,
    "totalTokens": 116,
    "cacheReadInputTokens": 100,
    "cacheWriteInputTokens": 0,
}


@pytest.fixture
def client(server):
    return boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=server.url,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )


@pytest.fixture
def hooked(recording, client):  # noqa: ARG001 - the client is older than the hook
    with recording.hooked("botocore"):
        yield recording


def input_tokens(client):
    """Early versions leave what was cached out of the answer."""
    return 107 if "cacheReadInputTokens" in client.meta.service_model.shape_for("TokenUsage").members else 7


def test_converse_is_one_span_whose_cached_tokens_are_input(hooked, client, server):
    """Acceptance 13: Bedrock counts cached tokens apart."""
    said = {"role": "assistant", "content": [{"text": "Paris"}]}
    answer = {"output": {"message": said}, "stopReason": "end_turn", "usage": USAGE, "metrics": {"latencyMs": 1}}
    server.answers["/converse"] = Answer(answer)
    config = {"maxTokens": 10, "temperature": 0.5, "topP": 1, "stopSequences": ["|"]}
    client.converse(modelId=MODEL, messages=MESSAGES, inferenceConfig=config)
    assert hooked.span().name == f"chat {MODEL}"
    cached = {"gen_ai.usage.cache_read.input_tokens": 100, "gen_ai.usage.cache_write.input_tokens": 0}
    assert hooked.attributes() == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "aws.bedrock",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "gen_ai.request.model": MODEL,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.max_tokens": 10,
        "gen_ai.request.stop_sequences": ("|",),
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": input_tokens(client),
        "gen_ai.usage.output_tokens": 9,
        **(cached if input_tokens(client) == 107 else {}),
    }


def delta(text):
    return message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})


END = (
    message("contentBlockStop", {"contentBlockIndex": 0}),
    message("messageStop", {"stopReason": "end_turn"}),
    message("metadata", {"usage": USAGE, "metrics": {"latencyMs": 1}}),
)


def test_a_converse_stream_is_one_span_and_stays_the_sdks(hooked, client, server):
    from botocore.eventstream import EventStream  # noqa: PLC0415

    chunks = [message("messageStart", {"role": "assistant"}), delta("Par"), delta("is"), *END]
    server.answers["/converse-stream"] = Answer(chunks=chunks, kind=KIND)
    stream = client.converse_stream(modelId=MODEL, messages=MESSAGES)["stream"]
    assert type(stream) is EventStream
    assert len(list(stream)) == 6
    found = hooked.attributes()
    assert found["gen_ai.usage.input_tokens"] == input_tokens(client)
    assert found["gen_ai.response.finish_reasons"] == ("stop",)
    assert found["otel_llm.stream.complete"] is True


@pytest.mark.parametrize("way", ["break and close", "drop", "never"])
def test_an_abandoned_converse_stream_is_one_span(hooked, client, server, way):
    """Acceptance 1."""
    chunks = [message("messageStart", {"role": "assistant"}), *(delta("word ") for _ in range(50)), *END]
    server.answers["/converse-stream"] = Answer(chunks=chunks, kind=KIND)
    answer = client.converse_stream(modelId=MODEL, messages=MESSAGES)
    if way != "never":
        for number, _ in enumerate(answer["stream"]):
            if number == 3:
                break
    if way == "break and close":
        answer["stream"].close()
    del answer
    gc.collect()
    found = hooked.attributes()
    assert found["otel_llm.stream.complete"] is False
    assert found["otel_llm.usage.source"] == "estimated"
    assert found["otel_llm.usage.estimated.output_tokens"] == (0 if way == "never" else 3)


def test_an_error_within_a_stream_is_an_error(hooked, client, server):
    from botocore.exceptions import EventStreamError  # noqa: PLC0415

    failure = message("modelStreamErrorException", {"message": "no"}, exception=True)
    server.answers["/converse-stream"] = Answer(chunks=[delta("a"), failure], kind=KIND)
    with pytest.raises(EventStreamError):
        list(client.converse_stream(modelId=MODEL, messages=MESSAGES)["stream"])
    assert hooked.attributes()["error.type"] == "botocore.exceptions.EventStreamError"


def test_captured_content_of_converse(recording, client, server):
    tool = {"toolSpec": {"name": "now", "description": "The time.", "inputSchema": {"json": {"type": "object"}}}}
    chunks = [
        delta("Hm"),
        message(
            "contentBlockStart", {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "now"}}}
        ),
        message("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"zone": '}}}),
        message("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '"UTC"}'}}}),
        *END,
    ]
    server.answers["/converse-stream"] = Answer(chunks=chunks, kind=KIND)
    with recording.hooked("botocore", environment=CONTENT):
        asked = {"modelId": MODEL, "messages": MESSAGES, "system": [{"text": "Be terse."}]}
        list(client.converse_stream(**asked, toolConfig={"tools": [tool]})["stream"])
    found = recording.attributes()
    assert json.loads(found["gen_ai.input.messages"])[0]["parts"] == [{"type": "text", "content": "Hi"}]
    assert json.loads(found["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be terse."}]
    assert json.loads(found["gen_ai.tool.definitions"])[0]["name"] == "now"
    [said] = json.loads(found["gen_ai.output.messages"])
    assert said["parts"][0] == {"type": "text", "content": "Hm"}
    assert said["parts"][1] == {"type": "tool_call", "id": "t1", "name": "now", "arguments": {"zone": "UTC"}}


# Each family: a model, a request, an answer, and what they say.
FAMILIES = {
    "anthropic": (
        CLAUDE,
        {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-3-5",
            "content": [{"type": "text", "text": "Paris"}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 7, "output_tokens": 9, "cache_read_input_tokens": 100},
        },
        ("chat", 107, 9, "stop", "Paris"),
    ),
    "nova": (
        "amazon.nova-lite-v1:0",
        {"messages": MESSAGES, "inferenceConfig": {"maxTokens": 9}},
        {
            "output": {"message": {"role": "assistant", "content": [{"text": "Paris"}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 7, "outputTokens": 9, "cacheReadInputTokenCount": 100},
        },
        ("chat", 107, 9, "stop", "Paris"),
    ),
    "titan": (
        "amazon.titan-text-express-v1",
        {"inputText": "Hi", "textGenerationConfig": {"maxTokenCount": 9}},
        {
            "inputTextTokenCount": 7,
            "results": [{"tokenCount": 9, "outputText": "Paris", "completionReason": "FINISH"}],
        },
        ("text_completion", 7, 9, "stop", "Paris"),
    ),
    "llama": (
        "meta.llama3-8b-instruct-v1:0",
        {"prompt": "Hi", "max_gen_len": 9},
        {"generation": "Paris", "prompt_token_count": 7, "generation_token_count": 9, "stop_reason": "length"},
        ("text_completion", 7, 9, "length", "Paris"),
    ),
    "mistral": (
        "mistral.mistral-7b-instruct-v0:2",
        {"prompt": "Hi", "max_tokens": 9},
        {"outputs": [{"text": "Paris", "stop_reason": "stop"}]},
        ("text_completion", 70, 90, "stop", "Paris"),
    ),
    "cohere": (
        "cohere.command-r-v1:0",
        {"message": "Hi", "max_tokens": 9},
        {"response_id": "r", "text": "Paris", "finish_reason": "COMPLETE"},
        ("chat", 70, 90, "stop", "Paris"),
    ),
    "openai": (
        "openai.gpt-oss-20b-1:0",
        {"messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 9},
        {
            "id": "c",
            "model": "gpt-oss",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 9},
        },
        ("chat", 7, 9, "stop", "Paris"),
    ),
}
HEADERS = {"X-Amzn-Bedrock-Input-Token-Count": "70", "X-Amzn-Bedrock-Output-Token-Count": "90"}


@pytest.mark.parametrize("family", FAMILIES)
def test_invoke_model_is_read_in_the_words_of_each_family(recording, client, server, family):
    model, body, answer, (operation, entered, left, reason, said) = FAMILIES[family]
    server.answers["/invoke"] = Answer(answer, headers=HEADERS)
    with recording.hooked("botocore", environment=CONTENT):
        got = client.invoke_model(modelId=model, body=json.dumps(body))
        assert recording.spans == ()
        assert json.loads(got["body"].read()) == answer
    found = recording.attributes()
    assert found["gen_ai.operation.name"] == operation
    assert found["gen_ai.request.model"] == model
    assert found["gen_ai.request.max_tokens"] == 9
    assert found["gen_ai.usage.input_tokens"] == entered
    assert found["gen_ai.usage.output_tokens"] == left
    assert found["gen_ai.response.finish_reasons"] == (reason,)
    [asked] = json.loads(found["gen_ai.input.messages"])
    assert asked["parts"] == [{"type": "text", "content": "Hi"}]
    [message] = json.loads(found["gen_ai.output.messages"])
    assert message["parts"][0]["content"] == said


def chunk(**said):
    return message("chunk", {"bytes": base64.b64encode(json.dumps(said).encode()).decode()})


METRICS = {"inputTokenCount": 7, "outputTokenCount": 9, "invocationLatency": 5, "firstByteLatency": 1}
STREAMS = {
    "anthropic": [
        chunk(
            type="message_start",
            message={"id": "msg_1", "model": "claude", "usage": {"input_tokens": 7, "output_tokens": 1}},
        ),
        chunk(type="content_block_start", index=0, content_block={"type": "text", "text": ""}),
        chunk(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "Paris"}),
        chunk(type="message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9}),
        chunk(type="message_stop", **{"amazon-bedrock-invocationMetrics": METRICS}),
    ],
    "nova": [
        chunk(messageStart={"role": "assistant"}),
        chunk(contentBlockDelta={"delta": {"text": "Paris"}, "contentBlockIndex": 0}),
        chunk(messageStop={"stopReason": "end_turn"}),
        chunk(metadata={"usage": {"inputTokens": 7, "outputTokens": 9}}),
    ],
    "titan": [
        chunk(outputText="Par", index=0, totalOutputTextTokenCount=None),
        chunk(
            outputText="is",
            index=0,
            totalOutputTextTokenCount=9,
            completionReason="FINISH",
            inputTextTokenCount=7,
            **{"amazon-bedrock-invocationMetrics": METRICS},
        ),
    ],
    "llama": [
        chunk(generation="Par", prompt_token_count=7, generation_token_count=1, stop_reason=None),
        chunk(
            generation="is",
            prompt_token_count=None,
            generation_token_count=2,
            stop_reason="stop",
            **{"amazon-bedrock-invocationMetrics": METRICS},
        ),
    ],
    "mistral": [
        chunk(outputs=[{"text": "Par", "stop_reason": None}]),
        chunk(outputs=[{"text": "is", "stop_reason": "stop"}], **{"amazon-bedrock-invocationMetrics": METRICS}),
    ],
}


@pytest.mark.parametrize("family", STREAMS)
def test_streams_of_invoke_model_are_read_in_the_words_of_each_family(recording, client, server, family):
    model, body, *_ = FAMILIES[family]
    server.answers["/invoke-with-response-stream"] = Answer(chunks=STREAMS[family], kind=KIND)
    with recording.hooked("botocore", environment=CONTENT):
        got = client.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))
        assert len(list(got["body"])) == len(STREAMS[family])
    found = recording.attributes()
    assert found["gen_ai.usage.input_tokens"] == 7
    assert found["gen_ai.usage.output_tokens"] == 9
    assert found["gen_ai.response.finish_reasons"] == ("stop",)
    assert found["otel_llm.stream.complete"] is True
    [said] = json.loads(found["gen_ai.output.messages"])
    assert said["parts"][0]["content"] == "Paris"


def test_a_stream_that_the_app_iterates_and_does_not_keep_is_complete(hooked, client, server):
    chunks = [chunk(outputs=[{"text": "Par", "stop_reason": None}])]
    server.answers["/invoke-with-response-stream"] = Answer(chunks=chunks, kind=KIND)
    model, body, *_ = FAMILIES["mistral"]
    for _ in client.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))["body"]:
        gc.collect()
    assert hooked.attributes()["otel_llm.stream.complete"] is True


@pytest.mark.parametrize("way", ["pieces", "close", "drop"])
def test_a_body_is_seen_however_the_app_takes_it(hooked, client, server, way):
    model, body, answer, _ = FAMILIES["mistral"]
    server.answers["/invoke"] = Answer(answer, headers=HEADERS)
    got = client.invoke_model(modelId=model, body=json.dumps(body))
    if way == "pieces":
        assert json.loads(b"".join(got["body"].iter_chunks(7))) == answer
    elif way == "close":
        got["body"].close()
    del got
    gc.collect()
    found = hooked.attributes()
    assert found["gen_ai.usage.input_tokens"] == 70
    assert ("gen_ai.response.finish_reasons" in found) is (way == "pieces")


def test_embeddings_have_their_tokens(hooked, client, server):
    server.answers["/invoke"] = Answer({"embedding": [0.1], "inputTextTokenCount": 3})
    client.invoke_model(modelId="amazon.titan-embed-text-v2:0", body=json.dumps({"inputText": "a", "dimensions": 256}))[
        "body"
    ].read()
    found = hooked.attributes()
    assert found["gen_ai.operation.name"] == "embeddings"
    assert found["gen_ai.usage.input_tokens"] == 3
    assert found["gen_ai.embeddings.dimension.count"] == 256


def test_an_error_is_the_sdks_own(hooked, client, server):
    kind = {"x-amzn-ErrorType": "ValidationException"}
    server.answers["/converse"] = Answer({"message": "no such model"}, status=400, headers=kind)
    with pytest.raises(client.exceptions.ValidationException):
        client.converse(modelId="none", messages=MESSAGES)
    assert hooked.attributes()["error.type"].endswith("ValidationException")


def test_other_services_are_left_alone(hooked, server):
    client = boto3.client(
        "s3", region_name="us-east-1", endpoint_url=server.url, aws_access_key_id="a", aws_secret_access_key="a"
    )
    with pytest.raises(client.exceptions.ClientError):
        client.get_object(Bucket="b", Key="k")
    assert hooked.spans == ()


def test_every_operation_of_bedrocks_runtime_is_traced_or_waived(client):
    from otel_llm.instrumentation.providers.botocore import OPERATIONS, WAIVED  # noqa: PLC0415

    operations = set(client.meta.service_model.operation_names)
    assert OPERATIONS.keys() & WAIVED.keys() == set()
    assert operations - OPERATIONS.keys() - WAIVED.keys() == set()


_ON_AWS = "calls models on AWS's side; how many tokens that took is not in the answer"
_KEPT = "keeps or reads records of agents, sessions and documents"
# The service beside the models: agents, flows and knowledge bases.
AGENTS = {
    **dict.fromkeys(("AgenticRetrieveStream", "InvokeAgent", "InvokeFlow", "InvokeInlineAgent"), _ON_AWS),
    **dict.fromkeys(("RetrieveAndGenerate", "RetrieveAndGenerateStream", "StartFlowExecution"), _ON_AWS),
    **dict.fromkeys(("GenerateQuery", "OptimizePrompt"), _ON_AWS),
    "Rerank": "billed by queries; not traced",
    "Retrieve": "a search, for which a span by hand says more",
    **dict.fromkeys(("CheckIngestedDocumentAcl", "DeleteAgentMemory", "GetAgentMemory"), _KEPT),
    **dict.fromkeys(("GetDocumentContent", "GetIngestedDocumentAcl", "GetInvocationStep", "GetSession"), _KEPT),
    **dict.fromkeys(("GetExecutionFlowSnapshot", "GetFlowExecution", "ListFlowExecutionEvents"), _KEPT),
    **dict.fromkeys(("ListFlowExecutions", "ListInvocationSteps", "ListInvocations", "ListSessions"), _KEPT),
    **dict.fromkeys(("CreateInvocation", "CreateSession", "DeleteSession", "EndSession", "UpdateSession"), _KEPT),
    **dict.fromkeys(("ListTagsForResource", "PutInvocationStep", "StopFlowExecution"), _KEPT),
    **dict.fromkeys(("TagResource", "UntagResource"), _KEPT),
}


def test_every_operation_of_bedrocks_agents_is_waived_by_name():
    agents = boto3.client(
        "bedrock-agent-runtime", region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any"
    )
    assert set(agents.meta.service_model.operation_names) - AGENTS.keys() == set()


@pytest.mark.usefixtures("with_baggage")
def test_no_baggage_goes_to_the_provider(hooked, client, server):
    """Acceptance 28."""
    server.answers["/converse"] = Answer({"output": {"message": {"role": "assistant", "content": []}}, "usage": USAGE})
    client.converse(modelId=MODEL, messages=MESSAGES)
    assert not {"baggage", "traceparent"} & server.asked[0].headers.keys()
    assert len(hooked.spans) == 1


def test_a_body_that_is_a_file_or_no_json_stays_as_it_is(hooked, client, server):
    server.answers["/invoke"] = Answer({"outputs": []}, headers=HEADERS)
    client.invoke_model(modelId="mistral.x", body=io.BytesIO(b'{"prompt": "Hi"}'))["body"].read()
    client.invoke_model(modelId="mistral.x", body=b"\xff")["body"].read()
    assert [asked.body for asked in server.asked] == [b'{"prompt": "Hi"}', b"\xff"]
    assert len(hooked.spans) == 2
