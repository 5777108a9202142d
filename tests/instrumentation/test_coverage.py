"""Acceptance 10: every billable method of the SDKs is traced or waived by name with a reason; a new one fails."""

from __future__ import annotations

import json
import threading
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from otel_llm.admission import ALLOW
from otel_llm.instrumentation.providers import anthropic as anthropic_table
from otel_llm.instrumentation.providers import openai as openai_table
from otel_llm.testing import ScriptedAdmission
from tests.instrumentation.coverage import WAIVED, billable, waiver

TABLES = {"openai": openai_table, "anthropic": anthropic_table}


def paths() -> list[tuple[str, str]]:
    return [(sdk, path) for sdk in TABLES for path in billable(sdk)]


@pytest.mark.parametrize(("sdk", "path"), paths())
def test_every_billable_method_is_traced_or_waived(sdk, path):
    is_traced = TABLES[sdk].endpoint("post", path) is not None
    reason = waiver(sdk, path)
    assert is_traced != (reason is not None), f"{sdk} {path}: trace it, or waive it in coverage.py; not both"


@pytest.mark.parametrize("sdk", TABLES)
def test_no_waiver_outlives_what_it_was_for(sdk):
    used = {waiver(sdk, path) for path in billable(sdk)}
    assert set(WAIVED[sdk]) == used - {None}


@pytest.mark.parametrize("sdk", TABLES)
def test_the_list_was_found_at_all(sdk):
    assert {"openai": "/chat/completions", "anthropic": "/v1/messages"}[sdk] in billable(sdk)


USAGE = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
ANSWERS: dict[str, Any] = {
    "/embeddings": {
        "object": "list",
        "model": "text-embedding-3-small",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
        "usage": {"prompt_tokens": 11, "total_tokens": 11},
    },
    "/images/generations": {"created": 1, "data": [{"b64_json": "aW1n"}, {"b64_json": "aW1n"}], "usage": USAGE},
    "/audio/transcriptions": {"text": "hello", "usage": {"type": "duration", "seconds": 4.5}},
    "/moderations": {"id": "modr-1", "model": "omni-moderation", "results": []},
    "/completions": {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "gpt-3.5-turbo-instruct",
        "choices": [{"index": 0, "text": "hello", "finish_reason": "length", "logprobs": None}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    },
    "/batches": {"id": "batch_1", "object": "batch", "endpoint": "/v1/chat/completions", "status": "validating"},
    "/videos": {"id": "video_1", "object": "video", "status": "queued", "model": "sora-2"},
}


def answer(request: httpx2.Request) -> httpx2.Response:
    for path, body in ANSWERS.items():
        if request.url.path.endswith(path):
            return httpx2.Response(200, json=body)
    if request.url.path.endswith("/audio/speech"):
        return httpx2.Response(200, content=b"RIFF", headers={"content-type": "audio/wav"})
    return httpx2.Response(404, json={"error": {"message": "no such path"}})


@pytest.fixture
def client():
    with openai.OpenAI(api_key="any", http_client=httpx2.Client(transport=httpx2.MockTransport(answer))) as client:
        yield client


@pytest.mark.filterwarnings("ignore:The Sora API")  # the SDK announces its end
@pytest.mark.parametrize(
    ("call", "name", "expected"),
    [
        (
            lambda client: client.embeddings.create(model="text-embedding-3-small", input=["a", "b"], dimensions=2),
            "embeddings text-embedding-3-small",
            {"gen_ai.usage.input_tokens": 11, "gen_ai.embeddings.dimension.count": 2},
        ),
        (
            lambda client: client.images.generate(model="gpt-image-1", prompt="a cat", n=2),
            "image_generation gpt-image-1",
            {"otel_llm.usage.images": 2, "gen_ai.usage.output_tokens": 7, "gen_ai.output.type": "image"},
        ),
        (
            lambda client: client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF")),
            "transcription whisper-1",
            {"otel_llm.usage.audio_seconds": 4.5},
        ),
        (
            lambda client: client.audio.speech.create(model="tts-1", voice="alloy", input="hello").read(),
            "speech tts-1",
            {"gen_ai.output.type": "speech"},
        ),
        (
            lambda client: client.moderations.create(model="omni-moderation-latest", input="hello"),
            "moderation omni-moderation-latest",
            {"gen_ai.response.model": "omni-moderation"},
        ),
        (
            lambda client: client.completions.create(model="gpt-3.5-turbo-instruct", prompt="say"),
            "text_completion gpt-3.5-turbo-instruct",
            {"gen_ai.usage.output_tokens": 7, "gen_ai.response.finish_reasons": ("length",)},
        ),
        (
            lambda client: client.batches.create(
                completion_window="24h", endpoint="/v1/chat/completions", input_file_id="file-1"
            ),
            "create_batch",
            {"gen_ai.response.id": "batch_1"},
        ),
        (
            lambda client: client.videos.create(model="sora-2", prompt="a cat"),
            "video_generation sora-2",
            {"gen_ai.response.id": "video_1"},
        ),
    ],
)
def test_what_is_not_text_is_traced_as_well(recording, client, call, name, expected):
    with recording.hooked("openai"):
        call(client)
    found = recording.attributes()
    assert recording.span().name == name
    assert {key: found.get(key) for key in expected} == expected
    assert found["server.address"] == "api.openai.com"


RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-5",
    "background": True,
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": None,
}


