"""Runs whose process was killed are noticed, and no others."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from otel_llm.components import Context
from otel_llm.errors import PermanentError
from otel_llm.exporters.open_spans import Config, OpenSpansExporter, create
from otel_llm.log_records import LogRecords
from otel_llm.signals import Payload
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.spans import SpanSpec, request

TRACE, SPAN = (1).to_bytes(16, "big"), (2).to_bytes(8, "big")


class Watched:
    """An exporter, its clock, and what it emits."""

    def __init__(self, **config: object) -> None:
        self.clock, self.records = FakeClock(), LogRecords()
        context = Context("open_spans", Metrics(), self.clock, self.records)
        self.exporter: OpenSpansExporter = create(Config(**config), context)  # type: ignore[arg-type] # of the test

    def announce(self, event: str = "otel_llm.span.started", span_id: bytes = SPAN) -> None:
        message = ExportLogsServiceRequest()
        holder = message.resource_logs.add()
        holder.resource.attributes.add(key="service.name").value.string_value = "shop"
        record = holder.scope_logs.add().log_records.add(event_name=event, trace_id=TRACE, span_id=span_id)
        record.attributes.add(key="otel_llm.span.name").value.string_value = "invoke_agent planner"
        self.exporter.export(Payload.of("logs", (message.SerializeToString(),), 1), 1.0)

    def end(self, seconds: float = 5.0) -> None:
        spec = SpanSpec(trace=1, span=2, seconds=seconds)
        self.exporter.export(Payload.of("traces", (request([spec]),), 1), 1.0)

    def after(self, seconds: float) -> list[str]:
        self.clock.advance(seconds)
        self.exporter.look()
        return [one.event_name for one in self.records.take()]


@pytest.fixture
def watched():
    found = Watched()
    yield found
    found.exporter.shutdown()


def test_acceptance_57_a_run_that_is_heard_of_no_more_is_reported_once(watched: Watched) -> None:
    watched.announce()
    assert watched.after(89) == []
    watched.clock.advance(2)
    watched.exporter.look()
    (said,) = watched.records.take()
    assert (said.event_name, said.trace_id, said.span_id) == ("otel_llm.span.interrupted", TRACE, SPAN)
    assert said.attributes == {"service.name": "shop", "otel_llm.span.name": "invoke_agent planner"}
    assert watched.after(1000) == []


def test_a_run_that_goes_on_or_has_ended_is_not(watched: Watched) -> None:
    watched.announce()
    for _ in range(5):
        assert watched.after(60) == []
        watched.announce("otel_llm.span.running")
    watched.end()
    assert watched.after(1000) == []


def test_an_end_that_overtakes_the_announcement_counts(watched: Watched) -> None:
    watched.end()
    watched.announce()
    assert watched.after(1000) == []


def test_other_records_and_quick_spans_are_passed_over(watched: Watched) -> None:
    watched.announce("gen_ai.evaluation.result")
    watched.end(0.1)
    assert not watched.exporter._ended
    assert watched.after(1000) == []


def test_what_is_watched_is_bounded_and_the_oldest_is_forgotten() -> None:
    watched = Watched(max_spans=3)
    for number in range(10):
        watched.announce(span_id=number.to_bytes(8, "big"))
    assert watched.after(1000) == ["otel_llm.span.interrupted"] * 3
    watched.exporter.shutdown()


def test_what_is_not_otlp_is_refused(watched: Watched) -> None:
    for signal in ("traces", "logs"):
        with pytest.raises(PermanentError):
            watched.exporter.export(Payload.of(signal, (b"\x0a\xffotel_llm.span.",), 1), 1.0)  # type: ignore[arg-type] # a Signal
