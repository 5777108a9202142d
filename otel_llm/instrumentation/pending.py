"""Calls whose answer is made in the background, until somebody sees it complete.

One background response is one inference: its span stays open until the app first fetches the finished response, however
often it polls, and gets the usage then. What nobody fetches ends without usage when there are too many, or at exit.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_llm.instrumentation.call import Call


class Pending:
    """Open calls by the response's id. Thread-safe.

    Args:
        limit: how many may be open; the oldest ends for a new one.
    """

    __slots__ = ("_calls", "_limit", "_lock")

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._calls: dict[str, tuple[Call, Any]] = {}

    def hold(self, response_id: str, call: Call, answer: Any) -> None:  # noqa: ANN401 - an answer of any SDK
        """Keep a call open; `answer` is what is known so far."""
        oldest = None
        with self._lock:
            if len(self._calls) >= self._limit:
                oldest = self._calls.pop(next(iter(self._calls)))
            self._calls[response_id] = (call, answer)
        if oldest is not None:
            oldest[0].complete(oldest[1])

    def complete(self, response_id: str, answer: Any) -> None:  # noqa: ANN401 - an answer of any SDK
        """The response was seen complete; nothing happens when it was before, or is not ours."""
        with self._lock:
            held = self._calls.pop(response_id, None)
        if held is not None:
            held[0].complete(answer)

    def close(self) -> None:
        """End every open call with what is known."""
        with self._lock:
            held = list(self._calls.values())
            self._calls.clear()
        for call, answer in held:
            call.complete(answer)
