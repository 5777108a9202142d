"""Whether the gateway itself is well: what comes in, what goes out, what waits, what is lost."""

from __future__ import annotations

from typing import Final

from tools.dashboards.model import Dashboard, Panel, Query, Row, Variable, one, quantiles

_EXPORTER: Final = "otel_llm_component_name"


def _rate(name: str, by: str, extra: str = "") -> str:
    return f"sum by ({by}) (rate({name}{{$scope{extra}}}[$__rate_interval]))"


def _total(name: str) -> str:
    """What a counter counted in the time shown; 0 when it never counted anything."""
    return f"sum(increase({name}{{$scope}}[$__range])) or vector(0)"


GATEWAY: Final = Dashboard(
    "gateway",
    "LLM: gateway health",
    "What comes in, what goes out, what waits and what is lost, of each gateway. At all times, accepted = exported + "
    "dropped + queued.",
    'job=~"$job", instance=~"$instance"',
    (
        Variable("job", "Job", "otel_llm_receiver_items_received_total", "job"),
        Variable("instance", "Gateway", "otel_llm_receiver_items_received_total", "instance"),
    ),
    (
        Row(
            "Now",
            (
                Panel(
                    "Gateways up",
                    "Gateways that Prometheus reaches.",
                    one('sum(up{job=~"$job"})', "up"),
                    "short",
                    "stat",
                    width=4,
                ),
                Panel(
                    "Lost in the time shown",
                    "Items that were accepted and given up. Should be 0; the reasons are below.",
                    one(_total("otel_llm_delivery_items_dropped_total"), "dropped"),
                    "short",
                    "stat",
                    width=4,
                    levels=(1, 1000),
                ),
                Panel(
                    "Refused in the time shown",
                    "Items turned away; their senders still have them and send again.",
                    one(_total("otel_llm_receiver_items_refused_total"), "refused"),
                    "short",
                    "stat",
                    width=4,
                    levels=(1, 10000),
                ),
                Panel(
                    "Oldest item that waits",
                    "Over all exporters. Minutes: a destination takes nothing, or less than comes.",
                    one("max(otel_llm_delivery_queue_age_seconds{$scope})", "age"),
                    "s",
                    "stat",
                    width=4,
                    levels=(60, 300),
                ),
                Panel(
                    "Fullest queue",
                    "Bytes waiting by bytes that may. At 100 % senders are told to wait.",
                    one("max(otel_llm:queue_fill:ratio{$scope})", "full"),
                    "percentunit",
                    "stat",
                    width=4,
                    levels=(0.5, 0.8),
                ),
                Panel(
                    "Unexpected errors",
                    "Exceptions isolated in the time shown; each is a defect, and the log names it.",
                    one(_total("otel_llm_internal_errors_total"), "errors"),
                    "short",
                    "stat",
                    width=4,
                    levels=(1, 10),
                ),
            ),
        ),
        Row(
            "In",
            (
                Panel(
                    "Items received per second",
                    "Spans, data points and log records in well-formed requests.",
                    one(_rate("otel_llm_receiver_items_received_total", "otel_llm_signal"), "{{otel_llm_signal}}"),
                    "cps",
                    stacked=True,
                ),
                Panel(
                    "Requests refused per second, by reason",
                    "`queue_full` is back-pressure; `malformed` and `unauthorized` are senders to be mended.",
                    one(
                        _rate(
                            "otel_llm_receiver_requests_refused_total",
                            "otel_llm_component_name, otel_llm_refusal_reason",
                        ),
                        "{{otel_llm_component_name}} {{otel_llm_refusal_reason}}",
                    ),
                    "reqps",
                    stacked=True,
                ),
                Panel(
                    "Time to answer a request",
                    "From its first byte to the answer, which with a queue on disk waits for the disk.",
                    quantiles("otel_llm_receiver_request_duration_seconds{$scope}", 0.5, 0.99),
                    "s",
                ),
                Panel(
                    "Bytes received per second",
                    "Bodies as they were sent.",
                    one(_rate("otel_llm_receiver_io_bytes_total", "otel_llm_signal"), "{{otel_llm_signal}}"),
                    "Bps",
                    stacked=True,
                ),
            ),
        ),
        Row(
            "Work",
            (
                Panel(
                    "Time of a pipeline for one request, 99th percentile",
                    "All processors, reading and writing included.",
                    quantiles(
                        "otel_llm_pipeline_duration_seconds{$scope}",
                        0.99,
                        by="otel_llm_component_name",
                        legend="{{otel_llm_component_name}}",
                    ),
                    "s",
                ),
                Panel(
                    "Time of each processor, per second",
                    "Seconds of work in a second: where the CPU goes.",
                    one(_rate("otel_llm_processor_duration_seconds_sum", _EXPORTER), "{{otel_llm_component_name}}"),
                    "percentunit",
                    stacked=True,
                ),
                Panel(
                    "Operations that a processor failed on, per second",
                    "They went on without its result, marked with `otel_llm.processing.errors`.",
                    one(
                        _rate("otel_llm_processor_operations_failed_total", "otel_llm_component_name, error_type"),
                        "{{otel_llm_component_name}} {{error_type}}",
                    ),
                    "ops",
                ),
                Panel(
                    "Operations by the convention they came in, per second",
                    "Rewritten to the current one.",
                    one(
                        _rate("otel_llm_pipeline_operations_normalized_total", "otel_llm_dialect"),
                        "{{otel_llm_dialect}}",
                    ),
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "Traces decided on per second, by rule",
                    "Of tail sampling: why traces were kept, or that they were not.",
                    one(
                        _rate("otel_llm_sampling_traces_total", "otel_llm_sampling_decision, otel_llm_sampling_rule"),
                        "{{otel_llm_sampling_decision}} {{otel_llm_sampling_rule}}",
                    ),
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "Spans held for tail sampling",
                    "Spans of traces that are not decided on.",
                    one("sum by (instance) (otel_llm_sampling_held_spans{$scope})", "{{instance}}"),
                    "short",
                ),
            ),
        ),
        Row(
            "Out",
            (
                Panel(
                    "Items exported per second",
                    "Confirmed by the destination.",
                    one(
                        _rate("otel_llm_delivery_items_exported_total", "otel_llm_component_name, otel_llm_signal"),
                        "{{otel_llm_component_name}} {{otel_llm_signal}}",
                    ),
                    "cps",
                    stacked=True,
                ),
                Panel(
                    "Items lost per second, by reason",
                    "What each reason means is in docs/reliability.md.",
                    one(
                        _rate("otel_llm_delivery_items_dropped_total", "otel_llm_component_name, otel_llm_drop_reason"),
                        "{{otel_llm_component_name}} {{otel_llm_drop_reason}}",
                    ),
                    "cps",
                    stacked=True,
                ),
                Panel(
                    "Oldest item that waits",
                    "At least; by exporter.",
                    one(
                        "max by (otel_llm_component_name) (otel_llm_delivery_queue_age_seconds{$scope})",
                        "{{otel_llm_component_name}}",
                    ),
                    "s",
                    levels=(60, 300),
                ),
                Panel(
                    "Queues, as a share of what they may hold",
                    "By exporter, the fullest gateway.",
                    one(
                        "max by (otel_llm_component_name) (otel_llm:queue_fill:ratio{$scope})",
                        "{{otel_llm_component_name}}",
                    ),
                    "percentunit",
                    levels=(0.5, 0.8),
                ),
                Panel(
                    "Attempts to send per second, by outcome",
                    "`retryable` is tried again; `permanent` is given up or parked.",
                    one(
                        _rate(
                            "otel_llm_exporter_attempts_total",
                            "otel_llm_component_name, otel_llm_export_outcome, error_type",
                        ),
                        "{{otel_llm_component_name}} {{otel_llm_export_outcome}} {{error_type}}",
                    ),
                    "reqps",
                    stacked=True,
                ),
                Panel(
                    "Time of one attempt, 95th percentile",
                    "What the destination takes to answer, by exporter.",
                    quantiles(
                        "otel_llm_exporter_duration_seconds{$scope}",
                        0.95,
                        by="otel_llm_component_name",
                        legend="{{otel_llm_component_name}}",
                    ),
                    "s",
                ),
                Panel(
                    "Refused for good, and damage",
                    "Items kept on disk for somebody to look at (`otel-llm queue inspect --letters`), items that a "
                    "destination turned away in accepted batches, and files of the queue found damaged.",
                    (
                        Query("sum(otel_llm_delivery_items_parked{$scope})", "parked"),
                        Query("sum(increase(otel_llm_exporter_items_rejected_total{$scope}[$__range]))", "rejected"),
                        Query("sum(otel_llm_delivery_damaged_files{$scope})", "damaged files"),
                    ),
                    "short",
                ),
                Panel(
                    "Overflowing metrics, and records of our own that were lost",
                    "Metrics with more series than their limit: totals stay exact, but the rest cannot be told apart. "
                    "Alarms, judgements and findings that no logs pipeline got, in the time shown.",
                    (
                        Query('count({otel_metric_overflow="true", $scope}) or vector(0)', "overflow series"),
                        Query("sum(increase(otel_llm_records_dropped_total{$scope}[$__range]))", "records lost"),
                    ),
                    "short",
                ),
            ),
        ),
    ),
)
