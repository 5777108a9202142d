"""Anchors of audit logs as events, to be kept where nobody who can write the logs can change them."""

from __future__ import annotations

import logging
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.audit import AuditLog, open_logs
from otel_llm.errors import AuditError
from otel_llm.log_records import LogRecord

_logger = logging.getLogger(__name__)
_ANCHOR: Final = "otel_llm.audit.anchor"


def keep_up(log: AuditLog) -> list[LogRecord]:
    """Sync a log when that is due; its anchors that are not kept elsewhere yet."""
    try:
        log.keep_up()
    except AuditError as error:
        _logger.warning("%s", error)
    return [
        LogRecord(
            _ANCHOR,
            anchor.time_unix_nano,
            {
                names.OTEL_LLM_AUDIT_LOG: anchor.log,
                names.OTEL_LLM_AUDIT_SEQUENCE: anchor.seq,
                names.OTEL_LLM_AUDIT_MAC: anchor.mac,
            },
        )
        for anchor in log.anchors()
    ]


def anchor_all() -> None:
    """Sync and anchor all logs: the process is about to end."""
    for log in open_logs():
        try:
            log.anchor()
        except AuditError as error:
            _logger.warning("%s", error)
