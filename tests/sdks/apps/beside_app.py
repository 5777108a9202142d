"""An app that another tool watches as well: `beside_app.py TOOL ORDER`, where ORDER says who is there first."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

TOOL, ORDER = sys.argv[1:3]
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
Work = Callable[[], AbstractContextManager[object]]


def sentry() -> Work:
    import sentry_sdk  # noqa: PLC0415

    sentry_sdk.init(traces_sample_rate=1.0)
    return lambda: sentry_sdk.start_transaction(name="work", op="work")


def ddtrace() -> Work:
    importlib.import_module("ddtrace.auto")
    from ddtrace.trace import tracer  # noqa: PLC0415

    return lambda: tracer.trace("work")


def logfire() -> Work:
    import logfire  # noqa: PLC0415

    logfire.configure(console=False)
    logfire.instrument_openai()
    return lambda: logfire.span("work")


def langfuse() -> Work:
    from langfuse import get_client  # noqa: PLC0415
    from langfuse.openai import openai  # noqa: F401, PLC0415

    client = get_client()
    return lambda: client.start_as_current_observation(name="work")


def traceloop() -> Work:
    from opentelemetry import trace  # noqa: PLC0415
    from traceloop.sdk import Traceloop  # noqa: PLC0415

    Traceloop.init(app_name="app", telemetry_enabled=False)
    return lambda: trace.get_tracer("app").start_as_current_span("work")


TOOLS = {
    "sentry_sdk": sentry,
    "ddtrace": ddtrace,
    "logfire": logfire,
    "langfuse": langfuse,
    "traceloop.sdk": traceloop,
}
if ORDER == "ours_first":
    importlib.import_module("otel_llm.auto")
    importlib.import_module("openai")
work = TOOLS[TOOL]()
if ORDER == "theirs_first":
    importlib.import_module("openai")
    importlib.import_module("otel_llm.auto")

import openai  # noqa: E402


def text(chunks: list[openai.types.chat.ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


async def asynchronous() -> str:
    async with openai.AsyncOpenAI() as client:
        answer = await client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    return answer.choices[0].message.content or ""


with work(), openai.OpenAI() as client:
    whole = client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    stream = client.chat.completions.create(
        model="gpt-4o", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    said = [whole.choices[0].message.content, text(list(stream)), asyncio.run(asynchronous())]
    try:
        client.chat.completions.create(model="err400", messages=QUESTION)
    except openai.BadRequestError as error:
        said.append(type(error).__name__)
sys.stdout.write("\n".join(map(str, said)))
