"""A decision as attributes of a span and as audit records."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm.components import Context
from otel_llm.errors import AuditError
from otel_llm.operation import AttributeValue, Operation
from otel_llm.policy.audit_sink import AuditRecord, AuditSink
from otel_llm.policy.sets import Decision, RuleResult
from otel_llm.policy.sets.model import ACTION_ORDER, VERDICT_ORDER
from otel_llm.processors.policy_findings import TARGETS
from otel_llm.telemetry import LogLimiter

_logger = logging.getLogger(__name__)

WRITES: Final = frozenset(
    {
        names.OTEL_LLM_POLICY_ACTION_TYPE,
        names.OTEL_LLM_POLICY_BUNDLE_ID,
        names.OTEL_LLM_POLICY_EVALUATION_SECONDS,
        names.OTEL_LLM_POLICY_EXEMPTION_ID,
        names.OTEL_LLM_POLICY_MODE,
        names.OTEL_LLM_POLICY_RISK_CATEGORY,
        names.OTEL_LLM_POLICY_RULE_ID,
        names.OTEL_LLM_POLICY_RULE_IDS,
        names.OTEL_LLM_POLICY_SET_NAME,
        names.OTEL_LLM_POLICY_SET_VERSION,
        names.OTEL_LLM_POLICY_SEVERITY,
        names.OTEL_LLM_POLICY_TARGET_TYPE,
        names.OTEL_LLM_POLICY_VERDICT_REASON,
        names.OTEL_LLM_POLICY_VERDICT_TYPE,
    }
)


def verdict_attributes(decision: Decision, bundle_id: str, seconds: float) -> dict[str, AttributeValue]:
    """What a span says of a decision."""
    found: dict[str, AttributeValue] = {
        names.OTEL_LLM_POLICY_VERDICT_TYPE: decision.verdict,
        names.OTEL_LLM_POLICY_ACTION_TYPE: decision.action,
        names.OTEL_LLM_POLICY_BUNDLE_ID: bundle_id,
        names.OTEL_LLM_POLICY_EVALUATION_SECONDS: seconds,
    }
    deciding = decision.deciding
    if deciding is None:
        return found
    found[names.OTEL_LLM_POLICY_RULE_IDS] = tuple(sorted({result.rule.rule.id for result in decision.results}))
    exempted = next((one.exemption_id for one in decision.results if one.exemption_id is not None), None)
    if exempted is not None:
        found[names.OTEL_LLM_POLICY_EXEMPTION_ID] = exempted
    if decision.verdict != "allow":
        found.update(_of_rule(deciding))
    return found


def _of_rule(result: RuleResult) -> dict[str, AttributeValue]:
    rule, policy_set = result.rule.rule, result.rule.policy_set
    found: dict[str, AttributeValue] = {
        names.OTEL_LLM_POLICY_VERDICT_REASON: result.reason,
        names.OTEL_LLM_POLICY_MODE: result.rule.mode,
        names.OTEL_LLM_POLICY_RULE_ID: rule.id,
        names.OTEL_LLM_POLICY_SET_NAME: policy_set.name,
        names.OTEL_LLM_POLICY_SET_VERSION: policy_set.version,
        names.OTEL_LLM_POLICY_SEVERITY: rule.severity,
    }
    if rule.risk is not None:
        found[names.OTEL_LLM_POLICY_RISK_CATEGORY] = rule.risk
    if rule.stage in TARGETS:
        found[names.OTEL_LLM_POLICY_TARGET_TYPE] = TARGETS[rule.stage]
    return found


def write_verdict(operation: Operation, found: Mapping[str, AttributeValue], *, replaces: bool) -> None:
    """Put a verdict onto an operation that may have one already, from the app or from a gateway before this one.

    The more restrictive verdict stays, the earlier one of equals, so that a second pass changes nothing; the more
    restrictive action too, for both were done; the rules that objected are those of both.

    Args:
        operation: to be changed.
        found: as `verdict_attributes` gives it.
        replaces: the new one counts, whatever the old one was.
    """
    before = {key: operation.get(key) for key in WRITES & operation.keys()}
    old, new = before.get(names.OTEL_LLM_POLICY_VERDICT_TYPE), found[names.OTEL_LLM_POLICY_VERDICT_TYPE]
    is_merged = not replaces and isinstance(old, str) and old in VERDICT_ORDER
    after = dict(found)
    if is_merged:
        if VERDICT_ORDER[str(new)] <= VERDICT_ORDER[str(old)]:
            after = {key: value for key, value in before.items() if value is not None}
        after |= _of_both(before, found)
    for key in before.keys() - after.keys():
        operation.remove(key)
    changed = {key: value for key, value in after.items() if value != before.get(key)}
    if changed:
        operation.update(changed)


def _of_both(before: Mapping[str, AttributeValue], found: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """What two verdicts about one operation say together, whichever of them stays."""
    both: dict[str, AttributeValue] = {}
    rules = [_texts(one.get(names.OTEL_LLM_POLICY_RULE_IDS)) for one in (before, found)]
    if any(rules):
        both[names.OTEL_LLM_POLICY_RULE_IDS] = tuple(sorted({rule for one in rules for rule in one}))
    actions = [str(one.get(names.OTEL_LLM_POLICY_ACTION_TYPE)) for one in (before, found)]
    both[names.OTEL_LLM_POLICY_ACTION_TYPE] = max(actions, key=lambda one: ACTION_ORDER.get(one, -1))
    exemption = before.get(names.OTEL_LLM_POLICY_EXEMPTION_ID) or found.get(names.OTEL_LLM_POLICY_EXEMPTION_ID)
    if exemption is not None:
        both[names.OTEL_LLM_POLICY_EXEMPTION_ID] = exemption
    return both


def _texts(value: AttributeValue) -> list[str]:
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return [one for one in value if isinstance(one, str)] if is_list else []  # type: ignore[union-attr] # is_list


class Verdicts:
    """Counts verdicts, rule by rule; logs those of mode warn and those that are errors, once a minute for each rule.

    Args:
        context: name, metrics and clock.
    """

    __slots__ = ("_counter", "_log")

    def __init__(self, context: Context) -> None:
        self._log = LogLimiter(_logger, context.clock.monotonic)
        self._counter = context.metrics.counter(
            definitions.OTEL_LLM_POLICY_VERDICTS,
            [
                names.OTEL_LLM_POLICY_VERDICT_TYPE,
                names.OTEL_LLM_POLICY_ACTION_TYPE,
                names.OTEL_LLM_POLICY_MODE,
                names.OTEL_LLM_POLICY_RULE_ID,
            ],
        )

    def add(self, decision: Decision) -> None:
        """One decision."""
        for result in decision.results:
            self._counter.add(1, result.verdict, result.action, result.rule.mode, result.rule.rule.id)
            if result.error is not None or (result.rule.mode == "warn" and result.verdict != "allow"):
                self._warn(result)
        if not decision.results:
            self._counter.add(1, "allow", "allow", "", "")

    def _warn(self, result: RuleResult) -> None:
        rule = f"{result.rule.policy_set.name}/{result.rule.rule.id}"
        if result.error is not None:
            # Errors name what is absent or of another type, and never show it.
            self._log.warning(f"error {rule}", "rule %s cannot be evaluated: %s", rule, result.error)
        else:
            self._log.warning(f"warn {rule}", "rule %s would %s: %s", rule, result.verdict, result.reason)


class Auditor:
    """Records every rule that objected, was lifted, or failed.

    Args:
        sink: where records go, None for nowhere.
        context: name, metrics and clock.
    """

    __slots__ = ("_failed", "_log", "_name", "sink")

    def __init__(self, sink: AuditSink | None, context: Context) -> None:
        self.sink = sink
        self._name = context.name
        self._log = LogLimiter(_logger, context.clock.monotonic)
        self._failed = context.metrics.counter(definitions.OTEL_LLM_AUDIT_FAILURES, [names.OTEL_LLM_COMPONENT_NAME])

    def record(
        self, decision: Decision, bundle_id: str, operation: Operation, now_unix_nano: int, service: str
    ) -> bool:
        """Record a decision about an operation of a service; whether everything about it is recorded."""
        if not decision.results:
            return True
        return self.take(_records(decision, bundle_id, operation, now_unix_nano, service))

    def take(self, records: Iterable[AuditRecord]) -> bool:
        """Hand records over; whether the log has taken them. What it cannot take is counted."""
        if self.sink is None:
            return False
        try:
            for record in records:
                self.sink.record(record)
        except AuditError as error:
            self._failed.add(1, self._name)
            self._log.warning("audit", "%s: %s", self._name, error)
            return False
        return True


def _records(
    decision: Decision, bundle_id: str, operation: Operation, now_unix_nano: int, service: str
) -> Iterator[AuditRecord]:
    for result in decision.results:
        rule = result.rule
        details = {"mode": rule.mode, "set": rule.policy_set.name, "set_version": rule.policy_set.version}
        if result.exemption_id is not None:
            details["exemption"] = result.exemption_id
        if result.error is not None:
            details["error"] = result.error
        yield AuditRecord(
            time_unix_nano=now_unix_nano,
            kind="exemption" if result.exemption_id is not None else "verdict",
            rule_id=rule.rule.id,
            bundle_id=bundle_id,
            verdict=result.verdict,
            action=result.action,
            reason=result.reason,
            service=service or None,
            trace_id=operation.trace_id.hex() or None,
            span_id=operation.span_id.hex() or None,
            details=details,
        )
