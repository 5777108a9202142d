"""Rules as they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from otel_llm.policy.cel import Variables
from otel_llm.policy.sets.model import Exemption, FailurePolicy, Mode, PolicySet, Rule

Evaluate = Callable[[Variables], object]


@dataclass(frozen=True, slots=True)
class CompiledExemption:
    """An exemption.

    Attributes:
        exemption: as written.
        match: from which operations; None for all.
        end_unix_nano: when it stops to count.
    """

    exemption: Exemption
    match: Evaluate | None
    end_unix_nano: int


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule of a set, as it applies to some services.

    Attributes:
        rule: as written.
        policy_set: it belongs to.
        mode: how far it really goes: no further than its set.
        failure_policy: what becomes of an operation when it cannot be evaluated.
        applies: whether it objects: match and when together.
        match: for explanations; None for all operations.
        when: for explanations.
        reason: gives a short text; None for the rule's id.
        reads: names of what match and when may read, and of what the variables among these may read.
        exemptions: that may lift it.
    """

    rule: Rule
    policy_set: PolicySet
    mode: Mode
    failure_policy: FailurePolicy
    applies: Evaluate
    match: Evaluate | None
    when: Evaluate
    reason: Evaluate | None
    reads: frozenset[str]
    exemptions: tuple[CompiledExemption, ...]
