"""Memory as a limit: what a host does when the process comes close to what it may use.

Queues bound what waits; this bounds everything, also what nobody thought of. What is refused stays with its sender.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final

_STATM: Final = Path("/proc/self/statm")
_LOOK_SECONDS: Final = 0.1
_TRIM_SECONDS: Final = 5.0
# From here on there is room only for what is in flight already.
_SHORT: Final = 0.9


class Level(Enum):
    """How much memory is left."""

    ENOUGH = auto()
    SHORT = auto()
    NONE = auto()


def resident_bytes() -> int | None:
    """Memory that the process uses; None where nobody says, which is anywhere but on Linux."""
    try:
        return int(_STATM.read_bytes().split()[1]) * mmap.PAGESIZE
    except (OSError, IndexError, ValueError):
        return None


def give_back() -> None:
    """Hand memory that is free back to the system, which Python and the C library keep otherwise."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        return


@dataclass(frozen=True, slots=True)
class Overload:
    """What a host does about memory.

    Attributes:
        guard: says how much is left.
        sheds: whether to give up what matters least when it is short, and not to refuse.
    """

    guard: MemoryGuard
    sheds: bool


class MemoryGuard:
    """Says how much memory is left; thread-safe, and cheap: it looks ten times a second at most.

    Args:
        limit_bytes: None for no limit.
        monotonic: the clock.
        read: the memory in use.
        trim: gives free memory back; called every five seconds at most, when there is none left.
    """

    def __init__(
        self,
        limit_bytes: int | None,
        monotonic: Callable[[], float],
        read: Callable[[], int | None] = resident_bytes,
        trim: Callable[[], None] = give_back,
    ) -> None:
        self._limit = limit_bytes
        self._monotonic = monotonic
        self._read = read
        self._trim = trim
        self._lock = threading.Lock()
        self._level = Level.ENOUGH
        self._next_look = float("-inf")
        self._next_trim = float("-inf")

    def level(self) -> Level:
        """How much is left now, or was a moment ago."""
        if self._limit is None or self._monotonic() < self._next_look:
            return self._level
        with self._lock:
            now = self._monotonic()
            if now >= self._next_look:
                self._next_look = now + _LOOK_SECONDS
                self._level = self._look(self._limit)
                if self._level is not Level.ENOUGH and now >= self._next_trim:
                    self._next_trim = now + _TRIM_SECONDS
                    self._trim()
                    self._level = self._look(self._limit)
            return self._level

    def _look(self, limit: int) -> Level:
        used = self._read()
        if used is None or used < _SHORT * limit:
            return Level.ENOUGH
        return Level.SHORT if used < limit else Level.NONE
