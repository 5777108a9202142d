"""Whether an agent runs in circles: the same tool calls with the same results, over and over.

Pagination changes its arguments, and polling gets other results or calls a tool that is there to be asked again;
neither is a loop. What counts is the end of the sequence: one to four calls, the same three times in a row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

REPEATS: Final = 3
LONGEST_PERIOD: Final = 4
# A tool that waits for something may be asked the same more often, but not for ever.
POLLING_REPEATS: Final = 25
# How many of the last calls have to be remembered to see all of this.
REMEMBERED: Final = 30
_POLLING: Final = re.compile(
    r"(?:^|[_.\-\s]|(?<=[a-z])(?=[A-Z]))(?i:status|poll|polling|wait|sleep|watch|progress|ready|health|heartbeat|ping|now"
    r"|time|state)(?:$|[_.\-\s]|(?=[A-Z]))"
)


@dataclass(frozen=True, slots=True)
class Step:
    """One tool call of an agent.

    Attributes:
        call: a hash of tool and arguments.
        result: a hash of what came back, None when that is not known (yet).
        polls: whether the tool is one that polls.
    """

    call: int
    result: int | None = None
    polls: bool = False


def is_polling(tool: str) -> bool:
    """Whether a tool's name says that it is there to be asked again: `get_job_status`, `waitForBuild`."""
    return _POLLING.search(tool[:128]) is not None


def is_loop(steps: Sequence[Step]) -> bool:
    """Whether a sequence ends in a loop. A result that is not known counts as the same."""
    return any(_ends_with(steps, period) for period in range(1, LONGEST_PERIOD + 1))


def _ends_with(steps: Sequence[Step], period: int) -> bool:
    """Whether the end is the same `period` calls often enough."""
    if len(steps) < REPEATS * period:
        return False
    repeats = REPEATS
    if any(step.polls for step in steps[-period:]):
        repeats = max(POLLING_REPEATS // period, REPEATS)
    size = repeats * period
    if len(steps) < size:
        return False
    end = steps[-size:]
    return all(_is_same(one, other) for one, other in zip(end, end[period:], strict=False))


def _is_same(one: Step, other: Step) -> bool:
    return one.call == other.call and (one.result is None or other.result is None or one.result == other.result)
