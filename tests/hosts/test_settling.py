"""What becomes of everything that a receiver handed on, over all deliveries behind its pipelines."""

from __future__ import annotations

from pathlib import Path

from otel_llm.testing import Answer, Destination, OtlpHttpSink
from tests.delivery.requests import traces
from tests.hosts.running import http_port, post, running

TEXT = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:0"}}}}}}}}
exporters:
  otlp_http/one: {{endpoint: {one}, sending_queue: {{batch: {{flush_timeout_seconds: 0}}}}}}
  otlp_http/two:
    endpoint: {two}
    sending_queue: {{batch: {{flush_timeout_seconds: 0}}}}
    retry_on_failure: {{initial_interval_seconds: 0.01, max_interval_seconds: 0.02}}
connectors:
  routing: {{default_pipelines: [traces/behind], table: [{{when: {{no.such: x}}, pipelines: [traces/behind]}}]}}
service:
  admin: {{endpoint: null}}
  shutdown_timeout_seconds: 0.2
  pipelines:
    traces: {{receivers: [otlp], exporters: [otlp_http/one, routing]}}
    traces/behind: {{receivers: [routing], exporters: [otlp_http/two]}}
"""


def test_it_is_settled_when_the_last_destination_has_it_also_one_behind_a_connector(tmp_path: Path) -> None:
    one, two = Destination(), Destination(default=Answer.unavailable())
    with (
        OtlpHttpSink(one) as first,
        OtlpHttpSink(two) as second,
        running(TEXT.format(one=first.endpoint, two=second.endpoint), tmp_path) as gateway,
    ):
        consumer = gateway._switches["otlp"]
        assert post(http_port(gateway), "/v1/traces", traces(1, 3).SerializeToString())[0] == 200
        settling = consumer.settling("traces")
        assert settling is not None
        one.wait_for(lambda: one.items == 3)
        two.wait_for(lambda: len(two.received) >= 2)
        assert settling() == "waiting"
        two.default = Answer()
        two.wait_for(lambda: two.items == 3)
        assert gateway.delivery("otlp_http/two").force_flush(10)
        assert settling() == "settled"
        two.default = Answer.unavailable()
        assert post(http_port(gateway), "/v1/traces", traces(4, 3).SerializeToString())[0] == 200
        late = consumer.settling("traces")
        assert late is not None
    assert late() == "given up"


def test_a_receiver_is_told_which_signals_a_pipeline_takes(tmp_path: Path) -> None:
    with OtlpHttpSink() as sink, running(TEXT.format(one=sink.endpoint, two=sink.endpoint), tmp_path) as gateway:
        assert gateway._switches["otlp"].signals == {"traces"}
