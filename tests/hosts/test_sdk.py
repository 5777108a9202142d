"""The in-app host: enrichment where spans leave, and nowhere else. Acceptance 55."""

from __future__ import annotations

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_llm.clock import SystemClock
from otel_llm.codecs.wire import decode_traces
from otel_llm.components import Context, find_type
from otel_llm.errors import ConfigError
from otel_llm.hosts.sdk import Enriching, default_pipeline
from otel_llm.pipeline import Pipeline
from otel_llm.telemetry import Metrics

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 100,
}


def exported(pipeline: Pipeline | None = None):
    """Spans of one app in an exporter that is enriched and in one that is not."""
    enriched, plain = InMemorySpanExporter(), InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Enriching(enriched, pipeline)))
    provider.add_span_processor(SimpleSpanProcessor(plain))
    tracer = provider.get_tracer("app")
    with tracer.start_as_current_span("request"), tracer.start_as_current_span("chat", attributes=CHAT):
        pass
    provider.shutdown()
    return enriched.get_finished_spans(), plain.get_finished_spans()


def test_enriched_attributes_are_in_the_exporter_that_is_for_them_and_in_no_other():
    """Acceptance 55."""
    (chat, request), (plain_chat, plain_request) = exported()
    assert chat.attributes["otel_llm.cost.total"] == 0.0035
    assert chat.attributes["gen_ai.provider.name"] == "openai"
    assert dict(plain_chat.attributes) == CHAT
    assert request is plain_request
    assert (chat.context, chat.parent, chat.start_time, chat.end_time) == (
        plain_chat.context,
        plain_chat.parent,
        plain_chat.start_time,
        plain_chat.end_time,
    )


class _Fails:
    name = "fails"
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()

    def process(self, operations):
        for _ in operations:
            raise RuntimeError("a defect")


def test_a_processor_that_raises_loses_its_result_and_no_span():
    pipeline = default_pipeline()
    failing = Pipeline([*pipeline.processors, _Fails()], *_tools())
    (chat, _), _ = exported(failing)
    assert chat.attributes["otel_llm.cost.total"] == 0.0035
    assert chat.attributes["otel_llm.processing.errors"] == ("fails:RuntimeError",)


def _tools():
    return Metrics(), SystemClock()


class _Broken(Pipeline):
    __slots__ = ()

    def process(self, operations):
        raise RuntimeError(f"a defect at {len(operations)} operations")


def test_a_pipeline_that_raises_leaves_the_spans_as_they_came():
    (chat, _), (plain_chat, _) = exported(_Broken([], *_tools()))
    assert chat is plain_chat


def counted(metrics: Metrics, name: str) -> float:
    """The sum over a derived metric's series, or how many values a histogram has."""
    found = [one for one in metrics.collect() if one.definition.name == name]
    values = [series.value for family in found for series in family.series]
    return sum(getattr(value, "count", value) for value in values)


@pytest.mark.parametrize(("scope", "durations"), [("otel_llm.instrumentation", 0), ("another.instrumentation", 1)])
def test_the_first_gateway_counts_what_an_app_has_priced_and_the_next_does_not(scope: str, durations: int) -> None:
    """Of hooks' calls it counts the cost: tokens and durations are in metrics that the hooks send."""
    enriched = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Enriching(enriched)))
    provider.get_tracer(scope).start_span("chat", attributes=CHAT).end()
    body = encode_spans(enriched.get_finished_spans()).SerializeToString()
    for cost, times in ((0.0035, durations), (0.0, 0)):
        metrics, clock = Metrics(), SystemClock()
        kinds = [find_type("processor", name) for name in ("normalize", "cost", "metrics")]
        processors = [kind.create(kind.config(), Context(kind.name, metrics, clock)) for kind in kinds]
        batch = decode_traces(body)
        Pipeline(processors, metrics, clock).process(batch.operations)
        body = batch.encode().join()
        assert counted(metrics, "otel_llm.cost.usage") == pytest.approx(cost)
        assert counted(metrics, "gen_ai.client.inference.duration") == times


class _Runs(_Fails):
    """Beside its pipeline it does something, of which it tells."""

    def __init__(self, name: str, told: list[str], problem: str | None = None) -> None:
        self.name = name
        self._told = told
        self._problem = problem

    def process(self, operations):
        self._told.append(f"{self.name} processes {len(list(operations))}")

    def start(self):
        if self._problem is not None:
            raise ConfigError([self._problem])
        self._told.append(f"{self.name} starts")

    def shutdown(self, deadline_seconds):
        assert deadline_seconds > 0
        self._told.append(f"{self.name} ends")
        raise RuntimeError("a defect")


def test_processors_that_do_something_beside_their_pipeline_start_and_end_with_the_exporter():
    told: list[str] = []
    _, (chat, _) = exported(Pipeline([_Runs("first", told), _Runs("second", told)], *_tools()))
    assert chat.name == "chat"
    assert told == [
        *("first starts", "second starts"),
        *("first processes 1", "second processes 1"),
        *("first ends", "second ends"),
    ]


def test_where_a_processor_cannot_start_those_before_it_end_again():
    told: list[str] = []
    broken = Pipeline([_Runs("first", told), _Runs("second", told, "second: no such folder")], *_tools())
    with pytest.raises(ConfigError, match="second: no such folder"):
        Enriching(InMemorySpanExporter(), broken)
    assert told == ["first starts", "first ends"]


def test_what_a_processor_of_an_app_has_learnt_is_kept_when_the_app_ends(tmp_path):
    metrics, clock = _tools()
    kind = find_type("processor", "drift")
    config = kind.config(state_file=str(tmp_path / "drift.json"))
    exported(Pipeline([kind.create(config, Context("drift", metrics, clock))], metrics, clock))
    assert (tmp_path / "drift.json").stat().st_size > 0
