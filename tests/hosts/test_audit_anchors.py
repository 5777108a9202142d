"""Anchors of audit logs leave through the gateway or app that writes the logs, and through no other."""

from __future__ import annotations

from pathlib import Path

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_llm.audit import AuditConfig, open_log, open_logs
from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.hosts.sdk import Enriching
from otel_llm.pipeline import Pipeline
from otel_llm.processors.policy import Config, create
from otel_llm.telemetry import Metrics
from otel_llm.testing import Destination, OtlpHttpSink
from tests.audit.logs import record
from tests.hosts.running import SIMPLE, http_port, post, running, settings
from tests.policy.subjects import rules, write
from tests.spans import SpanSpec, request

KEY = "a key of 32 bytes, for tests only"


def auditing(sink: OtlpHttpSink, folder: Path) -> str:
    redact = f"  redact: {{{{audit: {{{{path: '{folder}', key_file: '{folder}.key'}}}}}}}}\n"
    text = SIMPLE.replace("  cost:\n", f"  cost:\n{redact}").replace("[normalize, cost]", "[normalize, cost, redact]")
    Path(f"{folder}.key").write_text(KEY)
    return text.format(sink=sink.endpoint)


def anchors(destination: Destination) -> list[tuple[str, int]]:
    """The log and number of each that arrived."""
    found = []
    for one in destination.accepted:
        if one.signal == "logs":
            for holder in ExportLogsServiceRequest.FromString(one.body).resource_logs:
                for item in (item for scope in holder.scope_logs for item in scope.log_records):
                    values = {attribute.key: attribute.value for attribute in item.attributes}
                    name, number = values["otel_llm.audit.log"], values["otel_llm.audit.sequence"]
                    found.append((name.string_value, number.int_value))
    return found


def test_a_gateway_that_stops_closes_its_log_and_the_next_one_goes_on_with_its_own(tmp_path: Path) -> None:
    sent = request([SpanSpec({"gen_ai.prompt": "jane.doe@mail.example.org"}, scope="app")])
    for name in ("first", "second", "first"):
        with OtlpHttpSink() as sink:
            with running(auditing(sink, tmp_path / name), tmp_path) as gateway:
                assert post(http_port(gateway), "/v1/traces", sent)[0] == 200
            assert {log for log, _ in anchors(sink.destination)} == {name}
        assert [one for one in open_logs() if one.folder.parent == tmp_path] == []


def test_a_log_of_somebody_else_in_the_process_is_left_alone(tmp_path: Path) -> None:
    foreign = open_log(AuditConfig(path=str(tmp_path / "theirs"), key=KEY), SystemClock(), "theirs")
    foreign.record(record(1))
    try:
        with OtlpHttpSink() as sink:
            with running(SIMPLE.format(sink=sink.endpoint), tmp_path):
                foreign.anchor()
            assert anchors(sink.destination) == []
        assert not foreign.is_closed
        assert foreign.anchors()
    finally:
        foreign.close()


def test_a_reload_keeps_the_log_open_until_the_gateway_stops(tmp_path: Path) -> None:
    sent = request([SpanSpec({"gen_ai.prompt": "jane.doe@mail.example.org"}, scope="app")])
    with OtlpHttpSink() as sink:
        with running(auditing(sink, tmp_path / "before"), tmp_path) as gateway:
            assert post(http_port(gateway), "/v1/traces", sent)[0] == 200
            gateway.reload(settings(auditing(sink, tmp_path / "after"), tmp_path))
            assert post(http_port(gateway), "/v1/traces", sent)[0] == 200
        assert {log for log, _ in anchors(sink.destination)} == {"before", "after"}
    assert [one for one in open_logs() if one.folder.parent == tmp_path] == []


NOTED = "id: noted, stage: request, when: 'true', verdict: audit"


def test_27_in_an_app_the_anchors_of_the_audit_log_of_its_rules_leave_where_spans_do(tmp_path: Path) -> None:
    audit = AuditConfig(path=str(tmp_path / "audit"), key=KEY)
    metrics, clock = Metrics(), SystemClock()
    config = Config(paths=(str(write(tmp_path, rules(NOTED))),), audit=audit)
    with OtlpHttpSink() as sink:
        loggers, tracers = LoggerProvider(shutdown_on_exit=False), TracerProvider(shutdown_on_exit=False)
        records = OTLPLogExporter(endpoint=f"{sink.endpoint}/v1/logs")
        loggers.add_log_record_processor(SimpleLogRecordProcessor(records))
        pipeline = Pipeline([create(config, Context("policy", metrics, clock))], metrics, clock)
        enriching = Enriching(OTLPSpanExporter(endpoint=f"{sink.endpoint}/v1/traces"), pipeline)
        enriching.send_anchors_to(loggers)
        tracers.add_span_processor(SimpleSpanProcessor(enriching))
        tracers.get_tracer("app").start_span("chat", attributes={"gen_ai.operation.name": "chat"}).end()
        tracers.shutdown()
        loggers.shutdown()
        (log,) = [one for one in open_logs() if one.folder == tmp_path / "audit"]
        log.close()
        assert anchors(sink.destination) == [("audit", 2)]  # that it was begun, and the verdict
