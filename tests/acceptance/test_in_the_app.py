"""What the hooks leave as it was in an app: its spans, its loop, its dependencies, its context.

The whole of it under real hosts, frameworks and other tools is in tests/sdks (`python -m tests.sdks.run`).
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai
import pytest
from opentelemetry import context, trace
from opentelemetry.metrics import Histogram
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import otel_llm
from otel_llm.instrumentation.steps import STEPS
from otel_llm.loopback import LoopbackProvider
from tests.instrumentation.recording import Recording
from tests.sdks.billing import statuses

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ASKED = {"model": "gpt-4o", "messages": QUESTION}


@pytest.fixture
def provider():
    with LoopbackProvider() as provider:
        yield provider


@pytest.fixture
def client(provider):
    with openai.OpenAI(base_url=provider.openai_base_url, api_key="any", max_retries=0) as client:
        yield client


def test_43_a_span_of_the_app_is_ended_by_the_app_and_its_callers_trace_goes_on(client, provider):
    recording = Recording()
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    token = context.attach(TraceContextTextMapPropagator().extract({"traceparent": caller}))
    try:
        with recording.hooked("openai"):
            mine = recording.tracers.get_tracer("app").start_span("mine")
            with trace.use_span(mine, end_on_exit=False):
                client.chat.completions.create(**ASKED)
                list(client.chat.completions.create(**ASKED, stream=True))
                next(iter(client.chat.completions.create(**ASKED, stream=True)))  # and left alone
                with pytest.raises(openai.BadRequestError):
                    client.chat.completions.create(**{**ASKED, "model": "err400"})
                assert trace.get_current_span() is mine
            assert mine.is_recording()
            assert mine.status.status_code.name == "UNSET"
            mine.end()
    finally:
        context.detach(token)
    *calls, last = recording.spans
    assert last.name == "mine"
    assert f"{last.parent.span_id:016x}" == "b7ad6b7169203331"
    assert {f"{span.context.trace_id:032x}" for span in recording.spans} == {"0af7651916cd43dd8448eb211c80319c"}
    assert {span.parent.span_id for span in calls} == {last.context.span_id}
    assert len(calls) == len(provider.served()) == 4
    assert statuses(recording.spans).count("priced") == 3


def test_45_the_core_needs_three_packages_and_caps_none():
    requirements = [one for one in importlib.metadata.requires("otel-llm") or () if "extra ==" not in one]
    assert len(requirements) <= 3
    assert not any(re.search(r"[<~]|==", one.partition(";")[0]) for one in requirements)


BLOCKED = """
import sys
class Blocks:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("grpc", "wrapt", "yaml") or name.startswith("google.protobuf"):
            raise ImportError(f"{name} is not for this app")
sys.meta_path.insert(0, Blocks())
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import otel_llm.auto, otel_llm.hosts.sdk, openai
spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(otel_llm.hosts.sdk.Enriching(spans)))
trace.set_tracer_provider(provider)
openai.OpenAI(base_url=sys.argv[1], api_key="any").chat.completions.create(
    model="gpt-4o", messages=[{"role": "user", "content": "Hi"}]
)
[span] = spans.get_finished_spans()
print(span.name, span.attributes["otel_llm.cost.status"])
"""


def test_45_the_hooks_need_neither_protobuf_nor_grpc_nor_wrapt(provider):
    command = [sys.executable, "-c", BLOCKED, provider.openai_base_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (done.stdout, done.stderr) == ("chat gpt-4o priced\n", "")


class Counting(Histogram):
    """Counts what is recorded."""

    def __init__(self) -> None:
        self.records = 0

    def record(self, *_: object, **__: object) -> None:
        self.records += 1


def test_51_a_chunk_costs_no_span_event_and_no_metric(client):
    """What a hook does for a stream of 2,000 chunks is what it does for one of 20: figures in benchmarks."""

    def done_for(words: int) -> tuple[int, int, int]:
        recording = Recording()
        engine = recording.engine()
        instruments, counting = engine._outlets.current().instruments, Counting()
        instruments._per_chunk = instruments._first_chunk = instruments._inference = counting
        with recording.hooked("openai", engine=engine):
            headers = {"x-loopback": f"text={'word%20' * words}"}
            chunks = list(client.chat.completions.create(**ASKED, stream=True, extra_headers=headers))
        span = recording.span()
        assert span.attributes["otel_llm.stream.chunks"] == len(chunks)
        return len(chunks), counting.records, len(span.events)

    few, many = done_for(20), done_for(2000)
    assert many[0] > 2000 > few[0]
    assert few[1:] == many[1:]


def test_51_two_hundred_calls_at_once_are_two_hundred_spans(provider):
    recording = Recording()

    async def calls() -> list[str | None]:
        few = openai.DefaultAsyncHttpxClient(limits=httpx2.Limits(max_connections=4))  # what the server can take
        async with openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="any", http_client=few) as client:
            answers = await asyncio.gather(*(client.chat.completions.create(**ASKED) for _ in range(200)))
        return [answer.choices[0].message.content for answer in answers]

    with recording.hooked("openai") as loader:
        said = asyncio.run(calls())
        assert loader.engine.boundary.failures == 0
    assert set(said) == {"Paris is the capital of France."}
    assert len(recording.spans) == len({span.context.span_id for span in recording.spans}) == 200


def test_54_what_is_said_at_the_edge_is_on_every_span_and_metric_below_and_on_no_other(client, provider):
    recording = Recording()

    def search(tenant: str) -> None:
        with otel_llm.retrieval("documents"):
            client.embeddings.create(model="text-embedding-3-small", input=tenant)

    async def one(asynchronous: openai.AsyncOpenAI, tenant: str) -> None:
        with (
            otel_llm.context(tenant=tenant, session=f"s-{tenant}", feature="answer", prompt=("greet", "3")),
            otel_llm.workflow("request"),
        ):
            await asyncio.gather(*(asynchronous.chat.completions.create(**ASKED) for _ in range(3)))
            with otel_llm.context(feature="search"):
                await asyncio.to_thread(search, tenant)
            with ThreadPoolExecutor(1) as pool:  # a pool of the app's own, which copies no context
                pool.submit(client.chat.completions.create, **ASKED).result()

    async def requests() -> None:
        async with openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="any") as asynchronous:
            await asyncio.gather(*(one(asynchronous, f"t{number}") for number in range(10)))

    with recording.hooked("openai", "threading") as loader:
        STEPS.use(loader.engine)
        asyncio.run(requests())
        client.chat.completions.create(**ASKED)  # for nobody
        STEPS.use(None)
    tenants = Counter(span.attributes.get("otel_llm.tenant.id") for span in recording.spans)
    assert tenants == {**{f"t{number}": 7 for number in range(10)}, None: 1}
    for span in recording.spans:
        tenant = span.attributes.get("otel_llm.tenant.id")
        assert span.attributes.get("session.id") == (tenant and f"s-{tenant}")
        assert span.attributes.get("gen_ai.prompt.version") == (tenant and "3")
        is_search = "embeddings" in span.name or "documents" in span.name
        assert span.attributes.get("otel_llm.feature.name") == (tenant and ("search" if is_search else "answer"))
    points = recording.points()["gen_ai.client.inference.duration"]
    assert Counter({point.attributes.get("otel_llm.tenant.id"): point.count for point in points}) == {
        **{f"t{number}": 4 for number in range(10)},
        None: 1,
    }
    assert not any("session.id" in point.attributes for point in points)
