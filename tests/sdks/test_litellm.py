"""LiteLLM under our hook: one call of it is one call, whichever SDK is below."""

from __future__ import annotations

import gc
import json
import os

import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # importing it fetches prices otherwise
litellm = pytest.importorskip("litellm", reason="litellm is not installed; see tests/sdks/README.md")
from litellm import completion as imported_before_the_hook  # noqa: E402

from tests.instrumentation.recording import CONTENT  # noqa: E402
from tests.sdks.answers import Answer, events, named_events  # noqa: E402

MESSAGES = [{"role": "user", "content": "Hi"}]
USAGE = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}
ANSWER = {
    "id": "c-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris"}, "finish_reason": "stop"}],
    "usage": USAGE,
}


def chunk(text=None, finish=None, **more):
    choices = [{"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}]
    base = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-2024-08-06"}
    return {**base, "choices": choices, **more}


@pytest.fixture
def hooked(recording):
    with recording.hooked("litellm", "openai"):
        yield recording


@pytest.fixture
def asked(server):
    return {"model": "openai/gpt-4o", "messages": MESSAGES, "api_base": server.url, "api_key": "any"}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_completion_is_one_span_and_the_sdk_below_reports_nothing(hooked, server, run, asked, asynchronous):
    """Acceptance 12."""
    server.answers["/chat/completions"] = Answer(ANSWER)
    if asynchronous:
        run(litellm.acompletion(**asked, temperature=0))
    else:
        litellm.completion(**asked, temperature=0)
    assert hooked.span().name == "chat gpt-4o"
    found = hooked.attributes()
    assert found["gen_ai.provider.name"] == "openai"
    assert found["gen_ai.response.model"] == "gpt-4o-2024-08-06"
    assert found["gen_ai.usage.input_tokens"] == 20
    assert len(server.asked) == 1


def test_a_function_imported_before_the_hook_is_seen_and_taken_back(recording, server, asked):
    """Acceptance 46."""
    server.answers["/chat/completions"] = Answer(ANSWER)
    original = imported_before_the_hook
    with recording.hooked("litellm"):
        globals()["imported_before_the_hook"](**asked)
    assert len(recording.spans) == 1
    assert imported_before_the_hook is original
    litellm.completion(**asked)
    assert len(recording.spans) == 1
    assert litellm.completion is original


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("reported", [False, True])
def test_a_stream_has_the_providers_usage_or_an_estimate_that_says_so(
    hooked, server, run, asked, reported, asynchronous
):
    """Acceptance 7: LiteLLM's own counts are no usage of the provider's."""
    last = [chunk(usage=USAGE) | {"choices": []}] if reported else []
    server.answers["/chat/completions"] = events(chunk("Par"), chunk("is"), chunk(finish="stop"), *last, done=True)

    asked = {**asked, "stream": True, **({"stream_options": {"include_usage": True}} if reported else {})}

    async def stream():
        return [one async for one in await litellm.acompletion(**asked)]

    if asynchronous:
        run(stream())
    else:
        answer = litellm.completion(**asked)
        assert type(answer).__name__ == "CustomStreamWrapper"
        list(answer)
    found = hooked.attributes()
    assert found["otel_llm.stream.complete"] is True
    assert found["gen_ai.response.finish_reasons"] == ("stop",)
    if reported:
        assert found["gen_ai.usage.input_tokens"] == 20
        assert "otel_llm.usage.source" not in found
    else:
        assert found["otel_llm.usage.source"] == "estimated"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stream_of_a_text_completion_is_one_span_with_its_usage(hooked, server, run, asynchronous):
    def piece(text="", finish=None, **more):
        choices = [{"index": 0, "text": text, "finish_reason": finish}]
        return {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": choices, **more}

    last = piece(usage=USAGE) | {"choices": []}
    server.answers["/completions"] = events(piece("Par"), piece("is"), piece(finish="stop"), last, done=True)
    asked = {"model": "text-completion-openai/m", "prompt": "Capital?", "api_base": server.url, "api_key": "any"}
    asked = {**asked, "stream": True, "stream_options": {"include_usage": True}}

    async def stream():
        return [one async for one in await litellm.atext_completion(**asked)]

    run(stream()) if asynchronous else list(litellm.text_completion(**asked))
    found = hooked.attributes()
    assert found["gen_ai.operation.name"] == "text_completion"
    assert found["otel_llm.stream.complete"] is True
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (20, 7)


@pytest.fixture
def without_gc():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


LONG = events(*(chunk("word ") for _ in range(50)), chunk(finish="stop"), done=True)


@pytest.mark.usefixtures("without_gc")
@pytest.mark.parametrize("read", [0, 1, 10])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_dropped_stream_ends_its_span_at_once_whoever_else_of_litellm_holds_it(
    hooked, server, run, asked, asynchronous, read
):
    """Acceptance 1: LiteLLM's log of a call refers to the stream, and so does its thread pool for a while."""
    server.answers["/chat/completions"] = LONG

    async def stream():
        found = await litellm.acompletion(**asked, stream=True)
        for _ in range(read):
            await anext(found)

    if asynchronous:
        run(stream())
    else:
        found = litellm.completion(**asked, stream=True)
        for _ in range(read):
            next(found)
        assert hooked.spans == ()
        del found
    attributes = hooked.attributes()
    assert attributes["otel_llm.stream.complete"] is False
    assert attributes["otel_llm.stream.chunks"] == read
    assert attributes["otel_llm.usage.source"] == "estimated"


def test_a_closed_stream_is_one_span(hooked, server, asked):
    server.answers["/chat/completions"] = LONG
    stream = litellm.completion(**asked, stream=True)
    next(stream)
    if not hasattr(stream, "close"):
        pytest.skip("early versions have no close")
    stream.close()
    assert hooked.attributes()["otel_llm.stream.complete"] is False
    assert list(stream) == []
    assert len(hooked.spans) == 1


def test_what_the_app_gets_is_a_stream_like_any_other_of_litellms(recording, server, asked):
    """Acceptance 3: its class, its attributes and its state, which what LiteLLM holds of it shares."""
    server.answers["/chat/completions"] = LONG
    bare = litellm.completion(**asked, stream=True)
    with recording.hooked("litellm"):
        seen = litellm.completion(**asked, stream=True)
        assert type(seen) is type(bare)
        assert set(dir(seen)) - set(dir(bare)) == {"_otel_llm_followed"}
        assert iter(seen) is seen
        next(seen)
        logged = seen.logging_obj.model_call_details["original_response"]
        assert logged.chunks is seen.chunks
        assert len(seen.chunks) == 1
        first = len(list(seen))
    assert first == len(list(bare)) - 1


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("reported", [False, True])
def test_a_streamed_text_completion_is_one_span_with_the_usage_of_its_end(
    hooked, server, run, asked, asynchronous, reported
):
    last = [chunk(usage=USAGE) | {"choices": []}] if reported else []
    server.answers["/chat/completions"] = events(chunk("Par"), chunk("is"), chunk(finish="stop"), *last, done=True)
    named = {key: value for key, value in asked.items() if key != "messages"} | {"prompt": "Hi", "stream": True}
    named |= {"stream_options": {"include_usage": True}} if reported else {}

    async def stream():
        found = await litellm.atext_completion(**named)
        return type(found).__name__, [one async for one in found]

    if asynchronous:
        kind, chunks = run(stream())
    else:
        answer = litellm.text_completion(**named)
        kind, chunks = type(answer).__name__, list(answer)
    assert kind == "TextCompletionStreamWrapper"
    assert "".join(one.choices[0].text or "" for one in chunks if one.choices) == "Paris"
    assert hooked.span().name == "text_completion gpt-4o"
    found = hooked.attributes()
    assert found["otel_llm.stream.complete"] is True
    assert found["otel_llm.stream.chunks"] == len(chunks)
    assert found.get("gen_ai.usage.output_tokens") == (7 if reported else None)
    assert found.get("otel_llm.usage.source") == (None if reported else "estimated")


@pytest.mark.usefixtures("without_gc")
def test_a_text_completion_that_is_left_ends_its_span_at_once(hooked, server, asked):
    server.answers["/chat/completions"] = LONG
    named = {key: value for key, value in asked.items() if key != "messages"} | {"prompt": "Hi", "stream": True}
    stream = litellm.text_completion(**named)
    next(stream)
    del stream
    assert hooked.attributes()["otel_llm.stream.complete"] is False


def test_a_provider_that_litellm_calls_itself_is_named(hooked, server):
    answer = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-3-5-sonnet-20241022",
        "content": [{"type": "text", "text": "Paris"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 7, "output_tokens": 9, "cache_read_input_tokens": 100},
    }
    server.answers["/v1/messages"] = Answer(answer)
    base = {"model": "anthropic/claude-3-5-sonnet-20241022", "messages": MESSAGES, "api_key": "any"}
    litellm.completion(**base, api_base=server.url + "/v1/messages")
    found = hooked.attributes()
    assert found["gen_ai.provider.name"] == "anthropic"
    assert found["gen_ai.request.model"] == "claude-3-5-sonnet-20241022"
    assert found["gen_ai.usage.input_tokens"] == 107
    assert found["gen_ai.usage.cache_read.input_tokens"] == 100


def test_streamed_content_is_joined(recording, server, asked):
    server.answers["/chat/completions"] = events(chunk("Par"), chunk("is"), chunk(finish="stop"), done=True)
    with recording.hooked("litellm", environment=CONTENT):
        list(litellm.completion(**asked, stream=True))
    [message] = json.loads(recording.attributes()["gen_ai.output.messages"])
    assert message["parts"] == [{"type": "text", "content": "Paris"}]


def test_embeddings_are_seen(hooked, server):
    data = [{"object": "embedding", "index": 0, "embedding": [0.1]}]
    server.answers["/embeddings"] = Answer(
        {"object": "list", "data": data, "model": "e", "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    )
    litellm.embedding(model="openai/text-embedding-3-small", input=["a"], api_base=server.url, api_key="any")
    assert hooked.span().name == "embeddings text-embedding-3-small"
    assert hooked.attributes()["gen_ai.usage.input_tokens"] == 3


def test_an_error_is_litellms_own(hooked, server, asked):
    server.answers["/chat/completions"] = Answer({"error": {"message": "no"}}, status=400)
    with pytest.raises(litellm.BadRequestError):
        litellm.completion(**asked, max_retries=0)
    assert hooked.attributes()["error.type"] == "litellm.exceptions.BadRequestError"


def test_with_its_own_callback_on_litellm_emits(recording, server, asked, monkeypatch):
    server.answers["/chat/completions"] = Answer(ANSWER)

    class OpenTelemetry(litellm.integrations.custom_logger.CustomLogger):
        pass

    monkeypatch.setattr(litellm, "callbacks", [OpenTelemetry()])
    for name in ("success_callback", "failure_callback", "_async_success_callback", "_async_failure_callback"):
        monkeypatch.setattr(litellm, name, [])
    with recording.hooked("litellm"):
        litellm.completion(**asked)
    assert recording.spans == ()


def test_streams_of_its_own_client_are_read(hooked, server):
    start = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-3-5-sonnet-20241022",
        "content": [],
    }
    server.answers["/v1/messages"] = named_events(
        (
            "message_start",
            {"type": "message_start", "message": {**start, "usage": {"input_tokens": 7, "output_tokens": 1}}},
        ),
        (
            "content_block_start",
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        ),
        (
            "content_block_delta",
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "P"}},
        ),
        ("content_block_stop", {"type": "content_block_stop", "index": 0}),
        (
            "message_delta",
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
        ),
        ("message_stop", {"type": "message_stop"}),
    )
    base = {"model": "anthropic/claude-3-5-sonnet-20241022", "messages": MESSAGES, "api_key": "any"}
    list(litellm.completion(**base, api_base=server.url + "/v1/messages", stream=True))
    found = hooked.attributes()
    assert found["gen_ai.usage.output_tokens"] == 9
    assert found["gen_ai.usage.input_tokens"] == 7


RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "gpt-4o-2024-08-06",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Paris", "annotations": []}],
        }
    ],
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 20,
        "output_tokens": 7,
        "total_tokens": 27,
        "input_tokens_details": {"cached_tokens": 16},
        "output_tokens_details": {"reasoning_tokens": 0},
    },
}
RESPONSE_EVENTS = (
    {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "usage": None}},
    {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": "a"},
    {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": "b"},
    {"type": "response.completed", "response": RESPONSE},
)


def responding(asked):
    return {key: value for key, value in asked.items() if key != "messages"} | {"input": "Hi"}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_response_is_one_span(hooked, server, run, asked, asynchronous):
    server.answers["/responses"] = Answer(RESPONSE)
    if asynchronous:
        run(litellm.aresponses(**responding(asked)))
    else:
        litellm.responses(**responding(asked))
    found = hooked.attributes()
    assert hooked.span().name == "chat gpt-4o"
    assert found["openai.api.type"] == "responses"
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.cache_read.input_tokens"]) == (20, 16)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stream_of_a_response_is_one_span_with_the_usage_of_its_end(hooked, server, run, asked, asynchronous):
    server.answers["/responses"] = events(*RESPONSE_EVENTS)

    async def stream():
        return [event async for event in await litellm.aresponses(**responding(asked), stream=True)]

    seen = run(stream()) if asynchronous else list(litellm.responses(**responding(asked), stream=True))
    assert len(seen) == len(RESPONSE_EVENTS)
    found = hooked.attributes()
    assert (found["otel_llm.stream.complete"], found["otel_llm.stream.chunks"]) == (True, len(RESPONSE_EVENTS))
    assert found["gen_ai.usage.output_tokens"] == 7


@pytest.mark.usefixtures("without_gc")
def test_a_stream_of_a_response_that_is_left_is_one_span_of_a_part(hooked, server, asked):
    server.answers["/responses"] = events(*RESPONSE_EVENTS)
    stream = litellm.responses(**responding(asked), stream=True)
    next(stream), next(stream)
    del stream
    assert hooked.attributes()["otel_llm.stream.complete"] is False


def test_a_response_of_a_provider_without_the_api_is_one_span(hooked, server, asked):
    """LiteLLM asks for a chat completion then."""
    server.answers["/chat/completions"] = Answer(ANSWER)
    litellm.responses(**{**responding(asked), "model": "mistral/mistral-small"})
    assert len(hooked.spans) == 1


def test_reranking_is_one_span(hooked, server):
    answer = {
        "id": "r-1",
        "results": [{"index": 0, "relevance_score": 0.5}],
        "meta": {"billed_units": {"search_units": 1}},
    }
    server.answers["/rerank"] = Answer(answer)
    asked = {"model": "cohere/rerank-v3.5", "query": "Hi", "documents": ["a"], "api_base": server.url, "api_key": "any"}
    litellm.rerank(**asked)
    assert hooked.span().name == "rerank rerank-v3.5"
    assert hooked.attributes()["gen_ai.provider.name"] == "cohere"


def test_an_edited_image_is_one_span(hooked, server):
    details = {"image_tokens": 8, "text_tokens": 3}
    usage = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18, "input_tokens_details": details}
    server.answers["/images/edits"] = Answer({"created": 1, "data": [{"b64_json": "aW1n"}], "usage": usage})
    asked = {"image": b"\x89PNG\r\n\x1a\n", "prompt": "a cat", "api_base": server.url}
    litellm.image_edit(model="openai/gpt-image-1", api_key="any", **asked)
    assert hooked.span().name == "image_generation gpt-image-1"
    assert hooked.attributes()["otel_llm.usage.images"] == 1
    assert len(server.asked) == 1
