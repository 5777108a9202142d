"""What a destination refuses for good, kept on disk with the reason, until somebody looks at it.

A log like the queue's, which nothing is taken from while the process runs; `otel-llm queue` shows, replays and purges
it.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Final

from otel_llm.clock import Clock
from otel_llm.delivery.records import NOTE_BYTES, Record, checksum, record_bytes
from otel_llm.delivery.segment_log import SegmentLog
from otel_llm.signals import Payload
from otel_llm.telemetry import LogLimiter

_logger = logging.getLogger(__name__)

FOLDER: Final = "dead_letters"
_SEGMENT_BYTES: Final = 256 * 1024


class DeadLetters:
    """The log; thread-safe.

    Args:
        folder: where it is.
        capacity_bytes: most bytes on disk; 0 keeps nothing.
        clock: for the time of each.

    Raises:
        OSError: the folder cannot be used.
    """

    def __init__(self, folder: Path, capacity_bytes: int, clock: Clock) -> None:
        self._log = SegmentLog(folder, _SEGMENT_BYTES, sync=True)
        self._capacity = capacity_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._limiter = LogLimiter(_logger, clock.monotonic)
        self._folder = folder

    def put(self, payload: Payload, note: str) -> bool:
        """Keep a payload; returns whether it is safe there.

        Args:
            payload: what was refused.
            note: why, for people; the end is cut off when it is long.
        """
        text = note.encode()[:NOTE_BYTES]
        size = record_bytes(payload, text)
        with self._lock:
            if self._log.disk_bytes + self._log.growth(size) > self._capacity:
                self._limiter.warning("full", "%s is full; what is refused for good is dropped", self._folder)
                return False
            try:
                self._log.make_room(size)
                self._log.append(payload, checksum(payload.buffers, text), self._clock.unix_nano(), text)
                segment = self._log.active()
                if segment is not None:
                    self._log.sync(segment)
            except OSError as error:
                self._limiter.warning("write", "%s cannot be written: %s", self._folder, error.strerror)
                return False
        return True

    def read(self) -> Record | None:
        """The next one, oldest first; None when all were read."""
        with self._lock:
            return self._log.read()

    def settle(self, record: Record) -> None:
        """One that was read, and all before it, are needed no more."""
        with self._lock:
            self._log.discard(self._log.settle(record.sequence + 1))

    def items(self) -> int:
        """How many items are kept."""
        with self._lock:
            return self._log.unread()[0]

    def disk_bytes(self) -> int:
        """What they take on disk."""
        with self._lock:
            return self._log.disk_bytes

    def close(self) -> None:
        """Close the files. Idempotent."""
        with self._lock:
            self._log.close()
