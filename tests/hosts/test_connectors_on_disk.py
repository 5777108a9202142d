"""Queues on disk behind connectors: what was acknowledged is on the disk, also when it was routed there."""

from __future__ import annotations

from pathlib import Path

from otel_llm.hosts.gateway import Gateway
from otel_llm.testing import HANG, Destination, OtlpHttpSink
from tests.hosts.running import http_port, post, running, settings
from tests.spans import SpanSpec, chat, request, spans_of

CONFIG = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:0"}}}}}}}}
connectors:
  routing:
    table: [{{when: {{otel_llm.tenant.id: acme}}, pipelines: [traces/acme]}}]
    default_pipelines: [traces/quarantine]
exporters:
  otlp_http/acme:
    endpoint: {sink}
    compression: none
    sending_queue: {{disk: {{directory: {folder}/queues}}, batch: {{flush_timeout_seconds: 0}}}}
  file: {{path: {folder}/quarantine.jsonl}}
service:
  admin: {{endpoint: null}}
  shutdown_timeout_seconds: 0.2
  pipelines:
    traces: {{receivers: [otlp], exporters: [routing]}}
    traces/acme: {{receivers: [routing], exporters: [otlp_http/acme]}}
    traces/quarantine: {{receivers: [routing], exporters: [file]}}
"""


def test_what_was_routed_to_a_queue_on_disk_arrives_after_a_restart(tmp_path: Path) -> None:
    with OtlpHttpSink(Destination(default=HANG)) as dead:
        text = CONFIG.format(sink=dead.endpoint, folder=tmp_path)
        with running(text, tmp_path) as gateway:
            assert gateway._graph.consumers["otlp"].may_wait
            body = request([SpanSpec(chat(), name="kept")], {"otel_llm.tenant.id": "acme"})
            assert post(http_port(gateway), "/v1/traces", body)[0] == 200
        dead.destination.release()
    with OtlpHttpSink() as sink:
        again = Gateway(settings(CONFIG.format(sink=sink.endpoint, folder=tmp_path), tmp_path))
        again.start()
        sink.destination.wait_for(lambda: sink.destination.items == 1)
        again.shutdown()
    assert [span.name for received in sink.destination.accepted for span in spans_of(received.body)] == ["kept"]
