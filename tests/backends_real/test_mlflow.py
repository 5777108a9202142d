"""MLflow behind gateway-mlflow.yaml, asked over its REST interface."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from otel_llm.testing import unused_port
from tests.backends_real.feeding import CALLS, Attributes, Fed, fed, trace_id
from tests.backends_real.programs import BACKEND_MARKS, Backend, program, started
from tests.spans import SpanSpec, chat, request

pytestmark = [*BACKEND_MARKS, pytest.mark.usefixtures("sent")]
_GET = "/api/3.0/mlflow/traces/get?trace_id=tr-"
_EXPERIMENT = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    folder = tmp_path_factory.mktemp("mlflow")
    backend = Backend(unused_port())
    store = (f"--backend-store-uri=sqlite:///{folder}/mlflow.db", f"--artifacts-destination={folder / 'artifacts'}")
    command = [program("mlflow"), "server", "--host=127.0.0.1", f"--port={backend.port}", "--workers=1", *store]
    with started(command, backend, "/health", folder, {"MLFLOW_DISABLE_TELEMETRY": "true"}) as running:
        yield running


@pytest.fixture(scope="module")
def sent(mlflow: Backend) -> Iterator[Fed]:
    with fed("mlflow", {"MLFLOW_ENDPOINT": mlflow.endpoint}, "otlp_http/mlflow") as gateway:
        gateway.send_all()
        traces = {trace for trace, _ in gateway.spans}
        mlflow.wait_for(lambda: len(found(mlflow)) == len(traces), 120)
        yield gateway


def found(mlflow: Backend) -> list[dict[str, Any]]:
    answer = mlflow.json("/api/3.0/mlflow/traces/search", {"locations": [_EXPERIMENT], "max_results": 500})
    return answer.get("traces", [])


def whole(mlflow: Backend, trace: str) -> dict[str, Any]:
    return mlflow.json(f"{_GET}{trace}")["trace"]


def info(mlflow: Backend, number: int) -> dict[str, str]:
    return whole(mlflow, trace_id(number))["trace_info"]["trace_metadata"]


def attributes(span: dict[str, Any]) -> Attributes:
    return {one["key"]: _plain(one["value"]) for one in span.get("attributes", [])}


def _plain(value: dict[str, Any]) -> Any:
    """A value of OTLP in JSON, with MLflow's own field names."""
    [(kind, inner)] = value.items()
    if kind == "array_value":
        return [_plain(one) for one in inner.get("values", [])]
    if kind == "kvlist_value":
        return {one["key"]: _plain(one["value"]) if "value" in one else None for one in inner.get("values", [])}
    return inner


def _as_kept(value: Any) -> Any:
    """MLflow reads strings that are JSON; all else stays as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    return list(value) if isinstance(value, tuple) else value


def test_every_span_is_there_with_every_attribute(mlflow: Backend, sent: Fed):
    kept = {}
    for trace in {trace for trace, _ in sent.spans}:
        for span in whole(mlflow, trace)["spans"]:
            kept[trace, base64.b64decode(span["span_id"]).hex()] = attributes(span)
    assert kept.keys() == sent.spans.keys()
    for identity, ours in sent.spans.items():
        found = {key: kept[identity].get(key) for key in ours}
        assert found == {key: _as_kept(value) for key, value in ours.items()}


def test_cost_verdict_and_signals_are_attributes(mlflow: Backend):
    def call(number: int) -> Attributes:
        [span] = whole(mlflow, trace_id(number))["spans"]
        return attributes(span)

    assert call(CALLS.priced)["otel_llm.cost.total"] == 0.00275
    assert call(CALLS.denied)["otel_llm.policy.verdict.type"] == "deny"
    assert "refusal" in str(call(CALLS.refused)["otel_llm.quality.flags"])


def test_the_trace_has_our_cost_and_its_tokens(mlflow: Backend):
    priced = info(mlflow, CALLS.priced)
    assert json.loads(priced["mlflow.trace.cost"]) == {
        "input_cost": 0.00175,
        "output_cost": 0.001,
        "total_cost": 0.00275,
    }
    assert json.loads(priced["mlflow.trace.tokenUsage"])["cache_read_input_tokens"] == 600


def test_a_call_without_a_price_has_no_cost_and_not_zero(mlflow: Backend):
    assert "mlflow.trace.cost" not in info(mlflow, CALLS.unpriced)


def test_a_span_that_mlflow_rejects_is_all_that_is_lost_and_its_reason_is_said(
    mlflow: Backend, caplog: pytest.LogCaptureFixture
):
    # MLflow takes a conversation for a session, whose id may have 250 characters, and refuses the whole request.
    longest = {2: "c" * 250, 5: "c" * 251}
    specs = [
        SpanSpec(attributes=chat(gen_ai__conversation__id=longest.get(n, "c")), trace=n << 120, span=n << 56)
        for n in range(1, 9)
    ]
    others = [f"{number << 120:032x}" for number in range(1, 9) if number != 5]
    with fed("mlflow", {"MLFLOW_ENDPOINT": mlflow.endpoint}, "otlp_http/mlflow") as gateway:
        gateway.send(request(specs))
        mlflow.wait_for(lambda: all(mlflow.ask(f"{_GET}{trace}")[0] == 200 for trace in others))
    assert mlflow.ask(f"{_GET}{5 << 120:032x}")[0] == 404
    assert "answered 400" in caplog.text
    assert "'Session ID' exceeds the maximum length of 250 characters" in caplog.text
    assert "dropped 1 items" in caplog.text


def test_an_experiment_that_is_not_there_is_said(mlflow: Backend, caplog: pytest.LogCaptureFixture):
    environment = {"MLFLOW_ENDPOINT": mlflow.endpoint, "MLFLOW_EXPERIMENT_ID": "4711"}
    with fed("mlflow", environment, "otlp_http/mlflow") as gateway:
        # One that it has not seen: more of a trace that it has goes where that is.
        gateway.send(request([SpanSpec(attributes=chat(), trace=0xBAD << 100, span=0xBAD << 48)]))
        gateway.seen.wait_for(lambda: gateway.seen.items == 1)
    assert "exporter otlp_http/mlflow" in caplog.text
    assert "No Experiment with id=4711 exists" in caplog.text
