"""In an app: audit logs are synced when that is due, and their anchors go to a logger provider, where spans leave."""

from __future__ import annotations

from typing import Final

from opentelemetry._logs import LoggerProvider, LogRecord, get_logger_provider

from otel_llm.audit import open_logs
from otel_llm.hosts.anchors import anchor_all, keep_up
from otel_llm.instrumentation.boundary import Boundary

_SITE: Final = "audit.anchors"


class AnchorEvents:
    """Looks after the audit logs of this process, whoever writes them. Thread-safe.

    Args:
        boundary: what catches failures of ours.
        loggers: where anchors go; the app's global provider by default.
    """

    def __init__(self, boundary: Boundary, loggers: LoggerProvider | None = None) -> None:
        self._boundary = boundary
        self._loggers = loggers

    def send_to(self, loggers: LoggerProvider) -> None:
        """Send anchors there from now on."""
        self._loggers = loggers

    def keep_up(self, *, is_ending: bool = False) -> None:
        """Do what is due; all of it when the process is about to end. Never raises."""
        self._boundary.run(_SITE, self._keep_up, is_ending=is_ending)

    def _keep_up(self, *, is_ending: bool) -> None:
        if is_ending:
            anchor_all(open_logs())
        for log in open_logs():
            records = keep_up(log)
            if not records:
                continue
            logger = (self._loggers or get_logger_provider()).get_logger("otel_llm")
            for record in records:
                logger.emit(
                    LogRecord(
                        timestamp=record.time_unix_nano,
                        event_name=record.event_name,
                        attributes=dict(record.attributes),
                    )
                )
            log.keep_anchors(len(records))
