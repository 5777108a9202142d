"""Ten thousand streams that apps leave or cancel, over all SDKs: a span each, and nothing else is left of them.

Acceptance 1, 4, 6 and 52. The OpenAI and Anthropic SDKs are in tests/instrumentation/test_streams.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace

from tests.instrumentation.recording import Recording, left_of_calls
from tests.sdks.answers import Answers
from tests.sdks.test_faults import HI, PROVIDERS, Provider

# 9 SDKs by themselves and 8 of them with asyncio: 10,200 in all.
STREAMS, BATCH = 600, 60
# Objects for each stream that may be more at the end than after the first batches: SDKs' own. A call of ours is more.
MOST_OBJECTS = 5

AsksLater = Callable[[], Awaitable[Any]]


def google(server: Answers) -> AsksLater:
    genai = importlib.import_module("google.genai")
    client = genai.Client(api_key="any", vertexai=False, http_options={"base_url": server.url})
    return lambda: client.aio.models.generate_content_stream(model="gemini-2.5-flash", contents="Hi")


def mistral(server: Answers) -> AsksLater:
    try:
        made = importlib.import_module("mistralai.client").Mistral
    except ImportError:
        made = importlib.import_module("mistralai").Mistral
    client = made(api_key="any", server_url=server.url)
    return lambda: client.chat.stream_async(model="m", messages=HI)


def cohere(server: Answers) -> AsksLater:
    client = importlib.import_module("cohere").AsyncClientV2("any", base_url=server.url)

    async def ask() -> Any:
        return client.chat_stream(model="command-r", messages=HI)

    return ask


def ollama(server: Answers) -> AsksLater:
    client = importlib.import_module("ollama").AsyncClient(server.url)
    return lambda: client.chat("llama3", HI, stream=True)


def huggingface(server: Answers) -> AsksLater:
    made = importlib.import_module("huggingface_hub").AsyncInferenceClient
    client = made(base_url=server.url + "/v1", api_key="any")
    return lambda: client.chat.completions.create(messages=HI, model="llama", stream=True)


def litellm(server: Answers) -> AsksLater:
    module = importlib.import_module("litellm")
    asked = {"model": "openai/gpt-4o", "messages": HI, "api_base": server.url, "api_key": "any", "max_retries": 0}
    return lambda: module.acompletion(**asked, stream=True)


def groq(server: Answers) -> AsksLater:
    client = importlib.import_module("groq").AsyncGroq(base_url=server.url, api_key="any", max_retries=0)
    return lambda: client.chat.completions.create(model="m", messages=HI, stream=True)


def together(server: Answers) -> AsksLater:
    client = importlib.import_module("together").AsyncTogether(base_url=server.url, api_key="any", max_retries=0)
    return lambda: client.chat.completions.create(model="m", messages=HI, stream=True)


LATER: dict[str, Callable[[Answers], AsksLater]] = {
    "google.genai": google,
    "mistralai": mistral,
    "cohere": cohere,
    "ollama": ollama,
    "huggingface_hub": huggingface,
    "litellm": litellm,
    "groq": groq,
    "together": together,
}


class LostInterestError(Exception):
    """What an app's own code raises while it reads."""


def leave(stream: Any, position: int) -> None:
    """Read a chunk, and leave in one of three ways."""
    next(iter(stream))
    if position % 3 == 0:
        getattr(stream, "close", lambda: None)()
    elif position % 3 == 1:
        raise LostInterestError


async def read(asked: Awaitable[Any], position: int) -> None:
    """Read a chunk; return, or be cancelled from within or from without."""
    async for _ in await asked:
        if position % 3 == 0:
            return
        if position % 3 == 1:
            raise asyncio.CancelledError
        await asyncio.Event().wait()


class Counted:
    """The spans of what runs within a span of the app, and what is alive meanwhile."""

    def __init__(self, recording: Recording, server: Answers) -> None:
        self._recording = recording
        self._server = server
        self._alive: list[int] = []
        self.spans = 0
        self.parents: set[int] = set()

    def batch(self) -> None:
        """A batch is over."""
        self.spans += len(self._recording.spans)
        self.parents |= {span.parent.span_id for span in self._recording.spans if span.parent is not None}
        self._recording.clear()
        self._server.asked.clear()
        gc.collect()
        self._alive.append(len(gc.get_objects()))

    @property
    def growth(self) -> float:
        """Objects that each stream has left, after those of the first batches."""
        warm = len(self._alive) // 3
        least = [min(self._alive[warm : 2 * warm]), min(self._alive[2 * warm :])]
        return (least[1] - least[0]) / (warm * BATCH)


@pytest.fixture
def counted(recording: Recording, server: Answers) -> Iterator[Counted]:
    """Garbage is collected between batches: LiteLLM's streams are in cycles, with or without hooks.

    A collection in the middle of a request may close one of them while httpcore holds the lock that closing it takes.
    """
    gc.collect()
    gc.disable()
    yield Counted(recording, server)
    gc.enable()


def served(provider: Provider, server: Answers) -> None:
    module = {"botocore": "boto3"}.get(provider.library, provider.library)
    pytest.importorskip(module, reason=f"{module} is not installed; see tests/sdks/README.md")
    server.answers = dict([provider.stream])


def check(recording: Recording, counted: Counted, caplog: pytest.LogCaptureFixture, outer: int) -> None:
    gc.collect()
    counted.spans += len(recording.spans)
    assert counted.spans == STREAMS
    assert counted.parents == {outer}
    assert len(left_of_calls()) <= 1  # of all of them, the last one at most
    assert counted.growth < MOST_OBJECTS
    assert [record for record in caplog.records if record.name.startswith(("opentelemetry", "otel_llm"))] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.library)
def test_left_streams_are_a_span_each_and_no_memory(provider, recording, server, counted, caplog):
    """Acceptance 1, 4, 52."""
    served(provider, server)
    outer = recording.tracers.get_tracer("app").start_span("app")
    with caplog.at_level(logging.WARNING), recording.hooked(provider.library), trace.use_span(outer):
        for start in range(0, STREAMS, BATCH):
            ask = provider.ask(server)  # some SDKs' clients keep the responses of streams that were left
            for position in range(start, start + BATCH):
                with contextlib.suppress(LostInterestError):
                    leave(ask(stream=True), position)
                assert trace.get_current_span() is outer
            del ask
            counted.batch()
    check(recording, counted, caplog, outer.get_span_context().span_id)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("provider", [one for one in PROVIDERS if one.library in LATER], ids=lambda one: one.library)
def test_left_and_cancelled_asynchronous_streams_are_a_span_each_and_no_memory(
    provider, recording, server, counted, caplog
):
    """Acceptance 1, 4, 6, 52."""
    served(provider, server)
    outer = recording.tracers.get_tracer("app").start_span("app")

    async def app():
        for start in range(0, STREAMS, BATCH):
            ask = LATER[provider.library](server)
            tasks = [asyncio.create_task(read(ask(), position)) for position in range(start, start + BATCH)]
            _, waiting = await asyncio.wait(tasks, timeout=0.01)
            while len(waiting) > BATCH // 3:
                _, waiting = await asyncio.wait(waiting, timeout=0.01)
            for one in waiting:
                one.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(one) for one in ended} == {type(None), asyncio.CancelledError}
            del ask, tasks, waiting, ended
            for _ in range(3):
                await asyncio.sleep(0)
            assert trace.get_current_span() is outer
            counted.batch()

    with caplog.at_level(logging.WARNING), recording.hooked(provider.library), trace.use_span(outer):
        asyncio.run(app())
    check(recording, counted, caplog, outer.get_span_context().span_id)
