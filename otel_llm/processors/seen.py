"""The spans that were seen of late, so that one that a sender sends again is counted once."""

from __future__ import annotations

import threading
from typing import Final

from otel_llm.operation import Operation

_ID_BYTES: Final = 24


class SeenSpans:
    """Remembers spans by their ids. Thread-safe.

    Args:
        limit: how many; the oldest is forgotten first. Some 150 bytes each.
    """

    __slots__ = ("_limit", "_lock", "_spans")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._spans: dict[bytes, None] = {}

    def is_new(self, operation: Operation) -> bool:
        """Whether this is the first time that the span is seen; one without an id always is."""
        trace_id, span_id, _ = operation.identity
        key = trace_id + span_id
        if not any(span_id) or len(key) > _ID_BYTES:  # no id, nothing to know it by; or one that fills the memory
            return True
        with self._lock:
            if key in self._spans:
                return False
            if self._limit:
                if len(self._spans) >= self._limit:
                    del self._spans[next(iter(self._spans))]
                self._spans[key] = None
        return True
