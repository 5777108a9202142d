"""What calls cost is counted once, whatever is sampled: sampled ones by the gateway, the others in the app."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import openai
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, NoOpTracerProvider, SpanContext, TraceFlags

import otel_llm
from otel_llm.clock import SystemClock
from otel_llm.codecs.wire import decode_traces
from otel_llm.components import Context, find_type
from otel_llm.hosts.sdk import Enriching
from otel_llm.hosts.unsampled import UnsampledCosts
from otel_llm.instrumentation.ambient import DIMENSIONS
from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.outlet import FixedOutlet, Outlet
from otel_llm.instrumentation.steps import STEPS
from otel_llm.loopback import LoopbackProvider
from otel_llm.pipeline import Pipeline
from otel_llm.telemetry import Metrics
from tests.instrumentation.conventions import metric_problems
from tests.instrumentation.recording import Recording

USAGE = "otel_llm.cost.usage"
UNPRICED = "otel_llm.cost.unpriced_calls"
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
# Money in 1e-15 units by the attributes of its series: whole numbers, so that sums of floats can be compared.
Money = Counter[tuple[tuple[str, str], ...]]


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as provider:
        yield provider


@pytest.fixture
def client(provider: LoopbackProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=provider.openai_base_url, api_key="any", max_retries=0) as client:
        yield client


@contextmanager
def app(recording: Recording) -> Iterator[Engine]:
    """The hooks of an app as `otel_llm.instrument` has them."""
    engine = recording.engine()
    engine.unsampled = UnsampledCosts().ended
    STEPS.use(engine)
    with recording.hooked("openai", engine=engine):
        yield engine
    STEPS.use(None)
    assert engine.boundary.failures == 0


def ask(client: openai.OpenAI, model: str = "gpt-4o") -> None:
    client.chat.completions.create(model=model, messages=MESSAGES)


def money(metric: Sequence[tuple[dict[str, str], float]]) -> Money:
    return Counter({tuple(sorted(attributes.items())): round(value * 1e15) for attributes, value in metric})


def counted_in_the_app(recording: Recording, metric: str = USAGE) -> Money:
    return money([(dict(point.attributes), point.value) for point in recording.points().get(metric, [])])


def counted_by_the_gateway(spans: Sequence[ReadableSpan]) -> Money:
    """What a gateway counts that has the app's spans, split as the app splits."""
    metrics, clock = Metrics(), SystemClock()
    settings = {"metrics": {"dimensions": tuple(sorted(DIMENSIONS))}}
    kinds = [find_type("processor", name) for name in ("normalize", "cost", "metrics")]
    processors = [
        kind.create(kind.config(**settings.get(kind.name, {})), Context(kind.name, metrics, clock)) for kind in kinds
    ]
    Pipeline(processors, metrics, clock).process(decode_traces(encode_spans(spans).SerializeToString()).operations)
    found = [family.series for family in metrics.collect() if family.definition.name == USAGE]
    return money([(dict(one.attributes), one.value) for series in found for one in series])


class Kept(InMemorySpanExporter):
    """Where spans go that the app has priced, in one batch."""

    def of(self, spans: Sequence[ReadableSpan]) -> tuple[ReadableSpan, ...]:
        exporter: SpanExporter = Enriching(self)
        exporter.export(spans)
        return self.get_finished_spans()


def calls_of_every_kind(client: openai.OpenAI, provider: LoopbackProvider) -> None:
    """Whole, in chunks, abandoned, failed, embedded, of an unknown model, for a tenant, of an agent, within another."""
    ask(client)
    ask(client, "gpt-4o-mini")
    list(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))
    options = {"model": "gpt-4o", "messages": MESSAGES, "stream": True}
    list(client.chat.completions.create(**options, stream_options={"include_usage": True}))
    next(iter(client.chat.completions.create(**options)))
    with pytest.raises(openai.APIError):
        ask(client, "err500")
    client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    ask(client, "of-nobody")
    with otel_llm.context(tenant="acme", owner="team-a", user="u-1"), otel_llm.agent("planner"):
        ask(client)
    hooks = {"request": [lambda _: ask(client)]}
    with (
        openai.DefaultHttpxClient(event_hooks=hooks) as http,
        openai.OpenAI(base_url=provider.openai_base_url, api_key="any", http_client=http) as outer,
    ):
        ask(outer)


def run(sampler: Sampler, client: openai.OpenAI, provider: LoopbackProvider, times: int) -> Recording:
    recording = Recording(sampler)
    with app(recording):
        for _ in range(times):
            calls_of_every_kind(client, provider)
    return recording


