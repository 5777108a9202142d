"""Kafka: one message for each trace, or for each request, in the topic of its signal, encoded as `otlp_proto`.

Topics, keys and partitions are those of the Collector's kafka exporter, so that its receiver and ours read either's.
What is sent again because only a part arrived is that part: what a broker has taken is remembered for as long as a
batch is on its way. Twice arrives only what a broker took without our getting to know, and, when a broker turns out to
take less than `max_message_bytes`, what was in the same batch.
Source: opentelemetry-collector-contrib v0.165.1, exporter/kafkaexporter; docs/kafka.md.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, Final, Literal, Protocol, cast

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from otel_llm.codecs.by_trace import Message, messages
from otel_llm.components import Context
from otel_llm.errors import ConfigError, MalformedError, PermanentError, RejectedError, RetryableError, TooLargeError
from otel_llm.exporters.exporter import ExportResult
from otel_llm.kafka.client import TOPICS, ClientConfig, Properties, client_properties
from otel_llm.kafka.problems import TOO_LARGE, UNRECORDABLE, Where, is_about_access, one_line
from otel_llm.signals import SIGNALS, Payload, Signal
from otel_llm.telemetry import LogLimiter

_LOGGER: Final = logging.getLogger(__name__)

# What a record has around its value: its key, lengths and offsets, and the batch it stands in.
_RECORD_BYTES: Final = 256
_SMALLEST_LIMIT: Final = 1024
# How long a wait for the client may be before it looks whether it is to end.
_STEP_SECONDS: Final = 0.25
# A topic that was just created is not known to every broker at once.
_TOPIC_GRACE_MILLISECONDS: Final = 3000
_PARTITIONERS: Final = {"sarama_compat": "fnv1a_random", "murmur2": "murmur2_random"}


class SignalConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one signal goes."""

    topic: str | None = None
    """The topic: `otlp_spans` for traces, `otlp_metrics`, `otlp_logs`."""

    encoding: Literal["otlp_proto"] = "otlp_proto"
    """How messages are encoded; one serialized OTLP request each."""


class ProducerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How messages are sent."""

    max_message_bytes: Annotated[int, msgspec.Meta(ge=_SMALLEST_LIMIT, le=1_000_000_000)] = 1_000_000
    """Largest message, in bytes before compression; not above the topic's `max.message.bytes`. Requests are split down
    to single spans to fit; of a larger span the content is cut, and the span marked."""

    required_acks: Literal["all", 1, 0] = "all"
    """Who has to have a message before it counts as delivered: all replicas that are in sync, the leader, or nobody.
    The Collector's default is 1, which loses what the leader had not passed on when it fails."""

    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "lz4"
    """How batches of messages are compressed."""


class StickyKeyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The partition by the hash of the key."""

    hasher: Literal["sarama_compat", "murmur2"] = "sarama_compat"
    """`sarama_compat` is what the Collector does, `murmur2` what Java clients do. All who write a topic have to
    agree."""


class RecordPartitionerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which partition a message goes to."""

    sticky_key: StickyKeyConfig = StickyKeyConfig()
    """By the hash of its key; one without a key goes to any."""


