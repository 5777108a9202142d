"""The Kafka receiver with a client that is told what happens: when offsets are committed, and what is read again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException

from otel_llm.clock import SystemClock
from otel_llm.delivery.storage import exporter_folder
from otel_llm.delivery.survey import dead_letters
from otel_llm.errors import ConfigError
from otel_llm.kafka.problems import Where
from otel_llm.receivers.kafka import KafkaReceiver
from otel_llm.receivers.kafka_config import Config, consumer_properties
from otel_llm.telemetry import Metrics
from tests.delivery.requests import logs, numbers, traces
from tests.kafka.fakes import FakeClient, FakeConsumer, FakeLog

SPANS, LOGS = ("otlp_spans", 0), ("otlp_logs", 0)


def span(number: int) -> bytes:
    return traces(number, 1).SerializeToString()


class Rig:
    """A receiver that runs on a fake log."""

    def __init__(self, log: FakeLog, consumer: FakeConsumer, config: Config) -> None:
        self.log, self.consumer = log, consumer
        self.clients: list[FakeClient] = []
        self.metrics = Metrics()
        self._made = threading.Event()
        self.failures: list[KafkaException] = []
        where = Where("receivers.kafka", "broker:9092")
        self.receiver = KafkaReceiver("kafka", config, where, self._connect, self.metrics, SystemClock())

    def _connect(self, callbacks):
        if self.failures:
            raise self.failures.pop()
        self.clients.append(FakeClient(self.log, callbacks))
        self._made.set()
        return self.clients[-1]

    @property
    def client(self) -> FakeClient:
        assert self._made.wait(10)
        return self.clients[-1]

    def wait(self, is_so) -> None:
        end = monotonic() + 10
        while not is_so():
            assert monotonic() < end, "it did not happen in time"
            threading.Event().wait(0.001)

    def wait_polls(self, number: int) -> None:
        """Let it go round so many times."""
        until = self.client.polls + number
        self.wait(lambda: self.client.polls >= until)

    def seen(self) -> list[int]:
        return [number for signal, body in self.consumer.bodies for number in numbers(signal, body)]

    def count(self, name: str) -> float:
        families = {family.definition.name: family for family in self.metrics.collect()}
        return sum(float(one.value) for one in families[name].series)


@contextmanager
def running(log: FakeLog, consumer: FakeConsumer | None = None, **config: object) -> Iterator[Rig]:
    settings = msgspec.convert({"commit_interval_seconds": 0.001, **config}, Config)
    rig = Rig(log, consumer or FakeConsumer(), settings)
    rig.receiver.start(rig.consumer)
    try:
        yield rig
    finally:
        rig.receiver.shutdown(10)


def test_messages_are_joined_and_committed_when_they_are_accepted():
    log = FakeLog()
    log.write("otlp_spans", *map(span, range(1, 51)))
    log.write("otlp_logs", logs(1, 5).SerializeToString())
    with running(log) as rig:
        rig.client.gain(SPANS, LOGS)
        rig.wait(lambda: log.committed.get(SPANS) == 50 and log.committed.get(LOGS) == 1)
        assert rig.seen() == [*range(1, 51), *range(1, 6)]
        assert len(rig.consumer.bodies) < 10
    assert rig.client.is_closed


def test_nothing_is_committed_or_fetched_while_there_is_no_room():
    log = FakeLog()
    log.write("otlp_spans", *map(span, range(1, 11)))
    consumer = FakeConsumer()
    consumer.is_full = True
    with running(log, consumer) as rig:
        rig.client.gain(SPANS)
        rig.wait(lambda: consumer.refused)
        rig.wait(lambda: rig.client.paused == {SPANS})
        rig.wait_polls(20)
        assert log.committed == {}
        assert rig.receiver.status().waiting_seconds is not None
        rig.client.gain(LOGS)  # what comes meanwhile waits as well
        rig.wait(lambda: rig.client.paused == {SPANS, LOGS})
        consumer.is_full = False
        rig.wait(lambda: log.committed.get(SPANS) == 10)
        assert rig.client.paused == set()
        assert rig.receiver.status().waiting_seconds is None
        assert rig.seen() == list(range(1, 11))


def test_what_is_refused_is_offered_ever_more_rarely():
    log = FakeLog()
    log.write("otlp_spans", span(1))
    consumer = FakeConsumer()
    consumer.is_full = True
    with running(log, consumer) as rig:
        rig.client.gain(SPANS)
        rig.wait(lambda: consumer.refused == 2)
        rig.wait_polls(100)
        assert consumer.refused < 50


def test_a_partition_that_moves_is_committed_first_and_what_waits_of_it_is_not_ours_any_more():
    log = FakeLog()
    log.write("otlp_spans", *map(span, range(1, 11)))
    log.write("otlp_spans", *map(span, range(101, 106)), partition=1)
    consumer = FakeConsumer()
    with running(log, consumer, commit_interval_seconds=1000.0) as rig:
        rig.client.gain(SPANS)
        rig.wait(lambda: len(rig.seen()) == 10)
        consumer.is_full = True
        rig.client.gain(("otlp_spans", 1))
        rig.wait(lambda: consumer.refused)
        rig.client.lose(SPANS, ("otlp_spans", 1))
        rig.wait(lambda: rig.client.assigned == set())
        assert log.committed == {SPANS: 10}
        consumer.is_full = False
        rig.client.gain(("otlp_spans", 1))
        rig.wait(lambda: len(rig.seen()) == 15)
    assert rig.seen() == [*range(1, 11), *range(101, 106)]
    assert log.committed == {SPANS: 10, ("otlp_spans", 1): 5}


def test_a_partition_that_is_lost_already_is_not_committed():
    log = FakeLog()
    log.write("otlp_spans", span(1))
    with running(log, commit_interval_seconds=1000.0) as rig:
        rig.wait(lambda: rig.client.topics)
        rig.client.gain(SPANS)
        rig.wait(lambda: log.committed or rig.seen() == [1])
        before = dict(log.committed)
        rig.client.lose(SPANS, already=True)
        rig.wait(lambda: rig.client.assigned == set())
    assert log.committed == before


def test_a_commit_that_fails_is_asked_for_again():
    log = FakeLog()
    log.write("otlp_spans", span(1))
    with running(log) as rig:
        rig.client.refusals.extend([KafkaError(KafkaError.ILLEGAL_GENERATION)] * 3)
        rig.client.gain(SPANS)
        rig.wait(lambda: log.committed.get(SPANS) == 1)


def test_the_last_commit_waits_for_partitions_that_move():
    log = FakeLog()
    log.write("otlp_spans", span(1))
    with running(log, commit_interval_seconds=1000.0) as rig:
        rig.client.refusals.extend([KafkaError(KafkaError.REBALANCE_IN_PROGRESS)] * 3)
        rig.client.gain(SPANS)
        rig.wait(lambda: rig.seen() == [1])
    assert log.committed == {SPANS: 1}


def test_with_delivered_nothing_is_committed_before_it_has_arrived():
    log = FakeLog()
    log.write("otlp_spans", span(1))
    consumer = FakeConsumer()
    with running(log, consumer, commit_after="delivered") as rig:
        rig.client.gain(SPANS)
        rig.wait(lambda: rig.seen() == [1])
        log.write("otlp_spans", span(2))
        rig.wait(lambda: rig.seen() == [1, 2])
        rig.wait_polls(20)
        assert log.committed == {}
        consumer.said.append("settled")
        rig.wait(lambda: log.committed.get(SPANS) == 1)
        consumer.said.append("settled")
        rig.wait(lambda: log.committed.get(SPANS) == 2)


def test_with_delivered_what_a_delivery_gave_up_is_read_again():
    log = FakeLog()
    log.write("otlp_spans", span(1))
    consumer = FakeConsumer()
    with running(log, consumer, commit_after="delivered") as rig:
        rig.client.gain(SPANS)
        rig.wait(lambda: rig.seen() == [1])
        log.write("otlp_spans", span(2))
        rig.wait(lambda: rig.seen() == [1, 2])
        consumer.said += ["settled", "given up", "settled"]
        rig.wait(lambda: len(rig.clients) == 2)
        rig.client.gain(SPANS)
        rig.wait(lambda: log.committed.get(SPANS) == 2)
        assert rig.seen() == [1, 2, 2]


def test_with_delivered_a_partition_that_moves_waits_a_little_for_what_is_on_its_way():
    log = FakeLog()
    log.write("otlp_spans", span(1))
    consumer = FakeConsumer()
    with running(log, consumer, commit_after="delivered", commit_interval_seconds=1000.0) as rig:
        rig.client.gain(SPANS)
        rig.wait(lambda: rig.seen() == [1])
        rig.client.lose(SPANS)
        consumer.said.append("settled")
        rig.wait(lambda: rig.client.assigned == set())
        assert log.committed == {SPANS: 1}


def test_with_delivered_what_was_given_up_while_a_partition_moves_is_read_again():
    log = FakeLog()
    log.write("otlp_spans", span(1))
    log.write("otlp_spans", span(2), partition=1)
    consumer = FakeConsumer()
    with running(log, consumer, commit_after="delivered") as rig:
        rig.client.gain(SPANS, ("otlp_spans", 1))
        rig.wait(lambda: sorted(rig.seen()) == [1, 2])
        rig.client.lose(("otlp_spans", 1))
        consumer.said += ["given up"] * consumer._asked
        rig.wait(lambda: len(rig.clients) == 2)
        consumer.said += ["settled"] * 9
        rig.client.gain(SPANS)
        rig.wait(lambda: log.committed.get(SPANS) == 1)


BAD = {
    "text": b"hello",
    "json": b'{"resourceSpans": []}',
    "cut": traces(9, 3).SerializeToString()[:-9],
    "unknown fields only": b"\x78\x01",
    "no value at all": None,
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_message_that_is_no_request_is_kept_with_its_place_and_passed_over(bad: bytes | None, tmp_path: Path):
    log = FakeLog()
    log.write("otlp_spans", span(1), span(2), bad, span(3), span(4))
    with running(log, dead_letters={"directory": str(tmp_path)}) as rig:
        rig.client.gain(SPANS)
        rig.wait(lambda: log.committed.get(SPANS) == 5)
        assert rig.seen() == [1, 2, 3, 4]
        if bad is None:  # marks a deleted key; there is nothing in it
            return
        assert rig.receiver.status().dead_letter_messages == 1
        assert rig.count("otel_llm.kafka.messages.parked") == 1
    [letter] = dead_letters(exporter_folder(str(tmp_path), "kafka"))
    assert letter.payload.join() == bad
    assert letter.note.startswith("topic otlp_spans, partition 0, offset 2: ")


def test_of_messages_that_are_joined_only_the_bad_one_is_passed_over():
    log = FakeLog()
    log.write("otlp_spans", *map(span, range(1, 41)))
    consumer = FakeConsumer()
    consumer.malformed = {(17).to_bytes(8, "big")}
    consumer.defects = {(23).to_bytes(8, "big")}
    with running(log, consumer) as rig:
        rig.client.gain(SPANS)
        rig.wait(lambda: log.committed.get(SPANS) == 40)
        assert rig.seen() == [number for number in range(1, 41) if number not in (17, 23)]
        assert rig.receiver.status().dead_letter_messages == 2
        assert rig.count("otel_llm.internal_errors") == 1


def test_a_copy_of_a_message_with_spans_that_cannot_be_read_is_kept(tmp_path: Path):
    broken = b"\x0a\x16\x12\x14\x12\x12" + b"\x4a\x10\x0a\x07gen_ai." + b"\xff\xff\xff\xff\xff\xff\x7f"
    log = FakeLog()
    log.write("otlp_spans", span(1), broken)
    consumer = FakeConsumer()
    consumer.rejected = 1
    with running(log, consumer, dead_letters={"directory": str(tmp_path)}) as rig:
        rig.client.gain(SPANS)
        rig.wait(lambda: log.committed.get(SPANS) == 2)
    letters = list(dead_letters(exporter_folder(str(tmp_path), "kafka")))
    assert [letter.payload.join() for letter in letters] == [broken]


def test_only_topics_of_signals_that_a_pipeline_takes_are_read_and_a_reload_changes_them():
    log = FakeLog()
    consumer = FakeConsumer(("traces",))
    with running(log, consumer) as rig:
        rig.wait(lambda: rig.client.topics == ["otlp_spans"])
        consumer.signals = frozenset({"traces", "logs"})
        rig.wait(lambda: rig.client.topics == ["otlp_spans", "otlp_logs"])


def test_a_topic_that_a_regular_expression_names_is_of_its_signal():
    log = FakeLog()
    log.write("shop_spans", span(1))
    log.write("shop_logs", logs(7, 1).SerializeToString())
    topics = {"traces": {"topics": ["^.*_spans"]}, "logs": {"topics": ["^.*_logs"]}}
    with running(log, **topics) as rig:
        rig.client.gain(("shop_logs", 0), ("shop_spans", 0))
        rig.wait(lambda: len(log.committed) == 2)
        assert sorted(signal for signal, _ in rig.consumer.bodies) == ["logs", "traces"]


def test_messages_of_a_signal_that_no_pipeline_takes_any_more_are_not_called_bad():
    log = FakeLog()
    log.write("otlp_logs", logs(1, 1).SerializeToString())
    consumer = FakeConsumer(("traces", "logs"))
    consumer.is_full = True
    with running(log, consumer) as rig:
        rig.client.gain(LOGS)
        rig.wait(lambda: consumer.refused)
        consumer.signals = frozenset({"traces"})
        consumer.is_full = False
        rig.wait(lambda: rig.client.topics == ["otlp_spans"])
        rig.wait_polls(30)
        assert rig.receiver.status().dead_letter_messages == 0
        assert log.committed == {}


def test_a_client_that_breaks_is_replaced():
    log = FakeLog()
    log.write("otlp_spans", span(1))
    settings = msgspec.convert({"commit_interval_seconds": 0.001}, Config)
    rig = Rig(log, FakeConsumer(), settings)
    rig.failures.append(KafkaException(KafkaError(KafkaError._FATAL, "fenced", fatal=True)))
    rig.receiver.start(rig.consumer)
    rig.wait(lambda: "fenced" in rig.receiver.status().problem)
    rig.client.gain(SPANS)
    rig.wait(lambda: log.committed.get(SPANS) == 1)
    rig.receiver.shutdown(10)


def test_lag_and_problems_come_from_what_the_client_says():
    statistics = {
        "brokers": {"b": {"state": "UP"}},
        "topics": {
            "otlp_spans": {
                "partitions": {
                    "0": {"partition": 0, "hi_offset": 30, "committed_offset": 12},
                    "1": {"partition": 1, "hi_offset": 30, "committed_offset": -1001, "consumer_lag": -1},
                    "-1": {"partition": -1},
                }
            }
        },
    }
    log = FakeLog()
    with running(log) as rig:
        rig.client.gain(SPANS, ("otlp_spans", 1))
        rig.wait(lambda: len(rig.client.assigned) == 2)
        rig.client.callbacks["error_cb"](KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
        assert rig.receiver.status().problem.startswith("receivers.kafka.brokers: none of broker:9092 answers")
        rig.client.callbacks["stats_cb"](msgspec.json.encode(statistics).decode())
        assert rig.receiver.status().problem == ""
        assert (rig.receiver.status().lag, rig.receiver.status().partitions) == (18, 2)
        assert rig.count("otel_llm.kafka.lag") == 18


def test_a_topic_that_is_not_there_is_told_until_it_is():
    log = FakeLog()
    with running(log) as rig:
        rig.wait(lambda: rig.client.topics)
        rig.client.fail("otlp_logs", KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        rig.client.gain(SPANS)
        said = "receivers.kafka.logs.topics: the brokers have no topic 'otlp_logs'"
        rig.wait(lambda: rig.receiver.status().problem.startswith(said))
        log.write("otlp_spans", span(1))
        rig.wait(lambda: log.committed.get(SPANS) == 1)
        assert rig.receiver.status().problem.startswith(said)
        rig.client.gain(LOGS)
        rig.wait(lambda: rig.receiver.status().problem == "")


def test_a_client_that_says_it_is_of_no_use_any_more_is_replaced():
    log = FakeLog()
    log.write("otlp_spans", span(1))
    with running(log) as rig:
        rig.wait(lambda: rig.client.topics)
        rig.client.will_call("error_cb", KafkaError(KafkaError._FATAL, "fenced", fatal=True))
        rig.wait(lambda: len(rig.clients) == 2)
        assert rig.clients[0].is_closed
        rig.client.gain(SPANS)
        rig.wait(lambda: log.committed.get(SPANS) == 1)


def test_two_processes_do_not_share_a_folder_of_dead_letters(tmp_path: Path):
    second = Rig(FakeLog(), FakeConsumer(), msgspec.convert({"dead_letters": {"directory": str(tmp_path)}}, Config))
    with (
        running(FakeLog(), dead_letters={"directory": str(tmp_path)}),
        pytest.raises(ConfigError, match=r"receivers\.kafka\.dead_letters\.directory: .* used by another process"),
    ):
        second.receiver.start(FakeConsumer())


def test_shutdown_is_safe_without_a_start_and_twice():
    rig = Rig(FakeLog(), FakeConsumer(), Config())
    rig.receiver.shutdown(1)
    rig.receiver.shutdown(1)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"brokers": ["kafka"]}, "receivers.kafka.brokers[0]: expected host:port, got 'kafka'"),
        ({"brokers": ["http://kafka:9092"]}, "receivers.kafka.brokers[0]: expected host:port"),
        ({"brokers": ["a:1", "b:99999"]}, "receivers.kafka.brokers[1]: expected host:port"),
        ({"tls": {"cert_file": "x"}}, "receivers.kafka.tls.key_file: expected a file beside the other of the pair"),
        ({"tls": {"ca_file": "/no/such"}}, "receivers.kafka.tls.ca_file: expected PEM certificates, got /no/such"),
        (
            {"auth": {"sasl": {"mechanism": "PLAIN", "username": "u"}}},
            "receivers.kafka.auth.sasl.password: expected it, or password_file, and not both",
        ),
        (
            {"auth": {"sasl": {"mechanism": "PLAIN", "username": "u", "password_file": "/no/such"}}},
            "receivers.kafka.auth.sasl.password_file: cannot read /no/such",
        ),
        (
            {"traces": {"topics": ["otlp_logs"]}},
            "receivers.kafka.logs.topics: 'otlp_logs' is among those of traces too; give each its own",
        ),
        ({"traces": {"topics": ["^(a"]}}, "receivers.kafka.traces.topics: expected a regular expression, got '^(a'"),
        (
            {"session_timeout_seconds": 6, "heartbeat_interval_seconds": 3},
            "receivers.kafka.heartbeat_interval_seconds: expected at most a third of session_timeout_seconds (6), got",
        ),
    ],
)
def test_each_mistake_has_its_message(config: dict[str, object], problem: str):
    with pytest.raises(ConfigError) as error:
        consumer_properties(msgspec.convert(config, Config), "receivers.kafka")
    assert any(one.startswith(problem) for one in error.value.problems)


def test_all_mistakes_are_told_at_once():
    config = msgspec.convert(
        {"brokers": ["a", "b"], "tls": {"key_file": "x"}, "heartbeat_interval_seconds": 60}, Config
    )
    with pytest.raises(ConfigError) as error:
        consumer_properties(config, "receivers.kafka")
    assert len(error.value.problems) == 4
