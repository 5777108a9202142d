"""The hook for SDKs without a choke point, on an SDK made up for it."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Iterator

import pytest

from otel_llm.admission import ALLOW
from otel_llm.errors import DeniedError
from otel_llm.instrumentation.methods import Method, install_methods, watch_attribute, watch_iterator
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


def method(path: str, **more) -> Method:
    return Method(
        SDK,
        path,
        ENDPOINT,
        body=lambda _, args, kwargs: {"prompt": args[0], **kwargs},
        server=lambda _, __: SERVER,
        with_body=lambda args, kwargs, body: ((*args[:-1], body["prompt"]), kwargs),
        **more,
    )


TABLE = (
    method("Chat.complete"),
    method("Chat.complete_async"),
    method("Chat.stream", stream=lambda _: True, watch_stream=watch_attribute("generator")),
    method("ask", stream=lambda _: True, watch_stream=watch_iterator),
    method("Chat.renamed_since"),
)


@pytest.fixture
def sdk():
    module = types.ModuleType(SDK)
    module.Chat, module.ask = type("Chat", (), dict(vars(Chat))), ask
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


def test_a_plain_iterator_is_watched(recording, sdk):
    install(recording, sdk)
    assert list(sdk.ask("hi", model="m")) == ["m", "hi"]
    assert recording.attributes()["otel_llm.stream.chunks"] == 2


def test_an_admission_is_obeyed(recording, sdk):
    def redact(operation):
        operation.set("gen_ai.input.messages", [{"role": "user", "parts": [{"type": "text", "content": "[redacted]"}]}])
        return ALLOW

    install(recording, sdk, admissions=[ScriptedAdmission(redact, on_error="deny")])
    assert sdk.Chat().complete("secret", model="m")["text"] == "m: [redacted]"


def test_a_body_that_cannot_be_read_fails_closed_where_an_admission_does(recording, sdk):
    install(recording, sdk, admissions=[ScriptedAdmission(on_error="deny")])
    with pytest.raises(DeniedError):
        sdk.Chat().complete(prompt="no positional argument", model="m")
