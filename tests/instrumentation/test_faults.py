"""Acceptance 2: whatever of ours fails, the app gets what an uninstrumented call returns or raises."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any

import openai
import openai._base_client as base
import pytest
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from otel_llm.admission import ALLOW, Decision
from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.patches import Patches
from otel_llm.instrumentation.providers import openai as table
from otel_llm.instrumentation.providers.openai_chat import CHAT, ChatChunks
from otel_llm.instrumentation.stainless import StainlessLibrary, install_stainless
from otel_llm.loopback import LoopbackProvider
from tests.instrumentation.recording import Recording

EVERYTHING = {
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_AND_EVENT",
    "OTEL_LLM_CONTENT": "redacted",
}
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ASKED = {"model": "gpt-4o", "messages": QUESTION, "extra_headers": {"x-loopback": "id=chatcmpl-same"}}


class WeirdError(BaseException):
    """Nothing that `except Exception` catches."""


@pytest.fixture(scope="module")
def provider():
    with LoopbackProvider() as provider:
        yield provider


def outcomes(provider: LoopbackProvider) -> dict[str, object]:
    """What an app sees of each way to call."""
    with openai.OpenAI(base_url=provider.openai_base_url, api_key="any", max_retries=0) as client:
        found = {name: seen(lambda call=call: call(client)) for name, call in SYNC.items()}

    async def run() -> None:
        async with openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="any", max_retries=0) as client:
            for name, call in ASYNC.items():
                try:
                    found[name] = await call(client)
                except openai.OpenAIError as error:
                    found[name] = (type(error), str(error))

    asyncio.run(run())
    return found


def seen(call: Callable[[], object]) -> object:
    try:
        return call()
    except openai.OpenAIError as error:
        return type(error), str(error), type(error.__cause__)


def plain(client):
    return client.chat.completions.create(**ASKED).model_dump_json()


def stream(client):
    return [chunk.model_dump_json() for chunk in client.chat.completions.create(**ASKED, stream=True)]


def stream_left(client):
    with client.chat.completions.create(**ASKED, stream=True) as chunks:
        return [next(chunks).model_dump_json() for _ in range(3)], type(chunks)


def raw(client):
    answer = client.chat.completions.with_raw_response.create(**ASKED)
    return type(answer), answer.parse().model_dump_json()


def raw_stream(client):
    with client.chat.completions.with_streaming_response.create(**ASKED, stream=True) as answer:
        return list(answer.iter_lines())


def fails(client):
    return client.chat.completions.create(**{**ASKED, "model": "err400"})


def cut(client):
    headers = {"x-loopback": "id=chatcmpl-same;drop_after=3"}
    return list(client.chat.completions.create(**{**ASKED, "extra_headers": headers}, stream=True))


async def async_plain(client):
    return (await client.chat.completions.create(**ASKED)).model_dump_json()


async def async_stream(client):
    return [chunk.model_dump_json() async for chunk in await client.chat.completions.create(**ASKED, stream=True)]


async def async_fails(client):
    return await client.chat.completions.create(**{**ASKED, "model": "err400"})


SYNC = {call.__name__: call for call in (plain, stream, stream_left, raw, raw_stream, fails, cut)}
ASYNC = {call.__name__: call for call in (async_plain, async_stream, async_fails)}


@pytest.fixture(scope="module")
def uninstrumented(provider: LoopbackProvider) -> Mapping[str, object]:
    return outcomes(provider)


def raiser(error: type[BaseException]) -> Any:
    def fail(*_: object, **__: object) -> Any:
        raise error("a defect")

    return fail


ERRORS = [RuntimeError, WeirdError]
FIELDS = ["request", "response", "input", "output", "accumulator"]
STEPS = ["add", "attributes", "output", "output_estimate", "is_complete"]


def install(endpoint: Any, engine: Engine) -> Patches:
    patches = Patches()
    library = StainlessLibrary("openai", lambda *_: endpoint, table.provider)
    assert install_stainless(library)(engine, patches, base) == []
    return patches


def outcomes_with(endpoint: Any, engine: Engine, provider: LoopbackProvider) -> dict[str, object]:
    patches = install(endpoint, engine)
    try:
        return outcomes(provider)
    finally:
        patches.restore()


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("field", FIELDS)
def test_an_extractor_that_raises_changes_nothing(recording, provider, uninstrumented, field, error):
    engine = recording.engine(EVERYTHING)
    broken = dataclasses.replace(CHAT, **{field: raiser(error)})
    assert outcomes_with(broken, engine, provider) == uninstrumented
    assert engine.boundary.failures > 0
    assert len(recording.spans) == len(SYNC) + len(ASYNC)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("step", STEPS)
def test_an_accumulator_that_raises_changes_nothing(recording, provider, uninstrumented, step, error):
    broken_member = raiser(error) if step in ("add", "attributes", "output") else property(raiser(error))
    broken = type("Broken", (ChatChunks,), {step: broken_member})
    engine = recording.engine(EVERYTHING)
    assert outcomes_with(dataclasses.replace(CHAT, accumulator=broken), engine, provider) == uninstrumented
    assert engine.boundary.failures > 0
    assert len(recording.spans) == len(SYNC) + len(ASYNC)


class BrokenProcessor(SpanProcessor):
    def __init__(self, method: str, error: type[BaseException]) -> None:
        setattr(self, method, raiser(error))


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("method", ["on_start", "on_end"])
def test_a_span_processor_that_raises_changes_nothing(provider, uninstrumented, method, error):
    engine = Recording(processors=[BrokenProcessor(method, error)]).engine(EVERYTHING)
    assert outcomes_with(CHAT, engine, provider) == uninstrumented
    assert engine.boundary.failures > 0


def test_an_exporter_that_raises_changes_nothing(provider, uninstrumented):
    class Broken(SpanExporter):
        export = raiser(RuntimeError)

    engine = Recording(processors=[SimpleSpanProcessor(Broken())]).engine(EVERYTHING)
    assert outcomes_with(CHAT, engine, provider) == uninstrumented


def test_a_sampler_that_raises_changes_nothing(provider, uninstrumented):
    class Broken(Sampler):
        should_sample = raiser(RuntimeError)

        def get_description(self) -> str:
            return "broken"

    engine = Recording(sampler=Broken()).engine(EVERYTHING)
    assert outcomes_with(CHAT, engine, provider) == uninstrumented
    assert engine.boundary.failures > 0


class Broken:
    """An object all of whose methods raise."""

    def __init__(self, error: type[BaseException]) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return raiser(self._error)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("part", ["instruments", "logger", "tracer"])
def test_instruments_loggers_and_tracers_that_raise_change_nothing(recording, provider, uninstrumented, part, error):
    engine = recording.engine(EVERYTHING)
    setattr(engine._outlets.current(), part, Broken(error))
    assert outcomes_with(CHAT, engine, provider) == uninstrumented
    assert engine.boundary.failures > 0


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("part", ["ambient", "ended"])
def test_what_others_hang_into_the_engine_may_raise(recording, provider, uninstrumented, part, error):
    engine = recording.engine(EVERYTHING)
    setattr(engine, part, raiser(error))
    assert outcomes_with(CHAT, engine, provider) == uninstrumented
    assert engine.boundary.failures > 0


def test_a_redactor_that_raises_leaves_the_content_out(recording, provider, uninstrumented):
    """Acceptance 22: fail closed."""
    engine = recording.engine(EVERYTHING)
    engine.redact_with(raiser(RuntimeError))
    assert outcomes_with(CHAT, engine, provider) == uninstrumented
    assert not any("gen_ai.input.messages" in (span.attributes or {}) for span in recording.spans)
    assert engine.boundary.failures > 0


class FailsOpen:
    name = "broken"
    on_error = "allow"
    admit = staticmethod(raiser(RuntimeError))


def test_an_admission_that_raises_and_fails_open_changes_nothing(recording, provider, uninstrumented):
    engine = recording.engine(EVERYTHING, admissions=[FailsOpen()])
    assert outcomes_with(CHAT, engine, provider) == uninstrumented
    assert engine.boundary.failures > 0


def test_failures_are_logged_once_a_minute_and_site_without_content(recording, provider, caplog):
    engine = recording.engine(EVERYTHING)
    patches = install(dataclasses.replace(CHAT, response=raiser(RuntimeError)), engine)
    try:
        with caplog.at_level(logging.WARNING), openai.OpenAI(base_url=provider.openai_base_url, api_key="k") as client:
            for _ in range(5):
                client.chat.completions.create(**ASKED)
    finally:
        patches.restore()
    assert engine.boundary.failures == 5
    [errors] = recording.points()["otel_llm.instrumentation.errors"]
    assert errors.value == 5
    assert dict(errors.attributes) == {
        "otel_llm.instrumentation.site": "openai.chat.response",
        "error.type": "RuntimeError",
    }
    [record] = [record for record in caplog.records if record.name.startswith("otel_llm")]
    assert "openai.chat.response failed with RuntimeError" in record.getMessage()
    assert "a defect" not in record.getMessage()


def test_a_keyboard_interrupt_in_our_code_still_stops_the_app(recording, provider):
    patches = install(dataclasses.replace(CHAT, response=raiser(KeyboardInterrupt)), recording.engine())
    try:
        with pytest.raises(KeyboardInterrupt), openai.OpenAI(base_url=provider.openai_base_url, api_key="k") as client:
            client.chat.completions.create(**ASKED)
    finally:
        patches.restore()


def test_an_admission_without_an_opinion_changes_nothing(recording, provider, uninstrumented):
    class Allows:
        name = "quiet"
        on_error = "deny"

        def admit(self, operation: Any) -> Decision:
            assert operation.input_messages
            return ALLOW

    engine = recording.engine(admissions=[Allows()])
    assert outcomes_with(CHAT, engine, provider) == uninstrumented
    assert engine.boundary.failures == 0