class Background:
    """A server whose response is ready at the third look."""

    def __init__(self) -> None:
        self.looks = 0
        self._lock = threading.Lock()

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        with self._lock:
            self.looks += request.method == "GET"
        if self.looks < 3:
            return httpx2.Response(200, json={**RESPONSE, "status": "queued" if not self.looks else "in_progress"})
        usage = {
            **USAGE,
            "input_tokens_details": {"cached_tokens": 3},
            "output_tokens_details": {"reasoning_tokens": 2},
        }
        return httpx2.Response(200, json={**RESPONSE, "status": "completed", "usage": usage})


def test_a_background_response_is_one_inference_with_usage_once(recording):
    """Acceptance 10: however many times it is polled."""
    transport = httpx2.MockTransport(Background())
    with (
        recording.hooked("openai"),
        openai.OpenAI(api_key="any", http_client=httpx2.Client(transport=transport)) as client,
    ):
        begun = client.responses.create(model="gpt-5", input="think", background=True)
        assert begun.status == "queued"
        assert recording.spans == ()
        for _ in range(5):
            client.responses.retrieve("resp_1")
    fetched = [span for span in recording.spans if span.name == "fetch_response"]
    [inference] = [span for span in recording.spans if span.name == "chat gpt-5"]
    assert len(fetched) == 5
    assert all("gen_ai.usage.input_tokens" not in span.attributes for span in fetched)
    assert fetched[-1].attributes["gen_ai.response.status"] == "completed"
    assert inference.attributes["gen_ai.usage.input_tokens"] == 11
    assert inference.attributes["gen_ai.usage.cache_read.input_tokens"] == 3
    assert inference.attributes["gen_ai.usage.reasoning.output_tokens"] == 2
    assert inference.attributes["gen_ai.response.finish_reasons"] == ("stop",)


def sent_to(client: Any) -> tuple[str, str]:
    host = client.base_url.host
    table = openai_table if isinstance(client, openai.OpenAI | openai.AsyncOpenAI) else anthropic_table
    return table.provider(client, host), host


@pytest.mark.parametrize(
    ("client", "provider"),
    [
        (lambda: openai.OpenAI(api_key="k"), "openai"),
        (lambda: openai.OpenAI(api_key="k", base_url="https://api.groq.com/openai/v1"), "groq"),
        (lambda: openai.OpenAI(api_key="k", base_url="https://api.x.ai/v1"), "x_ai"),
        (lambda: openai.OpenAI(api_key="k", base_url="https://api.deepseek.com"), "deepseek"),
        (lambda: openai.OpenAI(api_key="k", base_url="http://localhost:8000/v1"), "openai"),
        (
            lambda: openai.AzureOpenAI(api_key="k", api_version="1", azure_endpoint="https://me.openai.azure.com"),
            "azure.ai.openai",
        ),
        (lambda: anthropic.Anthropic(api_key="k"), "anthropic"),
    ],
)
def test_a_compatible_vendor_has_its_own_name(client, provider):
    assert sent_to(client())[0] == provider


def test_azure_is_one_span_with_the_deployments_model(recording):
    def azure(request: httpx2.Request) -> httpx2.Response:
        assert "/deployments/my-gpt/chat/completions" in str(request.url)
        body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": []}
        return httpx2.Response(200, json=body)

    http_client = httpx2.Client(transport=httpx2.MockTransport(azure))
    with (
        recording.hooked("openai"),
        openai.AzureOpenAI(
            api_key="k", api_version="1", azure_endpoint="https://me.openai.azure.com", http_client=http_client
        ) as client,
    ):
        client.chat.completions.create(model="my-gpt", messages=[])
    found = recording.attributes()
    assert found["gen_ai.provider.name"] == "azure.ai.openai"
    assert (found["gen_ai.request.model"], found["gen_ai.response.model"]) == ("my-gpt", "gpt-4o")
    assert found["server.address"] == "me.openai.azure.com"


