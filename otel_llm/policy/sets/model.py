"""What policies are made of, as it was written: rules, exemptions, sets, bindings. And the orders among their words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal, TypeAlias, get_args

Stage: TypeAlias = Literal["request", "response", "tool", "retrieval", "export"]
Mode: TypeAlias = Literal["off", "shadow", "warn", "enforce"]
Verdict: TypeAlias = Literal["allow", "audit", "warn", "modify", "error", "escalate", "deny"]
# What a rule may say; `error` is what becomes of a rule that cannot be evaluated.
RuleVerdict: TypeAlias = Literal["allow", "audit", "warn", "modify", "escalate", "deny"]
ActionType: TypeAlias = Literal["allow", "audit", "modify", "escalate", "block"]
Severity: TypeAlias = Literal["low", "medium", "high", "critical"]
FailurePolicy: TypeAlias = Literal["ignore", "fail"]
# Those of redaction.
Operator: TypeAlias = Literal["mask", "remove", "hash", "tokenize", "truncate"]
# Those that need a key.
KEYED: Final = frozenset({"hash", "tokenize"})
# OWASP Top 10 for LLM applications, 2025.
Risk: TypeAlias = Literal[
    "prompt_injection",
    "sensitive_information_disclosure",
    "supply_chain",
    "data_and_model_poisoning",
    "improper_output_handling",
    "excessive_agency",
    "system_prompt_leakage",
    "vector_and_embedding_weaknesses",
    "misinformation",
    "unbounded_consumption",
]

# From the least to the most restrictive. A rule that could not be evaluated might have said anything: only what hands
# the operation over, or stops it, outranks that.
VERDICT_ORDER: Final[Mapping[str, int]] = {one: rank for rank, one in enumerate(get_args(Verdict))}
ACTION_ORDER: Final[Mapping[str, int]] = {one: rank for rank, one in enumerate(get_args(ActionType))}
MODE_ORDER: Final[Mapping[str, int]] = {one: rank for rank, one in enumerate(get_args(Mode))}
SEVERITY_ORDER: Final[Mapping[str, int]] = {one: rank for rank, one in enumerate(get_args(Severity))}

DEFAULT_ACTIONS: Final[Mapping[RuleVerdict, ActionType]] = {
    "allow": "allow",
    "audit": "audit",
    "warn": "audit",
    "modify": "modify",
    "escalate": "escalate",
    "deny": "block",
}

Parameter: TypeAlias = "str | int | float | bool | list[Parameter] | dict[str, Parameter]"


@dataclass(frozen=True, slots=True)
class Action:
    """What is to be done about a match when the rule is enforced.

    Attributes:
        type: as in `otel_llm.policy.action.type`.
        message: for whoever made the call; never content.
        redact: with `modify`, the types of findings to take out.
        operator: with `modify`, what comes in their place.
    """

    type: ActionType
    message: str | None = None
    redact: tuple[str, ...] = ()
    operator: Operator = "mask"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        id: unique among all sets that are loaded together.
        stage: at which point of an operation it looks.
        match: which operations it is about; None for all.
        when: what it objects to.
        verdict: what it then says.
        action: what is then done, if it is enforced.
        severity: how bad that is.
        risk: the risk it is against, None when nobody said.
        reason: an expression for a short text, None for the rule's id.
        mode: how far it goes at most, None for as far as its set.
    """

    id: str
    stage: Stage
    match: str | None
    when: str
    verdict: RuleVerdict
    action: Action
    severity: Severity
    risk: Risk | None
    reason: str | None
    mode: Mode | None


@dataclass(frozen=True, slots=True)
class Exemption:
    """What lifts rules from some operations for a time.

    Attributes:
        id: as in the ticket that granted it.
        rules: ids of the rules it lifts.
        match: from which operations, None for all.
        reason: why.
        owner: who answers for it.
        approved_by: who granted it, None when nobody said.
        expires: the last day on which it counts, UTC.
    """

    id: str
    rules: tuple[str, ...]
    match: str | None
    reason: str
    owner: str
    approved_by: str | None
    expires: date


@dataclass(frozen=True, slots=True)
class PolicySet:
    """Rules that belong together.

    Attributes:
        file: where it was read from, for messages.
        name: unique among the sets that are loaded together.
        version: whatever its owner calls it.
        owner: who answers for it, None when nobody said.
        mode: how far its rules go at most.
        failure_policy: what becomes of an operation when a rule cannot be evaluated, by stage; `ignore` by default.
        audit_failure: what becomes of it when a record about it cannot be written; `ignore` by default.
        parameters: values that expressions read as `params.NAME`.
        variables: names and expressions, read as `variables.NAME`; each may read those before it.
        rules: in the order in which they were written.
        exemptions: from them.
    """

    file: str
    name: str
    version: str
    owner: str | None
    mode: Mode
    failure_policy: Mapping[Stage, FailurePolicy]
    audit_failure: FailurePolicy
    parameters: Mapping[str, Parameter]
    variables: tuple[tuple[str, str], ...]
    rules: tuple[Rule, ...]
    exemptions: tuple[Exemption, ...]


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a set applies, and with what.

    Attributes:
        file: where it was read from, for messages.
        name: for messages.
        policy: the name of the set.
        services: patterns of `service.name` with `*` and `?`; empty for all.
        environments: patterns of `deployment.environment.name`; empty for all.
        mode: in place of the set's, None to leave it.
        parameters: in place of those of the set that have the same name.
    """

    file: str
    name: str
    policy: str
    services: tuple[str, ...]
    environments: tuple[str, ...]
    mode: Mode | None
    parameters: Mapping[str, Parameter]


@dataclass(frozen=True, slots=True)
class Documents:
    """Everything that was read together.

    Attributes:
        sets: the policy sets.
        bindings: a set that none of them names applies everywhere, with its own mode.
    """

    sets: tuple[PolicySet, ...]
    bindings: tuple[Binding, ...]
