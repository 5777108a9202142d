"""Content that is in log events and not on spans: looked at in a logs pipeline of a running gateway."""

from __future__ import annotations

import json
from pathlib import Path

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from otel_llm._generated import attributes as names
from otel_llm.codecs.log_records import encode_log_records
from otel_llm.codecs.protobuf import from_any_value
from otel_llm.log_records import LogRecord
from otel_llm.testing import OtlpHttpSink
from tests.hosts.running import http_port, post, running
from tests.spans import NOON, chat

CONFIG = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:0"}}}}}}}}
processors: {{normalize: , cost: , quality: }}
exporters:
  otlp_http: {{endpoint: {sink}, compression: none, sending_queue: {{batch: {{flush_timeout_seconds: 0}}}}}}
service:
  admin: {{endpoint: null}}
  pipelines:
    traces: {{receivers: [otlp], processors: [normalize, cost, quality], exporters: [otlp_http]}}
    logs: {{receivers: [otlp], processors: [normalize, quality], exporters: [otlp_http]}}
"""


def test_an_event_with_an_answer_gets_its_signals_and_other_records_stay_as_they_were(tmp_path: Path) -> None:
    said = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "I'm sorry, I can't help."}]}])
    details = LogRecord(
        "gen_ai.client.inference.operation.details",
        NOON,
        chat(gen_ai__output__messages=said),
        "",
        trace_id=(1).to_bytes(16, "big"),
        span_id=(2).to_bytes(8, "big"),
    )
    other = LogRecord("app.started", NOON, {"a": "b"}, "hello")
    body = encode_log_records([details, other], {"service.name": "shop"}).join()
    with OtlpHttpSink() as sink, running(CONFIG.format(sink=sink.endpoint), tmp_path) as gateway:
        assert post(http_port(gateway), "/v1/logs", body)[0] == 200
        sink.destination.wait_for(lambda: len(sink.destination.accepted) >= 1)
        received = ExportLogsServiceRequest.FromString(sink.destination.accepted[0].body)
    records = {
        record.event_name: {item.key: from_any_value(item.value) for item in record.attributes}
        for holder in received.resource_logs
        for group in holder.scope_logs
        for record in group.log_records
    }
    assert records["gen_ai.client.inference.operation.details"]["otel_llm.quality.refusal"] is True
    assert records["gen_ai.client.inference.operation.details"][names.OTEL_LLM_QUALITY_FLAGS] == ("refusal",)
    assert records["app.started"] == {"a": "b"}