def test_changed_messages_are_what_goes_over_the_wire(recording):
    bodies = []

    def server(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(request.content))
        return httpx2.Response(
            200, json={"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": []}
        )

    def redact(operation):
        text = json.dumps(operation.input_messages).replace("Ada", "[PERSON]")
        operation.set("gen_ai.input.messages", json.loads(text))
        return ALLOW

    asked = [
        {"role": "user", "content": "I am Ada."},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"name": "Ada"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "Ada lives here"},
    ]
    http_client = httpx2.Client(transport=httpx2.MockTransport(server))
    with (
        recording.hooked("openai", admissions=[ScriptedAdmission(redact, on_error="deny")]),
        openai.OpenAI(api_key="k", http_client=http_client) as client,
    ):
        client.chat.completions.create(model="gpt-4o", messages=asked)
    [body] = bodies
    assert "Ada" not in json.dumps(body)
    assert json.loads(body["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {"name": "[PERSON]"}
    assert body["messages"][2] == {"role": "tool", "tool_call_id": "c1", "content": "[PERSON] lives here"}


class Streams:
    """A server that reports usage when it is asked to."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content)
        self.bodies.append(body)
        base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
        delta = {"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}
        chunks = [{**base, "choices": [delta]}]
        if body.get("stream_options"):
            usage = {"prompt_tokens": 11, "completion_tokens": 1, "total_tokens": 12}
            chunks.append({**base, "choices": [], "usage": usage})
        events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        return httpx2.Response(200, content=events, headers={"content-type": "text/event-stream"})


@pytest.mark.parametrize(
    ("base_url", "setting", "is_asked"),
    [
        ("https://api.openai.com/v1", "", False),
        ("https://api.openai.com/v1", "allowlist", True),
        ("https://compatible.example/v1", "allowlist", False),
    ],
)
def test_usage_is_asked_for_only_where_it_is_wanted_and_known_and_its_chunk_is_not_the_apps(
    recording, base_url, setting, is_asked
):
    """Acceptance 7."""
    server = Streams()
    http_client = httpx2.Client(transport=httpx2.MockTransport(server))
    with (
        recording.hooked("openai", environment={"OTEL_LLM_USAGE_INJECTION": setting}),
        openai.OpenAI(api_key="k", base_url=base_url, http_client=http_client) as client,
    ):
        chunks = list(client.chat.completions.create(model="gpt-4o", messages=[], stream=True))
        theirs = client.chat.completions.create(
            model="gpt-4o", messages=[], stream=True, stream_options={"include_usage": True}
        )
        assert list(theirs)[-1].usage.prompt_tokens == 11
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["hi"]
    assert ("stream_options" in server.bodies[0]) == is_asked
    first, second = recording.spans
    assert first.attributes.get("gen_ai.usage.input_tokens") == (11 if is_asked else None)
    assert second.attributes["gen_ai.usage.input_tokens"] == 11


MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4-8",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "output_tokens": 5},
}


@pytest.mark.parametrize(
    ("make", "provider", "host"),
    [
        (
            lambda http: anthropic.AnthropicVertex(
                region="us-east5", project_id="p", access_token="t", http_client=http, open_telemetry=False
            ),
            "gcp.vertex_ai",
            "us-east5-aiplatform.googleapis.com",
        ),
        (
            lambda http: anthropic.AnthropicBedrock(
                aws_region="us-east-1", api_key="k", http_client=http, open_telemetry=False
            ),
            "aws.bedrock",
            "bedrock-runtime.us-east-1.amazonaws.com",
        ),
    ],
)
def test_anthropics_clients_for_clouds_are_traced_as_the_cloud(recording, make, provider, host):
    http_client = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, json=MESSAGE)))
    with recording.hooked("anthropic"), make(http_client) as client:
        asked = [{"role": "user", "content": "hi"}]
        client.messages.create(model="claude-opus-4-8", max_tokens=5, messages=asked)
    found = recording.attributes()
    assert (found["gen_ai.provider.name"], found["server.address"]) == (provider, host)
    assert (found["gen_ai.request.model"], found["gen_ai.usage.input_tokens"]) == ("claude-opus-4-8", 10)
