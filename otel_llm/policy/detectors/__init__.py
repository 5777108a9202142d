"""Detectors: what is in a text that a rule may ask for, or that redaction takes out.

    DetectorSet ── Numbers, personal, secrets, Injection, Unicode, exfiltration, Leakage (built_in)
                ├─ custom patterns, gitleaks rules (RE2)
                └─ Presidio, any callable

Each is declared patterns behind a gate of keywords, and a check of what they match: check digits, entropy, words that
stand near. docs/redaction.md has what each finds, and how well.
"""

from __future__ import annotations

from otel_llm.policy.detectors.built_in import ALL_TYPES, ATTACK_TYPES, PERSONAL_TYPES, SECRET_TYPES, built_in
from otel_llm.policy.detectors.custom import CallableDetector, CustomPattern, PatternError, custom
from otel_llm.policy.detectors.detector_set import DetectorError, DetectorSet
from otel_llm.policy.detectors.gitleaks import gitleaks
from otel_llm.policy.detectors.presidio import Presidio

__all__ = [
    "ALL_TYPES",
    "ATTACK_TYPES",
    "PERSONAL_TYPES",
    "SECRET_TYPES",
    "CallableDetector",
    "CustomPattern",
    "DetectorError",
    "DetectorSet",
    "PatternError",
    "Presidio",
    "built_in",
    "custom",
    "gitleaks",
]
