"""Measures one instrumentation in the environment it is installed in; prints a JSON line. Run by hooks.py.

    python hooks_worker.py NAME none|content

Imports nothing of otel_llm but where NAME is ours: the peers' environments do not have it. Transport is in-process.

What an instrumentation changes in the SDKs is noted once, and from then on put in and taken out by setting those
attributes: all are treated alike, those that cannot be taken out included. Each round takes the CPU time of a few calls
without and a few calls with it, the next round the other way around, and a call in between that does not count, for the
interpreter forgets what it knew of a class that was changed. `none` sets the attributes that ours would to what they
were: what comes out for it is the error of the method.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import importlib.metadata
import json
import os
import pkgutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

NAME, MODE = sys.argv[1:]
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
if MODE == "content":
    # openlit takes whatever is not `true` for false.
    os.environ[CAPTURE] = "true" if NAME == "openlit" else "SPAN_ONLY"
    os.environ["TRACELOOP_TRACE_CONTENT"] = "true"
    os.environ["OTEL_LLM_CONTENT_LIMIT_BYTES"] = "1000000"  # the others have no limit
else:
    os.environ[CAPTURE] = "false" if NAME == "openlit" else "NO_CONTENT"
    os.environ["TRACELOOP_TRACE_CONTENT"] = "false"
    os.environ["OPENINFERENCE_HIDE_INPUTS"] = os.environ["OPENINFERENCE_HIDE_OUTPUTS"] = "true"
os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"

import anthropic
import openai
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

# The HTTP client that this SDK talks through: openai 3 and anthropic 1 changed to httpx2.
httpx = getattr(openai._base_client, "httpx2", None) or openai._base_client.httpx

FEW, MANY = 2, 102
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello there"},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {
        "prompt_tokens": 1000,
        "completion_tokens": 5,
        "total_tokens": 1005,
        "prompt_tokens_details": {"cached_tokens": 100, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    },
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4-8",
    "content": [{"type": "text", "text": "Hello there"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 0},
}


def chat_events(number: int) -> bytes:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-2024-08-06"}
    chunks = [{**base, "choices": [{"index": 0, "delta": {"content": "tok "}, "finish_reason": None}]}] * number
    chunks.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks.append({**base, "choices": [], "usage": CHAT["usage"]})
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def message_events(number: int) -> bytes:
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "tok "}}
    events = [
        {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *[delta] * number,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": number}},
        {"type": "message_stop"},
    ]
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


BODIES = {
    "chat": json.dumps(CHAT).encode(),
    "message": json.dumps(MESSAGE).encode(),
    **{f"chat {number}": chat_events(number) for number in (FEW, MANY)},
    **{f"message {number}": message_events(number) for number in (FEW, MANY)},
}


def answer(request: httpx.Request) -> httpx.Response:
    kind = "message" if request.url.path.endswith("/messages") else "chat"
    number = request.headers.get("x-chunks")
    content_type = "application/json" if number is None else "text/event-stream"
    body = BODIES[kind if number is None else f"{kind} {number}"]
    return httpx.Response(200, headers={"content-type": content_type}, content=body)


class Drop(SpanProcessor):
    """Ends of spans go nowhere. While it counts, it tells how many there were and what they hold."""

    def __init__(self) -> None:
        self.is_counting = False
        self.spans = 0
        self.size = 0

    def on_end(self, span: ReadableSpan) -> None:
        """Count it, when asked to."""
        if self.is_counting:
            self.spans += 1
            for attributes in (span.attributes, *(event.attributes for event in span.events)):
                self.size += sum(len(str(value)) for value in (attributes or {}).values())


DROP = Drop()
TRACERS = TracerProvider(shutdown_on_exit=False)
TRACERS.add_span_processor(DROP)
METERS = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
trace.set_tracer_provider(TRACERS)
metrics.set_meter_provider(METERS)

TEN_MESSAGES = [
    {"role": "assistant" if number % 2 else "user", "content": f"{number}: " + "hello " * 20} for number in range(10)
]
TOOLS = [
    {
        "name": f"f{number}",
        "description": "d" * 80,
        "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
    }
    for number in range(5)
]
OPENAI_TOOLS = [{"type": "function", "function": tool} for tool in TOOLS]
LARGE = [{"role": "user", "content": "hello " * 17_067}]  # 100 KB
SMALL = [{"role": "user", "content": "hello"}]

transport = httpx.MockTransport(answer)
client = openai.OpenAI(api_key="k", http_client=httpx.Client(transport=transport))
async_client = openai.AsyncOpenAI(api_key="k", http_client=httpx.AsyncClient(transport=transport))
claude = anthropic.Anthropic(api_key="k", http_client=httpx.Client(transport=transport))
async_claude = anthropic.AsyncAnthropic(api_key="k", http_client=httpx.AsyncClient(transport=transport))
loop = asyncio.new_event_loop()


ASKED = {"model": "claude-opus-4-8", "max_tokens": 100, "messages": TEN_MESSAGES}


def chat(**more: object) -> dict[str, object]:
    return {"model": "gpt-4o", "messages": TEN_MESSAGES, "tools": OPENAI_TOOLS, "temperature": 0.5, **more}


def chunked(number: int) -> dict[str, object]:
    return {"stream": True, "extra_headers": {"x-chunks": str(number)}}


def call(create: tuple[object, str], options: dict[str, object]) -> Callable[[], object]:
    """A call, or a stream that is read to its end."""

    def run() -> None:
        answer = getattr(*create)(**options)
        if "stream" in options:
            for _ in answer:
                pass

    return run


def async_call(create: tuple[object, str], options: dict[str, object]) -> Callable[[], object]:
    """The same, asynchronous."""

    async def run() -> None:
        answer = await getattr(*create)(**options)
        if "stream" in options:
            async for _ in answer:
                pass

    return lambda: loop.run_until_complete(run())


# Looked up at each call: the method is what is put in and taken out.
OPENAI, ASYNC_OPENAI = (client.chat.completions, "create"), (async_client.chat.completions, "create")
CLAUDE, ASYNC_CLAUDE = (claude.messages, "create"), (async_claude.messages, "create")


# What is run, and how often in one go: a go takes some ten milliseconds.
CASES: dict[str, tuple[Callable[[], object], int]] = {
    "openai call": (call(OPENAI, chat()), 8),
    "openai call, async": (async_call(ASYNC_OPENAI, chat()), 8),
    "openai small": (call(OPENAI, {"model": "gpt-4o", "messages": SMALL}), 8),
    "openai large": (call(OPENAI, {"model": "gpt-4o", "messages": LARGE}), 8),
    "openai few": (call(OPENAI, chat(**chunked(FEW))), 6),
    "openai many": (call(OPENAI, chat(**chunked(MANY))), 2),
    "openai few, async": (async_call(ASYNC_OPENAI, chat(**chunked(FEW))), 6),
    "openai many, async": (async_call(ASYNC_OPENAI, chat(**chunked(MANY))), 2),
    "anthropic call": (call(CLAUDE, ASKED), 8),
    "anthropic call, async": (async_call(ASYNC_CLAUDE, ASKED), 8),
    "anthropic few": (call(CLAUDE, {**ASKED, **chunked(FEW)}), 6),
    "anthropic many": (call(CLAUDE, {**ASKED, **chunked(MANY)}), 2),
    "anthropic few, async": (async_call(ASYNC_CLAUDE, {**ASKED, **chunked(FEW)}), 6),
    "anthropic many, async": (async_call(ASYNC_CLAUDE, {**ASKED, **chunked(MANY)}), 2),
}
ROUNDS = int(os.environ.get("ROUNDS", "30"))


def ours() -> None:
    import otel_llm

    otel_llm.instrument()


def none() -> None:
    pass


def instrument(*instances: object) -> None:
    for instance in instances:
        instance.instrument(tracer_provider=TRACERS, meter_provider=METERS)


def upstream() -> None:
    from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    instrument(OpenAIInstrumentor(), AnthropicInstrumentor())


def openllmetry() -> None:
    from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    instrument(OpenAIInstrumentor(), AnthropicInstrumentor())


def openinference() -> None:
    from openinference.instrumentation.anthropic import AnthropicInstrumentor
    from openinference.instrumentation.openai import OpenAIInstrumentor

    instrument(OpenAIInstrumentor(), AnthropicInstrumentor())


def openlit() -> None:
    import openlit as library

    # It takes the global providers; prices from a file, for it would fetch them.
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as prices:
        prices.write("{}")
    library.init(disable_events=True, pricing_json=prices.name, capture_message_content=MODE == "content")


SDKS = ("openai", "anthropic", "httpx", "httpx2")
MISSING = object()


def is_of_sdk(module: str) -> bool:
    return module.partition(".")[0] in SDKS


def attributes_of_sdks() -> Iterator[tuple[object, str, object]]:
    """Every attribute of the SDKs' modules and classes: owner, name, value."""
    for module in [found for name, found in list(sys.modules.items()) if is_of_sdk(name)]:
        yield from ((module, name, value) for name, value in list(vars(module).items()))
        for owner in [one for one in vars(module).values() if isinstance(one, type) and is_of_sdk(one.__module__)]:
            yield from ((owner, name, value) for name, value in list(vars(owner).items()))


