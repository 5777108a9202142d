"""Anchors of audit logs leave through the gateway that writes the logs, and through no other."""

from __future__ import annotations

from pathlib import Path

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from otel_llm.audit import AuditConfig, open_log, open_logs
from otel_llm.clock import SystemClock
from otel_llm.testing import Destination, OtlpHttpSink
from tests.audit.logs import record
from tests.hosts.running import SIMPLE, http_port, post, running, settings
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
