"""Acceptance 57: a long run is seen while it lasts, and marked when its process ends before it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider

from otel_llm.delivery.config import BatchConfig, Config, QueueConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.delivery.in_app import AppDelivery
from otel_llm.hosts.delivering import AtOnce, Delivering
from otel_llm.hosts.open_spans import OpenSpans
from otel_llm.telemetry import Metrics
from otel_llm.testing import Destination, InMemoryExporter, OtlpHttpSink
from tests.hosts.running import http_port, running
from tests.spans import spans_of


def events(destination: Destination) -> list[LogRecord]:
    return [
        record
        for received in destination.accepted
        if received.signal == "logs"
        for resource in ExportLogsServiceRequest.FromString(received.body).resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


def spans(destination: Destination) -> list[Span]:
    return [
        span for received in destination.accepted if received.signal == "traces" for span in spans_of(received.body)
    ]


def strings(record: LogRecord | Span) -> dict[str, str]:
    return {one.key: one.value.string_value for one in record.attributes if one.value.string_value}


def app(
    destination: Destination, after_seconds: float, *, announces: bool = True
) -> tuple[TracerProvider, OpenSpans, AppDelivery]:
    metrics = Metrics()
    config = Config(sending_queue=QueueConfig(batch=BatchConfig(flush_timeout_seconds=0)))
    delivery = AppDelivery(
        lambda: Delivery("app", InMemoryExporter(destination), config, metrics), metrics, on_sigterm=False
    )
    watching = OpenSpans(delivery, after_seconds, announces=announces)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(AtOnce(Delivering(delivery)))
    provider.add_span_processor(watching)
    return provider, watching, delivery


def test_an_open_span_is_announced_once_without_content_and_is_one_span_when_it_ends() -> None:
    destination = Destination()
    provider, watching, _ = app(destination, 0.0001)
    tracer = provider.get_tracer("app")
    with (
        tracer.start_as_current_span("invoke_agent planner", attributes={"gen_ai.agent.name": "planner"}) as root,
        tracer.start_as_current_span("chat", attributes={"gen_ai.input.messages": "[secret]"}),
    ):
        destination.wait_for(lambda: len(events(destination)) >= 2)
        watching.announce()
    assert provider.force_flush(5000)
    provider.shutdown()
    announced = {strings(record)["otel_llm.span.name"]: record for record in events(destination)}
    assert len(events(destination)) == 2
    assert {record.event_name for record in announced.values()} == {"otel_llm.span.started"}
    assert strings(announced["invoke_agent planner"])["gen_ai.agent.name"] == "planner"
    parent = f"{root.get_span_context().span_id:016x}"
    assert strings(announced["chat"]) == {"otel_llm.span.name": "chat", "otel_llm.span.parent_id": parent}
    ended = {span.name: span for span in spans(destination)}
    assert len(spans(destination)) == 2
    assert {name: span.span_id for name, span in ended.items()} == {n: r.span_id for n, r in announced.items()}


def test_a_quick_span_is_not_announced() -> None:
    destination = Destination()
    provider, watching, _ = app(destination, 60)
    with provider.get_tracer("app").start_as_current_span("quick"):
        watching.announce()
    assert provider.force_flush(5000)
    provider.shutdown()
    assert events(destination) == []
    assert len(spans(destination)) == 1


def test_what_is_open_when_the_process_ends_is_ended_and_marked() -> None:
    destination = Destination()
    provider, _, delivery = app(destination, 60)
    span = provider.get_tracer("app").start_span("invoke_agent planner")
    delivery.flush_at_exit()
    delivery.flush_at_exit()
    span.end()
    provider.shutdown()
    (ended,) = spans(destination)
    assert [one.value.bool_value for one in ended.attributes if one.key == "otel_llm.interrupted"] == [True]
    assert ended.status.code == Status.STATUS_CODE_ERROR


def test_without_announcements_there_is_no_thread_and_what_is_open_at_the_end_is_marked() -> None:
    destination = Destination()
    before = threading.enumerate()
    provider, _, delivery = app(destination, 0.0001, announces=False)
    span = provider.get_tracer("app").start_span("invoke_agent planner")
    assert set(threading.enumerate()) <= set(before)  # one of another test may just have ended
    delivery.flush_at_exit()
    span.end()
    provider.shutdown()
    assert events(destination) == []
    (ended,) = spans(destination)
    assert [one.value.bool_value for one in ended.attributes if one.key == "otel_llm.interrupted"] == [True]


def test_a_forked_child_knows_nothing_of_its_parents_open_spans() -> None:
    destination = Destination()
    provider, watching, delivery = app(destination, 60)
    span = provider.get_tracer("app").start_span("invoke_agent planner")
    watching._lock.acquire()  # as another thread of the parent may have held it
    delivery.after_fork_in_child()
    delivery.flush_at_exit()
    assert spans(destination) == []
    span.end()
    provider.shutdown()


@pytest.mark.skipif(os.name == "nt", reason="signals are sent to processes on POSIX only")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_acceptance_57_a_run_is_seen_while_it_lasts_and_marked_when_it_is_stopped(number: signal.Signals) -> None:
    with OtlpHttpSink() as sink:
        command = [sys.executable, "-m", "tests.hosts.open_run", sink.endpoint]
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        try:
            sink.destination.wait_for(lambda: len(events(sink.destination)) >= 2, 30)
            process.send_signal(number)
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == -number, said
    names = {"invoke_agent planner", "chat"}
    assert {strings(record)["otel_llm.span.name"] for record in events(sink.destination)} == names
    ended = {span.name for span in spans(sink.destination)}
    assert ended == (names if number == signal.SIGTERM else set())


@pytest.mark.skipif(os.name == "nt", reason="signals are sent to processes on POSIX only")
def test_acceptance_57_a_gateway_reports_a_run_whose_process_was_killed(tmp_path: Path) -> None:
    config = """\
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:0"}}}}}}}}
exporters:
  open_spans: {{interrupted_after_seconds: 1}}
  otlp_http: {{endpoint: "{sink}", sending_queue: {{batch: {{flush_timeout_seconds: 0}}}}}}
service:
  admin: {{endpoint: null}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [otlp_http, open_spans]}}
    logs: {{receivers: [otlp], exporters: [otlp_http, open_spans]}}
"""

    def names(destination: Destination) -> list[str]:
        return [record.event_name for record in events(destination)]

    with OtlpHttpSink() as sink, running(config.format(sink=sink.endpoint), tmp_path) as gateway:
        command = [sys.executable, "-m", "tests.hosts.open_run", f"http://127.0.0.1:{http_port(gateway)}"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        try:
            sink.destination.wait_for(lambda: names(sink.destination).count("otel_llm.span.running") >= 4, 30)
            assert "otel_llm.span.interrupted" not in names(sink.destination)
        finally:
            process.kill()
            process.communicate(timeout=20)
        sink.destination.wait_for(lambda: names(sink.destination).count("otel_llm.span.interrupted") == 2, 30)
    interrupted = [one for one in events(sink.destination) if one.event_name == "otel_llm.span.interrupted"]
    assert {strings(one)["otel_llm.span.name"] for one in interrupted} == {"invoke_agent planner", "chat"}
    started = [one for one in events(sink.destination) if one.event_name == "otel_llm.span.started"]
    assert {one.span_id for one in interrupted} == {one.span_id for one in started}
