"""What the user sets of the Kafka receiver, and how librdkafka takes it."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import msgspec

from otel_llm.errors import ConfigError
from otel_llm.kafka.client import TOPICS, ClientConfig, Properties, client_properties
from otel_llm.signals import SIGNALS, Signal

_STATISTICS_MILLISECONDS: Final = 5000


class TopicsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one signal is read from."""

    topics: tuple[str, ...] = ()
    """The topics: `otlp_spans` for traces, `otlp_metrics`, `otlp_logs`. One that begins with `^` is a regular
    expression for names of topics."""

    encoding: Literal["otlp_proto"] = "otlp_proto"
    """How messages are encoded; one serialized OTLP request each."""


class DeadLettersConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where messages are kept that are no OTLP requests."""

    directory: str
    """A folder below it has the name of the receiver; `otel-llm queue inspect --letters --directory` shows what is in
    it. One process at a time uses it."""

    size_bytes: Annotated[int, msgspec.Meta(ge=0)] = 256 * 1024 * 1024
    """Most bytes that are kept; when they are used, such messages are only counted and logged."""


class Config(ClientConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OTLP out of Kafka. Only topics of signals are read that a pipeline takes from this receiver."""

    group_id: str = "otel-llm"
    """The consumer group; workers with the same one share the partitions. Not that of a Collector, which would get a
    part of the messages for itself."""

    group_instance_id: str | None = None
    """A name of this worker's own, which makes it a static member: it keeps its partitions when it is back within
    `session_timeout_seconds`."""

    initial_offset: Literal["earliest", "latest"] = "earliest"
    """Where a partition is read from that the group has committed nothing of. The Collector's default is `latest`,
    which leaves out what comes before the first commit, also in partitions that are added later."""

    session_timeout_seconds: Annotated[float, msgspec.Meta(ge=1)] = 10.0
    """How long a worker may be silent before the brokers give its partitions to others, in seconds."""

    heartbeat_interval_seconds: Annotated[float, msgspec.Meta(gt=0)] = 3.0
    """How often it gives a sign of life, in seconds; at most a third of the session timeout."""

    commit_interval_seconds: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """How often offsets are committed, in seconds. What was accepted since comes twice after a kill."""

    commit_after: Literal["accepted", "delivered"] = "accepted"
    """When a message counts as done. `accepted`: when the queues of all exporters have it; with queues on disk nothing
    is lost then, whatever happens to the process. `delivered`: when all exporters have sent it, or given it up for
    good; nothing is lost with queues in memory either, but one destination that is down holds back the offsets, and
    all since then comes again at the next start."""

    max_fetch_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 16 * 1024 * 1024
    """Bytes that are fetched ahead and wait in memory, about."""

    traces: TopicsConfig = TopicsConfig()
    """Where spans are read from."""

    metrics: TopicsConfig = TopicsConfig()
    """Where data points are read from."""

    logs: TopicsConfig = TopicsConfig()
    """Where log records are read from."""

    dead_letters: DeadLettersConfig | None = None
    """Where messages are kept that are no OTLP requests. Without it they are counted, and logged with their topic,
    partition and offset, by which they are found as long as the topic has them."""


def topics_of(config: Config, signal: Signal) -> tuple[str, ...]:
    """The topics of a signal."""
    configured: TopicsConfig = getattr(config, signal)
    return configured.topics or (TOPICS[signal],)


def consumer_properties(config: Config, setting: str) -> Properties:
    """How librdkafka takes it: the properties of a consumer.

    Raises:
        ConfigError: as `create`.
    """
    problems = []
    if config.heartbeat_interval_seconds * 3 > config.session_timeout_seconds:
        problems.append(
            f"{setting}.heartbeat_interval_seconds: expected at most a third of session_timeout_seconds "
            f"({config.session_timeout_seconds:g}), got {config.heartbeat_interval_seconds:g}"
        )
    problems += _topic_problems(config, setting)
    try:
        shared = client_properties(config, setting)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    properties: Properties = {
        **shared,
        "group.id": config.group_id,
        "auto.offset.reset": config.initial_offset,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": int(config.session_timeout_seconds * 1000),
        "heartbeat.interval.ms": int(config.heartbeat_interval_seconds * 1000),
        "queued.max.messages.kbytes": max(config.max_fetch_bytes // 1024, 1),
        # When so much is fetched ahead, look again soon: within the default of a second, a worker runs dry.
        "fetch.queue.backoff.ms": 10,
        "statistics.interval.ms": _STATISTICS_MILLISECONDS,
        # A topic that is created, or gets partitions, is seen after this.
        "topic.metadata.refresh.interval.ms": 10_000,
        "allow.auto.create.topics": False,
    }
    if config.group_instance_id is not None:
        properties["group.instance.id"] = config.group_instance_id
    return properties


def _topic_problems(config: Config, setting: str) -> list[str]:
    """A topic of two signals would be read as either."""
    seen: dict[str, Signal] = {}
    problems: list[str] = []
    for signal in SIGNALS:
        for topic in topics_of(config, signal):
            if topic in seen:
                problems.append(
                    f"{setting}.{signal}.topics: {topic!r} is among those of {seen[topic]} too; give each its own"
                )
            seen.setdefault(topic, signal)
            try:
                re.compile(topic)
            except re.error as error:
                problems.append(f"{setting}.{signal}.topics: expected a regular expression, got {topic!r} ({error})")
    return problems
