"""What users of instrumentations suffer from, held by ours. Each test names its number in acceptance.md.

Streams (1, 3, 4, 6-9) are in tests/instrumentation/test_streams.py, faults (2) in test_faults.py, coverage (10) in
test_coverage.py, loading (12, 44, 46) in test_loader.py and test_imports.py, processes (33-35, 42, 47, 48) in
tests/hosts/test_app.py, the in-app host (55) in tests/hosts/test_sdk.py, events (50) in test_conventions.py. Under real
hosts (33, 35, 46, 47), frameworks (5, 12), other tools (42, 45) and MCP (56): tests/sdks.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai
import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from otel_llm.hosts.sdk import Enriching
from otel_llm.instrumentation.engine import SUPPRESS_HTTP
from otel_llm.loopback import LoopbackProvider
from tests.instrumentation.recording import CONTENT, Recording

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ASKED = {"model": "gpt-4o", "messages": QUESTION}
ANSWER = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": []}


@pytest.fixture
def provider():
    with LoopbackProvider() as provider:
        yield provider


@pytest.fixture
def client(provider):
    with openai.OpenAI(base_url=provider.openai_base_url, api_key="any", max_retries=2) as client:
        yield client


def test_5_calls_from_threads_and_tasks_have_the_parent_they_were_made_in(provider):
    recording = Recording()
    tracer = recording.tracers.get_tracer("app")

    async def request(client, name):
        with tracer.start_as_current_span(name):
            await asyncio.gather(*(client.chat.completions.create(**ASKED) for _ in range(4)))

    async def app():
        async with openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="any") as client:
            for _ in range(3):  # in a row, in one task
                await asyncio.gather(request(client, "a"), request(client, "b"))

    with recording.hooked("openai"):
        asyncio.run(app())
    requests = {span.context.span_id: span for span in recording.spans if span.name in "ab"}
    calls = [span for span in recording.spans if span.name == "chat gpt-4o"]
    assert len(requests) == 6
    assert all(span.parent is None for span in requests.values())
    assert Counter(span.parent.span_id for span in calls) == dict.fromkeys(requests, 4)
    assert all(span.context.trace_id == requests[span.parent.span_id].context.trace_id for span in calls)


def test_5_a_sync_call_in_a_thread_that_was_given_the_context_is_its_child(client):
    recording = Recording()
    with recording.hooked("openai"), recording.tracers.get_tracer("app").start_as_current_span("outer") as outer:
        here = context.get_current()

        def call():
            token = context.attach(here)
            client.chat.completions.create(**ASKED)
            context.detach(token)

        with ThreadPoolExecutor(2) as pool:
            for job in [pool.submit(call) for _ in range(4)]:
                job.result()
    calls = [span for span in recording.spans if span.name.startswith("chat")]
    assert {span.parent.span_id for span in calls} == {outer.get_span_context().span_id}


def test_11_hidden_retries_are_counted_on_the_one_span_and_its_waits_told_apart(client):
    recording = Recording()
    directives = {"x-loopback": "error=429;fail_times=2;retry_after=0"}
    with recording.hooked("openai"):
        client.chat.completions.create(**ASKED, extra_headers=directives)
    span = recording.span()
    assert span.attributes["otel_llm.attempt.count"] == 3
    assert 0 < span.attributes["otel_llm.attempt.backoff"] <= (span.end_time - span.start_time) / 1e9
    assert [event.name for event in span.events] == ["otel_llm.attempt.failed"] * 2
    assert [event.attributes["http.response.status_code"] for event in span.events] == [429, 429]
    assert span.events[0].attributes["otel_llm.attempt.retry_after"] == "0"
    [retries] = recording.points()["otel_llm.instrumentation.retries"]
    assert retries.value == 2
    assert (
        sum(point.value for point in recording.points()["gen_ai.client.inference.usage.input_tokens"])
        == (span.attributes["gen_ai.usage.input_tokens"])
    )


def test_18_metrics_count_what_sampling_leaves_out(client, provider):
    recording = Recording(sampler=TraceIdRatioBased(0))
    with recording.hooked("openai"):
        for _ in range(20):
            client.chat.completions.create(**ASKED)
    assert recording.spans == ()
    [tokens] = recording.points()["gen_ai.client.inference.usage.input_tokens"]
    assert tokens.value == sum(served.usage.input_tokens for served in provider.served())
    [duration] = recording.points()["gen_ai.client.inference.duration"]
    assert duration.count == 20


CANARY = "canary-4711@example.com"
PLANTED = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": f"You serve {CANARY}."},
        {"role": "user", "name": "ada", "content": f"I am {CANARY}."},
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "find", "arguments": json.dumps({"name": CANARY})},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": json.dumps({"address": CANARY})},
    ],
    "tools": [
        {
            "type": "function",
            "function": {"name": "find", "description": f"Finds {CANARY}", "parameters": {"type": "object"}},
        }
    ],
    "tool_choice": "none",
}


@pytest.mark.parametrize(
    "environment",
    [{}, {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_AND_EVENT", "OTEL_LLM_CONTENT": "redacted"}],
    ids=["none", "redacted"],
)
def test_22_no_canary_leaves_the_process_where_content_is_off_or_redacted(client, environment):
    recording = Recording()

    def refuses(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(400, json={"error": {"message": f"cannot serve {CANARY}", "type": "invalid_request"}})

    transport = httpx2.MockTransport(refuses)
    with recording.hooked("openai", environment=environment):
        headers = {"x-loopback": f"text=It is {CANARY}."}
        client.chat.completions.create(**PLANTED, extra_headers=headers)
        list(client.chat.completions.create(**PLANTED, extra_headers=headers, stream=True))
        with (
            openai.OpenAI(api_key=CANARY, http_client=httpx2.Client(transport=transport)) as refused,
            pytest.raises(openai.BadRequestError, match=CANARY),
        ):
            refused.chat.completions.create(**PLANTED)
    assert len(recording.spans) == 3
    everything = [span.to_json() for span in recording.spans]
    everything += [str(record.attributes) + str(record.body) for record in recording.events()]
    assert not any(CANARY in text for text in everything)
    assert any("[redacted" in text for text in everything) == bool(environment)


def test_22_what_is_captured_in_full_is_there(client):
    recording = Recording()
    environment = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}
    with recording.hooked("openai", environment=environment):
        client.chat.completions.create(**PLANTED)
    for key in ("gen_ai.input.messages", "gen_ai.system_instructions", "gen_ai.tool.definitions"):
        assert CANARY in recording.attributes()[key]


def said(text: str) -> dict[str, object]:
    return {"role": "user", "content": text}


@pytest.mark.parametrize("text", ["漢👩‍👩‍👧‍👦\n" * 10_000, 'a "quoted" \\ line\n' * 10_000], ids=["odd", "plain"])
def test_39_what_the_sdk_limits_is_valid_json_and_loses_no_metadata(client, text):
    """Given an SDK that cuts attributes at 1,000 characters, then long messages and a long history are JSON of the same
    shape within 1,000 bytes: roles, names of tools, the first and the last text are there, and what was cut says how
    long it was and what it hashes to. Usage and model are as ever."""
    recording = Recording(limits=SpanLimits(max_span_attribute_length=1000))
    environment = {**CONTENT, "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "1000"}
    messages = [said("the first"), *(said(text) for _ in range(30)), said("the last")]
    with recording.hooked("openai", environment=environment):
        client.chat.completions.create(model="gpt-4o", messages=messages, tools=PLANTED["tools"])
        client.chat.completions.create(model="gpt-4o", messages=[said(text)])
    history, single = (dict(span.attributes or {}) for span in recording.spans)
    told = json.loads(history["gen_ai.input.messages"])
    assert [told[0]["parts"][0]["content"], told[-1]["parts"][0]["content"]] == ["the first", "the last"]
    assert {message["role"] for message in told} == {"user"}
    assert [tool["name"] for tool in json.loads(history["gen_ai.tool.definitions"])] == ["find"]
    [message] = json.loads(single["gen_ai.input.messages"])
    kept, _, mark = message["parts"][0]["content"].partition("… [")
    assert text.startswith(kept)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert mark == f"{len(text) - len(kept)} more characters, sha256 of all {digest}]"
    for attributes in (history, single):
        assert all(len(value.encode()) <= 1000 for value in attributes.values() if isinstance(value, str))
        assert attributes["gen_ai.request.model"] == "gpt-4o"
        assert attributes["gen_ai.usage.input_tokens"] > 0


MEGABYTE = base64.b64encode(bytes(range(256)) * 4096).decode()
IMAGE_URL = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{MEGABYTE}"}}
SHOWN = {
    "an image": ("user", IMAGE_URL, "image/png"),
    "a recording": ("user", {"type": "input_audio", "input_audio": {"data": MEGABYTE, "format": "wav"}}, "audio/wav"),
    "a PDF": (
        "user",
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{MEGABYTE}"}},
        "application/pdf",
    ),
    "a tool's screenshot": ("tool", IMAGE_URL, "image/png"),
}


@pytest.mark.parametrize("case", SHOWN)
def test_40_media_are_type_size_and_hash_and_the_texts_around_them_stay(client, case):
    """Given a megabyte of an image, a recording or a document between two texts, asked or answered by a tool, then the
    span has its type, its size and its hash, both texts whole, and is small."""
    role, part, mime_type = SHOWN[case]
    texts = [{"type": "text", "text": "What is this?"}, {"type": "text", "text": "Be brief."}]
    asked = {"role": role, "content": [texts[0], part, texts[1]], **({"tool_call_id": "c"} if role == "tool" else {})}
    recording = Recording()
    with recording.hooked("openai", environment=CONTENT):
        client.chat.completions.create(model="gpt-4o", messages=[asked])
    told = recording.attributes()["gen_ai.input.messages"]
    for wanted in (mime_type, "1048576", hashlib.sha256(MEGABYTE.encode()).hexdigest(), "What is this?", "Be brief."):
        assert wanted in told
    assert isinstance(json.loads(told), list)
    assert len(recording.span().to_json()) < 64_000


def test_40_the_vectors_of_embeddings_are_not_on_the_span(client):
    recording = Recording()
    with recording.hooked("openai", environment=CONTENT):
        answer = client.embeddings.create(
            model="text-embedding-3-large", input=["The capital of France"], dimensions=3_072
        )
    assert len(answer.data[0].embedding) == 3_072
    assert recording.attributes()["gen_ai.request.model"] == "text-embedding-3-large"
    assert len(recording.span().to_json()) < 4_000


@pytest.mark.parametrize("propagate", [False, True])
def test_28_baggage_and_trace_context_stay_with_us_unless_configured(propagate):
    """An HTTP instrumentation injects what the current context holds, unless the context asks it not to."""
    recording = Recording()
    seen = []

    def server(_: httpx2.Request) -> httpx2.Response:
        seen.append((baggage.get_all(), context.get_value(SUPPRESS_HTTP), trace.get_current_span()))
        return httpx2.Response(
            200, json={"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": []}
        )

    environment = {"OTEL_LLM_PROPAGATE_TO_PROVIDERS": str(propagate).lower()}
    token = context.attach(baggage.set_baggage("user.id", "ada"))
    try:
        with (
            recording.hooked("openai", environment=environment),
            openai.OpenAI(api_key="k", http_client=httpx2.Client(transport=httpx2.MockTransport(server))) as client,
        ):
            client.chat.completions.create(**ASKED)
        assert baggage.get_all() == {"user.id": "ada"}
    finally:
        context.detach(token)
    [(carried, suppressed, current)] = seen
    assert current.get_span_context().span_id == recording.span().context.span_id
    assert dict(carried) == ({"user.id": "ada"} if propagate else {})
    assert suppressed is (None if propagate else True)


def test_51_a_large_prompt_is_not_read_when_content_is_off():
    """Nothing is serialised: the messages are only referred to."""
    recording = Recording()
    touched = threading.Event()

    class Content(str):
        __slots__ = ()

        def encode(self, *args: str) -> bytes:
            touched.set()
            return super().encode(*args)

    def server(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(
            200, json={"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": []}
        )

    with (
        recording.hooked("openai"),
        openai.OpenAI(api_key="k", http_client=httpx2.Client(transport=httpx2.MockTransport(server))) as client,
    ):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": Content("x" * 1_000_000)}])
    assert not touched.is_set()
    assert max(len(str(value)) for value in recording.attributes().values()) < 100


def test_53_series_are_capped_and_the_totals_stay_exact(client, provider):
    recording = Recording()
    engine = recording.engine()
    engine._outlets.current().instruments._series_limit = 5
    with recording.hooked("openai", engine=engine):
        for number in range(12):
            client.chat.completions.create(model=f"model-{number}", messages=QUESTION)
    points = recording.points()["gen_ai.client.inference.usage.input_tokens"]
    assert len(points) == 6
    assert sum(point.value for point in points) == sum(served.usage.input_tokens for served in provider.served())
    assert [point.attributes.get("otel.metric.overflow") for point in points].count(True) == 1


def test_1_an_abandoned_stream_has_a_price_that_says_it_is_an_estimate(client):
    recording, enriched = Recording(), InMemorySpanExporter()
    recording.tracers.add_span_processor(SimpleSpanProcessor(Enriching(enriched)))
    with recording.hooked("openai"), client.chat.completions.create(**ASKED, stream=True) as stream:
        next(stream)
        next(stream)
    [span] = enriched.get_finished_spans()
    assert span.attributes["otel_llm.cost.total"] > 0
    assert span.attributes["otel_llm.cost.estimated"] is True
    assert span.attributes["otel_llm.usage.source"] == "estimated"
    assert "gen_ai.usage.input_tokens" not in span.attributes
