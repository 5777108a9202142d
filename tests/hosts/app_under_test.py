"""An app that knows nothing of otel_llm: `app_under_test.py BASE_URL WAY [ARGUMENT]`."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from typing import NoReturn

import openai
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

URL = sys.argv[1]


def ask(text: str = "What is the capital of France?", model: str = "gpt-4o") -> str:
    with openai.OpenAI(base_url=URL, api_key="any") as client:
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])
    return answer.choices[0].message.content or ""


def plain() -> None:
    sys.stdout.write(ask())


def asks_often() -> None:
    with openai.OpenAI(base_url=URL, api_key="any") as client:
        for number in range(200):
            messages = [{"role": "user", "content": "What is the capital of France?" * (number % 5 + 1)}]
            client.chat.completions.create(model=("gpt-4o", "gpt-4o-mini")[number % 2], messages=messages)


def waits_for_an_answer() -> None:
    ask(model="gpt-4o#delay_ms=30000")


def waits_after_an_answer() -> None:
    ask()
    waits_for_an_answer()


def asks_claude() -> None:
    import anthropic  # noqa: PLC0415 - the others do without

    with anthropic.Anthropic(base_url=URL.removesuffix("/v1"), api_key="any") as client:
        messages = [{"role": "user", "content": "What is the capital of France?"}]
        answer = client.messages.create(model="claude-opus-4-8", max_tokens=100, messages=messages)
    sys.stdout.write(answer.content[0].text)


def leaves_by_sys_exit() -> NoReturn:
    ask()
    sys.exit(3)


def fails() -> NoReturn:
    ask()
    raise ValueError("of the app's own")


def is_terminated() -> None:
    ask()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(10)


def forks() -> None:
    ask("before")
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            ask(f"child {number}")
            sys.exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def spawns() -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        pool.map(ask, ["one", "two"])
        pool.close()
        pool.join()


def sets_up_its_own_telemetry_later() -> None:
    ask("before")
    mine = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(mine))
    trace.set_tracer_provider(provider)
    ask("after")
    sys.stdout.write(",".join(span.name for span in mine.get_finished_spans()))


if __name__ == "__main__":
    globals()[sys.argv[2]]()
