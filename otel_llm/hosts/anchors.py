"""Anchors of audit logs as events, to be kept where nobody who can write the logs can change them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final, Protocol, runtime_checkable

from otel_llm._generated import attributes as names
from otel_llm.audit import AuditLog
from otel_llm.errors import AuditError
from otel_llm.log_records import LogRecord
from otel_llm.policy.audit_sink import AuditSink

_logger = logging.getLogger(__name__)
_ANCHOR: Final = "otel_llm.audit.anchor"


@runtime_checkable
class Audited(Protocol):
    """A processor that records what it does, when it is told to."""

    @property
    def audit_sink(self) -> AuditSink | None:
        """Where it does, None for nowhere."""
        ...


def audit_logs(processors: Iterable[object]) -> frozenset[AuditLog]:
    """The audit logs that processors write."""
    sinks = (one.audit_sink for one in processors if isinstance(one, Audited))
    return frozenset(sink for sink in sinks if isinstance(sink, AuditLog))


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


def anchor_all(logs: Iterable[AuditLog]) -> None:
    """Sync and anchor logs: whoever writes them is about to end."""
    for log in logs:
        try:
            log.anchor()
        except AuditError as error:
            _logger.warning("%s", error)


def let_go_all(logs: Iterable[AuditLog], holder: object) -> None:
    """Close logs that nobody else holds."""
    for log in logs:
        try:
            log.let_go(holder)
        except OSError as error:
            _logger.warning("audit log %s: %s", log.folder, error.strerror or type(error).__name__)
