"""The Kafka exporter with a producer that is told what happens: what is sent, sent again, split, and what is said."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException

from otel_llm.components import Context
from otel_llm.errors import ConfigError, PermanentError, RejectedError, RetryableError, TooLargeError
from otel_llm.exporters.kafka import Config, KafkaExporter, create, producer_properties
from otel_llm.kafka.problems import Where
from otel_llm.signals import Payload
from otel_llm.testing import FakeClock, unused_port
from tests.delivery.requests import numbers, payload
from tests.kafka.fakes import FakeProducer, Sent
from tests.spans import SpanSpec, chat, request

NO_TOPIC = "exporters.kafka.traces.topic: the brokers have no topic 'otlp_spans'"
TOO_LARGE = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)


def exporter(fake: FakeProducer, **config: object) -> KafkaExporter:
    clock = FakeClock()

    def monotonic() -> float:  # so that waits end
        clock.advance(0.05)
        return clock.monotonic()

    where = Where("exporters.kafka", "broker:9092")
    return KafkaExporter(msgspec.convert(config, Config), where, lambda _: fake, monotonic)


def traced(traces: int, spans: int, size: int = 10, batch_id: str = "batch") -> Payload:
    specs = [SpanSpec(chat(note="x" * size), span=number, trace=number % traces + 1) for number in range(spans)]
    return replace(Payload.of("traces", (request(specs),), spans), batch_id=batch_id)


def seen(producer: FakeProducer) -> list[int]:
    return sorted(number for one in producer.taken for number in numbers("traces", one.value))


def test_each_signal_has_its_topic_and_each_trace_its_key():
    producer = FakeProducer()
    made = exporter(producer)
    made.export(traced(3, 30), 10)
    made.export(payload(1, 5, signal="metrics"), 10)
    made.export(payload(1, 5, signal="logs"), 10)
    assert Counter((one.topic, one.key) for one in producer.taken) == {
        ("otlp_spans", b"%032x" % 1): 1,
        ("otlp_spans", b"%032x" % 2): 1,
        ("otlp_spans", b"%032x" % 3): 1,
        ("otlp_metrics", None): 1,
        ("otlp_logs", None): 1,
    }


def test_only_what_did_not_arrive_is_sent_again():
    failing = {b"%032x" % 2}
    producer = FakeProducer(lambda one: KafkaError(KafkaError.NOT_ENOUGH_REPLICAS) if one.key in failing else None)
    made = exporter(producer)
    batch = traced(3, 30)
    with pytest.raises(RetryableError, match="Not enough in-sync replicas"):
        made.export(batch, 10)
    failing.clear()
    made.export(batch, 10)
    assert seen(producer) == list(range(30))
    assert producer.produced == 4


def test_what_is_on_its_way_when_time_is_up_is_waited_for_and_not_sent_again():
    slow: dict[bytes | None, str] = {b"%032x" % 1: "later"}
    producer = FakeProducer(lambda one: slow.get(one.key))
    made = exporter(producer)
    batch = traced(3, 30)
    with pytest.raises(RetryableError, match=r"exporters\.kafka\.timeout_seconds: 1 of 3 messages to topic otlp_spans"):
        made.export(batch, 1)
    slow.clear()
    made.export(batch, 1)
    assert (producer.produced, seen(producer)) == (3, list(range(30)))


def test_another_batch_forgets_what_is_on_its_way_of_the_one_before():
    answers = {"batch": "later"}
    producer = FakeProducer(lambda _: answers.get("batch"))
    made = exporter(producer)
    with pytest.raises(RetryableError):
        made.export(traced(1, 3), 1)
    answers.clear()
    made.export(traced(1, 3, batch_id="next"), 1)
    assert producer.purged
    assert seen(producer) == [0, 1, 2]


def test_an_item_that_fits_into_no_message_is_said_before_anything_is_sent():
    producer = FakeProducer()
    made = exporter(producer, producer={"max_message_bytes": 2000})
    with pytest.raises(TooLargeError, match=r"exporters\.kafka\.producer\.max_message_bytes: an item of \d+ bytes"):
        made.export(traced(2, 10, size=3000), 10)
    assert producer.produced == 0


def test_a_batch_that_a_broker_finds_too_large_is_sent_message_by_message():
    alone: list[bool] = []

    def decide(_: Sent) -> KafkaError | None:
        return TOO_LARGE if not alone else None

    producer = FakeProducer(decide)
    made = exporter(producer)
    flush = producer.flush

    def flush_and_count(timeout: float) -> int:
        if producer.produced > 3:
            alone.append(True)
        return flush(timeout)

    producer.flush = flush_and_count  # type: ignore[method-assign]
    made.export(traced(3, 30), 10)
    assert seen(producer) == list(range(30))


def test_messages_that_a_broker_finds_too_large_are_split_and_so_are_later_ones_at_once():
    producer = FakeProducer(lambda one: TOO_LARGE if len(one.value) > 3000 else None)
    made = exporter(producer, timeout_seconds=1000)
    made.export(traced(2, 60, size=200), 1000)
    assert seen(producer) == list(range(60))
    assert {one.key for one in producer.taken} == {b"%032x" % 1, b"%032x" % 2}
    produced, taken = producer.produced, len(producer.taken)
    made.export(traced(2, 60, size=200, batch_id="next"), 1000)
    assert len(seen(producer)) == 120
    assert producer.produced - produced == len(producer.taken) - taken


def test_a_span_that_a_broker_finds_too_large_is_too_large_for_us_from_then_on():
    producer = FakeProducer(lambda one: TOO_LARGE if len(one.value) > 3000 else None)
    made = exporter(producer)
    with pytest.raises(TooLargeError):
        made.export(traced(1, 1, size=5000), 100)
    with pytest.raises(TooLargeError, match="max_message_bytes"):
        made.export(traced(1, 1, size=5000, batch_id="next"), 100)


def test_a_message_that_a_broker_does_not_record_is_rejected():
    producer = FakeProducer(lambda _: KafkaError(KafkaError.INVALID_RECORD))
    with pytest.raises(RejectedError):
        exporter(producer).export(traced(1, 1), 10)


def test_what_is_no_request_is_refused_for_good():
    with pytest.raises(PermanentError):
        exporter(FakeProducer()).export(replace(Payload.of("traces", (b"\x0a\x05\x12",), 1), batch_id="x"), 10)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), NO_TOPIC),
        (KafkaError(KafkaError._UNKNOWN_TOPIC), NO_TOPIC),
        (KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), "exporters.kafka.auth: the brokers do not let us"),
        (KafkaError(KafkaError._AUTHENTICATION), "exporters.kafka.auth.sasl: the brokers do not accept who we are"),
        (KafkaError(KafkaError._SSL), "exporters.kafka.tls: no encrypted connection to the brokers"),
        (KafkaError(KafkaError._MSG_TIMED_OUT), "exporters.kafka.brokers: none of broker:9092 answers"),
        (KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED), "exporters.kafka.auth: the brokers do not let us in"),
        (KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED), "exporters.kafka.group_id: "),
        (KafkaError(KafkaError.POLICY_VIOLATION), "exporters.kafka: "),
    ],
)  # fmt: skip
def test_what_a_broker_says_names_the_setting(error: KafkaError, said: str):
    with pytest.raises(RetryableError) as found:
        exporter(FakeProducer(lambda _: error)).export(traced(1, 1), 10)
    assert str(found.value).startswith(said)


def test_after_shutdown_nothing_is_sent():
    producer = FakeProducer()
    made = exporter(producer)
    made.export(traced(1, 1), 10)
    made.shutdown()
    made.shutdown()
    assert producer.purged
    with pytest.raises(RetryableError, match="is shut down"):
        made.export(traced(1, 1), 10)


def test_a_producer_that_is_of_no_use_any_more_is_replaced():
    made: list[FakeProducer] = []
    notes = []

    def connect(note):
        notes.append(note)
        made.append(FakeProducer())
        return made[-1]

    sink = KafkaExporter(Config(), Where("exporters.kafka", "b:1"), connect)
    sink.export(traced(1, 1), 10)

    notes[0](KafkaError(KafkaError._FATAL, "fenced", fatal=True))
    sink.export(traced(1, 1), 10)
    assert len(made) == 2


def test_what_had_arrived_before_a_producer_broke_is_not_sent_again():
    made: list[FakeProducer] = []
    notes = []

    def connect(note):
        notes.append(note)
        broken = not made
        made.append(FakeProducer(lambda one: "later" if broken and one.key == b"%032x" % 2 else None))
        return made[-1]

    clock = FakeClock()

    def monotonic() -> float:
        clock.advance(0.1)
        return clock.monotonic()

    sink = KafkaExporter(Config(), Where("exporters.kafka", "b:1"), connect, monotonic)
    with pytest.raises(RetryableError):
        sink.export(traced(3, 30), 1)
    notes[0](KafkaError(KafkaError._FATAL, "fenced", fatal=True))
    sink.export(traced(3, 30), 10)
    assert [len(one.taken) for one in made] == [2, 1]


def test_a_producer_that_cannot_be_made_is_tried_again():
    def connect(_):
        raise KafkaException(KafkaError(KafkaError._INVALID_ARG, "no"))

    with pytest.raises(RetryableError, match=r"exporters\.kafka: "):
        KafkaExporter(Config(), Where("exporters.kafka", "b:1"), connect).export(traced(1, 1), 10)


def test_all_replicas_have_a_message_before_it_counts_unless_told_otherwise():
    assert producer_properties(Config(), "x")["acks"] == -1
    assert producer_properties(Config(), "x")["enable.idempotence"] is True
    one = msgspec.convert({"producer": {"required_acks": 1}}, Config)
    assert (producer_properties(one, "x")["acks"], producer_properties(one, "x")["enable.idempotence"]) == (1, False)


def test_a_wrong_setting_is_told_when_the_exporter_is_made(context: Context):
    with pytest.raises(ConfigError, match=r"exporters\.[^.]+\.brokers\[0\]: expected host:port, got 'kafka'"):
        create(msgspec.convert({"brokers": ["kafka"]}, Config), context)


def test_two_signals_in_one_topic_are_a_mistake():
    with pytest.raises(ConfigError, match=r"x\.logs\.topic: 'otlp_spans' is that of traces too; give each its own"):
        producer_properties(msgspec.convert({"logs": {"topic": "otlp_spans"}}, Config), "x")


def test_shutdown_is_quick_where_no_broker_answers(context: Context):
    made = create(msgspec.convert({"brokers": [f"127.0.0.1:{unused_port()}"]}, Config), context)
    with pytest.raises(RetryableError, match=r"exporters\.kafka\.brokers: none of 127\.0\.0\.1"):
        made.export(traced(1, 5), 0.5)
    start = time.monotonic()
    made.shutdown()
    assert time.monotonic() - start < 2