@pytest.mark.parametrize(
    ("sampler", "priced_in_the_app"),
    [
        pytest.param(ParentBased(TraceIdRatioBased(0.1)), True, id="priced in the app"),
        pytest.param(TraceIdRatioBased(0.1), False, id="priced by the gateway", marks=pytest.mark.slow),
    ],
)
def test_of_a_tenth_of_the_traces_and_of_all_the_money_is_the_same(client, provider, sampler, priced_in_the_app):
    """Series by series: by tenant, model and meter, over the app and the first gateway."""
    everything, tenth = run(ALWAYS_ON, client, provider, 12), run(sampler, client, provider, 12)
    assert 0 < len(tenth.spans) < len(everything.spans) / 2
    assert counted_in_the_app(everything) == Counter()
    spans = [Kept().of(one.spans) if priced_in_the_app else one.spans for one in (everything, tenth)]
    whole, sampled = map(counted_by_the_gateway, spans)
    together = sampled + counted_in_the_app(tenth)
    assert together.keys() == whole.keys()
    assert all(abs(together[series] - whole[series]) < len(tenth.spans) + 10 for series in whole), (together, whole)
    assert min(whole.values()) > 1_000_000  # the last digits of some hundred floats were given away, and no call


def test_it_is_a_metric_as_our_registry_has_it(client):
    recording = Recording(ALWAYS_OFF)
    with app(recording):
        ask(client)
        ask(client, "of-nobody")
    points = recording.points()
    assert list(metric_problems({name: points[name] for name in (USAGE, UNPRICED)})) == []
    assert {point.attributes["service.name"] for point in points[USAGE]} == {"unknown_service:python"}
    [unpriced] = points[UNPRICED]
    assert (unpriced.value, unpriced.attributes["gen_ai.request.model"]) == (1, "of-nobody")


class Picking(Sampler):
    """Samples every span but those of calls, as no sampler should."""

    def should_sample(self, parent_context, trace_id, name, kind=None, attributes=None, *args):  # noqa: ARG002
        decision = Decision.DROP if name.startswith("chat gpt") else Decision.RECORD_AND_SAMPLE
        return SamplingResult(decision, attributes)

    def get_description(self) -> str:
        return "picking"


@pytest.mark.parametrize(
    ("around", "times"),
    [
        ({}, 1),  # a request of the app's
        ({"gen_ai.operation.name": "invoke_agent"}, 1),  # repeats, and is never billed
        ({"gen_ai.operation.name": "chat"}, 0),
        ({"openinference.span.kind": "LLM"}, 0),
    ],
)
def test_under_a_sampled_span_that_may_report_the_call_it_is_left_to_that_one(client, around, times):
    recording = Recording(Picking())
    with app(recording), recording.tracers.get_tracer("app").start_as_current_span("around", attributes=around):
        ask(client)
    assert len(recording.spans) == 1
    assert len(counted_in_the_app(recording)) == 2 * times  # input and output


def test_a_caller_elsewhere_that_was_sampled_counts_nothing_of_ours(client):
    recording = Recording(ALWAYS_OFF)
    caller = NonRecordingSpan(SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
    with app(recording), trace.use_span(caller):
        ask(client)
    assert len(counted_in_the_app(recording)) == 2


def test_where_nothing_is_set_up_that_samples_nothing_is_counted(client):
    recording = Recording()
    outlet = Outlet(NoOpTracerProvider(), recording.meters, recording.loggers)
    engine = Engine(FixedOutlet(outlet))
    engine.unsampled = UnsampledCosts().ended
    with recording.hooked("openai", engine=engine):
        ask(client)
    assert counted_in_the_app(recording) == Counter()


def test_a_set_up_that_comes_later_begins_at_zero(client):
    first, second = Recording(ALWAYS_OFF), Recording(ALWAYS_OFF)
    outlets = [Outlet(one.tracers, one.meters, one.loggers) for one in (first, second)]
    unsampled = UnsampledCosts()
    for outlet in outlets:
        engine = Engine(FixedOutlet(outlet))
        engine.unsampled = unsampled.ended
        with first.hooked("openai", engine=engine):
            ask(client)
    assert counted_in_the_app(first) == counted_in_the_app(second) != Counter()


def test_a_forked_child_begins_at_zero_and_counts_on(client):
    recording = Recording(ALWAYS_OFF)
    engine, unsampled = recording.engine(), UnsampledCosts()
    engine.unsampled = unsampled.ended
    with recording.hooked("openai", engine=engine):
        ask(client)
        before = counted_in_the_app(recording)
        unsampled.forked()
        assert counted_in_the_app(recording) == Counter()
        ask(client)
    assert counted_in_the_app(recording) == before