@dataclass
class Switch:
    """What an instrumentation changed in the SDKs, to be taken out and put in again.

    Attributes:
        changes: owner, attribute, what it was (MISSING where it was inherited), what it is.
    """

    changes: list[tuple[object, str, object, object]] = field(default_factory=list)

    def note(self, instrument: Callable[[], None]) -> None:
        """Instrument, and note what that changes."""
        before = {(id(owner), name): value for owner, name, value in attributes_of_sdks()}
        instrument()
        after = {(id(owner), name): (owner, value) for owner, name, value in attributes_of_sdks()}
        for key, (owner, value) in after.items():
            was = before.get(key, MISSING)
            # What is new in a module was imported.
            if value is not was and callable(value) and (was is not MISSING or isinstance(owner, type)):
                self.changes.append((owner, key[1], was, value))

    def turn(self, *, is_on: bool) -> None:
        """Put in or take out."""
        for owner, name, was, value in self.changes:
            if is_on:
                setattr(owner, name, value)
            elif was is not MISSING:
                setattr(owner, name, was)
            elif name in vars(owner):
                delattr(owner, name)


def load_all() -> None:
    """Import all of the SDKs: what is imported later could not be told from what was changed."""
    for sdk in (openai, anthropic):
        for module in pkgutil.walk_packages(sdk.__path__, f"{sdk.__name__}.", onerror=lambda _: None):
            # Parts that need what is not installed; `__main__` would run.
            if not module.name.endswith("__main__"):
                with contextlib.suppress(Exception, SystemExit):
                    importlib.import_module(module.name)


