"""What calls of models cost, and who and what makes it so."""

from __future__ import annotations

from typing import Final

from tools.dashboards.calls import CALL_SCOPE, CALL_VARIABLES
from tools.dashboards.model import Dashboard, Panel, Query, Row, Variable, one, or_unknown

# Amounts of different currencies are never added up.
_COST: Final = 'otel_llm_cost_usage_total{$scope, otel_llm_cost_currency="$currency"}'
_CALLS: Final = "gen_ai_client_inference_duration_seconds_count{$scope}"
_INPUT: Final = "gen_ai_client_inference_usage_input_tokens_total{$scope}"
_OUTPUT: Final = "gen_ai_client_inference_usage_output_tokens_total{$scope}"
_CACHE_READ: Final = "gen_ai_client_inference_usage_cache_read_input_tokens_total{$scope}"


def _per_hour(label: str) -> str:
    return or_unknown(label, f"sum by ({label}) (rate({_COST}[$__rate_interval])) * 3600")


def _by(title: str, label: str, description: str) -> tuple[Panel, Panel]:
    """Cost by one label, over time and summed up."""
    total = or_unknown(label, f"sum by ({label}) (increase({_COST}[$__range]))")
    return (
        Panel(
            f"$currency per hour by {title}",
            description,
            one(_per_hour(label), f"{{{{{label}}}}}"),
            "short",
            width=16,
            stacked=True,
        ),
        Panel(
            f"$currency by {title}",
            f"Sum over the time shown, by {title}; the highest first.",
            one(f"sort_desc({total})", f"{{{{{label}}}}}"),
            "short",
            "bargauge",
            width=8,
        ),
    )


COST: Final = Dashboard(
    "cost",
    "LLM: cost",
    "What calls of models cost, by team, model, feature and prompt version; before any sampling. Unpriced calls are "
    "shown beside the sums, never as 0 in them.",
    CALL_SCOPE,
    (*CALL_VARIABLES, Variable("currency", "Currency", "otel_llm_cost_usage_total", "otel_llm_cost_currency", True)),  # noqa: FBT003 - is_single
    (
        Row(
            "In the time shown",
            (
                Panel(
                    "Cost, $currency",
                    "Sum of all priced calls.",
                    one(f"sum(increase({_COST}[$__range]))", "cost"),
                    "short",
                    "stat",
                    width=4,
                ),
                Panel(
                    "$currency per hour, now",
                    "At the rate of the last minutes.",
                    one(f"sum(rate({_COST}[$__rate_interval])) * 3600", "per hour"),
                    "short",
                    "stat",
                    width=4,
                ),
                Panel(
                    "$currency per 1,000 calls",
                    "Cost of the time shown by its inference calls, failed ones included. Up without a change of "
                    "traffic: longer prompts or answers, a dearer model, a cache that no longer hits.",
                    one(f"1000 * sum(increase({_COST}[$__range])) / sum(increase({_CALLS}[$__range]))", "per 1,000"),
                    "short",
                    "stat",
                    width=4,
                ),
                Panel(
                    "Calls without a price",
                    "Calls whose cost is not known; the sums are too low by theirs. `otel-llm price` says why.",
                    one("sum(increase(otel_llm_cost_unpriced_calls_total[$__range])) or vector(0)", "calls"),
                    "short",
                    "stat",
                    width=4,
                    levels=(1, 100),
                ),
                Panel(
                    "Input tokens read from caches",
                    "Share of input tokens that the provider read from its cache, at a lower price.",
                    one(f"sum(increase({_CACHE_READ}[$__range])) / sum(increase({_INPUT}[$__range]))", "cached"),
                    "percentunit",
                    "stat",
                    width=4,
                ),
                Panel(
                    "Age of the price list",
                    "Time since the oldest price list in use was made.",
                    one("max(otel_llm_cost_catalogue_age_seconds)", "age"),
                    "s",
                    "stat",
                    width=4,
                    levels=(60 * 86400, 120 * 86400),
                ),
            ),
        ),
        Row(
            "Who",
            (
                *_by("owner", "otel_llm_owner_name", "By `otel_llm.owner.name` of the call or its service."),
                *_by("feature", "otel_llm_feature_name", "By `otel_llm.feature.name`: what in the app it was for."),
                *_by("service", "service_name", "By the service that made the calls."),
            ),
        ),
        Row(
            "What",
            (
                *_by("model", "gen_ai_request_model", "By the model that was asked for."),
                Panel(
                    "$currency per hour by prompt version",
                    "By name and version of the prompt; a step where a version starts is the price of a change.",
                    one(
                        or_unknown(
                            "gen_ai_prompt_name",
                            "sum by (gen_ai_prompt_name, gen_ai_prompt_version) "
                            f"(rate({_COST}[$__rate_interval])) * 3600",
                        ),
                        "{{gen_ai_prompt_name}} {{gen_ai_prompt_version}}",
                    ),
                    "short",
                    stacked=True,
                ),
                Panel(
                    "$currency per 1,000 calls by prompt version",
                    "What a call of each version costs: the same question asked of two versions.",
                    one(
                        or_unknown(
                            "gen_ai_prompt_name",
                            "1000 * sum by (gen_ai_prompt_name, gen_ai_prompt_version) "
                            f"(rate({_COST}[$__rate_interval])) / "
                            f"sum by (gen_ai_prompt_name, gen_ai_prompt_version) (rate({_CALLS}[$__rate_interval]))",
                        ),
                        "{{gen_ai_prompt_name}} {{gen_ai_prompt_version}}",
                    ),
                    "short",
                ),
                Panel(
                    "$currency per hour by what is billed",
                    "Input, output, cache reads and writes, searches, images and so on.",
                    one(_per_hour("otel_llm_cost_meter"), "{{otel_llm_cost_meter}}"),
                    "short",
                    stacked=True,
                ),
                Panel(
                    "Tokens per second",
                    "Input tokens include those read from caches; output tokens include reasoning.",
                    (
                        Query(f"sum(rate({_INPUT}[$__rate_interval]))", "input"),
                        Query(f"sum(rate({_OUTPUT}[$__rate_interval]))", "output"),
                        Query(f"sum(rate({_CACHE_READ}[$__rate_interval]))", "of input, from caches"),
                    ),
                    "short",
                ),
            ),
        ),
        Row(
            "Unusual and unknown",
            (
                Panel(
                    "Cost of this hour against the same hour before",
                    "Cost of the last hour by the larger one of the same hour a day and a week ago, by service. Alerts "
                    "at 3 and at 10. Needs the recording rules, and a day of data.",
                    one(
                        'max by (service_name) (otel_llm:cost_anomaly:ratio{service_name=~"$service", '
                        'otel_llm_cost_currency="$currency"})',
                        "{{service_name}}",
                    ),
                    "short",
                    levels=(3, 10),
                ),
                Panel(
                    "Calls without a price, by reason",
                    "`unknown_model` is remedied by a price of your own; `no_usage` by usage that the app asks for.",
                    one(
                        "sum by (otel_llm_cost_reason, gen_ai_request_model) "
                        '(increase(otel_llm_cost_unpriced_calls_total{service_name=~"$service"}[$__range])) > 0',
                        "Calls",
                    ),
                    "short",
                    "table",
                ),
            ),
        ),
    ),
)
