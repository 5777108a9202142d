"""What rules found as log records, `otel_llm.policy.finding`, in the context of the span they are about."""

from __future__ import annotations

from typing import Final

from otel_llm._generated import attributes as names
from otel_llm._generated import events
from otel_llm.log_records import INFO, WARN, LogRecord, LogRecords
from otel_llm.operation import AttributeValue, Operation
from otel_llm.policy.sets import Decision, RuleResult
from otel_llm.policy.sets.model import VERDICT_ORDER

TARGETS: Final = {"request": "input", "response": "output"}


def emit_findings(
    records: LogRecords, decision: Decision, bundle_id: str, operation: Operation, now_unix_nano: int
) -> None:
    """Emit a record for each rule that objected, or could not be evaluated; none for what the span says already.

    Args:
        records: takes them.
        decision: about the operation.
        bundle_id: of the rules.
        operation: before the decision was written onto it.
        now_unix_nano: the time.
    """
    before = operation.get(names.OTEL_LLM_POLICY_RULE_IDS)
    known = before if operation.get(names.OTEL_LLM_POLICY_BUNDLE_ID) == bundle_id else ()
    for result in decision.results:
        if result.verdict == "allow" or (isinstance(known, list | tuple) and result.rule.rule.id in known):
            continue
        records.emit(
            LogRecord(
                event_name=events.OTEL_LLM_POLICY_FINDING,
                time_unix_nano=now_unix_nano,
                attributes=_attributes(result, bundle_id),
                severity_number=WARN if VERDICT_ORDER[result.verdict] >= VERDICT_ORDER["warn"] else INFO,
                trace_id=operation.trace_id,
                span_id=operation.span_id,
            )
        )


def _attributes(result: RuleResult, bundle_id: str) -> dict[str, AttributeValue]:
    rule = result.rule
    found: dict[str, AttributeValue] = {
        names.OTEL_LLM_POLICY_VERDICT_TYPE: result.verdict,
        names.OTEL_LLM_POLICY_VERDICT_REASON: result.reason,
        names.OTEL_LLM_POLICY_RULE_ID: rule.rule.id,
        names.OTEL_LLM_POLICY_BUNDLE_ID: bundle_id,
        names.OTEL_LLM_POLICY_ACTION_TYPE: result.action,
        names.OTEL_LLM_POLICY_MODE: rule.mode,
    }
    if rule.rule.stage in TARGETS:
        found[names.OTEL_LLM_POLICY_TARGET_TYPE] = TARGETS[rule.rule.stage]
    return found
