"""A dashboard as Grafana's JSON (schema version 39, Grafana 11 and newer)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tools.dashboards.model import Dashboard, Panel, Query, Variable

_COLUMNS: Final = 24
_HEIGHTS: Final = {"stat": 4, "timeseries": 8, "table": 8, "bargauge": 8, "heatmap": 8}
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_Json = dict[str, Any]


def render(dashboard: Dashboard) -> _Json:
    """The JSON of a dashboard; the same dashboard gives the same JSON."""
    return {
        "uid": f"otel-llm-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["otel-llm"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [_drift()]},
        "links": [
            {
                "type": "dashboards",
                "title": "otel-llm",
                "tags": ["otel-llm"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
            }
        ],
        "templating": {"list": [_data_source(), *(_variable(one) for one in dashboard.variables)]},
        "panels": list(_panels(dashboard)),
    }


def _drift() -> _Json:
    """Drift alarms as marks on every graph: what changed then may explain what is seen."""
    return {
        "name": "Drift",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": "orange",
        "expr": "changes(otel_llm_drift_began_seconds[1m]) > 0",
        "titleFormat": "Drift: {{otel_llm_drift_signal}}",
        "textFormat": "{{service_name}} {{gen_ai_request_model}}",
        "step": "60s",
    }


def _data_source() -> _Json:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0}


def _variable(variable: Variable) -> _Json:
    query = f"label_values({variable.metric}, {variable.prometheus_label})"
    found: _Json = {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": 2,
        "sort": 1,
        "multi": not variable.is_single,
        "includeAll": not variable.is_single,
    }
    if not variable.is_single:  # "all" takes in what has no such label, too
        found |= {"allValue": ".*", "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}
    return found


def _panels(dashboard: Dashboard) -> Iterator[_Json]:
    """Panels laid out from left to right and from top to bottom, under the headings of their rows."""
    number, top = 0, 0
    for row in dashboard.rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
        }
        top += 1
        left = line_height = 0
        for panel in row.panels:
            number += 1
            height = _HEIGHTS[panel.kind]
            if left + panel.width > _COLUMNS:
                left, top, line_height = 0, top + line_height, 0
            grid = {"x": left, "y": top, "w": panel.width, "h": height}
            yield {"id": number, "gridPos": grid, **_panel(panel, dashboard.scope)}
            left, line_height = left + panel.width, max(line_height, height)
        top += line_height


def _panel(panel: Panel, scope: str) -> _Json:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel),
        "targets": [_target(panel, query, number, scope) for number, query in enumerate(panel.queries)],
        **({"transformations": _table(panel)} if panel.kind == "table" else {}),
    }


def _field(panel: Panel) -> _Json:
    field: _Json = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": _steps(panel.levels)}}
    if panel.unit in {"percentunit", "s", "bytes", "short"}:
        field["min"] = 0
    if panel.kind == "timeseries":
        field["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 40 if panel.stacked else 8,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if panel.levels else "off"},
        }
    else:
        field["color"] = {"mode": "thresholds"}
    return field


def _steps(levels: tuple[float, float] | None) -> list[_Json]:
    if levels is None:
        return [{"color": "blue" if levels is None else "green", "value": None}]
    warning, critical = levels
    if warning < critical:
        return [
            {"color": "green", "value": None},
            {"color": "yellow", "value": warning},
            {"color": "red", "value": critical},
        ]
    return [
        {"color": "red", "value": None},
        {"color": "yellow", "value": critical},
        {"color": "green", "value": warning},
    ]


def _options(panel: Panel) -> _Json:
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    match panel.kind:
        case "timeseries":
            return {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        case "stat":
            return {"reduceOptions": reduce, "colorMode": "value", "graphMode": "none", "textMode": "auto"}
        case "bargauge":
            return {"reduceOptions": reduce, "displayMode": "basic", "orientation": "horizontal"}
        case "heatmap":
            return {"calculate": False, "yAxis": {"unit": panel.unit}, "legend": {"show": True}}
        case "table":
            return {"showHeader": True, "cellHeight": "sm"}


def _target(panel: Panel, query: Query, number: int, scope: str) -> _Json:
    target: _Json = {
        "refId": chr(ord("A") + number),
        "datasource": _SOURCE,
        "expr": query.expression.replace("$scope", scope),
        "legendFormat": query.legend,
        "editorMode": "code",
        "range": panel.kind in {"timeseries", "heatmap"},
        "instant": panel.kind not in {"timeseries", "heatmap"},
    }
    if panel.kind in {"table", "heatmap"}:
        target["format"] = panel.kind
    return target


def _table(panel: Panel) -> list[_Json]:
    """All queries of a table side by side, the time left out, each value under its own heading."""
    letters = [chr(ord("A") + number) for number in range(len(panel.queries))]
    names = {f"Value #{letter}": query.legend for letter, query in zip(letters, panel.queries, strict=True)}
    if len(letters) == 1:
        names = {"Value": panel.queries[0].legend}
    return [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": names}},
    ]
