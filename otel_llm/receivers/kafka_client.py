"""What the Kafka receiver needs of a client, and what the client's statistics say: the seam that tests stand behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
from confluent_kafka import KafkaError, TopicPartition

from otel_llm.kafka.client import Properties


class KafkaMessage(Protocol):
    """What is needed of a message of confluent-kafka."""

    def error(self) -> KafkaError | None:
        """What is wrong, when it is no message after all."""
        ...

    def topic(self) -> str:
        """Where it was read from."""
        ...

    def partition(self) -> int:
        """Of the topic."""
        ...

    def offset(self) -> int:
        """In the partition."""
        ...

    def value(self) -> bytes | None:
        """What is in it."""
        ...


class Client(Protocol):
    """What is needed of a consumer of confluent-kafka."""

    def subscribe(self, topics: list[str], **callbacks: Callable[[Any, list[TopicPartition]], None]) -> None:
        """Ask for a share of the partitions of topics."""
        ...

    def consume(self, num_messages: int, timeout: float) -> Sequence[KafkaMessage]:
        """Wait for messages; calls callbacks."""
        ...

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition] | None:
        """Commit offsets."""
        ...

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        """Begin to fetch."""
        ...

    def pause(self, partitions: list[TopicPartition]) -> None:
        """Fetch no more for now."""
        ...

    def resume(self, partitions: list[TopicPartition]) -> None:
        """Fetch again."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


# Makes a client, given what it is to call: for errors, after commits, and with statistics.
Connect = Callable[[Properties], Client]


class BrokerStatistics(msgspec.Struct):
    """A broker, and whether it is connected to."""

    state: str = ""


class PartitionStatistics(msgspec.Struct):
    """librdkafka's figures of a partition; negative where it knows none."""

    partition: int = -1
    hi_offset: int = -1
    lo_offset: int = -1
    committed_offset: int = -1
    consumer_lag: int = -1

    def lag(self) -> int | None:
        """Messages that are not committed; None when that is not known."""
        if self.hi_offset >= 0 and self.committed_offset >= 0:
            return max(self.hi_offset - self.committed_offset, 0)
        return self.consumer_lag if self.consumer_lag >= 0 else None


class TopicStatistics(msgspec.Struct):
    """A topic."""

    partitions: dict[str, PartitionStatistics] = {}


class Statistics(msgspec.Struct):
    """What librdkafka says of itself every few seconds, as far as it is of use here."""

    brokers: dict[str, BrokerStatistics] = {}
    topics: dict[str, TopicStatistics] = {}
