"""What goes to the store of counters in one trip, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Wish:
    """A lease that a process wants: a part of a limit that is its to spend until the lease ends or is renewed.

    Attributes:
        pool: the key of all leases on one limit.
        want: how much in all, what it has included.
        floor: what it gets in any case, for calls that are under way are under way.
        limit: of which limit.
        spent: the counters that are to be taken from the limit.
    """

    pool: str
    want: int
    floor: int
    limit: int
    spent: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """One trip.

    Attributes:
        writer: who makes it; a batch of a writer is written once, however often it is sent.
        sequence: its number among those of the writer, from 1 up.
        deltas: what to add to counters.
        expires: when each of these counters may be forgotten, in seconds since 1970.
        reads: further counters whose values are wanted.
        wishes: leases; the sum of what is spent and of all leases of a pool stays within its limit, floors apart.
        lease_seconds: how long the leases hold.
    """

    writer: str
    sequence: int
    deltas: Mapping[str, int] = field(default_factory=dict)
    expires: Mapping[str, int] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    wishes: tuple[Wish, ...] = ()
    lease_seconds: int = 30

    @property
    def keys(self) -> tuple[str, ...]:
        """All counters that the answer has, each once; those written first."""
        return tuple(dict.fromkeys((*self.deltas, *self.reads)))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the store says; all of one moment.

    Attributes:
        values: of each of the batch's counters, after the batch; 0 for one that nobody has written.
        granted: of each pool, how much is leased to the writer.
    """

    values: Mapping[str, int]
    granted: Mapping[str, int]


class CounterStore(Protocol):
    """Counters that several processes share. For one thread.

    Attributes:
        place: where it is, for messages; without credentials.
    """

    place: str

    def apply(self, batch: Batch) -> Answer:
        """Write a batch, all or nothing, and read.

        Raises:
            StoreError: it cannot be reached or used now. Whether the batch was written is not known; sent again, it is
                written once.
        """
        ...

    def close(self) -> None:
        """Let go of it. Idempotent."""
        ...
