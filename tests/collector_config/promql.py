"""The names in PromQL, as far as our own expressions go: which metrics are selected, and which labels are named.

Not a parser: that is promtool's, in the slow tests. This one tells names without any tool.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from otel_llm._generated.metrics import METRICS, Metric
from otel_llm.codecs.metrics import prometheus_name

_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\b\s*\(([^)]*)\)")
_MATCHERS = re.compile(r"\{([^{}]*)\}")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*")
_RANGE = re.compile(r"\[[^\]]*\]")
_NAME = re.compile(r"(?<![\w.$])([a-zA-Z_:][\w:]*)\b(?!\s*\()")
_WORDS = frozenset(
    {
        *("by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "offset", "bool"),
        *("sum", "max", "min", "count", "avg", "topk", "inf", "nan"),
    }
)
_DURATION = re.compile(r"(?<![\w:])\d+(?:ms|[smhdwy])\b")
# What Prometheus itself puts on every series, and our store on the one for what found no room.
EVERYWHERE = frozenset({"job", "instance", "otel_metric_overflow"})


@dataclass(frozen=True, slots=True)
class Names:
    """What an expression names.

    Attributes:
        metrics: selected.
        labels: in matchers and groupings.
    """

    metrics: frozenset[str]
    labels: frozenset[str]


def names_in(expression: str) -> Names:
    """The metrics and labels an expression names."""
    text = _STRING.sub('""', expression)
    labels: set[str] = set()
    for grouping in _GROUPING.findall(text):
        labels |= set(re.findall(r"\w+", grouping))
    text = _GROUPING.sub(" ", text)
    for matchers in _MATCHERS.findall(text):
        labels |= set(_MATCHER.findall(matchers))
    text = _DURATION.sub(" ", _RANGE.sub(" ", _MATCHERS.sub(" ", text)))
    return Names(frozenset(set(_NAME.findall(text)) - _WORDS), frozenset(labels))


def series_of(metric: Metric) -> tuple[str, ...]:
    """What Prometheus calls the series of a metric."""
    name = prometheus_name(metric)
    match metric.instrument:
        case "counter":
            return (f"{name}_total",)
        case "histogram":
            return (f"{name}_bucket", f"{name}_count", f"{name}_sum")
        case _:
            return (name,)


def registry() -> dict[str, frozenset[str]]:
    """Every series that there can be, by the registry, with the labels it may have."""
    found = {}
    for metric in METRICS.values():
        labels = frozenset(key.replace(".", "_") for key in metric.attributes)
        for name in series_of(metric):
            found[name] = labels | {"le"} if name.endswith("_bucket") else labels
    return found
