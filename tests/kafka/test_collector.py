"""With the OpenTelemetry Collector's own kafka exporter and receiver, over a real broker, in both directions."""

from __future__ import annotations

from pathlib import Path

from otel_llm.testing import Destination, OtlpHttpSink, unused_port
from tests.collector_config.collector import COLLECTOR_MARKS, Collector
from tests.delivery.requests import logs, metrics
from tests.hosts.running import http_port, post, running
from tests.kafka.conftest import Topics, new_topics
from tests.kafka.gateways import into_kafka, out_of_kafka, read_all, seen, wait_until
from tests.kafka.test_round_trip import all_spans
from tests.spans import SpanSpec, chat, request

pytestmark = COLLECTOR_MARKS

INTO_KAFKA = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
exporters:
  kafka:
    brokers: ["{broker}"]
    partition_traces_by_id: true
    traces: {{topic: {spans}}}
    metrics: {{topic: {metrics}}}
    logs: {{topic: {logs}}}
service:
  pipelines:
    traces: {{receivers: [otlp], exporters: [kafka]}}
    metrics: {{receivers: [otlp], exporters: [kafka]}}
    logs: {{receivers: [otlp], exporters: [kafka]}}
"""

OUT_OF_KAFKA = """
receivers:
  kafka:
    brokers: ["{broker}"]
    group_id: collector-{spans}
    initial_offset: earliest
    traces: {{topics: [{spans}]}}
    metrics: {{topics: [{metrics}]}}
    logs: {{topics: [{logs}]}}
exporters: {{otlp_http: {{endpoint: "{sink}", compression: none}}}}
service:
  pipelines:
    traces: {{receivers: [kafka], exporters: [otlp_http]}}
    metrics: {{receivers: [kafka], exporters: [otlp_http]}}
    logs: {{receivers: [kafka], exporters: [otlp_http]}}
"""

SPANS = [SpanSpec(chat(note="é" * 20), span=number, trace=number % 40) for number in range(1, 301)]


def config(text: str, topics: Topics, **more: object) -> str:
    return text.format(
        broker=topics.broker.address, spans=topics.spans, metrics=topics.metrics, logs=topics.logs, **more
    )


def send_all(port: int) -> None:
    assert post(port, "/v1/traces", request(SPANS))[0] == 200
    assert post(port, "/v1/logs", logs(1, 40).SerializeToString())[0] == 200
    assert post(port, "/v1/metrics", metrics(1, 30).SerializeToString())[0] == 200


def check_all(destination: Destination) -> None:
    wait_until(lambda: destination.items >= 370, 60)
    assert all_spans([one.body for one in destination.received if one.signal == "traces"]) == all_spans(
        [request(SPANS)]
    )
    assert sorted(seen(destination, "traces")) == list(range(1, 301))
    assert sorted(seen(destination, "logs")) == list(range(1, 41))
    assert set(range(1, 31)) <= set(seen(destination, "metrics"))


def test_what_the_collector_writes_our_worker_reads(topics: Topics, tmp_path: Path) -> None:
    destination, port = Destination(), unused_port()
    with (
        OtlpHttpSink(destination) as sink,
        Collector(tmp_path / "collector", config(INTO_KAFKA, topics, port=port)),
        running(out_of_kafka(topics, sink.endpoint), tmp_path),
    ):
        send_all(port)
        check_all(destination)


def test_what_our_gateway_writes_the_collector_reads(topics: Topics, tmp_path: Path) -> None:
    destination = Destination()
    with (
        OtlpHttpSink(destination) as sink,
        Collector(tmp_path / "collector", config(OUT_OF_KAFKA, topics, sink=sink.endpoint)),
        running(into_kafka(topics), tmp_path) as gateway,
    ):
        send_all(http_port(gateway))
        check_all(destination)


def test_both_put_a_trace_into_the_same_partition_under_the_same_key(topics: Topics, tmp_path: Path) -> None:
    theirs, port = new_topics(topics.broker), unused_port()
    with (
        Collector(tmp_path / "collector", config(INTO_KAFKA, theirs, port=port)),
        running(into_kafka(topics), tmp_path) as gateway,
    ):
        for one in (port, http_port(gateway)):
            assert post(one, "/v1/traces", request(SPANS))[0] == 200
        ours = {(partition, key) for partition, key, _ in read_all(topics.broker, topics.spans, 40)}
        collectors = {(partition, key) for partition, key, _ in read_all(topics.broker, theirs.spans, 40)}
    assert len(ours) == 40
    assert ours == collectors
