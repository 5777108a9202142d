"""Acceptance 2 for every other provider: whatever of ours raises, an app sees what it sees without us.

Each provider's calls (whole, streamed, streamed and left, refused) run once without hooks, and once for each part
replaced by one that raises: extractors, accumulators' steps, a span processor, instruments, admissions that fail open.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import itertools
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.trace import SpanProcessor

from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.outlet import FixedOutlet, Outlet
from otel_llm.instrumentation.provider import Endpoint
from otel_llm.instrumentation.settings import settings_from
from tests.instrumentation.recording import Recording
from tests.sdks.answers import Answer, Answers, events, lines, named_events
from tests.sdks.eventstream import KIND, message

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # importing it fetches prices otherwise
EVERYTHING = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_AND_EVENT"}
HI = [{"role": "user", "content": "Hi"}]
COUNTS = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}

Ask = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider's SDK and how it is asked.

    Attributes:
        library: its import name.
        whole: the end of a path and its answer, asked for all at once.
        stream: likewise, asked for in chunks.
        ask: makes, for a server, what asks: with True for a stream.
    """

    library: str
    whole: tuple[str, Answer]
    stream: tuple[str, Answer]
    ask: Callable[[Answers], Ask]


def chat(text: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    base = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "system_fingerprint": "x"}
    return {**base, "choices": [choice], "usage": COUNTS}


def chunk(text: str, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": finish}
    base = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "system_fingerprint": "x"}
    return {**base, "choices": [choice]}


CHAT = ("/chat/completions", Answer(chat("Paris")))
CHUNKS = ("/chat/completions", events(chunk("a"), chunk("b"), chunk("", "stop"), done=True))


def google(server: Answers) -> Ask:
    genai = importlib.import_module("google.genai")
    client = genai.Client(api_key="any", vertexai=False, http_options={"base_url": server.url})
    return lambda stream: getattr(client.models, f"generate_content{'_stream' * stream}")(
        model="gemini-2.5-flash", contents="Hi"
    )


def generated(text: str, finish: str | None = "STOP") -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": finish, "index": 0}
    return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 2, "candidatesTokenCount": 1}}


def bedrock(server: Answers) -> Ask:
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}
    config = importlib.import_module("botocore.config").Config(retries={"total_max_attempts": 1})
    client = importlib.import_module("boto3").client("bedrock-runtime", endpoint_url=server.url, config=config, **keys)
    asked = {"modelId": "us.amazon.nova-micro-v1:0", "messages": [{"role": "user", "content": [{"text": "Hi"}]}]}

    def ask(stream: bool) -> Any:  # noqa: FBT001 - as all of these
        found = client.converse_stream(**asked)["stream"] if stream else client.converse(**asked)
        if not stream:
            found.pop("ResponseMetadata")  # when it came
        return found

    return ask


def aio_bedrock(server: Answers) -> Ask:
    """The same through aiobotocore; what it answers with is read here, as the app of a synchronous SDK would."""
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}
    config = importlib.import_module("aiobotocore.config").AioConfig(retries={"total_max_attempts": 1})
    session = importlib.import_module("aiobotocore.session").get_session()
    loop = asyncio.new_event_loop()
    made = session.create_client("bedrock-runtime", endpoint_url=server.url, config=config, **keys)
    client = loop.run_until_complete(made.__aenter__())
    asked = {"modelId": "us.amazon.nova-micro-v1:0", "messages": [{"role": "user", "content": [{"text": "Hi"}]}]}

    def ask(stream: bool) -> Any:  # noqa: FBT001 - as all of these
        found = loop.run_until_complete(client.converse_stream(**asked) if stream else client.converse(**asked))
        if stream:
            return read(found["stream"])
        found.pop("ResponseMetadata")  # when it came
        return found

    def read(events: Any) -> Iterator[Any]:
        assert type(events).__name__ == "AioEventStream"
        each = aiter(events)
        while (event := loop.run_until_complete(anext(each, None))) is not None:
            yield event

    def close() -> None:
        loop.run_until_complete(made.__aexit__(None, None, None))
        loop.close()

    weakref.finalize(ask, close)
    return ask


CONVERSED = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Paris"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 7, "outputTokens": 9, "totalTokens": 16},
    "metrics": {"latencyMs": 1},
}
CONVERSING = (
    message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "a"}}),
    message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "b"}}),
    message("messageStop", {"stopReason": "end_turn"}),
    message("metadata", {"usage": CONVERSED["usage"], "metrics": {"latencyMs": 1}}),
)


