"""Clients of Kafka that are told what happens: a producer, and a consumer on a log in memory."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from otel_llm.errors import MalformedError, RefusedError
from otel_llm.signals import ConsumeResult, Signal


@dataclass
class Sent:
    """A message that was handed to a producer."""

    topic: str
    value: bytes
    key: bytes | None
    report: Callable[[KafkaError | None, object], None]


class FakeProducer:
    """Takes messages, and settles each when it is flushed, as it is told.

    Attributes:
        taken: messages that a broker has.
        decide: what becomes of a message: None when a broker takes it, an error, or "later" for nothing yet.
        purged: whether messages were forgotten.
    """

    def __init__(self, decide: Callable[[Sent], KafkaError | str | None] = lambda _: None) -> None:
        self.decide = decide
        self.taken: list[Sent] = []
        self.produced = 0
        self.purged = False
        self._waiting: list[Sent] = []

    def produce(self, topic, value, key, *, on_delivery):
        self._waiting.append(Sent(topic, value, key, on_delivery))
        self.produced += 1

    def flush(self, timeout):  # noqa: ARG002 - as that of a producer
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            answer = self.decide(one)
            if isinstance(answer, str):
                self._waiting.append(one)
                continue
            if answer is None:
                self.taken.append(one)
            one.report(answer, None)
        return len(self._waiting)

    def purge(self, *, in_queue, in_flight, blocking):  # noqa: ARG002 - as above
        self.purged = True
        for one in self._waiting:
            one.report(KafkaError(KafkaError._PURGE_INFLIGHT), None)
        self._waiting.clear()


class FakeMessage:
    def __init__(
        self, topic: str, partition: int, offset: int, value: bytes | None, error: KafkaError | None = None
    ) -> None:
        self._is = (topic, partition, offset, value)
        self._error = error

    def error(self):
        return self._error

    def topic(self):
        return self._is[0]

    def partition(self):
        return self._is[1]

    def offset(self):
        return self._is[2]

    def value(self):
        return self._is[3]


@dataclass
class FakeLog:
    """What a broker has: messages by topic and partition, and what a group has committed."""

    messages: dict[tuple[str, int], list[bytes | None]] = field(default_factory=lambda: defaultdict(list))
    committed: dict[tuple[str, int], int] = field(default_factory=dict)

    def write(self, topic: str, *values: bytes | None, partition: int = 0) -> None:
        self.messages[topic, partition] += values


class FakeClient:
    """A consumer of a FakeLog, with which a test moves partitions.

    Attributes:
        assigned: partitions it has.
        paused: those of them that are paused.
        refusals: errors that the next commits get.
        polls: how often it was asked for messages.
    """

    def __init__(self, log: FakeLog, callbacks: Mapping[str, Any]) -> None:
        self.log = log
        self.callbacks = callbacks
        self.topics: list[str] = []
        self.assigned: set[tuple[str, int]] = set()
        self.paused: set[tuple[str, int]] = set()
        self.refusals: deque[KafkaError] = deque()
        self.polls = 0
        self.is_closed = False
        self._next: dict[tuple[str, int], int] = {}
        self._rebalance: dict[str, Callable[..., None]] = {}
        self._todo: deque[Callable[[], None]] = deque()
        self._idle = threading.Event()
        self._errors: list[FakeMessage] = []

    def subscribe(self, topics, **callbacks):
        self.topics, self._rebalance = topics, callbacks

    def gain(self, *places: tuple[str, int]) -> None:
        """At the next poll, these partitions are its own."""
        self._todo.append(lambda: self._rebalance["on_assign"](self, [TopicPartition(*place) for place in places]))

    def lose(self, *places: tuple[str, int], already: bool = False) -> None:
        """At the next poll, these partitions go to another; `already` when they are another's before it knows."""

        def go() -> None:
            self._rebalance["on_lost" if already else "on_revoke"](self, [TopicPartition(*place) for place in places])
            self.assigned -= set(places)

        self._todo.append(go)

    def fail(self, topic: str, error: KafkaError) -> None:
        """At the next poll, there is an error in place of a message."""
        self._errors.append(FakeMessage(topic, 0, 0, None, error))

    def will_call(self, name: str, argument: object) -> None:
        """At the next poll, a callback is called."""
        self._todo.append(lambda: self.callbacks[name](argument))

    def incremental_assign(self, partitions):
        for one in partitions:
            place = (one.topic, one.partition)
            self.assigned.add(place)
            self.paused.discard(place)  # which ends with the assignment
            self._next[place] = self.log.committed.get(place, 0)

    def consume(self, num_messages, timeout):
        self.polls += 1
        while self._todo:
            self._todo.popleft()()
        found, self._errors = self._errors[:num_messages], self._errors[num_messages:]
        for place in sorted(self.assigned - self.paused):
            values = self.log.messages[place]
            while self._next[place] < len(values) and len(found) < num_messages:
                offset = self._next[place]
                found.append(FakeMessage(*place, offset, values[offset]))
                self._next[place] += 1
        if not found:
            self._idle.wait(min(timeout, 0.002))  # so that a test's thread gets its turn
        return found

    def commit(self, *, offsets, asynchronous):
        if self.refusals:
            error = self.refusals.popleft()
            if asynchronous:
                self.callbacks["on_commit"](error, offsets)
                return None
            raise KafkaException(error)
        for one in offsets:
            self.log.committed[one.topic, one.partition] = one.offset
        if asynchronous:
            self.callbacks["on_commit"](None, offsets)
            return None
        return offsets

    def pause(self, partitions):
        self.paused |= {(one.topic, one.partition) for one in partitions}

    def resume(self, partitions):
        self.paused -= {(one.topic, one.partition) for one in partitions}

    def close(self):
        if self.assigned:
            self._rebalance["on_revoke"](self, [TopicPartition(*place) for place in self.assigned])
        self.is_closed = True


class FakeConsumer:
    """What a receiver hands requests to.

    Attributes:
        bodies: the requests it took, with their signal.
        is_full: whether it refuses everything.
        signals: those that a pipeline takes.
    """

    def __init__(self, signals: tuple[Signal, ...] = ("traces", "metrics", "logs")) -> None:
        self.bodies: list[tuple[Signal, bytes]] = []
        self.is_full = False
        self.signals = frozenset(signals)
        self.malformed: set[bytes] = set()
        self.rejected = 0
        self.defects: set[bytes] = set()
        self.refused = 0
        # What is said of what was accepted, from the first on; the rest waits.
        self.said: list[str] = []
        self._asked = 0

    def settling(self, _):
        number, self._asked = self._asked, self._asked + 1
        return lambda: self.said[number] if number < len(self.said) else "waiting"

    def consume(self, signal, body):
        if self.is_full:
            self.refused += 1
            raise RefusedError("full")
        if any(one in body for one in self.malformed):
            raise MalformedError("not a request")
        if any(one in body for one in self.defects):
            raise LookupError("a defect of ours")
        self.bodies.append((signal, body))
        return ConsumeResult(self.rejected, "")
