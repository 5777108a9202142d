"""What goes into the audit log, and what takes it. No field holds raw content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One thing that happened, and on what grounds; never the content it happened to.

    Attributes:
        time_unix_nano: when.
        kind: a verdict other than allow, an action, a use of an exemption, a reload of policies, a kill switch turned.
        rule_id: the rule.
        bundle_id: the version of the policies.
        verdict: what the rule found.
        action: what was done.
        reason: low-cardinality reason; never content.
        service: `service.name` of the app.
        trace_id, span_id: the operation, in hex.
        details: anything else, low-cardinality; never content.
    """

    time_unix_nano: int
    kind: Literal["verdict", "action", "exemption", "reload", "kill_switch"]
    rule_id: str | None
    bundle_id: str | None
    verdict: str | None
    action: str | None
    reason: str | None
    service: str | None
    trace_id: str | None
    span_id: str | None
    details: Mapping[str, str]


class AuditSink(Protocol):
    """Where audit records go."""

    def record(self, record: AuditRecord) -> None:
        """Take a record over; thread-safe."""
        ...