def settlers() -> list[Callable[[], None]]:
    """What does the work that our hooks leave for later: it counts as theirs."""
    if NAME != "ours":
        return []
    from otel_llm.instrumentation.instruments import Instruments

    return [one.settle for one in gc.get_objects() if type(one) is Instruments and hasattr(one, "settle")]


def time_of(run: Callable[[], object], times: int, settle: list[Callable[[], None]]) -> float:
    """us CPU a call, with what is left to do after the last one."""
    run()
    for one in settle:
        one()
    started = time.process_time_ns()
    for _ in range(times):
        run()
    for one in settle:
        one()
    return (time.process_time_ns() - started) / times / 1e3


def counted(switch: Switch, name: str) -> tuple[int, int]:
    """Spans of one call, and how many characters their attributes have; there must be none when it is taken out."""
    run, _ = CASES[name]
    switch.turn(is_on=False)
    DROP.spans = DROP.size = 0
    DROP.is_counting = True
    run()
    if DROP.spans:
        raise SystemExit(f"{name}: {DROP.spans} spans of what was taken out")
    switch.turn(is_on=True)
    run()
    DROP.is_counting = False
    return DROP.spans, DROP.size


def main() -> None:
    load_all()
    for run, _ in CASES.values():
        run()
    switch = Switch()
    switch.note(globals()[NAME])
    if NAME == "none":
        clients = (openai._base_client.SyncAPIClient, openai._base_client.AsyncAPIClient)
        clients += (anthropic._base_client.SyncAPIClient, anthropic._base_client.AsyncAPIClient)
        switch.changes = [(owner, "request", owner.request, owner.request) for owner in clients]
    recorded = {name: counted(switch, name) for name in CASES}
    settle = settlers()
    bare: dict[str, list[float]] = {name: [] for name in CASES}
    added: dict[str, list[float]] = {name: [] for name in CASES}
    gc.collect()
    gc.freeze()
    gc.disable()
    for number in range(ROUNDS):
        for name, (run, times) in CASES.items():
            spent = {}
            for is_on in (False, True) if number % 2 else (True, False):
                switch.turn(is_on=is_on)
                spent[is_on] = time_of(run, times, settle)
            bare[name].append(spent[False])
            added[name].append(spent[True] - spent[False])
        gc.collect()
    versions = {name: importlib.metadata.version(name) for name in ("openai", "anthropic", "opentelemetry-sdk")}
    medians = {name: statistics.median(found) for name, found in bare.items()}
    changed = len(switch.changes)
    print(json.dumps({"bare": medians, "added": added, "recorded": recorded, "versions": versions, "changed": changed}))


if __name__ == "__main__":
    main()
