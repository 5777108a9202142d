"""docs/redaction.md names what there is."""

from __future__ import annotations

import re
from pathlib import Path

from otel_llm.policy.detectors import ATTACK_TYPES, PERSONAL_TYPES
from otel_llm.policy.detectors.secrets import _TOKENS

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "redaction.md").read_text()


def test_every_type_of_personal_data_and_attack_is_named() -> None:
    named = set(re.findall(r"`([A-Z0-9_]+)`", TEXT))
    assert named >= PERSONAL_TYPES | ATTACK_TYPES


def test_the_number_of_token_formats_is_right() -> None:
    (told,) = re.findall(r"tokens of (\d+) formats", TEXT)
    assert int(told) == len(_TOKENS)
