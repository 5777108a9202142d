"""The partitions that a Kafka receiver has now: what was read of each, and how far it is done with. For one thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from otel_llm.kafka.offsets import Offsets
from otel_llm.signals import SIGNALS, Signal

# A topic and the number of a partition.
Place: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Record:
    """A message that was read.

    Attributes:
        place: where from.
        offset: in the partition.
        value: a serialized request, as far as anybody knows.
    """

    place: Place
    offset: int
    value: bytes

    def __str__(self) -> str:
        return f"topic {self.place[0]}, partition {self.place[1]}, offset {self.offset}"


class Partitions:
    """What is read and not done with, and the offsets."""

    def __init__(self) -> None:
        self._offsets: dict[Place, Offsets] = {}
        self._waiting: dict[Signal, deque[Record]] = {signal: deque() for signal in SIGNALS}
        self._waiting_bytes = 0

    @property
    def places(self) -> list[Place]:
        """The partitions that are ours."""
        return list(self._offsets)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of messages that nobody has accepted yet."""
        return self._waiting_bytes

    @property
    def has_waiting(self) -> bool:
        """Whether there is a message that nobody has accepted yet."""
        return any(self._waiting.values())

    def gain(self, places: Iterable[Place]) -> None:
        """These are ours from now on; they are read from where the group stands."""
        for place in places:
            self._offsets[place] = Offsets()

    def lose(self, places: Iterable[Place]) -> None:
        """These are ours no more: what of them is not accepted is somebody else's to read."""
        gone = set(places)
        for place in gone:
            self._offsets.pop(place, None)
        for signal, waiting in self._waiting.items():
            self._waiting[signal] = deque(record for record in waiting if record.place not in gone)
        self._waiting_bytes = sum(len(one.value) for waiting in self._waiting.values() for one in waiting)

    def add(self, signal: Signal, record: Record) -> None:
        """A message was read. One of a partition that is not ours, or that was read before, is left out."""
        offsets = self._offsets.get(record.place)
        if offsets is not None and offsets.take(record.offset):
            self._waiting[signal].append(record)
            self._waiting_bytes += len(record.value)

    def first(self, signal: Signal, most: int, size_bytes: int) -> list[Record]:
        """The next messages of a signal, at most so many, and of so many bytes unless the first is larger."""
        found: list[Record] = []
        for record in self._waiting[signal]:
            size_bytes -= len(record.value)
            if found and (len(found) >= most or size_bytes < 0):
                break
            found.append(record)
        return found

    def hand_over(self, signal: Signal, number: int) -> list[tuple[Place, int]]:
        """That many of the next messages of a signal wait no more: place and offset of each, for `finish`."""
        waiting = self._waiting[signal]
        gone: list[tuple[Place, int]] = []
        for _ in range(number):
            record = waiting.popleft()
            self._waiting_bytes -= len(record.value)
            gone.append((record.place, record.offset))
        return gone

    def finish(self, done: Iterable[tuple[Place, int]]) -> None:
        """Messages that were handed over are done with. Of a partition that moved since, it is others' to say so."""
        for place, offset in done:
            if place in self._offsets and self._offsets[place].knows(offset):
                self._offsets[place].finish(offset)

    def to_commit(self) -> Iterator[tuple[Place, int]]:
        """Offsets to commit; each is asked for once."""
        for place, offsets in self._offsets.items():
            offset = offsets.request()
            if offset is not None:
                yield place, offset

    def to_commit_at_last(self, places: Iterable[Place]) -> Iterator[tuple[Place, int]]:
        """Offsets to commit before partitions are given up, also those of which it is not known whether they are.

        What was asked for may fail yet, as brokers refuse it while partitions move, and nobody would ask again.
        """
        for place in places:
            offset = self._offsets[place].request(again=True) if place in self._offsets else None
            if offset is not None:
                yield place, offset

    def committed(self, place: Place, offset: int | None) -> None:
        """A commit succeeded up to an offset; None when it failed."""
        if place in self._offsets:
            self._offsets[place].answer(offset)
