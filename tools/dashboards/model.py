"""What a dashboard is made of, without Grafana's layout and boilerplate: rows of panels, panels of queries.

Expressions are PromQL as it is, with one abbreviation: `$scope` stands for what the dashboard's variables select.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["timeseries", "stat", "table", "bargauge", "heatmap"]


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel.

    Attributes:
        expression: PromQL.
        legend: what a series is called, with `{{label}}` for a label's value; in a table, the column of the value.
    """

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: a few words.
        description: what is seen, and what a bad value means.
        queries: at least one.
        unit: of Grafana's: `s`, `percentunit`, `reqps`, `bytes`, `short`, ...
        kind: how it is drawn.
        width: of 24 columns.
        stacked: series on top of one another: for parts of a whole.
        levels: value from which on it is yellow, and red; upwards when the second is the higher one.
    """

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str
    kind: Kind = "timeseries"
    width: int = 12
    stacked: bool = False
    levels: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """What a user can select.

    Attributes:
        name: how expressions name it.
        label: how the page names it.
        metric: where its values come from.
        prometheus_label: the label whose values they are.
        is_single: exactly one value at a time, instead of any number.
    """

    name: str
    label: str
    metric: str
    prometheus_label: str
    is_single: bool = False


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard.

    Attributes:
        name: of its file and, with a prefix, its address; never changed, as people link to it.
        title: its name for people.
        description: the question that it answers.
        scope: what `$scope` stands for: label matchers.
        variables: what a user can select, beside the data source.
        rows: what is seen, the most important first.
    """

    name: str
    title: str
    description: str
    scope: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]


def one(expression: str, legend: str) -> tuple[Query, ...]:
    """A single query."""
    return (Query(expression, legend),)


def quantiles(histogram: str, *levels: float, by: str = "", legend: str = "") -> tuple[Query, ...]:
    """Quantiles of a histogram, one query each.

    Args:
        histogram: the metric, without `_bucket`, with its matchers.
        levels: 0 to 1.
        by: labels to tell series apart by.
        legend: of these labels.
    """
    name, _, matchers = histogram.partition("{")
    labels = f"le, {by}" if by else "le"
    selector = f"{name}_bucket{{{matchers}" if matchers else f"{name}_bucket"
    return tuple(
        Query(
            f"histogram_quantile({level}, sum by ({labels}) (rate({selector}[$__rate_interval])))",
            f"{legend} p{level * 100:g}".strip(),
        )
        for level in levels
    )


def or_unknown(label: str, expression: str) -> str:
    """The expression, with a name for the series that do not have the label: nothing is left out of a sum unseen."""
    return f'label_replace({expression}, "{label}", "(unknown)", "{label}", "")'
