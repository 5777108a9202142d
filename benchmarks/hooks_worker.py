"""Measures one instrumentation in the environment it is installed in; prints a JSON line. Run by hooks.py.

    python hooks_worker.py NAME none|content

Imports nothing of otel_llm but where NAME is ours: the peers' environments do not have it. Transport is in-process; the
same SDK with and without instrumentation, in turns; the least CPU time of many rounds.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable

MODE = sys.argv[2]
if MODE == "content":
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_ONLY"
    os.environ["TRACELOOP_TRACE_CONTENT"] = "true"
else:
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "NO_CONTENT"
    os.environ["TRACELOOP_TRACE_CONTENT"] = "false"
    os.environ["OPENINFERENCE_HIDE_INPUTS"] = os.environ["OPENINFERENCE_HIDE_OUTPUTS"] = "true"
os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"

import anthropic
import openai
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

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
    """Ends of spans go nowhere."""


TRACERS = TracerProvider(shutdown_on_exit=False)
TRACERS.add_span_processor(Drop())
METERS = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
trace.set_tracer_provider(TRACERS)
metrics.set_meter_provider(METERS)

TEN_MESSAGES = [{"role": "user", "content": "hello " * 20}] * 10
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


def chat(**more: object) -> Callable[[], object]:
    options = {"model": "gpt-4o", "messages": TEN_MESSAGES, "tools": OPENAI_TOOLS, "temperature": 0.5, **more}
    return lambda: client.chat.completions.create(**options)


def chat_stream(number: int) -> Callable[[], object]:
    options = {"model": "gpt-4o", "messages": TEN_MESSAGES, "stream": True, "extra_headers": {"x-chunks": str(number)}}

    def run() -> None:
        for _ in client.chat.completions.create(**options):
            pass

    return run


def message_stream(number: int) -> Callable[[], object]:
    options = {**ASKED, "stream": True, "extra_headers": {"x-chunks": str(number)}}

    def run() -> None:
        for _ in claude.messages.create(**options):
            pass

    return run


ASKED = {"model": "claude-opus-4-8", "max_tokens": 100, "messages": TEN_MESSAGES}


def in_loop(make: Callable[[], object]) -> Callable[[], object]:
    return lambda: loop.run_until_complete(make())


async def async_chat() -> None:
    await async_client.chat.completions.create(model="gpt-4o", messages=TEN_MESSAGES, tools=OPENAI_TOOLS)


async def async_message() -> None:
    await async_claude.messages.create(**ASKED)


def async_chat_stream(number: int) -> Callable[[], object]:
    options = {"model": "gpt-4o", "messages": TEN_MESSAGES, "stream": True, "extra_headers": {"x-chunks": str(number)}}

    async def run() -> None:
        async for _ in await async_client.chat.completions.create(**options):
            pass

    return in_loop(run)


def async_message_stream(number: int) -> Callable[[], object]:
    options = {**ASKED, "stream": True, "extra_headers": {"x-chunks": str(number)}}

    async def run() -> None:
        async for _ in await async_claude.messages.create(**options):
            pass

    return in_loop(run)


# What is run, and how often in one go: a go takes a few milliseconds, so that most are not interrupted by what else the
# machine does, and the least of many is what the work itself takes.
CASES: dict[str, tuple[Callable[[], object], int]] = {
    "openai call": (chat(), 3),
    "openai call, async": (in_loop(async_chat), 3),
    "openai small": (chat(messages=SMALL, tools=openai.NOT_GIVEN), 6),
    "openai large": (chat(messages=LARGE, tools=openai.NOT_GIVEN), 4),
    "openai few": (chat_stream(FEW), 2),
    "openai many": (chat_stream(MANY), 1),
    "openai few, async": (async_chat_stream(FEW), 2),
    "openai many, async": (async_chat_stream(MANY), 1),
    "anthropic call": (lambda: claude.messages.create(**ASKED), 4),
    "anthropic call, async": (in_loop(async_message), 4),
    "anthropic few": (message_stream(FEW), 3),
    "anthropic many": (message_stream(MANY), 1),
    "anthropic few, async": (async_message_stream(FEW), 3),
    "anthropic many, async": (async_message_stream(MANY), 1),
}
TURN = 10
ROUNDS = int(os.environ.get("ROUNDS", "150"))


def ours() -> tuple[Callable[[], None], Callable[[], None]]:
    import otel_llm

    return lambda: otel_llm.instrument() and None, otel_llm.uninstrument


def instrumentors(*instances: object) -> tuple[Callable[[], None], Callable[[], None]]:
    def on() -> None:
        for instance in instances:
            instance.instrument(tracer_provider=TRACERS, meter_provider=METERS)

    def off() -> None:
        for instance in instances:
            instance.uninstrument()

    return on, off


def upstream() -> tuple[Callable[[], None], Callable[[], None]]:
    from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    return instrumentors(OpenAIInstrumentor(), AnthropicInstrumentor())


def openllmetry() -> tuple[Callable[[], None], Callable[[], None]]:
    from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    return instrumentors(OpenAIInstrumentor(), AnthropicInstrumentor())


def openinference() -> tuple[Callable[[], None], Callable[[], None]]:
    from openinference.instrumentation.anthropic import AnthropicInstrumentor
    from openinference.instrumentation.openai import OpenAIInstrumentor

    return instrumentors(OpenAIInstrumentor(), AnthropicInstrumentor())


def openlit() -> tuple[Callable[[], None], None]:
    import openlit as library

    # It takes the global providers; prices from a file, for it would fetch them.
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as prices:
        prices.write("{}")
    options = {"disable_events": True, "pricing_json": prices.name, "capture_message_content": MODE == "content"}
    return lambda: library.init(**options), None


def none() -> tuple[Callable[[], None], Callable[[], None]]:
    return lambda: None, lambda: None


def measure(best: dict[str, float], rounds: int) -> None:
    """Some rounds: the least so far of each case, us CPU a call."""
    for _ in range(rounds):
        for name, (run, times) in CASES.items():
            started = time.process_time()
            for _ in range(times):
                run()
            spent = (time.process_time() - started) / times * 1e6
            best[name] = min(best.get(name, spent), spent)


def main() -> None:
    gc.disable()
    on, off = globals()[sys.argv[1]]()
    bare: dict[str, float] = {}
    with_it: dict[str, float] = {}
    measure({}, 1)  # warm
    # An instrumentation that cannot be taken out is measured after all bare rounds.
    in_turns = off is not None and sys.argv[1] != "openllmetry"
    for _ in range(ROUNDS // TURN):
        measure(bare, TURN)
        if in_turns:
            on()
            measure(with_it, TURN)
            off()
        gc.collect()
    if not in_turns:
        on()
        measure({}, 1)
        for _ in range(ROUNDS // TURN):
            measure(with_it, TURN)
            gc.collect()
    versions = {name: importlib.metadata.version(name) for name in ("openai", "anthropic", "opentelemetry-sdk")}
    print(json.dumps({"bare": bare, "with": with_it, "versions": versions}))


if __name__ == "__main__":
    main()
