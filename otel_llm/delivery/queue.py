"""The queue of a delivery: bounded in bytes, first in first out within a signal, and the place where batches are made.

`Queue` is the seam: a queue on disk stands behind it as well as the one in memory. Room is reserved before anything is
put, so that a payload for several destinations finds room in all of them or is refused by all.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from otel_llm.delivery.config import BatchConfig
from otel_llm.signals import Payload, Signal


class Queue(Protocol):
    """Where accepted payloads wait; thread-safe. Bytes count from the reservation until the batch is settled.

    Attributes:
        is_durable: what was put and not settled is there again after a restart.
        damaged_segments: how many damaged files it found at the start.
    """

    is_durable: bool
    damaged_segments: int

    def reserve(self, payload: Payload) -> bool:
        """Keep room free for one payload; false when there is none, or when the queue is closed."""
        ...

    def cancel(self, payload: Payload) -> None:
        """Give back room that was reserved and is not needed."""
        ...

    def put(self, payload: Payload) -> int:
        """Take over a payload for which room was reserved; returns a ticket for `secure`.

        Raises:
            RefusedError: it could not be written; its room is given back.
        """
        ...

    def secure(self, signal: Signal, ticket: int) -> None:
        """Return when the payload is as safe as this queue makes it; it is accepted then.

        Raises:
            RefusedError: it could not be made safe, and is not accepted.
        """
        ...

    def is_secure(self, signal: Signal, ticket: int, wake: Callable[[], None]) -> bool:
        """Whether `secure` would return at once; if not, `wake` is called once when it would, on any thread.

        Raises:
            RefusedError: it could not be made safe, and is not accepted.
        """
        ...

    def take(self) -> Payload | None:
        """Wait for a batch and hand it out; None when the queue is closed and empty. One thread takes."""
        ...

    def settle(self, batch: Payload) -> None:
        """A batch that was taken is exported or given up: its room is free."""
        ...

    def leave(self) -> None:
        """The thread that took will take no more; what it took and did not settle waits again."""
        ...

    def flush(self) -> None:
        """Hand out what is there without waiting for more."""
        ...

    def close(self) -> None:
        """Reserve nothing more; hand out what is there, then None."""
        ...

    def release(self) -> bool:
        """Give back what is held. What waits in memory is forgotten, what is on disk stays there. Idempotent.

        Returns:
            whether nobody else in this process uses the same queue.
        """
        ...

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        ...

    @property
    def has_successor(self) -> bool:
        """Whether a newer delivery waits to go on with what this one leaves."""
        ...

    @property
    def capacity_bytes(self) -> int:
        """Most bytes it may hold."""
        ...

    def size_bytes(self) -> int:
        """Bytes reserved, waiting or taken and not settled."""
        ...

    def sizes(self) -> dict[Signal, int]:
        """Bytes waiting or taken and not settled, by signal."""
        ...

    def problem(self) -> str:
        """What keeps it from taking more, beside its being full; empty when there is nothing."""
        ...


class _Line:
    """The payloads of one signal that wait."""

    __slots__ = ("is_flushed", "items", "payloads", "signal", "size_bytes")

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        # When each came, and what.
        self.payloads: deque[tuple[float, Payload]] = deque()
        self.items = 0
        self.size_bytes = 0
        self.is_flushed = False

    def push(self, now: float, payload: Payload) -> None:
        self.payloads.append((now, payload))
        self.items += payload.items
        self.size_bytes += payload.size_bytes

    def is_full(self, limits: BatchConfig) -> bool:
        """Whether there is enough for a whole batch."""
        return self.size_bytes >= limits.max_size_bytes or self.items >= limits.max_items

    def ready_at(self, limits: BatchConfig) -> float:
        """When the first payload has waited long enough."""
        if self.is_flushed or self.is_full(limits):
            return float("-inf")
        return self.payloads[0][0] + limits.flush_timeout_seconds

    def pop_batch(self, limits: BatchConfig, batch_id: str) -> Payload:
        """As many payloads as fit into one batch, at least one."""
        parts = [self._pop()]
        size, items = parts[0].size_bytes, parts[0].items
        while self.payloads:
            following = self.payloads[0][1]
            if size + following.size_bytes > limits.max_size_bytes or items + following.items > limits.max_items:
                break
            size += following.size_bytes
            items += following.items
            parts.append(self._pop())
        if not self.payloads:
            self.is_flushed = False
        pieces = parts[0].buffers if len(parts) == 1 else tuple(piece for part in parts for piece in part.buffers)
        return Payload(self.signal, pieces, items, size, batch_id)

    def _pop(self) -> Payload:
        payload = self.payloads.popleft()[1]
        self.items -= payload.items
        self.size_bytes -= payload.size_bytes
        return payload


class MemoryQueue:
    """A Queue in memory: what it holds is lost with the process.

    Args:
        capacity_bytes: most bytes it may hold. One larger payload is taken when it holds nothing, or a sender would try
            forever.
        limits: when a batch is complete.
        monotonic: the clock.
        accept: told the items of each payload that is taken over.
    """

    is_durable = False
    has_successor = False
    damaged_segments = 0

    def __init__(
        self,
        capacity_bytes: int,
        limits: BatchConfig,
        monotonic: Callable[[], float],
        accept: Callable[[Signal, int], None] = lambda signal, items: None,  # noqa: ARG005 - a stand-in
    ) -> None:
        self._accept = accept
        self._capacity = capacity_bytes
        self._limits = limits
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._lines: dict[Signal, _Line] = {}
        self._reserved = 0
        self._held: dict[Signal, int] = {}
        self._total = 0
        self._closed = False
        self._id = os.urandom(8).hex()
        self._batches = 0

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    @property
    def capacity_bytes(self) -> int:
        """Most bytes it may hold."""
        return self._capacity

    def size_bytes(self) -> int:
        """Bytes reserved, waiting or taken and not settled."""
        with self._changed:
            return self._total

    def sizes(self) -> dict[Signal, int]:
        """Bytes waiting or taken and not settled, by signal."""
        with self._changed:
            return dict(self._held)

    def reserve(self, payload: Payload) -> bool:
        """Keep room free for one payload."""
        with self._changed:
            if self._closed or (self._total and self._total + payload.size_bytes > self._capacity):
                return False
            self._total += payload.size_bytes
            self._reserved += 1
        return True

    def cancel(self, payload: Payload) -> None:
        """Give back room that was reserved."""
        with self._changed:
            self._total -= payload.size_bytes
            self._reserved -= 1
            if self._closed:
                self._changed.notify_all()

    def put(self, payload: Payload) -> int:
        """Take over a payload for which room was reserved."""
        signal = payload.signal
        with self._changed:
            self._accept(signal, payload.items)
            self._reserved -= 1
            self._held[signal] = self._held.get(signal, 0) + payload.size_bytes
            line = self._lines.get(signal)
            if line is None:
                line = self._lines[signal] = _Line(signal)
            was_empty, was_full = not line.payloads, line.is_full(self._limits)
            line.push(self._monotonic(), payload)
            # Waking the worker for each payload would cost more than putting it.
            if was_empty or self._closed or (not was_full and line.is_full(self._limits)):
                self._changed.notify_all()
        return 0

    def secure(self, signal: Signal, ticket: int) -> None:
        """Nothing is safer than in memory here."""

    def is_secure(self, signal: Signal, ticket: int, wake: Callable[[], None]) -> bool:  # noqa: ARG002 - the Queue's call
        """It is as safe as it gets."""
        return True

    def take(self) -> Payload | None:
        """Wait for a batch; the signal whose first payload has waited longest comes first."""
        with self._changed:
            while True:
                waiting = [line for line in self._lines.values() if line.payloads]
                now = self._monotonic()
                ready = [line for line in waiting if self._closed or line.ready_at(self._limits) <= now]
                if ready:
                    self._batches += 1
                    line = min(ready, key=lambda line: line.payloads[0][0])
                    return line.pop_batch(self._limits, f"{self._id}-{self._batches:x}")
                if self._closed and not self._reserved:
                    return None
                self._changed.wait(min((line.ready_at(self._limits) for line in waiting), default=now + 3600) - now)

    def settle(self, batch: Payload) -> None:
        """Free the room of a batch that was taken."""
        with self._changed:
            self._total -= batch.size_bytes
            self._held[batch.signal] -= batch.size_bytes

    def leave(self) -> None:
        """What was taken and not settled is the account's business: this memory ends with the process."""

    def problem(self) -> str:
        """Nothing but being full keeps memory from taking more."""
        return ""

    def flush(self) -> None:
        """Hand out what is there without waiting for more."""
        with self._changed:
            for line in self._lines.values():
                line.is_flushed = bool(line.payloads)
            self._changed.notify_all()

    def close(self) -> None:
        """Reserve nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def release(self) -> bool:
        """Forget everything that waits."""
        with self._changed:
            for line in self._lines.values():
                self._total -= line.size_bytes
                self._held[line.signal] -= line.size_bytes
            self._lines.clear()
        return True
