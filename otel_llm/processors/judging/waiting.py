"""The answers that wait to be judged: bounded in bytes, the ones that look good give way first."""

from __future__ import annotations

import threading
from collections import deque

from otel_llm.processors.judging.question import Question


class Waiting:
    """A queue; thread-safe.

    Args:
        size_bytes: how much may wait.
    """

    __slots__ = ("_changed", "_flagged", "_is_closed", "_others", "_size", "_size_bytes")

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._size = 0
        self._changed = threading.Condition()
        self._flagged: deque[Question] = deque()
        self._others: deque[Question] = deque()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._flagged) + len(self._others)

    def add(self, question: Question) -> list[Question]:
        """Add one; what had to give way for it, itself included when it is too large or nobody asks any more."""
        gone: list[Question] = []
        with self._changed:
            if self._is_closed or question.size_bytes > self._size_bytes:
                return [question]
            while self._size + question.size_bytes > self._size_bytes:
                oldest = (self._others or self._flagged).popleft()
                self._size -= oldest.size_bytes
                gone.append(oldest)
            (self._flagged if question.is_flagged else self._others).append(question)
            self._size += question.size_bytes
            self._changed.notify()
        return gone

    def take(self) -> Question | None:
        """The next one, flagged ones first; waits for it. None when the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self) > 0)
            if self._is_closed:
                return None
            question = (self._flagged or self._others).popleft()
            self._size -= question.size_bytes
            return question

    def close(self) -> list[Question]:
        """Take and give no more; what was waiting."""
        with self._changed:
            self._is_closed = True
            left = [*self._flagged, *self._others]
            self._flagged.clear()
            self._others.clear()
            self._size = 0
            self._changed.notify_all()
        return left
