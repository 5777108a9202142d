"""How far budgets are spent, how fast, and who asked for more."""

from __future__ import annotations

from typing import Final

from tools.dashboards.model import Dashboard, Panel, Query, Row, Variable, one

# Processes that share a store show the same number: the maximum over them, never the sum.
_BY: Final = "otel_llm_budget_name, otel_llm_budget_owner, otel_llm_cost_currency, otel_llm_budget_period_type"
_NAME: Final = "{{otel_llm_budget_name}}"


def _level(name: str, by: str = "otel_llm_budget_name") -> str:
    return f"max by ({by}) ({name}{{$scope}})"


BUDGETS: Final = Dashboard(
    "budgets",
    "LLM: budgets",
    "How far each budget is spent, whether it lasts until its period ends, and whether calls were stopped for it.",
    'otel_llm_budget_name=~"$budget"',
    (Variable("budget", "Budget", "otel_llm_budget_limit", "otel_llm_budget_name"),),
    (
        Row(
            "Now",
            (
                Panel(
                    "Spent, as a share of the limit",
                    "In the current period of each budget.",
                    one(_level("otel_llm_budget_utilization_ratio"), _NAME),
                    "percentunit",
                    "bargauge",
                    levels=(0.8, 1),
                ),
                Panel(
                    "Burn rate since the period began",
                    "Share spent by share of the period that has passed. Above 1 the limit is reached before the end.",
                    one(
                        f"{_level('otel_llm_budget_utilization_ratio')} / {_level('otel_llm_budget_elapsed_ratio')}",
                        _NAME,
                    ),
                    "short",
                    "bargauge",
                    levels=(1, 1.5),
                ),
                Panel(
                    "Budgets",
                    "What is spent, and what may be, in the current period.",
                    (
                        Query(_level("otel_llm_budget_spent", _BY), "Spent"),
                        Query(_level("otel_llm_budget_limit", _BY), "Limit"),
                        Query(_level("otel_llm_budget_utilization_ratio", _BY), "Share"),
                    ),
                    "short",
                    "table",
                    width=24,
                ),
            ),
        ),
        Row(
            "Over time",
            (
                Panel(
                    "Spent, as a share of the limit",
                    "Falls to 0 when a new period begins.",
                    one(_level("otel_llm_budget_utilization_ratio"), _NAME),
                    "percentunit",
                    levels=(0.8, 1),
                ),
                Panel(
                    "Burn rate of the last hour",
                    "Money of the last hour, by what an hour may cost if the limit is to last the whole period. Needs "
                    "the recording rules.",
                    one("max by (otel_llm_budget_name) (otel_llm:budget_burn:1h{$scope})", _NAME),
                    "short",
                    levels=(1, 14.4),
                ),
                Panel(
                    "Money counted, per hour",
                    "Sum over all gateways.",
                    one(
                        "sum by (otel_llm_budget_name, otel_llm_cost_currency) "
                        "(rate(otel_llm_budget_usage_total{$scope}[$__rate_interval])) * 3600",
                        "{{otel_llm_budget_name}} {{otel_llm_cost_currency}}",
                    ),
                    "short",
                    stacked=True,
                ),
                Panel(
                    "Calls that asked their budgets, per second",
                    "`deny` was stopped; `allow_unknown` and `deny_unknown` were decided without knowing the sum.",
                    one(
                        "sum by (otel_llm_budget_decision) (rate(otel_llm_budget_admissions_total[$__rate_interval]))",
                        "{{otel_llm_budget_decision}}",
                    ),
                    "reqps",
                    stacked=True,
                ),
            ),
        ),
        Row(
            "Is what is shown true?",
            (
                Panel(
                    "Calls without a price, per second",
                    "What is spent is too low by theirs.",
                    one(
                        "sum by (otel_llm_budget_name) "
                        "(rate(otel_llm_budget_unpriced_calls_total{$scope}[$__rate_interval]))",
                        _NAME,
                    ),
                    "reqps",
                    width=8,
                ),
                Panel(
                    "Time since the store was heard from",
                    "The oldest over all gateways; what others spent since is not known to it.",
                    one(
                        "max by (otel_llm_component_name) (otel_llm_budget_age_seconds)", "{{otel_llm_component_name}}"
                    ),
                    "s",
                    width=8,
                    levels=(60, 600),
                ),
                Panel(
                    "Sums that wait, failures to write, calls not counted",
                    "Failures lose nothing; calls that were not counted are lost to the budget.",
                    (
                        Query("sum(otel_llm_budget_waiting)", "sums waiting"),
                        Query("sum(increase(otel_llm_budget_store_failures_total[$__rate_interval]))", "failures"),
                        Query("sum(increase(otel_llm_budget_dropped_total[$__rate_interval]))", "calls not counted"),
                    ),
                    "short",
                    width=8,
                ),
            ),
        ),
    ),
)
