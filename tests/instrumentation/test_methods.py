"""The hook for SDKs without a choke point, on an SDK made up for it."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import types
from collections.abc import AsyncIterator, Iterator

import pytest
from opentelemetry import context

from otel_llm.admission import ALLOW
from otel_llm.errors import DeniedError
from otel_llm.instrumentation.methods import Method, Request, by_attribute, install_methods
from otel_llm.instrumentation.patches import Patches
from otel_llm.instrumentation.provider import Content, Endpoint, Server
from otel_llm.testing import ScriptedAdmission

SDK = "tests_made_up_sdk"
SERVER = Server("made_up", {"gen_ai.provider.name": "made_up"})


class Events:
    """A stream object that keeps its iterator in an attribute."""

    def __init__(self, words: list[str]) -> None:
        self.generator = iter(words)

    def __iter__(self) -> Iterator[str]:
        yield from self.generator


class Chat:
    def complete(self, prompt: str, *, model: str) -> dict[str, object]:
        if prompt == "fail":
            raise LookupError(prompt)
        return {"text": f"{model}: {prompt}", "tokens": 3}

    async def complete_async(self, prompt: str, *, model: str) -> dict[str, object]:
        await asyncio.sleep(0)
        return self.complete(prompt, model=model)

    def stream(self, prompt: str, *, model: str) -> Events:
        return Events([model, prompt])


def ask(prompt: str, *, model: str) -> Iterator[str]:
    yield from (model, prompt)


async def ask_async(prompt: str, *, model: str) -> AsyncIterator[str]:
    for word in (model, prompt):
        await asyncio.sleep(0)
        yield word


class Words:
    def __init__(self, captured: bool) -> None:  # noqa: FBT001 - the accumulator's signature
        self._words: list[str] = []
        self.is_complete = False
        self._captured = captured

    def add(self, chunk: str) -> None:
        self._words.append(chunk)

    @property
    def output_estimate(self) -> int:
        return len(self._words)

    def attributes(self):
        return {"gen_ai.usage.input_tokens": 1, "gen_ai.usage.output_tokens": len(self._words)}

    def output(self) -> Content:
        return Content()


def replace(body, content):
    return {**body, "prompt": content.messages[0]["parts"][0]["content"]}


ENDPOINT = Endpoint(
    "chat",
    "chat",
    request=lambda body: {"gen_ai.request.model": body["model"]},
    response=lambda answer: {"gen_ai.usage.output_tokens": answer["tokens"]},
    input=lambda body: Content([{"role": "user", "parts": [{"type": "text", "content": body["prompt"]}]}]),
    accumulator=Words,
    replace_input=replace,
)


def find(*, stream):
    def found(_, arguments):
        if arguments["model"] == "none":
            return None
        return Request(ENDPOINT, SERVER, {"prompt": arguments["prompt"], "model": arguments["model"]}, stream)

    return found


TABLE = (
    Method(SDK, "Chat.complete", find(stream=False)),
    Method(SDK, "Chat.complete_async", find(stream=False), hides=True),
    Method(SDK, "Chat.stream", find(stream=True), by_attribute("generator")),
    Method(SDK, "ask", find(stream=True)),
    Method(SDK, "ask_async", find(stream=True)),
    Method(SDK, "Chat.renamed_since", find(stream=False)),
)


@pytest.fixture
def sdk():
    module = types.ModuleType(SDK)
    module.Chat, module.ask, module.ask_async = type("Chat", (), dict(vars(Chat))), ask, ask_async
    sys.modules[SDK] = module
    yield module
    del sys.modules[SDK]


def install(recording, sdk, **more) -> tuple[Patches, list[str]]:
    patches = Patches()
    return patches, install_methods(TABLE)(recording.engine(**more), patches, sdk)


def test_methods_are_traced_sync_and_async_and_what_is_missing_is_named(recording, sdk):
    before = dict(vars(sdk.Chat))
    patches, missing = install(recording, sdk)
    assert missing == ["Chat.renamed_since"]
    assert sdk.Chat().complete("hi", model="m") == {"text": "m: hi", "tokens": 3}
    assert asyncio.run(sdk.Chat().complete_async("hi", model="m")) == {"text": "m: hi", "tokens": 3}
    patches.restore()
    assert dict(vars(sdk.Chat)) == before
    # The async method of this SDK calls the sync one, which is no call of its own then.
    assert [span.name for span in recording.spans] == ["chat m", "chat m"]
    assert recording.spans[0].attributes["gen_ai.usage.output_tokens"] == 3


def test_an_error_is_the_sdks_own(recording, sdk):
    install(recording, sdk)
    with pytest.raises(LookupError, match="fail"):
        sdk.Chat().complete("fail", model="m")
    assert recording.attributes()["error.type"] == "LookupError"


def test_a_stream_object_stays_the_sdks_own(recording, sdk):
    install(recording, sdk)
    stream = sdk.Chat().stream("hi", model="m")
    assert type(stream) is Events
    assert list(stream) == ["m", "hi"]
    assert recording.attributes()["gen_ai.usage.output_tokens"] == 2


async def collected(chunks):
    return [chunk async for chunk in chunks]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_generator_stays_one_and_asks_when_it_is_asked(recording, sdk, asynchronous):
    install(recording, sdk)
    if asynchronous:
        assert inspect.isasyncgenfunction(sdk.ask_async)
        assert asyncio.run(collected(sdk.ask_async("hi", model="m"))) == ["m", "hi"]
    else:
        assert inspect.isgenerator(sdk.ask("never asked", model="m"))
        assert list(sdk.ask("hi", model="m")) == ["m", "hi"]
    assert recording.attributes()["otel_llm.stream.chunks"] == 2


@pytest.mark.parametrize("way", ["close", "drop", "throw"])
def test_a_generator_that_is_left_ends_its_call_there(recording, sdk, way):
    """Acceptance 1."""
    install(recording, sdk)
    chunks = sdk.ask("hi", model="m")
    next(chunks)
    if way == "close":
        chunks.close()
    elif way == "throw":
        with pytest.raises(KeyError):
            chunks.throw(KeyError("app's"))
    del chunks
    found = recording.attributes()
    assert found["otel_llm.stream.complete"] is False
    assert found["otel_llm.stream.chunks"] == 1


def test_async_generators_left_anywhere_leave_no_context_behind(recording, sdk, caplog):
    """Acceptance 4."""
    install(recording, sdk)

    async def leave():
        before = context.get_current()
        chunks = sdk.ask_async("hi", model="m")
        async for _ in chunks:
            assert context.get_current() == before
            break
        await asyncio.create_task(chunks.aclose())

    with caplog.at_level(logging.DEBUG, "opentelemetry.context"):
        for _ in range(500):
            asyncio.run(leave())
    assert caplog.records == []
    assert len(recording.spans) == 500


def test_a_call_that_is_cancelled_is_cancelled_and_no_error(recording, sdk):
    """Acceptance 6."""

    async def wait(_, prompt, *, model):
        assert (prompt, model) == ("hi", "m")
        await asyncio.Event().wait()

    sdk.Chat.complete_async = wait
    install(recording, sdk)

    async def cancelled():
        task = asyncio.create_task(sdk.Chat().complete_async("hi", model="m"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert recording.attributes()["error.type"] == "asyncio.CancelledError"


def test_what_asks_no_model_is_left_alone(recording, sdk):
    install(recording, sdk, admissions=[ScriptedAdmission(on_error="deny")])
    assert sdk.Chat().complete("hi", model="none")["tokens"] == 3
    assert recording.spans == ()


def test_an_admission_is_obeyed(recording, sdk):
    def redact(operation):
        operation.set("gen_ai.input.messages", [{"role": "user", "parts": [{"type": "text", "content": "[redacted]"}]}])
        return ALLOW

    install(recording, sdk, admissions=[ScriptedAdmission(redact, on_error="deny")])
    assert sdk.Chat().complete("secret", model="m")["text"] == "m: [redacted]"


def test_a_body_that_cannot_be_read_fails_closed_where_an_admission_does(recording, sdk):
    install(recording, sdk, admissions=[ScriptedAdmission(on_error="deny")])
    with pytest.raises(DeniedError):
        sdk.Chat().complete("no model")