def mistral(server: Answers) -> Ask:
    try:
        made = importlib.import_module("mistralai.client").Mistral
    except ImportError:
        made = importlib.import_module("mistralai").Mistral
    client = made(api_key="any", server_url=server.url)
    return lambda stream: getattr(client.chat, "stream" if stream else "complete")(model="m", messages=HI)


def cohere(server: Answers) -> Ask:
    client = importlib.import_module("cohere").ClientV2("any", base_url=server.url)
    return lambda stream: getattr(client, f"chat{'_stream' * stream}")(model="command-r", messages=HI)


COHERE_END = {"finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 5.0, "output_tokens": 7.0}}}
COHERE_SAID = {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "a"}}}}
COHERE = {"id": "co-1", "message": {"role": "assistant", "content": [{"type": "text", "text": "Paris"}]}, **COHERE_END}


def ollama(server: Answers) -> Ask:
    client = importlib.import_module("ollama").Client(server.url)
    return lambda stream: client.chat("llama3", HI, stream=stream)


def piece(text: str, *, done: bool = False) -> dict[str, Any]:
    counts = {"done_reason": "stop", "prompt_eval_count": 20, "eval_count": 7} if done else {}
    return {"model": "llama3", "message": {"role": "assistant", "content": text}, "done": done, **counts}


def huggingface(server: Answers) -> Ask:
    client = importlib.import_module("huggingface_hub").InferenceClient(base_url=server.url + "/v1", api_key="any")
    return lambda stream: client.chat.completions.create(messages=HI, model="llama", stream=stream)


def litellm(server: Answers) -> Ask:
    module = importlib.import_module("litellm")
    asked = {"model": "openai/gpt-4o", "messages": HI, "api_base": server.url, "api_key": "any", "max_retries": 0}
    return lambda stream: module.completion(**asked, stream=stream)


def groq(server: Answers) -> Ask:
    client = importlib.import_module("groq").Groq(base_url=server.url, api_key="any", max_retries=0)
    return lambda stream: client.chat.completions.create(model="m", messages=HI, stream=stream)


def together(server: Answers) -> Ask:
    client = importlib.import_module("together").Together(base_url=server.url, api_key="any", max_retries=0)
    return lambda stream: client.chat.completions.create(model="m", messages=HI, stream=stream)


PROVIDERS = (
    Provider(
        "google.genai",
        (":generateContent", Answer(generated("Paris"))),
        (":streamGenerateContent", events(generated("a", None), generated("b"))),
        google,
    ),
    Provider(
        "botocore",
        ("/converse", Answer(CONVERSED)),
        ("/converse-stream", Answer(chunks=CONVERSING, kind=KIND)),
        bedrock,
    ),
    Provider(
        "aiobotocore",
        ("/converse", Answer(CONVERSED)),
        ("/converse-stream", Answer(chunks=CONVERSING, kind=KIND)),
        aio_bedrock,
    ),
    Provider("mistralai", CHAT, ("/chat/completions", CHUNKS[1]), mistral),
    Provider(
        "cohere",
        ("/v2/chat", Answer(COHERE)),
        (
            "/v2/chat",
            named_events(
                ("content-delta", COHERE_SAID),
                ("content-delta", COHERE_SAID),
                ("message-end", {"type": "message-end", "delta": COHERE_END}),
            ),
        ),
        cohere,
    ),
    Provider(
        "ollama",
        ("/api/chat", Answer(piece("Paris", done=True))),
        ("/api/chat", lines(piece("a"), piece("b"), piece("", done=True))),
        ollama,
    ),
    Provider("huggingface_hub", CHAT, CHUNKS, huggingface),
    Provider("litellm", CHAT, CHUNKS, litellm),
    Provider("groq", CHAT, CHUNKS, groq),
    Provider("together", CHAT, CHUNKS, together),
)
REFUSED = Answer({"message": "no", "error": {"message": "no", "code": 400}}, status=400)


def outcomes(provider: Provider, server: Answers) -> dict[str, object]:
    """What an app sees of each way to call."""
    ask = provider.ask(server)
    found: dict[str, object] = {}
    server.answers = dict([provider.whole])
    found["whole"] = plain(ask(stream=False))
    server.answers = dict([provider.stream])
    found["stream"] = [plain(one) for one in ask(stream=True)]
    left = ask(stream=True)
    found["left"] = plain(next(iter(left))), type(left).__name__
    del left
    for stream in (False, True):
        server.answers = {"": REFUSED}
        try:
            list(ask(stream=True)) if stream else ask(stream=False)
        except Exception as error:  # noqa: BLE001 - each SDK has its own
            found[f"refused {stream}"] = (type(error), type(error.__cause__))
    return found


