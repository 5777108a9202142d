"""Deciding about one operation: every rule of its stages is asked, the most restrictive verdict stands.

A rule that cannot be evaluated has the verdict `error`: it is never taken for a rule that has nothing to object.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from otel_llm.policy.cel import BudgetError, CelError, Variables
from otel_llm.policy.detectors import DetectorError
from otel_llm.policy.sets.model import (
    ACTION_ORDER,
    MODE_ORDER,
    SEVERITY_ORDER,
    VERDICT_ORDER,
    ActionType,
    Stage,
    Verdict,
)
from otel_llm.policy.sets.rules import CompiledExemption, CompiledRule

# What evaluating a rule may raise: CEL's own, what detectors do, and what comes of data of unforeseen shapes.
RULE_FAILURES: Final = (
    CelError,
    BudgetError,
    DetectorError,
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
_STOPS: Final = frozenset({"block", "escalate"})
_MOST_REASON: Final = 200
_UNREAD: Final = "not everything could be looked at"
_UNAUDITED: Final = "the audit log cannot take its record"


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What a rule that objected, or could not be evaluated, came to.

    Attributes:
        rule: the rule.
        verdict: what it found; `allow` where an exemption lifted it.
        action: what is to be done about it.
        reason: low-cardinality, never content.
        exemption_id: of the exemption that lifted it.
        error: for the verdict `error`, why, in a few words without content.
    """

    rule: CompiledRule
    verdict: Verdict
    action: ActionType
    reason: str
    exemption_id: str | None = None
    error: str | None = None

    @property
    def is_modifying(self) -> bool:
        """Whether what the rule takes out is to go: also where the operation is stopped, for its span may show it."""
        return self.rule.rule.action.type == "modify" and self.action in ("modify", "block")


@dataclass(frozen=True, slots=True)
class Decision:
    """What all rules together came to.

    Attributes:
        evaluated: how many rules were asked.
        results: of those that objected or could not be evaluated, in the order of the rules.
        verdict: the most restrictive one.
        action: the most restrictive one.
        deciding: the result whose verdict stands; None when nothing objected.
    """

    evaluated: int
    results: tuple[RuleResult, ...]
    verdict: Verdict
    action: ActionType
    deciding: RuleResult | None

    @property
    def stopping(self) -> RuleResult | None:
        """The most restrictive result of those that stop the operation; None when nothing does."""
        return max((result for result in self.results if result.action in _STOPS), key=_weight, default=None)


NOTHING: Final = Decision(0, (), "allow", "allow", None)


def decide(
    rules: Sequence[CompiledRule], variables: Variables, now_unix_nano: int, stoppable: frozenset[Stage]
) -> Decision:
    """Ask every rule.

    Args:
        rules: those of the stages that are due.
        variables: of the operation.
        now_unix_nano: for exemptions.
        stoppable: the stages at which the operation can still be stopped; where it cannot, a block is an audit, and
            that of a rule that modifies, and fails closed, a modify.
    """
    results: list[RuleResult] | None = None
    for rule in rules:
        try:
            if not rule.applies(variables):
                continue
            result = _objection(rule, variables, now_unix_nano, stoppable)
        except RULE_FAILURES as error:
            result = _failed(rule, error, stoppable)
        if results is None:
            results = []
        results.append(result)
    if results is None:
        return Decision(len(rules), (), "allow", "allow", None)
    return rolled_up(len(rules), results)


def rolled_up(evaluated: int, results: Sequence[RuleResult]) -> Decision:
    """What results, at least one, come to together."""
    deciding = max(results, key=_weight)
    action = max((result.action for result in results), key=ACTION_ORDER.__getitem__)
    return Decision(evaluated, tuple(results), deciding.verdict, action, deciding)


def unaudited(decision: Decision, stoppable: frozenset[Stage]) -> Decision:
    """A decision that the audit log could not take: rules of sets that demand the record have failed.

    What stops the operation anyway goes on doing so.
    """
    results = [
        RuleResult(one.rule, "error", _action(one.rule, "block", stoppable), "audit_failed", error=_UNAUDITED)
        if one.rule.policy_set.audit_failure == "fail" and one.action not in _STOPS
        else one
        for one in decision.results
    ]
    return rolled_up(decision.evaluated, results) if results else decision


def _weight(result: RuleResult) -> tuple[int, int, int]:
    """By verdict, then by how far the rule goes, then by severity; of equals the first."""
    rule = result.rule
    return VERDICT_ORDER[result.verdict], MODE_ORDER[rule.mode], SEVERITY_ORDER[rule.rule.severity]


def _objection(rule: CompiledRule, variables: Variables, now_unix_nano: int, stoppable: frozenset[Stage]) -> RuleResult:
    exemption = _exemption(rule.exemptions, variables, now_unix_nano)
    reason = _reason(rule, variables)
    if exemption is not None:
        return RuleResult(rule, "allow", "allow", reason, exemption.exemption.id)
    return RuleResult(rule, rule.rule.verdict, _action(rule, rule.rule.action.type, stoppable), reason)


def unmodified(rule: CompiledRule, stoppable: frozenset[Stage]) -> RuleResult:
    """The result of a rule that could not look at everything it is to take something out of."""
    return RuleResult(rule, "error", _action(rule, "block", stoppable), "redaction_failed", error=_UNREAD)


def _failed(rule: CompiledRule, error: BaseException, stoppable: frozenset[Stage]) -> RuleResult:
    why = str(error)[:_MOST_REASON] if isinstance(error, CelError | BudgetError) else type(error).__name__
    action = _action(rule, "block", stoppable) if rule.failure_policy == "fail" else "allow"
    return RuleResult(rule, "error", action, "evaluation_failed", error=why)


def _action(rule: CompiledRule, wanted: ActionType, stoppable: frozenset[Stage]) -> ActionType:
    """What is done: in shadow nothing, with warn a note, and what cannot be stopped any more is noted as well.

    A rule that modifies wants a block where it fails closed; where that is too late, it modifies all the same.
    """
    if rule.mode == "shadow":
        return "allow"
    if rule.mode == "warn":
        return "audit" if wanted != "allow" else "allow"
    if wanted == "block" and rule.rule.stage not in stoppable:
        return "modify" if rule.rule.action.type == "modify" else "audit"
    return wanted


def _exemption(
    exemptions: Iterable[CompiledExemption], variables: Variables, now_unix_nano: int
) -> CompiledExemption | None:
    """The exemption that lifts a rule. One that cannot be evaluated lifts nothing."""
    for exemption in exemptions:
        if now_unix_nano >= exemption.end_unix_nano:
            continue
        try:
            if exemption.match is None or exemption.match(variables) is True:
                return exemption
        except RULE_FAILURES:
            continue
    return None


def _reason(rule: CompiledRule, variables: Variables) -> str:
    if rule.reason is None:
        return rule.rule.id
    try:
        return str(rule.reason(variables))[:_MOST_REASON]
    except RULE_FAILURES:  # the rule has objected, and says so even if it cannot say more
        return rule.rule.id
