"""The audit log: what was decided and done, in a chain of records that cannot be changed unnoticed.

    AuditRecord ─▶ AuditLog ─▶ audit-000000000001.jsonl, audit-000000001001.jsonl, …   records, each bound to the last
                     │        └▶ head.json       how far the chain had come when it was last synced
                     └─ Anchor ─▶ a log event that leaves the machine: how far the chain had come by then

`verify` finds every edit, removal, insertion and reordering from the records alone, a cut tail from the head, and a
folder put back to an older state from anchors kept elsewhere. docs/audit.md says what a chain with a key proves.
"""

from __future__ import annotations

from otel_llm.audit.config import AuditConfig, open_log, open_logs
from otel_llm.audit.log import Anchor, AuditLog
from otel_llm.audit.verify import Report, read_anchors, verify

__all__ = ["Anchor", "AuditConfig", "AuditLog", "Report", "open_log", "open_logs", "read_anchors", "verify"]
