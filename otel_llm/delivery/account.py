"""What became of every item a delivery accepted.

The law of this module: `accepted = exported + dropped{reason} + queued`, for every signal, whenever anyone looks.
Every movement is one step under one lock.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from otel_llm._generated import attributes as keys
from otel_llm._generated import metrics as definitions
from otel_llm._generated.attributes import OtelLlmDropReasonValues as DropReason
from otel_llm.clock import Clock
from otel_llm.delivery.age import WaitingTime
from otel_llm.signals import SIGNALS, Settling, Signal
from otel_llm.telemetry import Metrics


@dataclass(frozen=True, slots=True)
class Balance:
    """An account at one instant, in items.

    Attributes:
        accepted: taken over.
        exported: confirmed by the destination.
        dropped: given up, by reason.
        queued: waiting or in flight.
    """

    accepted: int
    exported: int
    dropped: Mapping[str, int]
    queued: int

    @property
    def is_balanced(self) -> bool:
        """Whether every item is accounted for; never false."""
        return self.accepted == self.exported + sum(self.dropped.values()) + self.queued


@dataclass(slots=True)
class _Entry:
    """The account of one signal. `queued` is counted on its own, so that a mistake would show.

    Attributes:
        entered: items that were ever queued; those refused for lack of room were not.
        given_up: the last of them, when the account was closed before they were settled.
        waiting: how long the oldest of them has waited.
    """

    accepted: int = 0
    exported: int = 0
    queued: int = 0
    entered: int = 0
    given_up: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    waiting: WaitingTime = field(default_factory=WaitingTime)

    @property
    def left(self) -> int:
        """Items that were queued and are settled."""
        return self.entered - self.queued


class Account:
    """The items of one delivery; thread-safe.

    Args:
        name: the exporter's name in the configuration.
        metrics: where the same figures are counted for self-telemetry.
        clock: for waits.
    """

    def __init__(self, name: str, metrics: Metrics, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._changed = threading.Condition()
        self._entries: dict[Signal, _Entry] = {signal: _Entry() for signal in SIGNALS}
        self._closed_for: str | None = None
        labels = (keys.OTEL_LLM_COMPONENT_NAME, keys.OTEL_LLM_SIGNAL)
        self._accepted = metrics.counter(definitions.OTEL_LLM_DELIVERY_ITEMS_ACCEPTED, labels)
        self._exported = metrics.counter(definitions.OTEL_LLM_DELIVERY_ITEMS_EXPORTED, labels)
        self._dropped = metrics.counter(
            definitions.OTEL_LLM_DELIVERY_ITEMS_DROPPED, (*labels, keys.OTEL_LLM_DROP_REASON)
        )
        self._metrics = metrics
        self._gauges = (
            metrics.gauge(definitions.OTEL_LLM_DELIVERY_ITEMS_QUEUED, labels, self._queued),
            metrics.gauge(definitions.OTEL_LLM_DELIVERY_QUEUE_AGE, labels, self._ages),
        )

    def _queued(self) -> dict[tuple[str, ...], float]:
        with self._changed:
            return {(self._name, signal): entry.queued for signal, entry in self._entries.items() if entry.accepted}

    def _ages(self) -> dict[tuple[str, ...], float]:
        now = self._clock.monotonic()
        with self._changed:
            return {
                (self._name, signal): entry.waiting.at_least(now, entry.entered, entry.left)
                for signal, entry in self._entries.items()
                if entry.accepted
            }

    def accept(self, signal: Signal, items: int) -> None:
        """Items are taken over and wait. On a closed account they are dropped at once."""
        with self._changed:
            closed_for = self._closed_for
            entry = self._entries[signal]
            entry.accepted += items
            if closed_for is None:
                entry.queued += items
                entry.entered += items
            else:
                entry.dropped[closed_for] = entry.dropped.get(closed_for, 0) + items
        self._accepted.add(items, self._name, signal)
        if closed_for is not None:
            self._dropped.add(items, self._name, signal, closed_for)

    def recover(self, signal: Signal, items: int, lost: int) -> None:
        """Items of an earlier process were found: they are accepted anew and wait; the lost ones are dropped."""
        if items:
            self.accept(signal, items)
        if lost:
            self.refuse_room(signal, lost, DropReason.CORRUPT)

    def export(self, signal: Signal, items: int) -> None:
        """Queued items have arrived."""
        with self._changed:
            if self._closed_for is not None:  # they were given up before the answer came
                return
            entry = self._entries[signal]
            entry.queued -= items
            entry.exported += items
            self._changed.notify_all()
        self._exported.add(items, self._name, signal)

    def drop(self, signal: Signal, items: int, reason: str) -> None:
        """Queued items are given up."""
        with self._changed:
            if self._closed_for is not None:
                return
            entry = self._entries[signal]
            entry.queued -= items
            entry.dropped[reason] = entry.dropped.get(reason, 0) + items
            self._changed.notify_all()
        self._dropped.add(items, self._name, signal, reason)

    def refuse_room(self, signal: Signal, items: int, reason: str) -> None:
        """Items that never waited: accepted and given up in one step."""
        with self._changed:
            entry = self._entries[signal]
            entry.accepted += items
            entry.dropped[reason] = entry.dropped.get(reason, 0) + items
        self._accepted.add(items, self._name, signal)
        self._dropped.add(items, self._name, signal, reason)

    def close(self, reason: str) -> int:
        """Give up all that is queued, now and from now on; returns how many items that were. Idempotent.

        Its gauges go: from now on nothing is queued, and after a reload another account has the same name.
        """
        given_up: dict[Signal, int] = {}
        with self._changed:
            if self._closed_for is not None:
                return 0
            self._closed_for = reason
            for signal, entry in self._entries.items():
                if entry.queued:
                    given_up[signal] = entry.given_up = entry.queued
                    entry.dropped[reason] = entry.dropped.get(reason, 0) + entry.queued
                    entry.queued = 0
            self._changed.notify_all()
        for signal, items in given_up.items():
            self._dropped.add(items, self._name, signal, reason)
        self.retire()
        return sum(given_up.values())

    def retire(self) -> None:
        """Show no more what is queued: it is on disk and somebody else's. Idempotent."""
        for gauge in self._gauges:
            self._metrics.remove(gauge)

    def balance(self, signal: Signal | None = None) -> Balance:
        """The account of one signal, or of all together, at one instant."""
        with self._changed:
            entries = list(self._entries.values()) if signal is None else [self._entries[signal]]
            dropped: dict[str, int] = {}
            for entry in entries:
                for reason, items in entry.dropped.items():
                    dropped[reason] = dropped.get(reason, 0) + items
            return Balance(
                accepted=sum(entry.accepted for entry in entries),
                exported=sum(entry.exported for entry in entries),
                dropped=MappingProxyType(dropped),
                queued=sum(entry.queued for entry in entries),
            )

    def settling(self, signal: Signal) -> Settling:
        """What becomes of all that was accepted of a signal before this call.

        Within a signal items are settled in the order they were accepted, so counting is enough.
        """
        with self._changed:
            entry = self._entries[signal]
            target = entry.entered

        def look() -> Literal["waiting", "settled", "given up"]:
            with self._changed:
                if entry.left - entry.given_up >= target:
                    return "settled"
                return "given up" if entry.given_up else "waiting"

        return look

    def wait_settled(self, timeout_seconds: float) -> bool:
        """Wait until nothing that was accepted before this call is queued; returns whether that was in time.

        Within a signal items are settled in the order they were accepted, so counting is enough.
        """
        with self._changed:
            targets = {signal: entry.entered for signal, entry in self._entries.items() if entry.queued}
            deadline = self._clock.monotonic() + timeout_seconds
            while any(self._entries[signal].left < target for signal, target in targets.items()):
                remaining = deadline - self._clock.monotonic()
                if remaining <= 0:
                    return False
                self._changed.wait(remaining)
        return True
