"""How long calls of models take, and how long until something is seen."""

from __future__ import annotations

from typing import Final

from tools.dashboards.calls import CALL_SCOPE, CALL_VARIABLES
from tools.dashboards.model import Dashboard, Panel, Query, Row, one, quantiles

_DURATION: Final = "gen_ai_client_inference_duration_seconds{$scope}"
_FIRST: Final = "gen_ai_client_inference_time_to_first_chunk_seconds{$scope}"
_OTHER: Final = 'gen_ai_client_operation_duration_seconds{service_name=~"$service"}'
_BUCKETS: Final = "gen_ai_client_inference_duration_seconds_bucket{$scope"
_COUNT: Final = "gen_ai_client_inference_duration_seconds_count{$scope}"

LATENCY: Final = Dashboard(
    "latency",
    "LLM: latency and time to first token",
    "How long calls take from request to the last byte of the answer, retries of the SDK included, and streams until "
    "their first chunk.",
    CALL_SCOPE,
    CALL_VARIABLES,
    (
        Row(
            "All calls",
            (
                Panel(
                    "Duration of inference calls",
                    "Median, 95th and 99th percentile. Long answers take long: look at the tokens below as well.",
                    quantiles(_DURATION, 0.5, 0.95, 0.99),
                    "s",
                ),
                Panel(
                    "Time to the first chunk of a stream",
                    "What a user waits for before anything is seen. Streams only.",
                    quantiles(_FIRST, 0.5, 0.95, 0.99),
                    "s",
                ),
                Panel(
                    "Calls slower than the objective",
                    "Share of calls that took more than 10.24 s, which is the objective of the alert rules: 5 % may.",
                    one(
                        f'1 - sum(rate({_BUCKETS}, le="10.24"}}[$__rate_interval])) / '
                        f"sum(rate({_COUNT}[$__rate_interval]))",
                        "slower than 10.24 s",
                    ),
                    "percentunit",
                    levels=(0.05, 0.2),
                ),
                Panel(
                    "Distribution of durations",
                    "Calls per second by duration; two bands are two kinds of call.",
                    one(f"sum by (le) (rate({_BUCKETS}}}[$__rate_interval]))", "{{le}}"),
                    "s",
                    "heatmap",
                ),
            ),
        ),
        Row(
            "By model and provider",
            (
                Panel(
                    "Duration by model, 95th percentile",
                    "One model that leaves the others is the provider's trouble with it, or longer prompts for it.",
                    quantiles(_DURATION, 0.95, by="gen_ai_request_model", legend="{{gen_ai_request_model}}"),
                    "s",
                ),
                Panel(
                    "Time to first chunk by model, 95th percentile",
                    "By the model that was asked for. Streams only.",
                    quantiles(_FIRST, 0.95, by="gen_ai_request_model", legend="{{gen_ai_request_model}}"),
                    "s",
                ),
                Panel(
                    "Duration by provider, 95th percentile",
                    "All models of one provider up together: its trouble, or the network's.",
                    quantiles(_DURATION, 0.95, by="gen_ai_provider_name", legend="{{gen_ai_provider_name}}"),
                    "s",
                ),
                Panel(
                    "Output tokens per second of a call",
                    "Output tokens by the time that calls took, by model. Falls when a provider is loaded.",
                    one(
                        "sum by (gen_ai_request_model) "
                        "(rate(gen_ai_client_inference_usage_output_tokens_total{$scope}[$__rate_interval])) / "
                        "sum by (gen_ai_request_model) "
                        "(rate(gen_ai_client_inference_duration_seconds_sum{$scope}[$__rate_interval]))",
                        "{{gen_ai_request_model}}",
                    ),
                    "short",
                ),
            ),
        ),
        Row(
            "By service and size",
            (
                Panel(
                    "Duration by service, 95th percentile",
                    "By the service that made the calls.",
                    quantiles(_DURATION, 0.95, by="service_name", legend="{{service_name}}"),
                    "s",
                ),
                Panel(
                    "Embeddings, retrievals and others, 95th percentile",
                    "Operations other than inference, by kind.",
                    quantiles(_OTHER, 0.95, by="gen_ai_operation_name", legend="{{gen_ai_operation_name}}"),
                    "s",
                ),
                Panel(
                    "Tokens of a call",
                    "Medians and 95th percentiles: durations follow the output, time to first chunk follows the input.",
                    (
                        *quantiles("gen_ai_client_inference_operation_input_tokens{$scope}", 0.5, 0.95, legend="input"),
                        *quantiles(
                            "gen_ai_client_inference_operation_output_tokens{$scope}", 0.5, 0.95, legend="output"
                        ),
                    ),
                    "short",
                ),
                Panel(
                    "Calls per second by service",
                    "Inference calls, failed ones included.",
                    (Query(f"sum by (service_name) (rate({_COUNT}[$__rate_interval]))", "{{service_name}}"),),
                    "reqps",
                    stacked=True,
                ),
            ),
        ),
    ),
)
