"""Gateways in front of Kafka and workers behind it, for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic, sleep

from confluent_kafka import Consumer, Producer

from otel_llm.signals import Signal
from otel_llm.testing import Destination
from tests.delivery.requests import numbers
from tests.kafka.broker import Broker
from tests.kafka.conftest import Topics

INTO_KAFKA = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:0"}}}}}}}}
exporters:
  kafka:
    {exporter}
    sending_queue: {{batch: {{flush_timeout_seconds: 0}}{queue}}}
    retry_on_failure: {{initial_interval_seconds: 0.05, max_interval_seconds: 0.2}}
service:
  admin: {{endpoint: "127.0.0.1:0"}}
  telemetry: {{logs: {{level: warning}}}}
  shutdown_timeout_seconds: 20
  pipelines:
    traces: {{receivers: [otlp], exporters: [kafka]}}
    metrics: {{receivers: [otlp], exporters: [kafka]}}
    logs: {{receivers: [otlp], exporters: [kafka]}}
"""

OUT_OF_KAFKA = """
receivers: {{kafka: {receiver}}}
exporters:
  otlp_http:
    endpoint: {sink}
    compression: none
    sending_queue: {{batch: {{flush_timeout_seconds: 0.01}}{queue}}}
    retry_on_failure: {{initial_interval_seconds: 0.05, max_interval_seconds: 0.2}}
service:
  admin: {{endpoint: "127.0.0.1:{admin}"}}
  telemetry: {{logs: {{level: warning}}}}
  shutdown_timeout_seconds: 20
  pipelines:
    traces: {{receivers: [kafka], exporters: [otlp_http]}}
    metrics: {{receivers: [kafka], exporters: [otlp_http]}}
    logs: {{receivers: [kafka], exporters: [otlp_http]}}
"""


def into_kafka(topics: Topics, more: Mapping[str, str] | None = None, queue: str = "") -> str:
    """The configuration of a gateway that writes to Kafka; `more` are settings of its exporter."""
    lines = [topics.exporter.replace(", traces", "\n    traces").replace(", metrics", "\n    metrics")]
    lines[0] = lines[0].replace(", logs", "\n    logs")
    lines += [f"{key}: {value}" for key, value in (more or {}).items()]
    return INTO_KAFKA.format(exporter="\n    ".join(lines), queue=queue)


def out_of_kafka(topics: Topics, sink: str, more: str = "", queue: str = "", admin: int = 0) -> str:
    """The configuration of a worker; `more` are settings of its receiver."""
    receiver = topics.receiver[:-1] + (f", {more}}}" if more else "}")
    return OUT_OF_KAFKA.format(receiver=receiver, sink=sink, queue=queue, admin=admin)


def seen(destination: Destination, signal: Signal) -> list[int]:
    """The numbers of all items that have arrived, in order of arrival."""
    return [number for one in destination.received if one.signal == signal for number in numbers(signal, one.body)]


def wait_until(is_so: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for something that nothing tells of; asserts that it happens."""
    end = monotonic() + seconds
    while not is_so():
        assert monotonic() < end, "it did not happen in time"
        sleep(0.02)


def produce(broker: Broker, topic: str, values: list[bytes], partition: int = 0, key: bytes | None = None) -> None:
    """Write messages as they are."""
    producer = Producer({"bootstrap.servers": broker.address, "message.max.bytes": 5_000_000})
    for value in values:
        producer.produce(topic, value, key, partition=partition)
    assert producer.flush(30) == 0


def read_all(broker: Broker, topic: str, count: int) -> list[tuple[int, bytes | None, bytes]]:
    """At most so many messages of a topic: partition, key and value of each. It ends when no more come."""
    consumer = Consumer(
        {"bootstrap.servers": broker.address, "group.id": f"reader-of-{topic}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    found: list[tuple[int, bytes | None, bytes]] = []
    end = monotonic() + 30
    while len(found) < count and monotonic() < end:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            end = monotonic() + 3
            found.append((message.partition() or 0, message.key(), message.value() or b""))
    consumer.close()
    return found
