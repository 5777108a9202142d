"""What goes wrong with a real broker: it stops, it refuses, messages are too large, or none, and nobody takes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm._generated import attributes as names
from otel_llm.delivery.storage import exporter_folder
from otel_llm.delivery.survey import dead_letters
from otel_llm.hosts.gateway import Gateway
from otel_llm.receivers import Fetching
from otel_llm.testing import Answer, Destination, OtlpHttpSink
from tests.delivery.requests import traces
from tests.hosts.running import get, http_port, post, running
from tests.kafka.broker import Broker
from tests.kafka.conftest import Topics, new_topics
from tests.kafka.gateways import into_kafka, out_of_kafka, produce, read_all, seen, wait_until
from tests.spans import SpanSpec, chat, request

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def status(gateway: Gateway):
    """What the receiver of a worker says about itself."""
    receiver = gateway.receiver("kafka")
    assert isinstance(receiver, Fetching)
    return receiver.status()


def test_messages_that_are_no_requests_are_kept_with_their_place_and_hold_up_nothing(
    topics: Topics, tmp_path: Path
) -> None:
    good = [traces(number, 1).SerializeToString() for number in range(1, 21)]
    # Text; JSON; a request that ends in the middle, which the next one would go on; fields of nobody's; a bad span.
    cut = traces(99, 3).SerializeToString()[:-9]
    bad = [b"hello", b'{"resourceSpans": []}', cut, b"\x78\x01", b"\x0a\x05\x12\x03\x12\x63\x00"]
    mixed = [*good[:10], bad[0], bad[1], *good[10:15], bad[2], *good[15:], bad[3], bad[4]]
    produce(topics.broker, topics.spans, mixed)
    destination = Destination()
    with (
        OtlpHttpSink(destination) as sink,
        running(
            out_of_kafka(topics, sink.endpoint, f"dead_letters: {{directory: {tmp_path / 'letters'}}}"), tmp_path
        ) as worker,
    ):
        wait_until(lambda: len(seen(destination, "traces")) >= 20 and status(worker).dead_letter_messages >= 5)
        assert sorted(seen(destination, "traces")) == list(range(1, 21))
        assert "otel_llm_kafka_messages_parked_total{" in get(worker.admin_port, "/metrics")[1]
    letters = list(dead_letters(exporter_folder(str(tmp_path / "letters"), "kafka")))
    assert [letter.payload.join() for letter in letters] == bad
    places = [f"topic {topics.spans}, partition 0, offset {offset}: " for offset in (10, 11, 17, 23, 24)]
    assert [letter.note[: len(place)] for letter, place in zip(letters, places, strict=True)] == places


def test_what_was_not_committed_is_read_again_and_what_was_is_not(topics: Topics, tmp_path: Path) -> None:
    produce(topics.broker, topics.spans, [traces(number, 1).SerializeToString() for number in range(1, 11)])
    destination = Destination()
    with OtlpHttpSink(destination) as sink:
        with running(out_of_kafka(topics, sink.endpoint), tmp_path):
            wait_until(lambda: len(seen(destination, "traces")) >= 10)
        produce(topics.broker, topics.spans, [traces(number, 1).SerializeToString() for number in range(11, 21)])
        with running(out_of_kafka(topics, sink.endpoint), tmp_path):
            wait_until(lambda: len(seen(destination, "traces")) >= 20)
    assert sorted(seen(destination, "traces")) == list(range(1, 21))


def test_a_full_queue_pauses_the_partitions_and_loses_neither_messages_nor_membership(
    topics: Topics, tmp_path: Path
) -> None:
    for partition in range(4):
        first = 1 + partition * 100
        values = [traces(number, 1, size=2000).SerializeToString() for number in range(first, first + 100)]
        produce(topics.broker, topics.spans, values, partition)
    destination = Destination(default=Answer.unavailable())
    text = out_of_kafka(topics, "{sink}", queue=", size_bytes: 100000")
    with (
        OtlpHttpSink(destination) as sink,
        running(text.replace("otlp_http:", "otlp_http:", 1).replace("{sink}", sink.endpoint), tmp_path) as worker,
    ):
        wait_until(lambda: status(worker).waiting_seconds is not None)
        # Longer than the session timeout: it stays a member by being polled.
        wait_until(lambda: (status(worker).waiting_seconds or 0) > 7)
        assert status(worker).partitions == 12
        destination.default = Answer()
        wait_until(lambda: len(set(seen(destination, "traces"))) >= 400)
        wait_until(lambda: status(worker).waiting_seconds is None)
        balance = worker.delivery("otlp_http").balance("traces")
        assert (balance.accepted, dict(balance.dropped)) == (400, {})
    accepted = [number for one in destination.accepted if one.signal == "traces" for number in _numbers(one.body)]
    assert sorted(accepted) == list(range(1, 401))


def _numbers(body: bytes) -> list[int]:
    return [
        int.from_bytes(span.span_id, "big")
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


@pytest.mark.usefixtures("kafka")  # which skips where there is none
def test_a_broker_that_stops_and_comes_back_loses_nothing(tmp_path: Path) -> None:
    with Broker(tmp_path / "broker") as broker:
        topics = new_topics(broker)
        destination = Destination()
        for name in ("in", "out"):
            (tmp_path / name).mkdir()
        with (
            OtlpHttpSink(destination) as sink,
            running(into_kafka(topics, {"timeout_seconds": "2"}), tmp_path / "in") as gateway,
            running(out_of_kafka(topics, sink.endpoint), tmp_path / "out") as worker,
        ):
            assert post(http_port(gateway), "/v1/traces", request(_chats(1, 100)))[0] == 200
            wait_until(lambda: len(seen(destination, "traces")) >= 100)
            broker.stop()
            assert post(http_port(gateway), "/v1/traces", request(_chats(101, 200)))[0] == 200
            wait_until(lambda: gateway.delivery("kafka").status().problem)
            wait_until(lambda: status(worker).problem)
            for one in (gateway.delivery("kafka").status().problem, status(worker).problem):
                assert ".kafka.brokers: none of 127.0.0.1:" in one
            broker.start()
            wait_until(lambda: len(set(seen(destination, "traces"))) >= 200, 60)
            wait_until(lambda: not status(worker).problem and not gateway.delivery("kafka").status().problem)
        assert sorted(set(seen(destination, "traces"))) == list(range(1, 201))
        assert gateway.delivery("kafka").balance("traces").exported == 200


def _chats(first: int, last: int) -> list[SpanSpec]:
    return [SpanSpec(chat(), span=number, trace=number) for number in range(first, last + 1)]


def test_requests_are_split_to_fit_and_a_span_that_never_fits_is_shortened_and_marked(
    topics: Topics, tmp_path: Path
) -> None:
    spans = [SpanSpec(chat(note="x" * 3000), span=number, trace=1) for number in range(1, 101)]
    spans.append(SpanSpec(chat(**{"gen_ai.input.messages": "y" * 200_000}), span=101, trace=1))
    more = {"producer": "{max_message_bytes: 20000}"}
    with running(into_kafka(topics, more), tmp_path) as gateway:
        assert post(http_port(gateway), "/v1/traces", request(spans))[0] == 200
        wait_until(lambda: gateway.delivery("kafka").balance("traces").exported == 101)
    values = [value for _, _, value in read_all(topics.broker, topics.spans, 1000)]
    assert max(map(len, values)) <= 20_000
    found = {
        int.from_bytes(span.span_id, "big"): span
        for value in values
        for resource in ExportTraceServiceRequest.FromString(value).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }
    assert sorted(found) == list(range(1, 102))
    marked = {number for number, span in found.items() if names.OTEL_LLM_SHORTENED_KEYS in str(span.attributes)}
    assert marked == {101}


def test_a_topic_that_takes_less_than_we_were_told_gets_smaller_messages(kafka: Broker, tmp_path: Path) -> None:
    topics = new_topics(kafka)
    small = replace(topics, spans=f"{topics.spans}_small")
    kafka.create_topics([small.spans], 1, {"max.message.bytes": "5000"})
    spans = [SpanSpec(chat(note="x" * 500), span=number, trace=number % 3) for number in range(1, 101)]
    more = {"producer": "{compression: none}"}
    with running(into_kafka(small, more), tmp_path) as gateway:
        assert post(http_port(gateway), "/v1/traces", request(spans))[0] == 200
        wait_until(lambda: gateway.delivery("kafka").balance("traces").exported == 100)
    values = [value for _, _, value in read_all(kafka, small.spans, 1000)]
    assert sorted(number for value in values for number in _numbers(value)) == list(range(1, 101))
