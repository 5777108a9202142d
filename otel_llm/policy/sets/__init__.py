"""Policy sets: rules written once, bound to services, compiled, and evaluated over operations.

    documents ─▶ read (every problem named) ─▶ compile ─▶ Bundle ─▶ Plan of a service ─▶ Decision about an operation

A rule, where it applies (binding) and how far it goes (mode) are three things; what a rule found (verdict) and what was
done about it (action) are two. docs/policy-guide.md is the guide.
"""

from __future__ import annotations

from otel_llm.policy.sets.bundle import Bundle, Plan
from otel_llm.policy.sets.compiling import compile_bundle
from otel_llm.policy.sets.decision import Decision, RuleResult, decide, rolled_up, unaudited, unmodified
from otel_llm.policy.sets.detection import Detection, LazyDetector
from otel_llm.policy.sets.model import Binding, Documents, Exemption, PolicySet, Rule
from otel_llm.policy.sets.reading import PolicyError, read_documents
from otel_llm.policy.sets.rules import CompiledRule
from otel_llm.policy.sets.vocabulary import Subject, Vocabulary

__all__ = [
    "Binding",
    "Bundle",
    "CompiledRule",
    "Decision",
    "Detection",
    "Documents",
    "Exemption",
    "LazyDetector",
    "Plan",
    "PolicyError",
    "PolicySet",
    "Rule",
    "RuleResult",
    "Subject",
    "Vocabulary",
    "compile_bundle",
    "decide",
    "read_documents",
    "rolled_up",
    "unaudited",
    "unmodified",
]
