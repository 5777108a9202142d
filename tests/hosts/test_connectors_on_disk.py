"""Queues on disk behind connectors: what was acknowledged is on the disk, also when it was routed there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from otel_llm.errors import ConfigError
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


HELD = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:0"}}}}}}}}
connectors:
  tail_sampling: {{sampling_percentage: 100, decision_wait_seconds: {wait}, disk: {{directory: {folder}/queues}}}}
exporters: {{otlp_http: {{endpoint: {sink}, compression: none}}}}
service:
  admin: {{endpoint: null}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [tail_sampling]}}
    traces/kept: {{receivers: [tail_sampling], exporters: [otlp_http]}}
"""


def test_what_waits_for_a_decision_is_on_disk_and_another_gateway_that_finds_it_decides(tmp_path: Path) -> None:
    with OtlpHttpSink() as sink:
        text = HELD.format(sink=sink.endpoint, folder=tmp_path, wait=3600)
        with running(text, tmp_path) as gateway:
            assert gateway._graph.consumers["otlp"].may_wait
            body = request([SpanSpec(name="held", parent=7)])
            assert post(http_port(gateway), "/v1/traces", body)[0] == 200
            gateway.wait_delivered()
            left = tmp_path / "left"
            shutil.copytree(tmp_path / "queues", left / "queues")
            assert sink.destination.items == 0
    with OtlpHttpSink() as sink:
        again = Gateway(settings(HELD.format(sink=sink.endpoint, folder=left, wait=0), tmp_path))
        again.start()
        sink.destination.wait_for(lambda: sink.destination.items == 1)
        again.shutdown()
        assert not list((left / "queues" / "tail_sampling" / "held").iterdir())
    assert [span.name for received in sink.destination.accepted for span in spans_of(received.body)] == ["held"]


def test_a_journal_that_cannot_be_kept_stops_the_start_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "queues" / "tail_sampling").mkdir(parents=True)
    (tmp_path / "queues" / "tail_sampling" / "held").write_text("a file")
    gateway = Gateway(settings(HELD.format(sink="http://127.0.0.1:1", folder=tmp_path, wait=1), tmp_path))
    with pytest.raises(ConfigError, match=r"connectors\.tail_sampling\.disk\.directory"):
        gateway.start()
