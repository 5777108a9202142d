"""The detectors that come with otel_llm, by name, and which types belong to what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from otel_llm.policy.detectors import injection, leaks, numbers, personal, secrets, unicode
from otel_llm.policy.detectors.gate import Engine
from otel_llm.policy.findings import Detector

PERSONAL_TYPES: Final = (numbers.TYPES | personal.TYPES) - {personal.URL}
SECRET_TYPES: Final = secrets.TYPES
ATTACK_TYPES: Final = injection.TYPES | unicode.TYPES | {leaks.PROMPT_LEAKAGE, leaks.DATA_EXFILTRATION}
ALL_TYPES: Final = PERSONAL_TYPES | SECRET_TYPES | ATTACK_TYPES | {personal.URL}


def built_in(
    types: frozenset[str] = PERSONAL_TYPES | SECRET_TYPES | ATTACK_TYPES,
    *,
    allowed_hosts: Iterable[str] = (),
    protected: Iterable[str] = (),
    engine: Engine | None = None,
) -> tuple[Detector, ...]:
    """The detectors that find these types.

    Args:
        types: what to find.
        allowed_hosts: to which addresses in answers may carry data.
        protected: texts that answers must not quote.
        engine: of the gates; the fastest installed by default.
    """
    every: tuple[Detector, ...] = (
        numbers.Numbers(types, engine),
        *personal.personal(types, engine),
        secrets.secrets(types, engine),
        injection.Injection(engine=engine),
        unicode.Unicode(),
        leaks.exfiltration(allowed_hosts, engine),
        leaks.Leakage(protected, engine),
    )
    return tuple(detector for detector in every if detector.types & types)
