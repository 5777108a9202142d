"""Prometheus behind gateway-prometheus.yaml: metrics that are sent over OTLP, asked for by its query interface."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from otel_llm.testing import unused_port
from tests.backends_real.feeding import Fed, fed
from tests.collector_config.go_tools import GO_MARKS, go_tools
from tests.collector_config.prometheus_server import Prometheus, prometheus

pytestmark = GO_MARKS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    # Nobody listens where it would scrape: what it has was sent.
    nobody = f"127.0.0.1:{unused_port()}"
    with prometheus(go_tools("prometheus"), tmp_path_factory.mktemp("prometheus"), nobody) as running:
        yield running


@pytest.fixture(scope="module")
def sent(server: Prometheus) -> Iterator[Fed]:
    environment = {"PROMETHEUS_ENDPOINT": f"http://127.0.0.1:{server.port}/api/v1/otlp"}
    with fed("prometheus", environment, None, metrics_interval_seconds=1) as gateway:
        gateway.send_all()
        server.wait_for(lambda: value(server, "sum(otel_llm_policy_verdicts_total)") >= len(gateway.spans))
        yield gateway


def value(server: Prometheus, expression: str) -> float:
    found = server.query(expression)
    return float(found[0]["value"][1]) if found else 0.0


def test_the_cost_of_all_spans_is_the_sum_of_the_metric(server: Prometheus, sent: Fed):
    amounts = [one.get("otel_llm.cost.total") for one in sent.spans.values()]
    total = sum(amount for amount in amounts if isinstance(amount, float))
    assert total > 0
    assert value(server, "sum(otel_llm_cost_usage_total)") == pytest.approx(total)


def test_calls_without_a_price_verdicts_and_signals_are_counted(server: Prometheus, sent: Fed):
    unpriced = sum(one.get("otel_llm.cost.status") == "unpriced" for one in sent.spans.values())
    assert value(server, "sum(otel_llm_cost_unpriced_calls_total)") == unpriced > 0
    denied = [one for one in sent.spans.values() if one.get("otel_llm.policy.verdict.type") == "deny"]
    assert value(server, 'sum(otel_llm_policy_verdicts_total{otel_llm_policy_verdict_type="deny"})') == len(denied) > 0
    refused = [one for one in sent.spans.values() if "refusal" in str(one.get("otel_llm.quality.flags"))]
    raised = 'sum(otel_llm_quality_operations_raised_total{otel_llm_quality_signal="refusal"})'
    assert value(server, raised) == len(refused) > 0
