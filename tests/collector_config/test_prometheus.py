"""Rules under promtool, and all expressions against a real Prometheus that reads a real gateway."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from otel_llm.hosts.gateway import Gateway
from otel_llm.testing import Destination, OtlpHttpSink
from tests.collector_config.go_tools import GO_MARKS, go_tools
from tests.collector_config.observability import CONFIG, RULE_FILES, dashboard_expressions, rule_expressions, rules
from tests.collector_config.prometheus_server import Prometheus, prometheus
from tests.collector_config.traffic import send
from tests.hosts.running import http_port, post, settings

pytestmark = GO_MARKS
RULE_TESTS = sorted((Path(__file__).parent / "rules").glob("*.yaml"))


def promtool(*arguments: str) -> str:
    command = [str(go_tools("prometheus") / "promtool"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_finds_nothing_wrong_with_the_rules_and_the_configuration():
    promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, RULE_FILES))
    promtool("check", "config", "--syntax-only", str(CONFIG / "prometheus" / "prometheus.yaml"))


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_rules_fire_when_they_should_and_only_then(path: Path):
    promtool("test", "rules", str(path))


def test_every_alert_is_made_to_fire_in_a_rule_test():
    text = "\n".join(path.read_text() for path in RULE_TESTS)
    assert [rule["alert"] for rule in rules() if "alert" in rule and f"alertname: {rule['alert']}\n" not in text] == []


@dataclass(frozen=True, slots=True)
class Stack:
    """What the test of expressions asks."""

    gateway: Gateway
    prometheus: Prometheus
    destination: Destination


# The stack's gateway with what is drawn from life in a test: ports, a destination, and drift that is found at once.
def _configuration(sink: str, folder: Path) -> str:
    text = (CONFIG / "gateway-stack.yaml").read_text()
    for port in (":4317", ":4318", ":13133"):
        text = text.replace(f"127.0.0.1}}{port}", "127.0.0.1}:0")
    text = text.replace("otlp_grpc/collector", "otlp_http/collector")
    text = text.replace("${env:COLLECTOR_ENDPOINT:-http://127.0.0.1:14317}", sink)
    text = text.replace("${env:OTEL_LLM_DATA:-.}", str(folder))
    return text.replace("  drift:\n", "  drift:\n    baselines: {refusal: 0.02}\n    false_alarms: 100\n")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    programs = go_tools("prometheus")
    with OtlpHttpSink() as sink:
        gateway = Gateway(settings(_configuration(sink.endpoint, folder), folder), metrics_interval_seconds=1)
        gateway.start()
        try:
            with prometheus(programs, folder, f"127.0.0.1:{gateway.admin_port}") as server:
                yield Stack(gateway, server, sink.destination)
        finally:
            gateway.shutdown()


@pytest.fixture
def busy(stack: Stack) -> Stack:
    """The stack after traffic in rounds, each of them scraped: a counter that begins at 5 has not increased yet."""
    endpoint = f"http://127.0.0.1:{http_port(stack.gateway)}"
    spans = 'otel_llm_signal="traces", otel_llm_component_name="otlp_http/collector"'
    seen = f"sum(otel_llm_delivery_items_exported_total{{{spans}}})"
    stack.prometheus.wait_for(lambda: stack.prometheus.query('up{job="otel-llm"} == 1'))
    sent = sum(float(one["value"][1]) for one in stack.prometheus.query(seen))
    for _ in range(3):
        sent += send(endpoint)
        post(http_port(stack.gateway), "/v1/traces", b"\xff\xff")  # what is malformed is refused, and shown
        stack.prometheus.wait_for(lambda: stack.prometheus.query(f"{seen} >= {sent}"))  # noqa: B023 - called at once
    rule_made = "otel_llm:error_budget_burn:1h and otel_llm:calls:rate1h > 0"
    stack.prometheus.wait_for(lambda: stack.prometheus.query(rule_made))
    stack.prometheus.wait_for(lambda: stack.prometheus.query("otel_llm:budget_burn:1h > 0"))
    return stack


# Beginning of where an expression stands -> why it has no data here.
NO_DATA = {
    "cost.json: Cost of this hour against": "there is no yesterday",
    "errors.json: Attempts made again by SDKs": "apps with our hooks say so",
    "errors.json: Retry storms and agent loops": "they need four failures in a row within a trace",
    "policy.json: Reloads": "policies were not changed",
    "policy.json: Content replaced": "redaction is not on in the stack",
    "policy.json: Redaction and audit that failed": "nothing failed",
    "quality.json: Mean score by evaluation": "no feedback came",
    "quality.json: Judgements per second": "no judge is configured in the stack",
    "quality.json: Agreement of judges": "no judge is configured in the stack",
    "quality.json: Judges: cost per hour": "no judge is configured in the stack",
    "quality.json: Judgements left out": "no judge is configured in the stack",
    "quality.json: Feedback per second": "no feedback came",
    "quality.json: Operations whose content was not looked at": "all was looked at",
    "quality.json: Comparisons: evidence": "no comparison is configured in the stack",
    "budgets.json: Calls that asked their budgets": "apps with our hooks ask",
    "budgets.json: Sums that wait, failures to write, calls not counted B": "nothing failed",
    "budgets.json: Sums that wait, failures to write, calls not counted C": "all were counted",
    "gateway.json: Operations that a processor failed on": "none failed",
    "gateway.json: Operations by the convention": "all came in the current one",
    "gateway.json: Traces decided on": "tail sampling is not on in the stack",
    "gateway.json: Spans held for tail sampling": "tail sampling is not on in the stack",
    "gateway.json: Items lost per second": "nothing was lost",
    "gateway.json: Refused for good, and damage B": "nothing was rejected",
    "gateway.json: Overflowing metrics, and records of our own that were lost B": "none was lost",
    "otel_llm:cost_per_hour:usual": "there is no yesterday",
    "otel_llm:cost_anomaly:ratio": "there is no yesterday",
}
# Alerts that the traffic sets off: their expressions have data, and others have none, which is what they are for.
FIRING = {"LlmRefusals", "LlmDrift", "LlmRetrievalFails"}


def _excuse(where: str) -> str | None:
    return next((reason for begin, reason in NO_DATA.items() if where.startswith(begin)), None)


def test_every_expression_is_answered_and_has_data_where_it_should(busy: Stack):
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    wrong = []
    for expression in (*dashboard_expressions(), *rule_expressions()):
        found = busy.prometheus.query(expression.text)
        if expression.where in alerts:
            continue  # what fires is looked at below
        excuse = _excuse(expression.where)
        if bool(found) is (excuse is not None):
            wrong.append((expression.where, excuse or "no data", expression.text))
    assert wrong == []


def test_the_alerts_that_the_traffic_sets_off_have_data(busy: Stack):
    found = {one.where for one in rule_expressions() if one.where in FIRING and busy.prometheus.query(one.text)}
    assert found == FIRING


def test_prometheus_evaluates_all_rules_without_an_error(stack: Stack):
    groups = stack.prometheus.get("rules")["groups"]
    evaluated = {rule["name"]: rule.get("lastError", "") for group in groups for rule in group["rules"]}
    assert evaluated.keys() == {rule.get("alert") or rule["record"] for rule in rules()}
    assert not any(evaluated.values()), evaluated


def test_what_variables_offer_is_there(busy: Stack):
    for label in ("service_name", "gen_ai_request_model", "otel_llm_cost_currency", "otel_llm_budget_name"):
        assert busy.prometheus.get(f"label/{label}/values"), label


def test_metrics_sent_over_otlp_have_the_names_and_labels_of_those_that_are_scraped(busy: Stack):
    body = [one.body for one in busy.destination.accepted if one.signal == "metrics"][-1]
    path = "/api/v1/otlp/v1/metrics"
    status, answer = busy.prometheus.ask(path, "POST", body, content_type="application/x-protobuf")
    assert status == 200, answer

    def series(matcher: str) -> dict[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for one in busy.prometheus.get("series", **{"match[]": matcher}):
            if one["__name__"].startswith(("otel_llm_", "gen_ai_")):
                labels = frozenset(one) - {"__name__", "job", "instance"}
                found[one["__name__"]] = found.get(one["__name__"], frozenset()) | labels
        return found

    address = f"127.0.0.1:{busy.gateway.admin_port}"
    sent = series(f'{{instance!="{address}", __name__=~"(otel_llm|gen_ai)_.*"}}')
    scraped = series(f'{{instance="{address}"}}')
    assert len(sent) > 50
    assert {name: labels for name, labels in scraped.items() if name in sent} == sent
    # What had no series yet when these metrics were sent is all that may be missing.
    assert len(scraped.keys() - sent.keys()) < 10
