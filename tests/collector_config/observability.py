"""The dashboards and rules of collector-config, read: every expression with where it stands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CONFIG = Path(__file__).resolve().parents[2] / "collector-config"
RULE_FILES = sorted((CONFIG / "prometheus" / "rules").glob("*.yaml"))
DASHBOARD_FILES = sorted((CONFIG / "grafana" / "dashboards").glob("*.json"))
# What Grafana puts in; here, everything is selected.
_VARIABLES = {
    "$__rate_interval": "1m",
    "$__range": "10m",
    "$currency": "USD",
    **dict.fromkeys(
        ("$service", "$environment", "$provider", "$model", "$mode", "$rule", "$budget", "$job", "$instance"), ".*"
    ),
}


@dataclass(frozen=True, slots=True)
class Expression:
    """PromQL, and where it stands."""

    where: str
    text: str


def dashboards() -> dict[str, dict[str, Any]]:
    """File name -> dashboard."""
    return {path.name: json.loads(path.read_text()) for path in DASHBOARD_FILES}


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels of a dashboard, headings left out."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def dashboard_expressions() -> list[Expression]:
    """Every query of every panel, with everything selected."""
    found = []
    for name, dashboard in dashboards().items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                text = target["expr"]
                for variable, value in _VARIABLES.items():
                    text = text.replace(variable, value)
                found.append(Expression(f"{name}: {panel['title']} {target['refId']}", text))
    return found


def rules() -> list[dict[str, Any]]:
    """Every rule of every file."""
    return [
        rule for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]
    ]


def rule_expressions() -> list[Expression]:
    """Every expression of every rule."""
    return [Expression(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]
