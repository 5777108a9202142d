from __future__ import annotations

import logging
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as WireRecord

from otel_llm.codecs.log_records import encode_log_records
from otel_llm.codecs.protobuf import from_any_value
from otel_llm.errors import ConfigError
from otel_llm.log_records import LogRecord, LogRecords
from otel_llm.testing import Destination, OtlpHttpSink
from tests.hosts.running import SIMPLE, http_port, post, running, settings
from tests.spans import SpanSpec, chat, request

WATCHING = SIMPLE.replace(
    "  cost:\n", "  cost:\n  drift: {{baselines: {{error: 0.01}}, state_file: {state}}}\n"
).replace("cost], exporters", "cost, drift], exporters")


def records_of(destination: Destination) -> list[WireRecord]:
    return [
        record
        for received in destination.accepted
        if received.signal == "logs"
        for holder in ExportLogsServiceRequest.FromString(received.body).resource_logs
        for group in holder.scope_logs
        for record in group.log_records
    ]


def failures(first: int, number: int) -> bytes:
    return request([SpanSpec(chat(), trace=n, span=n, status=2) for n in range(first, first + number)])


def test_a_gateway_tells_over_otlp_what_has_drifted_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    with OtlpHttpSink() as sink:
        text = WATCHING.format(sink=sink.endpoint, state=tmp_path / "drift.json")
        with running(text, tmp_path) as gateway:
            assert post(http_port(gateway), "/v1/traces", failures(1, 1))[0] == 200
        assert records_of(sink.destination) == []
        with running(text, tmp_path) as gateway:  # it knows the one before, so time has passed for its budget
            assert post(http_port(gateway), "/v1/traces", failures(2, 60))[0] == 200
            sink.destination.wait_for(lambda: bool(records_of(sink.destination)))
    record = records_of(sink.destination)[0]
    attributes = {item.key: from_any_value(item.value) for item in record.attributes}
    assert record.event_name == "otel_llm.drift.change"
    assert attributes["otel_llm.drift.signal"] == "error"
    assert attributes["service.name"] == "shop"
    assert attributes["otel_llm.drift.before"] == 0.01
    assert attributes["otel_llm.drift.after"] == 1.0
    assert record.body.string_value.startswith("error went up from 1.00% to 100.00% since ")


def test_a_reload_goes_on_with_what_was_learnt(tmp_path: Path) -> None:
    with OtlpHttpSink() as sink:
        text = SIMPLE.replace("  cost:\n", "  cost:\n  drift: {{baselines: {{error: 0.01}}}}\n").replace(
            "cost], exporters", "cost, drift], exporters"
        )
        with running(text.format(sink=sink.endpoint), tmp_path) as gateway:
            post(http_port(gateway), "/v1/traces", failures(1, 1))
            gateway.reload(settings(text.format(sink=sink.endpoint), tmp_path))
            post(http_port(gateway), "/v1/traces", failures(2, 60))
            sink.destination.wait_for(lambda: bool(records_of(sink.destination)))


def test_a_reload_that_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    with OtlpHttpSink() as sink:
        text = WATCHING.format(sink=sink.endpoint, state=tmp_path / "drift.json")
        other = "  otlp_http/x: {endpoint: https://127.0.0.1:1, tls: {ca_file: /none}}\n"
        broken = text.replace("exporters:\n", f"exporters:\n{other}", 1)
        broken = broken.replace("drift], exporters: [otlp_http]", "drift], exporters: [otlp_http, otlp_http/x]")
        with running(text, tmp_path) as gateway:
            post(http_port(gateway), "/v1/traces", failures(1, 1))
            with pytest.raises(ConfigError, match="ca_file"):
                gateway.reload(settings(broken, tmp_path))
            registered = [one.definition.name for one in gateway.metrics._metrics]
            assert registered.count("otel_llm.drift.segments") == 1


def test_without_a_logs_pipeline_our_records_are_counted_and_a_line_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with OtlpHttpSink() as sink:
        text = WATCHING.format(sink=sink.endpoint, state=tmp_path / "drift.json")
        without = "\n".join(line for line in text.splitlines() if not line.startswith("    logs:"))
        with caplog.at_level(logging.WARNING), running(without, tmp_path) as gateway:
            post(http_port(gateway), "/v1/traces", failures(1, 1))
            post(http_port(gateway), "/v1/traces", failures(2, 60))
        assert "no logs pipeline is configured" in caplog.text
        dropped = [one for one in gateway.metrics.collect() if one.definition.name == "otel_llm.records.dropped"]
        assert dropped[0].series[0].value >= 1


def test_records_wait_in_bounded_number_and_the_oldest_goes() -> None:
    records = LogRecords(limit=2)
    for number in range(5):
        records.emit(LogRecord("e", number, {}))
    assert [record.time_unix_nano for record in records.take()] == [3, 4]
    assert (records.take_dropped(), records.take_dropped()) == (3, 0)
    records.close()
    assert records.take(timeout_seconds=30) == []


def test_a_record_is_encoded_with_its_context_types_and_odd_text() -> None:
    values = {"a": "\ud800", "b": 1.5, "c": 3, "d": True, "e": ("x",)}
    record = LogRecord("otel_llm.x", 7, values, "said", 13, b"\1" * 16, b"\2" * 8)
    payload = encode_log_records([record], {"service.name": "otel-llm"})
    (holder,) = ExportLogsServiceRequest.FromString(payload.join()).resource_logs
    (wire,) = holder.scope_logs[0].log_records
    assert {item.key: from_any_value(item.value) for item in wire.attributes} == {**values, "a": "?"}
    assert (wire.trace_id, wire.span_id, wire.severity_number) == (b"\1" * 16, b"\2" * 8, 13)
    assert (wire.event_name, wire.body.string_value, wire.time_unix_nano) == ("otel_llm.x", "said", 7)
    assert payload.items == 1


def results(destination: Destination) -> list[WireRecord]:
    """Results of comparisons."""
    return [one for one in records_of(destination) if one.event_name == "otel_llm.comparison.result"]


def test_a_gateway_tells_over_otlp_that_a_canary_is_to_be_rolled_back(tmp_path: Path) -> None:
    section = """
  compare:
    comparisons:
      - {{name: prompt, attribute: gen_ai.prompt.version, control: "1", canary: "2", guardrails: {{error: 0.05}}}}
"""
    text = SIMPLE.replace("  cost:\n", f"  cost:\n{section}").replace("cost], exporters", "cost, compare], exporters")
    spans = [
        SpanSpec(chat(gen_ai__prompt__version=str(n % 2 + 1)), trace=n, span=n, status=n % 2 * 2) for n in range(1, 61)
    ]
    with OtlpHttpSink() as sink, running(text.format(sink=sink.endpoint), tmp_path) as gateway:
        assert post(http_port(gateway), "/v1/traces", request(spans))[0] == 200
        sink.destination.wait_for(lambda: bool(results(sink.destination)))
    (record,) = results(sink.destination)
    attributes = {item.key: from_any_value(item.value) for item in record.attributes}
    assert attributes["otel_llm.comparison.verdict"] == "roll_back"
    assert attributes["otel_llm.comparison.canary"] == "2"
