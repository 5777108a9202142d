"""Which calls of models fail, where traffic goes instead, and what that does to the objective."""

from __future__ import annotations

from typing import Final

from tools.dashboards.calls import CALL_SCOPE, CALL_VARIABLES
from tools.dashboards.model import Dashboard, Panel, Row, one

_CALLS: Final = "gen_ai_client_inference_duration_seconds_count{$scope}"
_FAILED: Final = 'gen_ai_client_inference_duration_seconds_count{$scope, error_type!=""}'
_LOOPS: Final = 'service_name=~"$service", otel_llm_quality_signal=~"retry_storm|agent_loop|agent_recursion"'
_RAISED: Final = f"otel_llm_quality_operations_raised_total{{{_LOOPS}}}"
_CHECKED: Final = f"otel_llm_quality_operations_checked_total{{{_LOOPS}}}"


def _share(label: str) -> str:
    """Failed calls by all calls; 0 where none failed."""
    failed = f"sum by ({label}) (rate({_FAILED}[$__rate_interval]))"
    calls = f"sum by ({label}) (rate({_CALLS}[$__rate_interval]))"
    return f"({failed} or {calls} * 0) / {calls}"


ERRORS: Final = Dashboard(
    "errors",
    "LLM: errors and failover",
    "Which calls fail and why, whether traffic moves to another provider or model, and how fast the error budget goes.",
    CALL_SCOPE,
    CALL_VARIABLES,
    (
        Row(
            "Objective",
            (
                Panel(
                    "Failed calls",
                    "Share of inference calls that failed, as the app saw it: after the SDK's retries.",
                    one(
                        f"(sum(increase({_FAILED}[$__range])) or vector(0)) / sum(increase({_CALLS}[$__range]))",
                        "failed",
                    ),
                    "percentunit",
                    "stat",
                    width=6,
                    levels=(0.01, 0.05),
                ),
                Panel(
                    "Calls",
                    "Inference calls in the time shown.",
                    one(f"sum(increase({_CALLS}[$__range]))", "calls"),
                    "short",
                    "stat",
                    width=6,
                ),
                Panel(
                    "Burn rate, last hour",
                    "How many times faster than allowed the error budget is spent, the worst service. At 14.4 a "
                    "month's budget is gone in two days. Needs the recording rules.",
                    one('max(otel_llm:error_budget_burn:1h{service_name=~"$service"})', "burn rate"),
                    "short",
                    "stat",
                    width=6,
                    levels=(1, 14.4),
                ),
                Panel(
                    "Burn rate, last 6 hours",
                    "As the one beside it, over six hours.",
                    one('max(otel_llm:error_budget_burn:6h{service_name=~"$service"})', "burn rate"),
                    "short",
                    "stat",
                    width=6,
                    levels=(1, 6),
                ),
            ),
        ),
        Row(
            "What fails",
            (
                Panel(
                    "Failed calls by service",
                    "Share of calls that failed.",
                    one(_share("service_name"), "{{service_name}}"),
                    "percentunit",
                ),
                Panel(
                    "Failed calls per second by kind of error",
                    "`429` is a limit of your account, `5xx` the provider, `timeout` either; `_OTHER` says nothing.",
                    one(f"sum by (error_type) (rate({_FAILED}[$__rate_interval]))", "{{error_type}}"),
                    "reqps",
                    stacked=True,
                ),
                Panel(
                    "Failed calls by provider and model",
                    "Share of calls that failed. One model: its own trouble. All of a provider: failover is due.",
                    one(
                        _share("gen_ai_provider_name, gen_ai_request_model"),
                        "{{gen_ai_provider_name}} {{gen_ai_request_model}}",
                    ),
                    "percentunit",
                ),
                Panel(
                    "Embeddings, retrievals and others that failed",
                    "Per second, by kind of operation and of error.",
                    one(
                        "sum by (gen_ai_operation_name, error_type) "
                        "(rate(gen_ai_client_operation_duration_seconds_count"
                        '{service_name=~"$service", error_type!=""}[$__rate_interval]))',
                        "{{gen_ai_operation_name}} {{error_type}}",
                    ),
                    "reqps",
                    stacked=True,
                ),
            ),
        ),
        Row(
            "Where traffic goes",
            (
                Panel(
                    "Share of calls by provider",
                    "A failover is one share that falls and another that rises.",
                    one(
                        f"sum by (gen_ai_provider_name) (rate({_CALLS}[$__rate_interval])) "
                        "/ ignoring(gen_ai_provider_name) "
                        f"group_left sum(rate({_CALLS}[$__rate_interval]))",
                        "{{gen_ai_provider_name}}",
                    ),
                    "percentunit",
                    stacked=True,
                ),
                Panel(
                    "Calls per second by model asked for and model that answered",
                    "Two names that do not belong together: an alias that moved, or a route that was taken.",
                    one(
                        f"sum by (gen_ai_request_model, gen_ai_response_model) (rate({_CALLS}[$__rate_interval]))",
                        "{{gen_ai_request_model}} → {{gen_ai_response_model}}",
                    ),
                    "reqps",
                    stacked=True,
                ),
                Panel(
                    "Attempts made again by SDKs, per second",
                    "By provider, as apps with our hooks say. Ten attempts for one call are a retry storm.",
                    one(
                        "sum by (gen_ai_provider_name) "
                        "(rate(otel_llm_instrumentation_retries_total[$__rate_interval]))",
                        "{{gen_ai_provider_name}}",
                    ),
                    "reqps",
                ),
                Panel(
                    "Retry storms and agent loops",
                    "Operations on which the quality signals say so, as a share of those looked at.",
                    one(
                        f"sum by (otel_llm_quality_signal) (rate({_RAISED}[$__rate_interval])) / "
                        f"sum by (otel_llm_quality_signal) (rate({_CHECKED}[$__rate_interval]))",
                        "{{otel_llm_quality_signal}}",
                    ),
                    "percentunit",
                ),
            ),
        ),
    ),
)
