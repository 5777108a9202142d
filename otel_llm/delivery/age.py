"""How long the oldest item of a line has waited, told from nothing but counts that are read now and then.

Whoever asks leaves a mark: so many items had come by now. Items are settled in the order in which they came, so the
oldest one that waits came no later than the first mark that is not settled. Nothing is noted as items come and go,
which would cost each of them something; the answer is as exact as the interval at which it is asked for.
"""

from __future__ import annotations

from collections import deque
from typing import Final

_MOST_MARKS: Final = 512


class WaitingTime:
    """The age of the oldest item of one line. Not thread-safe.

    Attributes:
        marks: when it was asked, and how many items had come by then; those that something settled is left of.
    """

    __slots__ = ("marks",)

    def __init__(self) -> None:
        self.marks: deque[tuple[float, int]] = deque()

    def at_least(self, now: float, entered: int, left: int) -> float:
        """Seconds that the oldest item has waited, at least; 0 when none waits.

        Args:
            now: by a monotonic clock.
            entered: items that ever came.
            left: items of them that are settled; never less than before.
        """
        marks = self.marks
        while marks and marks[0][1] <= left:
            marks.popleft()
        if entered > left and (not marks or marks[-1][1] < entered):
            if len(marks) == _MOST_MARKS:  # an outage of hours: every other one will do, and the first stays
                self.marks = marks = deque(mark for index, mark in enumerate(marks) if index % 2 == 0)
            marks.append((now, entered))
        return now - marks[0][0] if marks else 0.0
