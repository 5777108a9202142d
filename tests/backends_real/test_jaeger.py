"""Jaeger behind gateway-jaeger.yaml, asked over the interface that its own page uses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_llm.testing import unused_port
from tests.backends_real.feeding import CALLS, Attributes, Fed, fed, trace_id
from tests.backends_real.programs import BACKEND_MARKS, Backend, program, started

pytestmark = [*BACKEND_MARKS, pytest.mark.usefixtures("sent")]

# As it runs by itself, but for its ports and for what listens on others.
_CONFIGURATION = """
service:
  extensions: [jaeger_storage, jaeger_query]
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [jaeger_storage_exporter]}}
extensions:
  jaeger_storage: {{backends: {{memory: {{memory: {{max_traces: 1000}}}}}}}}
  jaeger_query:
    storage: {{traces: memory}}
    http: {{endpoint: "127.0.0.1:{http}"}}
    grpc: {{endpoint: "127.0.0.1:{grpc}"}}
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{otlp}"}}}}}}
exporters:
  jaeger_storage_exporter: {{trace_storage: memory}}
"""


def _start(folder: Path, otlp: int) -> Any:
    backend = Backend(unused_port())
    config = folder / "jaeger.yaml"
    config.write_text(_CONFIGURATION.format(http=backend.port, grpc=unused_port(), otlp=otlp))
    return started([program("jaeger"), f"--config={config}"], backend, "/api/services", folder, {})


@pytest.fixture(scope="module")
def otlp_port() -> int:
    return unused_port()


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory: pytest.TempPathFactory, otlp_port: int) -> Iterator[Backend]:
    with _start(tmp_path_factory.mktemp("jaeger"), otlp_port) as running:
        yield running


@pytest.fixture(scope="module")
def sent(jaeger: Backend, otlp_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fed]:
    ledger = tmp_path_factory.mktemp("ledger") / "ledger.db"
    environment = {"JAEGER_ENDPOINT": f"http://127.0.0.1:{otlp_port}", "OTEL_LLM_LEDGER": str(ledger)}
    with fed("jaeger", environment, "otlp_grpc/jaeger") as gateway:
        gateway.send_all()
        jaeger.wait_for(lambda: all(jaeger.ask(f"/api/traces/{trace}")[0] == 200 for trace, _ in gateway.spans))
        yield gateway


def spans(jaeger: Backend, trace: str) -> list[dict[str, Any]]:
    [found] = jaeger.json(f"/api/traces/{trace}")["data"]
    return found["spans"]


def tags(span: dict[str, Any]) -> Attributes:
    return {tag["key"]: tag["value"] for tag in span["tags"]}


def call(jaeger: Backend, number: int) -> Attributes:
    [span] = spans(jaeger, trace_id(number))
    return tags(span)


def test_every_span_is_there_with_every_attribute(jaeger: Backend, sent: Fed):
    kept = {(one["traceID"], one["spanID"]): tags(one) for trace, _ in sent.spans for one in spans(jaeger, trace)}
    assert kept.keys() == sent.spans.keys()
    for identity, attributes in sent.spans.items():
        found = {key: kept[identity].get(key) for key in attributes}
        # Lists are shown as JSON.
        assert found == {
            key: json.dumps(value, separators=(",", ":")) if isinstance(value, tuple | list) else value
            for key, value in attributes.items()
        }


def test_cost_verdict_and_signals_are_tags(jaeger: Backend):
    priced = call(jaeger, CALLS.priced)
    assert priced["otel_llm.cost.total"] == 0.00275
    unpriced = call(jaeger, CALLS.unpriced)
    assert unpriced["otel_llm.cost.status"] == "unpriced"
    assert "otel_llm.cost.total" not in unpriced
    assert call(jaeger, CALLS.denied)["otel_llm.policy.verdict.type"] == "deny"
    assert "refusal" in str(call(jaeger, CALLS.refused)["otel_llm.quality.flags"])


def test_spans_are_found_by_verdict_and_by_signal(jaeger: Backend):
    def search(**wanted: str) -> set[str]:
        tags = json.dumps({key.replace("__", "."): value for key, value in wanted.items()}).replace(" ", "")
        found = jaeger.json(f"/api/traces?service=shop&lookback=1h&limit=100&tags={tags}")["data"]
        return {one["traceID"] for one in found}

    assert search(otel_llm__policy__verdict__type="deny") == {trace_id(CALLS.denied)}
    assert search(otel_llm__cost__status="unpriced") == {trace_id(CALLS.unpriced)}
    assert search(otel_llm__quality__refusal="true") == {trace_id(CALLS.refused)}