class Config(ClientConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OTLP into Kafka."""

    traces: SignalConfig = SignalConfig()
    """Where spans go."""

    metrics: SignalConfig = SignalConfig()
    """Where data points go."""

    logs: SignalConfig = SignalConfig()
    """Where log records go."""

    partition_traces_by_id: bool = True
    """Give each trace messages of its own, with the trace id as key, so that all of a trace is in one partition. The
    Collector's default is false."""

    partition_logs_by_trace_id: bool = False
    """The same for log records that have a trace id."""

    record_partitioner: RecordPartitionerConfig = RecordPartitionerConfig()
    """Which partition a message goes to."""

    producer: ProducerConfig = ProducerConfig()
    """How messages are sent."""

    timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """How long a batch may take to be taken by the brokers, in seconds; then it is tried again."""


class Sending(Protocol):
    """What is needed of a producer of confluent-kafka."""

    def produce(
        self, topic: str, value: bytes, key: bytes | None, *, on_delivery: Callable[[KafkaError | None, object], None]
    ) -> None:
        """Queue a message."""
        ...

    def flush(self, timeout: float) -> int:
        """Send what is queued, and tell of what was sent; how many are left."""
        ...

    def purge(self, *, in_queue: bool, in_flight: bool, blocking: bool) -> None:
        """Forget messages."""
        ...


class _Progress:
    """One batch on its way.

    Attributes:
        payload: what is sent.
        messages: its messages.
        arrived: indices of those that a broker has.
        in_flight: indices of those that nothing is known of yet.
        errors: why others did not arrive, by index.
    """

    __slots__ = ("arrived", "errors", "in_flight", "messages", "payload")

    def __init__(self, payload: Payload, found: list[Message]) -> None:
        self.payload = payload
        self.messages = found
        self.arrived: set[int] = set()
        self.in_flight: set[int] = set()
        self.errors: dict[int, KafkaError] = {}

    def waiting(self) -> list[int]:
        """Indices of what is to be sent, or sent again."""
        return [i for i in range(len(self.messages)) if i not in self.arrived and i not in self.in_flight]

    def report(self, index: int, error: KafkaError | None, _: object) -> None:
        """What the client says about a message, on the thread that waits for it."""
        self.in_flight.discard(index)
        if error is None:
            self.arrived.add(index)
            self.errors.pop(index, None)
        else:
            self.errors[index] = error

    def too_large(self) -> list[int]:
        """Indices of what a broker found too large."""
        return [index for index, error in self.errors.items() if error.code() in TOO_LARGE]


class KafkaExporter:
    """The exporter; see `create`. It connects with the first export.

    Args:
        config: what the user set.
        where: for messages.
        connect: makes a producer, given what it is to tell errors to.
        monotonic: the clock.
    """

    signals: frozenset[Signal] = frozenset(SIGNALS)

    def __init__(
        self,
        config: Config,
        where: Where,
        connect: Callable[[Callable[[KafkaError], None]], Sending],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topics = {signal: topic_of(config, signal) for signal in SIGNALS}
        self._by_trace = {"traces": config.partition_traces_by_id, "logs": config.partition_logs_by_trace_id}
        self._limit = max(config.producer.max_message_bytes - _RECORD_BYTES, _SMALLEST_LIMIT // 2)
        self._timeout_seconds = config.timeout_seconds
        self._where = where
        self._connect = connect
        self._monotonic = monotonic
        self._log = LogLimiter(_LOGGER, monotonic)
        self._lock = threading.Lock()
        self._is_closed = False
        self._producer: Sending | None = None
        self._progress: _Progress | None = None
        self._trouble: KafkaError | None = None
        self._is_fatal = False

    def export(self, payload: Payload, timeout_seconds: float) -> ExportResult:
        """Send one batch, or what of it did not arrive when it was tried before.

        Raises:
            RetryableError: not all of it arrived; no broker answers, or does not let us, or has no such topic.
            TooLargeError: an item is larger than a message may be.
            RejectedError: the broker refuses a message for what is in it.
            PermanentError: the payload is no request.
        """
        producer = self._connected()
        progress = self._progress
        if progress is None or not payload.batch_id or progress.payload.batch_id != payload.batch_id:
            progress = self._begin(producer, payload)
        end = self._monotonic() + min(timeout_seconds, self._timeout_seconds)
        self._send(producer, progress, progress.waiting(), end)
        self._send_smaller(producer, progress, end)
        self._raise_for(progress)
        self._progress = None
        self._trouble = None
        return ExportResult()

    def shutdown(self) -> None:
        """Forget what is on its way; an export that is on fails soon. Idempotent."""
        with self._lock:
            self._is_closed = True
            producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge(in_queue=True, in_flight=True, blocking=False)

    def _connected(self) -> Sending:
        with self._lock:
            if self._is_closed:
                raise RetryableError(f"{self._where.setting} is shut down")
            if self._is_fatal:  # a producer says so once, and is of no use after that
                self._producer, self._is_fatal = None, False
                if self._progress is not None:
                    self._progress.in_flight.clear()
            if self._producer is None:
                try:
                    self._producer = self._connect(self._note)
                except KafkaException as error:
                    raise RetryableError(f"{self._where.setting}: {one_line(str(error))}") from None
            return self._producer

    def _note(self, error: KafkaError) -> None:
        """An error of the client's that is about no message; the worst is remembered until something arrives."""
        self._is_fatal = self._is_fatal or error.fatal()
        if self._trouble is None or is_about_access(error) or not is_about_access(self._trouble):
            self._trouble = error

    def _begin(self, producer: Sending, payload: Payload) -> _Progress:
        before, self._progress = self._progress, None
        if before is not None and before.in_flight:
            producer.purge(in_queue=True, in_flight=True, blocking=False)
            producer.flush(_STEP_SECONDS)
        progress = _Progress(payload, self._split(payload))
        self._progress = progress
        return progress

    def _split(self, payload: Payload) -> list[Message]:
        try:
            found = messages(payload, self._limit, by_trace=self._by_trace.get(payload.signal, False))
        except MalformedError as error:
            raise PermanentError(f"topic {self._topics[payload.signal]}: {error}") from None
        largest = max((len(message.value) for message in found), default=0)
        if largest > self._limit:
            raise TooLargeError(
                f"{self._where.setting}.producer.max_message_bytes: an item of {largest} bytes does not fit into a "
                f"message of topic {self._topics[payload.signal]}, which may have {self._limit}"
            )
        return found

    def _send(self, producer: Sending, progress: _Progress, indices: Iterable[int], end: float) -> None:
        """Send messages, and wait until their fate is known, or until then."""
        topic = self._topics[progress.payload.signal]
        for index in indices:
            message = progress.messages[index]
            try:
                producer.produce(topic, message.value, message.key, on_delivery=partial(progress.report, index))
            except KafkaException as error:
                progress.errors[index] = cast("KafkaError", error.args[0])
            except BufferError:  # as many as the client holds: those first
                break
            else:
                progress.errors.pop(index, None)
                progress.in_flight.add(index)
        while progress.in_flight and not self._is_closed:
            left = end - self._monotonic()
            if left <= 0:
                break
            producer.flush(min(left, _STEP_SECONDS))

    def _send_smaller(self, producer: Sending, progress: _Progress, end: float) -> None:
        """What a broker found too large, once more: alone, for it looks at batches of messages, and then in pieces.

        Raises:
            TooLargeError: a single item is too large for the broker.
        """
        while (refused := progress.too_large()) and self._monotonic() < end and not self._is_closed:
            self._log.warning(
                "limit",
                "%s.producer.max_message_bytes: topic %s takes less than that at a time; what it refused is sent in "
                "smaller pieces. Set it to the topic's max.message.bytes",
                self._where.setting,
                self._topics[progress.payload.signal],
            )
            for index in refused:
                self._send(producer, progress, [index], end)
                error = progress.errors.get(index)
                if error is not None and error.code() in TOO_LARGE:
                    self._break_up(progress, index)
            self._send(producer, progress, progress.waiting(), end)

    def _break_up(self, progress: _Progress, index: int) -> None:
        """Put smaller messages in the place of one that a broker refuses even alone."""
        message = progress.messages[index]
        self._limit = min(self._limit, max(len(message.value) // 2, _SMALLEST_LIMIT // 2))
        if message.items <= 1:
            self._progress = None
            raise TooLargeError(self._where.explain(progress.errors[index]))
        smaller = messages(
            Payload.of(progress.payload.signal, (message.value,), message.items), self._limit, by_trace=False
        )
        progress.messages[index] = Message(message.key, smaller[0].value, smaller[0].items)
        progress.messages += [Message(message.key, one.value, one.items) for one in smaller[1:]]
        del progress.errors[index]

    def _raise_for(self, progress: _Progress) -> None:
        """Say what is wrong when not everything has arrived."""
        if len(progress.arrived) == len(progress.messages):
            return
        if self._is_closed:
            raise RetryableError(f"{self._where.setting} is shut down")
        signal = progress.payload.signal
        topic = self._topics[signal]
        refused = [error for error in progress.errors.values() if error.code() in UNRECORDABLE]
        if refused:
            self._progress = None
            raise RejectedError(f"topic {topic}: {self._where.explain(refused[0])}")
        errors = list(progress.errors.values())
        # That time is up is true of all that is wrong with connections; what was heard of them says more.
        said = next((error for error in errors if error.code() != KafkaError._MSG_TIMED_OUT), None)  # noqa: SLF001
        said = said or self._trouble or next(iter(errors), None)
        left = len(progress.messages) - len(progress.arrived)
        if said is None:
            raise RetryableError(
                f"{self._where.setting}.timeout_seconds: {left} of {len(progress.messages)} messages to topic {topic} "
                f"were not taken in time by {self._where.brokers}"
            )
        raise RetryableError(self._where.explain(said, topic, f"{signal}.topic"))


def topic_of(config: Config, signal: Signal) -> str:
    """The topic of a signal."""
    section: SignalConfig = getattr(config, signal)
    return section.topic or TOPICS[signal]


def create(config: Config, context: Context) -> KafkaExporter:
    """Make the exporter; it connects with the first batch.

    Raises:
        ConfigError: an address is none, or a file, password or topic cannot be used.
    """
    setting = f"exporters.{context.name}"
    properties = producer_properties(config, setting)

    def connect(on_error: Callable[[KafkaError], None]) -> Sending:
        return cast("Sending", Producer({**properties, "error_cb": on_error}))

    return KafkaExporter(config, Where(setting, ", ".join(config.brokers)), connect, context.clock.monotonic)


def producer_properties(config: Config, setting: str) -> Properties:
    """Librdkafka's properties of a producer.

    Raises:
        ConfigError: as `create`.
    """
    producer = config.producer
    problems: list[str] = []
    seen: dict[str, Signal] = {}
    for signal in SIGNALS:
        topic = topic_of(config, signal)
        if topic in seen:
            problems.append(f"{setting}.{signal}.topic: {topic!r} is that of {seen[topic]} too; give each its own")
        seen.setdefault(topic, signal)
    try:
        shared = client_properties(config, setting)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return {
        **shared,
        "acks": -1 if producer.required_acks == "all" else producer.required_acks,
        # Messages stay in order and are not written twice when the client itself repeats a request.
        "enable.idempotence": producer.required_acks == "all",
        "compression.type": producer.compression,
        "message.max.bytes": producer.max_message_bytes,
        "batch.size": producer.max_message_bytes,
        "batch.num.messages": 10_000,
        "linger.ms": 5,
        "partitioner": _PARTITIONERS[config.record_partitioner.sticky_key.hasher],
        # So that the fate of a message is known when an export gives up waiting for it.
        "message.timeout.ms": max(int(config.timeout_seconds * 1000), 100),
        "topic.metadata.propagation.max.ms": _TOPIC_GRACE_MILLISECONDS,
        "queue.buffering.max.messages": 1_000_000,
    }
