"""One broker for all tests of a run that need one; each test has topics and a group of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import pytest

from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.telemetry import Metrics
from tests.kafka.broker import Broker, why_not

_NUMBERS = count(1)


@dataclass(frozen=True)
class Topics:
    """The topics of one test.

    Attributes:
        broker: that has them.
        spans: the topic of traces.
        metrics: of metrics.
        logs: of logs.
        group: of the test's consumers.
        address: at which the broker is reached.
    """

    broker: Broker
    spans: str
    metrics: str
    logs: str
    group: str
    address: str

    @property
    def receiver(self) -> str:
        """The receiver's settings, as a section of YAML in one line."""
        return (
            f'{{brokers: ["{self.address}"], group_id: {self.group}, traces: {{topics: [{self.spans}]}}, '
            f"metrics: {{topics: [{self.metrics}]}}, logs: {{topics: [{self.logs}]}}, "
            f"session_timeout_seconds: 6, heartbeat_interval_seconds: 1, commit_interval_seconds: 0.2}}"
        )

    @property
    def exporter(self) -> str:
        """The exporter's settings, without the braces around them."""
        return (
            f'brokers: ["{self.address}"], traces: {{topic: {self.spans}}}, '
            f"metrics: {{topic: {self.metrics}}}, logs: {{topic: {self.logs}}}"
        )


@pytest.fixture
def context() -> Context:
    return Context("kafka", Metrics(), SystemClock())


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Broker(tmp_path_factory.mktemp("kafka")) as running:
        yield running


def new_topics(broker: Broker, partitions: int = 4) -> Topics:
    number = next(_NUMBERS)
    spans, metrics, logs = (f"otlp_{signal}_{number}" for signal in ("spans", "metrics", "logs"))
    topics = Topics(broker, spans, metrics, logs, f"group-{number}", broker.address)
    broker.create_topics([topics.spans, topics.metrics, topics.logs], partitions)
    return topics


@pytest.fixture
def topics(kafka: Broker) -> Topics:
    return new_topics(kafka)
