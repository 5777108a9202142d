"""Log records of our own: what a component says about operations that are long gone, or about many of them.

A component emits, the host takes and hands over to its logs pipelines. Emitting never waits and never fails: what there
is no room for is counted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from otel_llm.operation import AttributeValue

INFO: Final = 9
WARN: Final = 13


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One log record with an event name.

    Attributes:
        event_name: as in semconv/.
        time_unix_nano: when it happened.
        attributes: its attributes.
        body: a sentence for people; may be empty.
        severity_number: OTLP's: 9 for information, 13 for a warning.
        trace_id, span_id: the operation it is about; empty when it is about none or many.
    """

    event_name: str
    time_unix_nano: int
    attributes: Mapping[str, AttributeValue]
    body: str = ""
    severity_number: int = INFO
    trace_id: bytes = b""
    span_id: bytes = b""


class LogRecords:
    """Records on their way from components to the host. Thread-safe.

    Args:
        limit: how many may wait; the oldest is dropped for a new one.
    """

    __slots__ = ("_changed", "_dropped", "_is_closed", "_records")

    def __init__(self, limit: int = 10_000) -> None:
        self._records: deque[LogRecord] = deque(maxlen=limit)
        self._changed = threading.Condition()
        self._dropped = 0
        self._is_closed = False

    def emit(self, record: LogRecord) -> None:
        """Add a record."""
        with self._changed:
            self._dropped += len(self._records) == self._records.maxlen
            self._records.append(record)
            self._changed.notify_all()

    def take(self, timeout_seconds: float = 0.0) -> list[LogRecord]:
        """All that wait, once there are any; empty when none came in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._records or self._is_closed, timeout_seconds)
            taken = list(self._records)
            self._records.clear()
            return taken

    def close(self) -> None:
        """Wait no more: from now on `take` gives at once what there is. Records are still taken over."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def take_dropped(self) -> int:
        """How many were dropped for lack of room since this was asked last."""
        with self._changed:
            dropped, self._dropped = self._dropped, 0
            return dropped
