"""Redaction: values without what detectors find in them, whatever their type, JSON inside of strings included."""

from __future__ import annotations

from otel_llm.policy.detectors.credential_names import CREDENTIAL
from otel_llm.policy.redaction.operators import TYPE_NAME, KeyProblem, Operator, OperatorName, operator, reveal
from otel_llm.policy.redaction.redactor import DROPPED, Dropped, Redactor, Tally

__all__ = [
    "CREDENTIAL",
    "DROPPED",
    "TYPE_NAME",
    "Dropped",
    "KeyProblem",
    "Operator",
    "OperatorName",
    "Redactor",
    "Tally",
    "operator",
    "reveal",
]
