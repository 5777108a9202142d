"""Whether answers are any good, and whether anything has moved."""

from __future__ import annotations

from typing import Final

from tools.dashboards.model import Dashboard, Panel, Query, Row, Variable, one, or_unknown, quantiles

_CHECKED: Final = "otel_llm_quality_operations_checked_total"
_RAISED: Final = "otel_llm_quality_operations_raised_total"


def _rate(labels: str, signals: str) -> str:
    """Share of the operations looked at on which a signal is raised; 0 where none is."""
    matchers = f'$scope, otel_llm_quality_signal=~"{signals}"'
    raised = f"sum by ({labels}) (rate({_RAISED}{{{matchers}}}[$__rate_interval]))"
    checked = f"sum by ({labels}) (rate({_CHECKED}{{{matchers}}}[$__rate_interval]))"
    return f"({raised} or {checked} * 0) / {checked}"


def _signals(title: str, signals: str, description: str) -> Panel:
    return Panel(
        title,
        description,
        one(_rate("otel_llm_quality_signal", signals), "{{otel_llm_quality_signal}}"),
        "percentunit",
    )


QUALITY: Final = Dashboard(
    "quality",
    "LLM: quality and drift",
    "Whether answers are any good: signals on every operation, judges and people on some, and what has moved.",
    'service_name=~"$service", gen_ai_request_model=~"$model"',
    (
        Variable("service", "Service", _CHECKED, "service_name"),
        Variable("model", "Model", _CHECKED, "gen_ai_request_model"),
    ),
    (
        Row(
            "Signals: share of the operations they could be told for",
            (
                _signals(
                    "Answers",
                    "refusal|empty|truncated|repetition|language_mismatch|prompt_leak",
                    "Refused, empty, cut off, looping, in another language, or with the system's instructions in them.",
                ),
                _signals(
                    "Structure and tools",
                    "invalid_json|unknown_tool|invalid_tool_arguments|tool_error",
                    "Answers that break the schema they were asked to follow, and tool calls that cannot work.",
                ),
                _signals(
                    "Retrieval",
                    "empty_retrieval|stale_retrieval|missing_citation",
                    "Retrievals that brought nothing or only old documents, and answers without the sources asked for.",
                ),
                _signals(
                    "Speed",
                    "slow|slow_output|retry_storm|agent_loop|agent_recursion",
                    "Operations far slower than their kind of late, and agents that go round in circles.",
                ),
            ),
        ),
        Row(
            "Where",
            (
                Panel(
                    "Refusals by model",
                    "A step without a change of yours: the provider changed the model behind its name.",
                    one(_rate("gen_ai_request_model", "refusal"), "{{gen_ai_request_model}}"),
                    "percentunit",
                ),
                Panel(
                    "Refusals and broken schemas by prompt version",
                    "Both together, by name and version of the prompt.",
                    one(
                        or_unknown(
                            "gen_ai_prompt_name",
                            _rate("gen_ai_prompt_name, gen_ai_prompt_version", "refusal|invalid_json"),
                        ),
                        "{{gen_ai_prompt_name}} {{gen_ai_prompt_version}}",
                    ),
                    "percentunit",
                ),
                Panel(
                    "Scores of retrieval, median",
                    "Share of an answer's words that are in the documents, and of a question's in the best document.",
                    quantiles(
                        "otel_llm_quality_score{$scope}",
                        0.5,
                        by="otel_llm_quality_signal",
                        legend="{{otel_llm_quality_signal}}",
                    ),
                    "percentunit",
                ),
                Panel(
                    "Signals by service",
                    "Operations of the time shown on which a signal is raised.",
                    one(
                        f"sum by (service_name, otel_llm_quality_signal) (increase({_RAISED}{{$scope}}[$__range])) > 0",
                        "Operations",
                    ),
                    "short",
                    "table",
                ),
            ),
        ),
        Row(
            "Judges and people",
            (
                Panel(
                    "Mean score by evaluation",
                    "Of judges, people and code, as they come in; on a sample of operations.",
                    one(
                        "sum by (gen_ai_evaluation_name, otel_llm_evaluation_evaluator_source) "
                        "(rate(otel_llm_evaluation_score_sum{$scope}[$__rate_interval])) / "
                        "sum by (gen_ai_evaluation_name, otel_llm_evaluation_evaluator_source) "
                        "(rate(otel_llm_evaluation_score_count{$scope}[$__rate_interval]))",
                        "{{gen_ai_evaluation_name}} ({{otel_llm_evaluation_evaluator_source}})",
                    ),
                    "short",
                ),
                Panel(
                    "Judgements per second by label",
                    "Of the gateway's own judge. Without a label: it failed.",
                    one(
                        "sum by (gen_ai_evaluation_name, gen_ai_evaluation_score_label) "
                        "(rate(otel_llm_judge_judgements_total[$__rate_interval]))",
                        "{{gen_ai_evaluation_name}} {{gen_ai_evaluation_score_label}}",
                    ),
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "Agreement of judges with people",
                    "Cohen's kappa. Under 0.6 a judge is not to be relied on: mend its rubric.",
                    one(
                        "max by (gen_ai_evaluation_name) (otel_llm_judge_agreement_ratio)", "{{gen_ai_evaluation_name}}"
                    ),
                    "short",
                    "bargauge",
                    width=8,
                    levels=(0.6, 0.4),
                ),
                Panel(
                    "Judges: cost per hour",
                    "What judging costs, by currency.",
                    one(
                        "sum by (gen_ai_evaluation_name, otel_llm_cost_currency) "
                        "(rate(otel_llm_judge_usage_total[$__rate_interval])) * 3600",
                        "{{gen_ai_evaluation_name}} {{otel_llm_cost_currency}}",
                    ),
                    "short",
                    width=8,
                ),
                Panel(
                    "Judgements left out, per second",
                    "`daily_limit` is the budget you set; `queue_full` a judge that is too slow.",
                    one(
                        "sum by (otel_llm_judge_skip_reason) (rate(otel_llm_judge_skipped_total[$__rate_interval]))",
                        "{{otel_llm_judge_skip_reason}}",
                    ),
                    "ops",
                    width=8,
                ),
                Panel(
                    "Feedback per second by outcome",
                    "From apps and their users, at the feedback receiver.",
                    one(
                        "sum by (otel_llm_feedback_outcome) (rate(otel_llm_feedback_results_total[$__rate_interval]))",
                        "{{otel_llm_feedback_outcome}}",
                    ),
                    "ops",
                ),
                Panel(
                    "Operations whose content was not looked at, per second",
                    "Too large, or not in the conventions' form; their signals are unknown, not good.",
                    one(
                        "sum by (otel_llm_quality_skip_reason) "
                        "(rate(otel_llm_quality_operations_skipped_total[$__rate_interval]))",
                        "{{otel_llm_quality_skip_reason}}",
                    ),
                    "ops",
                ),
            ),
        ),
        Row(
            "Drift and comparisons",
            (
                Panel(
                    "Changes",
                    "Alarms about signals that have moved, in the time shown.",
                    one(
                        "sum by (otel_llm_drift_signal, otel_llm_drift_direction, service_name, gen_ai_request_model) "
                        "(max_over_time(otel_llm_drift_changes_total{$scope}[$__range]))",
                        "Alarms since the start",
                    ),
                    "short",
                    "table",
                ),
                Panel(
                    "From what to what",
                    "Levels before and after the last change of each signal, in the unit of the signal.",
                    one("max without (instance, job) (otel_llm_drift_level_ratio{$scope})", "Level"),
                    "short",
                    "table",
                ),
                Panel(
                    "Evidence of change",
                    "The detectors that hold most of it; an alarm is raised at 1.",
                    one(
                        "topk(10, max by (otel_llm_drift_signal, service_name, gen_ai_request_model) "
                        "(otel_llm_drift_evidence_ratio{$scope}))",
                        "{{otel_llm_drift_signal}} {{service_name}} {{gen_ai_request_model}}",
                    ),
                    "short",
                    levels=(0.5, 1),
                ),
                Panel(
                    "Comparisons: evidence",
                    "For `worse` 1 in any guardrail rolls the canary back; for `safe` 1 in all of them promotes it.",
                    one(
                        "max by (otel_llm_comparison_name, otel_llm_comparison_signal, otel_llm_comparison_claim) "
                        "(otel_llm_comparison_evidence_ratio)",
                        "{{otel_llm_comparison_name}} {{otel_llm_comparison_signal}} {{otel_llm_comparison_claim}}",
                    ),
                    "short",
                    levels=(0.5, 1),
                ),
                Panel(
                    "Segments watched, and false alarms to be expected",
                    "False alarms to be expected, at most, from all that was seen since the start.",
                    (
                        Query("sum(otel_llm_drift_segments)", "segments"),
                        Query("sum(otel_llm_drift_expected_false_alarms)", "expected false alarms"),
                    ),
                    "short",
                ),
            ),
        ),
    ),
)
