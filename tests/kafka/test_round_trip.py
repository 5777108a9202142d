"""Through a real broker and out again: nothing lost, nothing changed, and keyed as the Collector keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm.testing import Destination, OtlpHttpSink
from tests.delivery.requests import logs, metrics
from tests.hosts.running import http_port, post, running
from tests.kafka.conftest import Topics
from tests.kafka.gateways import into_kafka, out_of_kafka, read_all, seen, wait_until
from tests.spans import SpanSpec, chat, request

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def fnv1a_partition(key: bytes, partitions: int) -> int:
    """As Sarama, and after it the Collector: 32 bits of FNV-1a as a signed number, its remainder made positive."""
    value = 0x811C9DC5
    for byte in key:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    signed = value - 2**32 if value >= 2**31 else value
    return abs(signed) % partitions


def all_spans(bodies: list[bytes]) -> set[bytes]:
    """Each span with its resource and scope, serialized. To the Collector, an empty field is as good as none."""
    found = set()
    for body in bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                around = resource.resource.SerializeToString() + resource.schema_url.encode()
                around += scope.scope.SerializeToString() + scope.schema_url.encode()
                for span in scope.spans:
                    if not span.status.ByteSize():
                        span.ClearField("status")
                    if not any(span.trace_id):
                        span.ClearField("trace_id")
                    found.add(around + span.SerializeToString())
    return found


def test_all_signals_come_out_as_they_went_in(topics: Topics, tmp_path: Path) -> None:
    spans = request(
        [SpanSpec(chat(note="x" * 50), span=number, trace=number // 3) for number in range(1, 601)]
        + [SpanSpec({"http.method": "GET"}, span=number, trace=number, scope="http") for number in range(601, 701)]
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    destination = Destination()
    with (
        OtlpHttpSink(destination) as sink,
        running(into_kafka(topics), tmp_path / "in") as gateway,
        running(out_of_kafka(topics, sink.endpoint), tmp_path / "out") as worker,
    ):
        assert post(http_port(gateway), "/v1/traces", spans)[0] == 200
        assert post(http_port(gateway), "/v1/logs", logs(1, 40).SerializeToString())[0] == 200
        assert post(http_port(gateway), "/v1/metrics", metrics(1, 30).SerializeToString())[0] == 200
        wait_until(lambda: destination.items >= 770)
        # The gateway counts metrics, the destination their 30 data points.
        assert gateway.delivery("kafka").balance().exported == 700 + 40 + 10
        assert worker.delivery("otlp_http").balance().accepted == 700 + 40 + 10
    bodies = {
        signal: [one.body for one in destination.received if one.signal == signal]
        for signal in ("traces", "metrics", "logs")
    }
    assert all_spans(bodies["traces"]) == all_spans([spans])
    assert sorted(seen(destination, "traces")) == list(range(1, 701))
    record = ExportLogsServiceRequest.FromString(b"".join(bodies["logs"]))
    assert record.resource_logs[0] == logs(1, 40).resource_logs[0]
    points = ExportMetricsServiceRequest.FromString(b"".join(bodies["metrics"]))
    assert points.resource_metrics[0] == metrics(1, 30).resource_metrics[0]


def test_a_trace_is_in_one_partition_under_its_id_in_hex(topics: Topics, tmp_path: Path) -> None:
    spans = [SpanSpec(chat(), span=number, trace=number % 50) for number in range(1, 201)]
    with running(into_kafka(topics), tmp_path) as gateway:
        assert post(http_port(gateway), "/v1/traces", request(spans))[0] == 200
    found = read_all(topics.broker, topics.spans, 50)
    keys = {key for _, key, _ in found}
    assert keys == {b"" if number == 0 else f"{number:032x}".encode() for number in range(50)}
    assert {partition for partition, _, _ in found} == {0, 1, 2, 3}
    for partition, key, value in found:
        assert partition == fnv1a_partition(key or b"", 4)
        traces = {
            span.trace_id.hex() if any(span.trace_id) else ""
            for resource in ExportTraceServiceRequest.FromString(value).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }
        assert traces == {(key or b"").decode()}
