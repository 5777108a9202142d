"""Kafka: OTLP requests out of topics, `otlp_proto`, as one of a consumer group.

The laws of this module:
- An offset is committed when delivery has accepted everything before it, and with a queue on disk has synced it; with
  `commit_after: delivered` when all of that has arrived. What was not committed is read again, by whoever has the
  partition then: nothing is lost, and what is in flight when a process dies or a partition moves may come twice.
- What delivery refuses is kept and offered again; until it is taken, nothing more is fetched. The group is polled all
  the while, so that a full queue costs no membership.
- A message that is no request is put aside with its place, counted, and passed over: it never holds up those after it.

Messages of one signal are joined to one request as far as there are any, for concatenated protobuf messages merge: what
a request costs, and the wait for a disk, is not paid for each message.
Source: opentelemetry-collector-contrib v0.165.1, receiver/kafkareceiver, for the shape of the settings; docs/kafka.md.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, cast

import msgspec
from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from otel_llm._generated import attributes as keys
from otel_llm._generated import metrics as definitions
from otel_llm._generated.attributes import OtelLlmComponentTypeValues as ComponentType
from otel_llm._generated.attributes import OtelLlmErrorSiteValues as ErrorSite
from otel_llm.clock import Clock
from otel_llm.codecs import protobuf
from otel_llm.codecs.wire import decode_traces
from otel_llm.components import Context
from otel_llm.delivery.dead_letters import FOLDER, DeadLetters
from otel_llm.delivery.folder_lock import FolderLock
from otel_llm.delivery.status import ReceiverStatus
from otel_llm.delivery.storage import exporter_folder
from otel_llm.errors import ConfigError, MalformedError, RefusedError
from otel_llm.http.defects import describe
from otel_llm.kafka.client import Properties
from otel_llm.kafka.problems import NO_TOPIC, Where, is_about_access
from otel_llm.receivers.accounts import Accounts
from otel_llm.receivers.kafka_client import Client, Connect, KafkaMessage, Statistics
from otel_llm.receivers.kafka_config import Config, DeadLettersConfig, consumer_properties, topics_of
from otel_llm.receivers.kafka_partitions import Partitions, Place, Record
from otel_llm.signals import SIGNALS, Consumer, Payload, Settling, Signal
from otel_llm.telemetry import LogLimiter, Metrics

_LOGGER: Final = logging.getLogger(__name__)

# How long one wait for messages is; what else there is to do is done in between.
_STEP_SECONDS: Final = 0.2
# Messages are joined up to this size, and so many are fetched at a time as have about this size.
_JOINED_BYTES: Final = 1024 * 1024
_FETCHED_BYTES: Final = 4 * 1024 * 1024
_MOST_MESSAGES: Final = 2000
# What was refused is offered again after the first wait, then less and less often.
_SHORTEST_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 5.0
# Before a client that broke is replaced.
_RECONNECT_SECONDS: Final = 2.0
# How long the last commit may take while partitions move.
_LEAVE_SECONDS: Final = 5.0
# What brokers say to a commit while partitions move; it is asked for again.
_MOVING: Final = frozenset({KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS})
# With `commit_after: delivered`: how long partitions that move wait for what is on its way, and how often that is seen.
_REVOKE_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.01
_RESOURCE_TAG: Final = 10


class _GivenUpError(Exception):
    """What was accepted was dropped for lack of time. Never leaves this module."""


class KafkaReceiver:
    """The receiver; see `create`. Reads on one thread.

    Args:
        name: in the configuration.
        config: what the user set.
        where: for messages.
        connect: makes a client, given callbacks.
        metrics: where it counts.
        clock: for pauses and times.
    """

    def __init__(
        self, name: str, config: Config, where: Where, connect: Connect, metrics: Metrics, clock: Clock
    ) -> None:
        self._name = name
        self._config = config
        self._where = where
        self._connect = connect
        self._metrics = metrics
        self._clock = clock
        self._accounts = Accounts(metrics, name)
        self._errors = metrics.counter(
            definitions.OTEL_LLM_INTERNAL_ERRORS,
            (keys.OTEL_LLM_ERROR_SITE, keys.ERROR_TYPE, keys.OTEL_LLM_COMPONENT_TYPE, keys.OTEL_LLM_COMPONENT_NAME),
        )
        self._parked = metrics.counter(
            definitions.OTEL_LLM_KAFKA_MESSAGES_PARKED, (keys.OTEL_LLM_COMPONENT_NAME, keys.OTEL_LLM_SIGNAL)
        )
        self._lag_gauge = metrics.gauge(
            definitions.OTEL_LLM_KAFKA_LAG,
            (keys.OTEL_LLM_COMPONENT_NAME, keys.OTEL_LLM_KAFKA_TOPIC, keys.OTEL_LLM_KAFKA_PARTITION),
            self._lags,
        )
        self._log = LogLimiter(_LOGGER, clock.monotonic)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._letters: DeadLetters | None = None
        self._lock: FolderLock | None = None
        self._client: Client | None = None
        self._partitions = Partitions()
        self._subscribed: dict[Signal, tuple[str, ...]] = {}
        self._signals: dict[str, Signal] = {}
        self._number = 1
        # How many of the next messages of a signal are to be looked at one by one: one among them is no request.
        self._alone: dict[Signal, int] = dict.fromkeys(SIGNALS, 0)
        # What was accepted and has not arrived yet, in the order it was accepted; with `commit_after: delivered` only.
        self._unsettled: deque[tuple[Settling, list[tuple[Place, int]]]] = deque()
        self._patience_seconds = _LEAVE_SECONDS
        self._refusals = 0
        self._retry_at = 0.0
        self._commit_at = 0.0
        # Replaced as a whole, and read by other threads.
        self._lag: dict[Place, int] = {}
        self._waiting_since: float | None = None
        self._problem = ""
        self._is_access_problem = False
        # By topic: that it is not there.
        self._missing: dict[str, str] = {}
        self._given_up = 0

    def start(self, consumer: Consumer) -> None:
        """Begin to read; brokers that do not answer yet are waited for.

        Raises:
            ConfigError: the folder of the dead letters cannot be used.
        """
        if self._config.dead_letters is not None:
            self._open_letters(self._config.dead_letters)
        self._thread = threading.Thread(target=self._run, args=(consumer,), name=f"otel-llm-{self._name}", daemon=True)
        self._thread.start()

    def shutdown(self, deadline_seconds: float) -> None:
        """Commit what was accepted, and leave the group."""
        self._patience_seconds = deadline_seconds
        self._stop.set()
        if self._thread is not None:
            self._thread.join(deadline_seconds)
        self._metrics.remove(self._lag_gauge)
        if self._letters is not None and (self._thread is None or not self._thread.is_alive()):
            self._letters.close()
        if self._lock is not None:
            self._lock.release()

    def status(self) -> ReceiverStatus:
        """What there is to say about it now."""
        since = self._waiting_since
        return ReceiverStatus(
            name=self._name,
            group=self._config.group_id,
            partitions=len(self._partitions.places),
            lag=sum(self._lag.values()) if self._lag else None,
            waiting_seconds=None if since is None else self._clock.monotonic() - since,
            problem=self._problem or next(iter(list(self._missing.values())), ""),
            dead_letter_messages=self._given_up,
        )

    def _lags(self) -> dict[tuple[str, ...], float]:
        return {(self._name, topic, str(partition)): lag for (topic, partition), lag in self._lag.items()}

    def _open_letters(self, config: DeadLettersConfig) -> None:
        folder = exporter_folder(config.directory, self._name)
        setting = f"{self._where.setting}.dead_letters.directory"
        try:
            self._lock = FolderLock(folder)
            self._letters = DeadLetters(folder / FOLDER, config.size_bytes, self._clock)
        except BlockingIOError as error:
            problem = f"{setting}: {folder} is used by another process; stop that, or choose another directory"
            raise ConfigError([problem]) from error
        except OSError as error:
            problem = f"{setting}: cannot use {folder}: {error.strerror or error}; give a folder that can be written"
            raise ConfigError([problem]) from error

    def _run(self, consumer: Consumer) -> None:
        while not self._stop.is_set():
            try:
                self._client = self._connect(
                    {"error_cb": self._note, "on_commit": self._committed, "stats_cb": self._read_statistics}
                )
                try:
                    self._read(self._client, consumer)
                finally:
                    self._client.close()
            except _GivenUpError:
                _LOGGER.warning("%s: a delivery gave up what is not committed; reading it again", self._where.setting)
            except KafkaException as error:
                self._remember(cast("KafkaError", error.args[0]))
            except Exception as error:  # noqa: BLE001 - a worker loop's top: a defect must not end it
                kind = type(error).__name__
                self._errors.add(1, ErrorSite.WORKER, kind, ComponentType.RECEIVER, self._name)
                self._log.warning(kind, "%s: unexpected %s; connecting anew", self._where.setting, describe(error))
            self._partitions = Partitions()
            self._unsettled.clear()
            self._subscribed, self._lag, self._waiting_since = {}, {}, None
            self._stop.wait(_RECONNECT_SECONDS)

    def _read(self, client: Client, consumer: Consumer) -> None:
        """Read until stopped; offsets of what was accepted are committed at the end, and when partitions move."""
        while not self._stop.is_set():
            self._step(client, consumer)
        self._leave(client)

    def _step(self, client: Client, consumer: Consumer) -> None:
        """Fetch what is there, hand it on, and commit when it is time."""
        self._subscribe(client, consumer)
        wait = _STEP_SECONDS
        if self._partitions.has_waiting:
            wait = min(max(self._retry_at - self._clock.monotonic(), 0.0), _STEP_SECONDS)
        # For one it waits; for so many it would wait until there are as many, or time is up.
        found = list(client.consume(1, wait))
        if found:
            found += client.consume(self._number, 0.0)
        for message in found:
            self._add(message)
        if len(found) > 1:
            mean = max(self._partitions.waiting_bytes // len(found), 1)
            self._number = max(min(_FETCHED_BYTES // mean, _MOST_MESSAGES), 1)
        elif self._number == 1:
            self._number = 64
        self._offer(client, consumer)
        self._look_what_arrived()
        if self._clock.monotonic() >= self._commit_at:
            self._commit_at = self._clock.monotonic() + self._config.commit_interval_seconds
            self._commit(client, self._partitions.to_commit(), asynchronous=True)

    def _leave(self, client: Client) -> None:
        """Commit what was accepted. Brokers refuse that while partitions move, so the move is waited for, a little."""
        end = self._clock.monotonic() + _LEAVE_SECONDS
        client.pause(_partitions(self._partitions.places))
        self._wait_for_arrivals(min(_LEAVE_SECONDS, self._patience_seconds / 2))
        while left := list(self._partitions.to_commit_at_last(self._partitions.places)):
            self._commit(client, left, asynchronous=False)
            if self._clock.monotonic() >= end or not any(self._partitions.to_commit_at_last(dict(left))):
                return
            client.consume(1, _STEP_SECONDS)  # it is read again by whoever is next

    def _subscribe(self, client: Client, consumer: Consumer) -> None:
        """Read the topics of the signals that pipelines take from us; a reload may change which."""
        taken = getattr(consumer, "signals", SIGNALS)
        wanted = {signal: topics_of(self._config, signal) for signal in SIGNALS if signal in taken}
        if wanted == self._subscribed:
            return
        self._subscribed, self._signals = wanted, {}
        client.subscribe(
            [topic for topics in wanted.values() for topic in topics],
            on_assign=self._gain,
            on_revoke=self._revoke,
            on_lost=self._lose,
        )

    def _gain(self, client: Client, partitions: list[TopicPartition]) -> None:
        self._partitions.gain((one.topic, one.partition) for one in partitions)
        client.incremental_assign(partitions)
        for one in partitions:
            self._missing.pop(one.topic, None)
        if self._waiting_since is not None or self._stop.is_set():
            client.pause(partitions)
        if partitions and not self._is_access_problem:
            self._problem = ""

    def _revoke(self, client: Client, partitions: list[TopicPartition]) -> None:
        """Partitions go to others: what of them was accepted is said first, what is not is theirs to read."""
        places = [(one.topic, one.partition) for one in partitions]
        self._wait_for_arrivals(_REVOKE_SECONDS)
        self._commit(client, self._partitions.to_commit_at_last(places), asynchronous=False)
        self._lose(client, partitions)

    def _wait_for_arrivals(self, seconds: float) -> None:
        """Give what is on its way a little time, so that it is not sent twice."""
        end = self._clock.monotonic() + seconds
        try:
            self._look_what_arrived()
            while self._unsettled and self._clock.monotonic() < end:
                time.sleep(_LOOK_SECONDS)
                self._look_what_arrived()
        except _GivenUpError:
            return  # the next step finds it as well, and begins again

    def _lose(self, client: Client, partitions: list[TopicPartition]) -> None:  # noqa: ARG002 - a callback's signature
        """Partitions are somebody else's already."""
        places = [(one.topic, one.partition) for one in partitions]
        self._partitions.lose(places)
        if not self._partitions.has_waiting:
            self._refusals, self._retry_at = 0, 0.0
        self._lag = {place: lag for place, lag in self._lag.items() if place not in places}
        self._alone = dict.fromkeys(SIGNALS, _MOST_MESSAGES) if any(self._alone.values()) else self._alone

    def _add(self, message: KafkaMessage) -> None:
        error = message.error()
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - a public constant
                self._remember(error, message.topic() or "")
            return
        topic = message.topic()
        signal = self._signals.get(topic)
        if signal is None:
            signal = self._signals[topic] = self._signal_of(topic)
        # Without a value, it marks a deleted key: nothing is in it, and it is no request.
        value = message.value()
        self._partitions.add(signal, Record((topic, message.partition()), message.offset(), value or b""))

    def _signal_of(self, topic: str) -> Signal:
        """Which signal's topic it is: that which names it, or the first whose regular expression fits."""
        fitting = [
            signal
            for signal, topics in self._subscribed.items()
            if any(one.startswith("^") and re.match(one, topic) for one in topics)
        ]
        named = [signal for signal, topics in self._subscribed.items() if topic in topics]
        return (named or fitting or list(self._subscribed))[0]

    def _offer(self, client: Client, consumer: Consumer) -> None:
        """Hand on what was read, until it is all accepted or something is refused; pause the partitions then."""
        if self._clock.monotonic() < self._retry_at:
            return
        try:
            for signal in SIGNALS:
                while records := self._next(signal):
                    _check_taken(signal, consumer)
                    self._hand_on(signal, records, consumer)
        except RefusedError as error:
            self._refusals += 1
            pause = min(_SHORTEST_PAUSE_SECONDS * 2.0 ** min(self._refusals, 10), _LONGEST_PAUSE_SECONDS)
            self._retry_at = self._clock.monotonic() + min(pause, max(error.retry_after_seconds, pause / 4))
            self._accounts.refused(None, error.reason, str(error))
            if self._waiting_since is None:
                self._waiting_since = self._clock.monotonic()
                client.pause(_partitions(self._partitions.places))
            return
        if self._waiting_since is not None:
            self._waiting_since = None
            client.resume(_partitions(self._partitions.places))

    def _next(self, signal: Signal) -> list[Record]:
        most = 1 if self._alone[signal] else _MOST_MESSAGES
        return self._partitions.first(signal, most, _JOINED_BYTES)

    def _hand_on(self, signal: Signal, records: list[Record], consumer: Consumer) -> None:
        """Hand on messages as one request; when that is none, one after the other.

        Raises:
            RefusedError: there is no room; they go on waiting.
        """
        start = self._clock.monotonic()
        whole = [record for record in records if _is_request(record.value)]
        if len(whole) < len(records) and len(records) > 1:
            self._alone[signal] = len(records)
            return
        try:
            result = consumer.consume(signal, _joined(whole))
        except MalformedError as error:
            _check_taken(signal, consumer)  # a reload may have come in between: it is not the message's fault
            if len(records) > 1:
                self._alone[signal] = len(records)
                return
            self._park(signal, records[0], str(error))
        except RefusedError:
            raise
        except Exception as error:  # noqa: BLE001 - a message must not hold up its partition for a defect of ours
            if len(records) > 1:
                self._alone[signal] = len(records)
                return
            kind = type(error).__name__
            self._errors.add(1, ErrorSite.WORKER, kind, ComponentType.RECEIVER, self._name)
            self._accounts.failed(error)
            self._park(signal, records[0], f"unexpected {describe(error)}")
        else:
            if result.rejected:
                self._park_unreadable(signal, whole)
            self._accounts.answered(signal, self._clock.monotonic() - start, sum(len(one.value) for one in whole))
        self._refusals, self._retry_at = 0, 0.0
        self._settle_later(signal, self._partitions.hand_over(signal, len(records)), consumer)
        self._alone[signal] = max(self._alone[signal] - len(records), 0)

    def _settle_later(self, signal: Signal, done: list[tuple[Place, int]], consumer: Consumer) -> None:
        """Finish messages that were accepted, at once or when they have arrived."""
        ask: Callable[[Signal], Settling | None] | None = getattr(consumer, "settling", None)
        settling = None if ask is None or self._config.commit_after == "accepted" else ask(signal)
        if settling is None:
            self._partitions.finish(done)
        else:
            self._unsettled.append((settling, done))

    def _look_what_arrived(self) -> None:
        """Finish what has arrived since.

        Raises:
            _GivenUpError: something was dropped that is still in the topic: all that is not committed is read again.
        """
        while self._unsettled:
            settling, done = self._unsettled[0]
            said = settling()
            if said == "given up":
                raise _GivenUpError
            if said == "waiting":
                return
            self._partitions.finish(done)
            self._unsettled.popleft()

    def _park_unreadable(self, signal: Signal, records: Iterable[Record]) -> None:
        """Copies of messages with spans that cannot be read; what else is in them was accepted."""
        for record in records:
            unreadable = decode_traces(record.value).unreadable if signal == "traces" else 0
            if unreadable:
                self._park(signal, record, f"{unreadable} spans in it cannot be read; the others were accepted")

    def _park(self, signal: Signal, record: Record, why: str) -> None:
        """Put a message aside that is no request."""
        is_kept = False
        if self._letters is not None:
            is_kept = self._letters.put(Payload.of(signal, (record.value,), 1), f"{record}: {why}")
        self._given_up += 1
        self._parked.add(1, self._name, signal)
        what = "kept in dead_letters" if is_kept else "passed over"
        self._accounts.refused(signal, "malformed", f"{record}: {why}; {what}")

    def _commit(self, client: Client, offsets: Iterable[tuple[Place, int]], *, asynchronous: bool) -> None:
        partitions = [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets]
        if not partitions:
            return
        try:
            done = client.commit(offsets=partitions, asynchronous=asynchronous)
        except KafkaException as error:
            self._committed(cast("KafkaError", error.args[0]), partitions)
        else:
            if done is not None:
                self._committed(None, done)

    def _committed(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """What became of a commit; one that failed is asked for again, or is the next owner's affair."""
        for one in partitions:
            failed = error or one.error
            self._partitions.committed((one.topic, one.partition), None if failed else one.offset)
            if failed and failed.code() not in _MOVING:
                self._log.warning("commit", "%s: offsets not committed now: %s", self._where.setting, failed)
        if error is None and not self._is_access_problem:
            self._problem = ""

    def _note(self, error: KafkaError) -> None:
        """An error that the client tells of. It tries again by itself, unless it says that it is of no use any more.

        Raises:
            KafkaException: it is fatal.
        """
        self._remember(error)
        if error.fatal():
            raise KafkaException(error)

    def _remember(self, error: KafkaError, topic: str = "") -> None:
        """Say what is wrong, and keep it for the status until it is over."""
        signal = next((one for one, topics in self._subscribed.items() if topic in topics), None)
        problem = self._where.explain(error, topic, f"{signal}.topics" if signal else "")
        if error.code() in NO_TOPIC:
            self._missing[topic] = problem
        elif is_about_access(error) or not self._is_access_problem:
            self._problem, self._is_access_problem = problem, is_about_access(error)
        self._log.warning(f"{error.code()} {topic}", "%s; nothing is lost, it is tried again", problem)

    def _read_statistics(self, text: str) -> None:
        """How far behind the partitions are, and whether a broker is there."""
        statistics = msgspec.json.decode(text, type=Statistics)
        if self._problem and any(broker.state == "UP" for broker in statistics.brokers.values()):
            self._problem, self._is_access_problem = "", False
        ours = set(self._partitions.places)
        self._lag = {
            (name, one.partition): lag
            for name, topic in statistics.topics.items()
            for one in topic.partitions.values()
            if (name, one.partition) in ours and (lag := one.lag()) is not None
        }


def _check_taken(signal: Signal, consumer: Consumer) -> None:
    """Raise RefusedError when no pipeline takes a signal any more: its topics will not be ours for long."""
    if signal not in getattr(consumer, "signals", SIGNALS):
        raise RefusedError(f"no pipeline takes {signal} since the configuration was reloaded")


def _joined(records: Sequence[Record]) -> bytes:
    """Messages as one request.

    Raises:
        MalformedError: there is none.
    """
    if not records:
        raise MalformedError("it is no OTLP request")
    return records[0].value if len(records) == 1 else b"".join([record.value for record in records])


def _partitions(places: Iterable[Place]) -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for topic, partition in places]


def _is_request(value: bytes) -> bool:
    """Whether the outermost fields are those of an OTLP request, whole to the last byte: what is joined stays apart.

    One without any resource is none, unless it is empty.
    """
    try:
        return not value or _RESOURCE_TAG in [tag for tag, _, _, _ in protobuf.fields(value)]
    except MalformedError:
        return False


def create(config: Config, context: Context) -> KafkaReceiver:
    """A receiver; it connects when it is started.

    Raises:
        ConfigError: an address is none, or a file, password, topic or time cannot be used.
    """
    setting = f"receivers.{context.name}"
    properties = consumer_properties(config, setting)

    def connect(callbacks: Properties) -> Client:
        return cast("Client", KafkaConsumer({**properties, **callbacks}))

    where = Where(setting, ", ".join(config.brokers))
    return KafkaReceiver(context.name, config, where, connect, context.metrics, context.clock)
