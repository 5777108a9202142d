"""How far a partition is done with: the offset to commit is that after the last message before which all are done.

Pure logic, for one thread. An offset that is committed says that everything before it need not be read again, so one
message that is not done holds back all after it. Offsets of a partition grow, and may leave numbers out (compaction,
transactions).
"""

from __future__ import annotations

from collections import deque


class Offsets:
    """The offsets of one partition."""

    __slots__ = ("_committed", "_done", "_next", "_requested", "_taken")

    def __init__(self) -> None:
        # Taken and not yet committable, in order; which of them are done; what to commit, and what was committed.
        self._taken: deque[int] = deque()
        self._done: set[int] = set()
        self._next: int | None = None
        self._requested: int | None = None
        self._committed: int | None = None

    def take(self, offset: int) -> bool:
        """Note a message that was read; false when it was read before, and is not to be looked at again."""
        latest = self._taken[-1] if self._taken else None if self._next is None else self._next - 1
        if latest is not None and offset <= latest:
            return False
        self._taken.append(offset)
        return True

    def knows(self, offset: int) -> bool:
        """Whether a message was taken and is not behind what is committable."""
        return bool(self._taken) and self._taken[0] <= offset <= self._taken[-1]

    def finish(self, offset: int) -> None:
        """A message that was taken is done with: accepted, or given up for good."""
        self._done.add(offset)
        while self._taken and self._taken[0] in self._done:
            first = self._taken.popleft()
            self._done.remove(first)
            self._next = first + 1

    @property
    def pending(self) -> int:
        """How many messages were taken and hold back the offset, or are held back."""
        return len(self._taken)

    @property
    def committable(self) -> int | None:
        """The offset up to which everything is done; None when nothing is yet."""
        return self._next

    def request(self, *, again: bool = False) -> int | None:
        """The offset to commit now; None when there is nothing new.

        Args:
            again: also one that was asked for and of which nothing is known yet. Without it, it is asked for once.
        """
        if self._next is None or self._next == (self._committed if again else self._requested):
            return None
        self._requested = self._next
        return self._next

    def answer(self, offset: int | None) -> None:
        """A commit succeeded up to an offset; None when it failed, and is to be asked for again."""
        if offset is None:
            self._requested = self._committed
        elif self._committed is None or offset > self._committed:
            self._committed = offset

    @property
    def committed(self) -> int | None:
        """What was committed last, as far as this process knows."""
        return self._committed
