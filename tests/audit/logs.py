"""Audit logs to spoil."""

from __future__ import annotations

from pathlib import Path

from otel_llm.audit import AuditLog
from otel_llm.audit.log import Limits
from otel_llm.policy.audit_sink import AuditRecord
from otel_llm.testing import FakeClock

KEY = b"0123456789abcdef0123456789abcdef"


def record(number: int = 0, time_unix_nano: int = 1_795_003_200_000_000_000) -> AuditRecord:
    return AuditRecord(
        time_unix_nano=time_unix_nano,
        kind="verdict",
        rule_id=f"rule-{number}",
        bundle_id="sha256:abc",
        verdict="deny",
        action="block",
        reason="model_not_allowed",
        service="shop",
        trace_id=f"{number:032x}",
        span_id=f"{number:016x}",
        details={"model": "gpt-4o"},
    )


def opened(folder: Path, clock: FakeClock | None = None, **limits: object) -> AuditLog:
    return AuditLog(folder, KEY, Limits(**limits), clock or FakeClock())  # type: ignore[arg-type] # of Limits


def written(folder: Path, count: int, **limits: object) -> AuditLog:
    """A log that took so many records and was closed."""
    log = opened(folder, **limits)
    for number in range(count):
        log.record(record(number))
    log.close()
    return log
