"""The thread that syncs for senders that have no thread of their own to wait on: those of an event loop.

It does as little as it can beside waiting for the disk: the interpreter runs one thread at a time, and each change from
one to another costs more than a small request.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Protocol

_logger = logging.getLogger(__name__)

# A defect must not turn the thread into a busy loop.
_PAUSE_AFTER_DEFECT_SECONDS: Final = 0.5


class Line(Protocol):
    """What it works for: a DiskLine."""

    def commit(self) -> None:
        """Sync what waits for it, and tell those who wait."""
        ...


class Committer:
    """Calls `commit` for whoever asks; thread-safe. The thread starts with the first who does.

    Args:
        name: what it works for, for the log.
    """

    def __init__(self, name: Path) -> None:
        self._name = name
        self._asked: SimpleQueue[Line | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ask(self, line: Line) -> None:
        """Commit soon; at once, on this thread, when there can be no other: the system may have reached its limit."""
        if self._thread is None and not self._start():
            self._commit(line)
        else:
            self._asked.put(line)

    def _start(self) -> bool:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="otel-llm-commit", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return False
                self._thread = thread
            return True

    def _run(self) -> None:
        while (line := self._asked.get()) is not None:
            if not self._commit(line):
                time.sleep(_PAUSE_AFTER_DEFECT_SECONDS)

    def _commit(self, line: Line) -> bool:
        try:
            line.commit()
        except Exception as error:  # noqa: BLE001 - a worker loop's top: a defect must not leave senders without answers
            _logger.warning("%s: commit failed with %s", self._name, type(error).__name__)
            return False
        return True

    def close(self) -> None:
        """Commit what was asked for before, then end. Idempotent."""
        with self._lock:
            self._asked.put(None)
            thread = self._thread
        if thread is not None:
            thread.join()