def plain(answer: Any) -> object:
    """An answer as data, without what is made anew for each."""
    data = answer.model_dump() if hasattr(answer, "model_dump") else answer
    return (type(answer), scrubbed(data))


def scrubbed(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: scrubbed(item) for key, item in data.items() if key not in ("id", "created", "sdk_http_response")}
    if isinstance(data, list | tuple):
        return [scrubbed(item) for item in data]
    return data if isinstance(data, str | int | float | bool | None) else str(type(data))


class WeirdError(BaseException):
    """Nothing that `except Exception` catches."""


ERRORS: Iterator[type[BaseException]] = itertools.cycle([RuntimeError, WeirdError])


def raiser(*_: object, **__: object) -> Any:
    raise next(ERRORS)("a defect")


class Broken:
    """An object all of whose methods raise."""

    def __getattr__(self, name: str) -> Any:
        return raiser


class BrokenStep:
    """An accumulator with one step that raises."""

    def __init__(self, inner: Any, step: str) -> None:
        self._inner, self._step = inner, step

    def __getattr__(self, name: str) -> Any:
        if name != self._step:
            return getattr(self._inner, name)
        if callable(getattr(self._inner, name)):
            return raiser
        return raiser()


class BrokenEngine(Engine):
    """An engine whose endpoints have a part that raises."""

    broken: Callable[[Endpoint], Endpoint] = staticmethod(lambda endpoint: endpoint)

    def begin(self, endpoint: Endpoint, *args: Any, **kwargs: Any) -> Any:
        return super().begin(self.broken(endpoint), *args, **kwargs)


def field(name: str) -> Callable[[Endpoint], Endpoint]:
    return lambda endpoint: dataclasses.replace(endpoint, **{name: raiser})


def step(name: str) -> Callable[[Endpoint], Endpoint]:
    def broken(endpoint: Endpoint) -> Endpoint:
        make = endpoint.accumulator
        if make is None:
            return endpoint
        return dataclasses.replace(endpoint, accumulator=lambda captured: BrokenStep(make(captured), name))

    return broken


FIELDS = ("request", "response", "input", "output", "accumulator")
STEPS = ("add", "attributes", "output", "output_estimate", "is_complete")
PARTS = ("instruments", "logger", "tracer")


class FailsOpen:
    name = "broken"
    on_error = "allow"
    admit = staticmethod(raiser)


class BrokenProcessor(SpanProcessor):
    on_start = on_end = staticmethod(raiser)


def engines() -> Iterator[tuple[str, BrokenEngine]]:
    """Engines each of which has one part that raises."""
    for name, broken in [*((f, field(f)) for f in FIELDS), *((s, step(s)) for s in STEPS)]:
        engine = engine_of(Recording())
        engine.broken = broken  # type: ignore[method-assign] # what it is for
        yield f"{name} {broken.__qualname__}", engine
    for part in PARTS:
        engine = engine_of(Recording())
        setattr(engine.outlet(), part, Broken())
        yield part, engine
    yield "processor", engine_of(Recording(processors=[BrokenProcessor()]))
    yield "admission", engine_of(Recording(), [FailsOpen()])
    for seam in ("ambient", "ended"):
        engine = engine_of(Recording())
        setattr(engine, seam, raiser)
        yield seam, engine


def engine_of(recording: Recording, admissions: Sequence[Any] = ()) -> BrokenEngine:
    outlet = Outlet(recording.tracers, recording.meters, recording.loggers)
    return BrokenEngine(FixedOutlet(outlet), settings_from(EVERYTHING), admissions=admissions)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.library)
def test_2_whatever_of_ours_raises_the_app_sees_what_it_sees_without_us(provider, server):
    module = {"botocore": "boto3"}.get(provider.library, provider.library)
    pytest.importorskip(module, reason=f"{module} is not installed; see tests/sdks/README.md")
    expected = outcomes(provider, server)
    recording = Recording()
    with recording.hooked(provider.library, engine=engine_of(recording)):
        assert outcomes(provider, server) == expected
    assert len(recording.spans) == len(expected) == 5
    for name, engine in engines():
        with recording.hooked(provider.library, engine=engine):
            assert outcomes(provider, server) == expected, name
        # Not each part has something to do for each provider; the app must see the same all the same.
        assert engine.boundary.failures > 0 or name.startswith(("response", "output", "is_complete", "input")), name
