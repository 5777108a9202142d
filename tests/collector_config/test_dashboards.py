from __future__ import annotations

import re

import pytest
import yaml

from otel_llm.config import load
from tests.collector_config.observability import (
    CONFIG,
    dashboard_expressions,
    dashboards,
    panels,
    rule_expressions,
    rules,
)
from tests.collector_config.promql import EVERYWHERE, names_in, registry
from tools.dashboards.generate import outputs

DASHBOARDS = dashboards()
EXPRESSIONS = [*dashboard_expressions(), *rule_expressions()]
# Metrics that Prometheus makes itself.
_OF_PROMETHEUS = {"up": frozenset[str]()}
# What the `metrics` processor of the stack tells apart beyond what the registry lists: its `dimensions`.
_DIMENSIONS = frozenset(
    key.replace(".", "_")
    for processor in load(str(CONFIG / "gateway-stack.yaml"), {}).processors
    for key in getattr(processor.config, "dimensions", ())
)


def known_series() -> dict[str, frozenset[str]]:
    """Every series there is, with its labels: of the registry, of Prometheus, and of our recording rules."""
    known = registry() | _OF_PROMETHEUS
    known = {
        name: labels | _DIMENSIONS if "gen_ai_provider_name" in labels else labels for name, labels in known.items()
    }
    for rule in rules():
        if "record" in rule:
            names = names_in(rule["expr"])
            is_grouped = "by (" in rule["expr"]
            known[rule["record"]] = names.labels if is_grouped else names.labels.union(*map(known.get, names.metrics))
    return known


def test_the_dashboards_are_those_that_their_source_makes():
    assert {name: (CONFIG / "grafana" / "dashboards" / name).read_text() for name in DASHBOARDS} == outputs()


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda expression: expression.where)
def test_every_metric_and_label_that_is_named_is_one_of_the_registry(expression):
    known = known_series()
    names = names_in(expression.text)
    assert names.metrics <= known.keys()
    allowed = EVERYWHERE.union(*(known[name] for name in names.metrics))
    assert names.labels <= allowed


def test_names_are_told_from_everything_else_in_an_expression():
    names = names_in(
        'topk(3, sum by (a, b) (rate(x_total{c="or {d}", e=~"f.*"}[5m] offset 1d)) / on (a) group_left (g) '
        "otel_llm:y:ratio) > 1e3 and absent(z) unless vector(0)"
    )
    assert names.metrics == {"x_total", "otel_llm:y:ratio", "z"}
    assert names.labels == {"a", "b", "c", "e", "g"}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_ids_are_unique_and_no_panel_covers_another(name):
    taken = {}
    for panel in DASHBOARDS[name]["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            assert cell not in taken, f"{panel['title']} covers {taken[cell]}"
            taken[cell] = panel["title"]
    ids = [panel["id"] for panel in DASHBOARDS[name]["panels"]]
    assert len(ids) == len(set(ids))


def test_uids_are_unique_and_short_enough_for_grafana():
    uids = [dashboard["uid"] for dashboard in DASHBOARDS.values()]
    assert len(set(uids)) == len(uids) == 7
    assert all(len(uid) <= 40 for uid in uids)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_says_what_is_seen_in_which_unit_and_asks_the_data_source_that_is_selected(name):
    for panel in panels(DASHBOARDS[name]):
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert target["legendFormat"], panel["title"]
            assert target["datasource"]["uid"] == "${datasource}"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_variable_that_is_named_is_there_and_the_other_way_round(name):
    dashboard = DASHBOARDS[name]
    defined = {variable["name"] for variable in dashboard["templating"]["list"]}
    text = "\n".join(
        part for panel in panels(dashboard) for part in (panel["title"], *(one["expr"] for one in panel["targets"]))
    )
    named = set(re.findall(r"\$(\w+)", text)) - {"__rate_interval", "__range"}
    assert named | {"datasource"} == defined


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_values_of_a_variable_come_from_a_label_that_its_metric_has(name):
    known = known_series()
    for variable in DASHBOARDS[name]["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\(([\w:]+), (\w+)\)", variable["query"]["query"]).groups()
            assert label in known[metric] | EVERYWHERE


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_legend_names_labels_that_its_query_keeps(name):
    for panel in panels(DASHBOARDS[name]):
        for target in panel["targets"]:
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert named <= names_in(target["expr"]).labels | {"le"}, panel["title"]


def alerts():
    return [rule for rule in rules() if "alert" in rule]


def test_names_of_rules_are_unique():
    names = [rule.get("alert") or rule["record"] for rule in rules()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_every_alert_has_a_severity_an_owner_a_summary_and_a_section_in_the_runbooks(rule):
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["labels"]["owner"]
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    runbooks = (CONFIG.parent / "docs" / "runbooks.md").read_text()
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page.endswith("/docs/runbooks.md")
    assert anchor == rule["alert"].lower()
    assert f"\n### {rule['alert']}\n" in runbooks


def test_every_runbook_section_is_that_of_an_alert():
    runbooks = (CONFIG.parent / "docs" / "runbooks.md").read_text()
    assert set(re.findall(r"^### (\w+)$", runbooks, re.MULTILINE)) == {rule["alert"] for rule in alerts()}


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_writes_labels_that_its_expression_keeps(rule):
    kept = names_in(rule["expr"]).labels | EVERYWHERE
    known = known_series()
    for name in names_in(rule["expr"]).metrics:
        kept |= known[name]
    text = "\n".join([*rule["annotations"].values(), *rule["labels"].values()])
    assert set(re.findall(r"\$labels\.(\w+)", text)) <= kept


def test_grafana_is_provisioned_with_what_the_stack_has():
    provisioning = CONFIG / "grafana" / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources" / "otel-llm.yaml").read_text())["datasources"]
    assert {source["type"] for source in sources} == {"prometheus", "jaeger"}
    services = yaml.safe_load((CONFIG / "compose.yaml").read_text())["services"]
    for source in sources:
        host = re.fullmatch(r"http://([\w-]+):\d+", source["url"])[1]
        assert host in services
    [provider] = yaml.safe_load((provisioning / "dashboards" / "otel-llm.yaml").read_text())["providers"]
    mounts = [volume.split(":") for volume in services["grafana"]["volumes"] if volume.startswith("./")]
    assert provider["options"]["path"] in {target for _, target, *_ in mounts}
