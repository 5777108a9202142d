"""What rules say about operations, and what is done about it."""

from __future__ import annotations

from tools.dashboards.model import Dashboard, Panel, Query, Row, Variable, one

POLICY = Dashboard(
    "policy",
    "LLM: policy verdicts",
    "What the rules say, what was done about it, and whether all gateways run by the same rules.",
    'otel_llm_policy_mode=~"$mode", otel_llm_policy_rule_id=~"$rule"',
    (
        Variable("mode", "Mode", "otel_llm_policy_verdicts_total", "otel_llm_policy_mode"),
        Variable("rule", "Rule", "otel_llm_policy_verdicts_total", "otel_llm_policy_rule_id"),
    ),
    (
        Row(
            "In the time shown",
            (
                Panel(
                    "Denied",
                    "Verdicts `deny`, whatever was done about them.",
                    one(
                        'sum(increase(otel_llm_policy_verdicts_total{$scope, otel_llm_policy_verdict_type="deny"}'
                        "[$__range])) or vector(0)",
                        "denied",
                    ),
                    "short",
                    "stat",
                    width=6,
                ),
                Panel(
                    "Blocked",
                    "Operations that were stopped.",
                    one(
                        'sum(increase(otel_llm_policy_verdicts_total{$scope, otel_llm_policy_action_type="block"}'
                        "[$__range])) or vector(0)",
                        "blocked",
                    ),
                    "short",
                    "stat",
                    width=6,
                ),
                Panel(
                    "Would have been blocked",
                    "Verdicts `deny` of rules in shadow mode: read these before you let a rule enforce.",
                    one(
                        'sum(increase(otel_llm_policy_verdicts_total{otel_llm_policy_rule_id=~"$rule", '
                        'otel_llm_policy_mode="shadow", otel_llm_policy_verdict_type="deny"}[$__range])) or vector(0)',
                        "in shadow",
                    ),
                    "short",
                    "stat",
                    width=6,
                ),
                Panel(
                    "Could not be decided",
                    "Verdicts `error`: a rule crashed or lacked what it needs. That is no allow; mend the rule.",
                    one(
                        'sum(increase(otel_llm_policy_verdicts_total{$scope, otel_llm_policy_verdict_type="error"}'
                        "[$__range])) or vector(0)",
                        "errors",
                    ),
                    "short",
                    "stat",
                    width=6,
                    levels=(1, 10),
                ),
            ),
        ),
        Row(
            "Verdicts",
            (
                Panel(
                    "Verdicts per second by type",
                    "One `allow` for each operation that nobody objected to; one of each rule that did.",
                    one(
                        "sum by (otel_llm_policy_verdict_type) "
                        "(rate(otel_llm_policy_verdicts_total{$scope}[$__rate_interval]))",
                        "{{otel_llm_policy_verdict_type}}",
                    ),
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "Objections per second by rule",
                    "A rule that begins to object more is an incident, or a rule that nobody tried out.",
                    one(
                        "sum by (otel_llm_policy_rule_id) (rate(otel_llm_policy_verdicts_total"
                        '{$scope, otel_llm_policy_verdict_type!="allow"}[$__rate_interval]))',
                        "{{otel_llm_policy_rule_id}}",
                    ),
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "What was done, per second",
                    "The action is not the verdict: in shadow mode rules deny, and nothing is stopped.",
                    one(
                        "sum by (otel_llm_policy_action_type) "
                        "(rate(otel_llm_policy_verdicts_total{$scope}[$__rate_interval]))",
                        "{{otel_llm_policy_action_type}}",
                    ),
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "Rules",
                    "Verdicts of the time shown by rule, mode, verdict and action.",
                    one(
                        "sum by (otel_llm_policy_rule_id, otel_llm_policy_mode, otel_llm_policy_verdict_type, "
                        "otel_llm_policy_action_type) (increase(otel_llm_policy_verdicts_total"
                        '{$scope, otel_llm_policy_verdict_type!="allow"}[$__range])) > 0',
                        "Verdicts",
                    ),
                    "short",
                    "table",
                ),
            ),
        ),
        Row(
            "Rules in force",
            (
                Panel(
                    "Bundles in force",
                    "Gateways by the content hash of their rules. More than one for longer than a roll-out takes: they "
                    "decide differently.",
                    one("count by (otel_llm_policy_bundle_id) (otel_llm_policy_bundle_info)", "Gateways"),
                    "short",
                    "table",
                ),
                Panel(
                    "Reloads",
                    "Times that rules were read anew. After a `failure` those before are still in force.",
                    one(
                        "sum by (otel_llm_policy_reload_outcome) (increase(otel_llm_policy_reloads_total"
                        "[$__rate_interval]))",
                        "{{otel_llm_policy_reload_outcome}}",
                    ),
                    "short",
                ),
            ),
        ),
        Row(
            "Redaction and audit",
            (
                Panel(
                    "Content replaced, per second, by type",
                    "Personal data and secrets that were redacted on the way to exporters.",
                    one(
                        "sum by (otel_llm_redaction_type) (rate(otel_llm_redaction_findings_total[$__rate_interval]))",
                        "{{otel_llm_redaction_type}}",
                    ),
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "Redaction and audit that failed, per second",
                    "Values left out because they could not be looked at, and audit records that could not be written. "
                    "Nothing was let through by these; somebody has to look.",
                    (
                        Query(
                            "sum by (otel_llm_redaction_detector) "
                            "(rate(otel_llm_redaction_failures_total[$__rate_interval]))",
                            "redaction: {{otel_llm_redaction_detector}}",
                        ),
                        Query("sum(rate(otel_llm_audit_failures_total[$__rate_interval]))", "audit"),
                    ),
                    "ops",
                ),
            ),
        ),
    ),
)
