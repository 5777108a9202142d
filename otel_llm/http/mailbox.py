"""Work for the event loop that comes from other threads: as much as has come is done at one wake-up."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable


class Mailbox:
    """Callbacks that wait for the event loop, which runs them in the order in which they were put.

    Args:
        loop: where they run.
    """

    __slots__ = ("_is_awake", "_letters", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._letters: deque[Callable[[], None]] = deque()
        self._is_awake = False

    def put(self, letter: Callable[[], None]) -> None:
        """Run it on the loop, soon; on any thread. One that comes when the loop is closed is forgotten."""
        self._letters.append(letter)
        if not self._is_awake:
            self._is_awake = True
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        # First: who puts a letter after this, and it is not among those that are run now, wakes the loop again.
        self._is_awake = False
        letters = self._letters
        for _ in range(len(letters)):
            self._loop.call_soon(letters.popleft())
