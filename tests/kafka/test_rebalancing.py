"""Whatever moves, fails or fills up: what is committed was accepted, and in the end everything has been."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from confluent_kafka import KafkaError
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.kafka.problems import Where
from otel_llm.receivers.kafka import KafkaReceiver
from otel_llm.receivers.kafka_config import Config
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.delivery.requests import numbers, traces
from tests.kafka.fakes import FakeClient, FakeConsumer, FakeLog

PARTITIONS = [("otlp_spans", number) for number in range(3)]
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 2)),
        st.tuples(st.sampled_from(["gain", "revoke", "lose"]), st.integers(0, 2)),
        st.tuples(st.sampled_from(["full", "roomy", "refuse a commit", "arrive", "step", "bad"]), st.integers(0, 2)),
    ),
    max_size=60,
)


class TickingClock(FakeClock):
    """Goes on by a second whenever somebody looks, so that every wait ends."""

    def monotonic(self) -> float:
        self.advance(1.0)
        return super().monotonic()


class Member:
    """A receiver that is driven step by step."""

    def __init__(self, log: FakeLog, consumer: FakeConsumer, commit_after: str) -> None:
        self.clock = TickingClock()
        config = msgspec.convert({"commit_interval_seconds": 1.0, "commit_after": commit_after}, Config)
        self._receiver = KafkaReceiver(
            "kafka", config, Where("receivers.kafka", "b:1"), self._connect, Metrics(), self.clock
        )
        self._consumer = consumer
        callbacks: dict[str, Any] = {"on_commit": self._receiver._committed, "error_cb": self._receiver._note}
        self.client = FakeClient(log, callbacks)
        self.step()

    def _connect(self, _: object) -> FakeClient:
        return self.client

    def step(self) -> None:
        self.clock.advance(1.5)
        self._receiver._step(self.client, self._consumer)


def accepted(consumer: FakeConsumer, upto: int | None = None) -> set[int]:
    return {number for signal, body in consumer.bodies[:upto] for number in numbers(signal, body)}


@settings(deadline=None)
@given(EVENTS, st.sampled_from(["accepted", "delivered"]))
def test_what_is_committed_was_taken_and_in_the_end_all_is(
    events: list[tuple[str, int]], commit_after: Literal["accepted", "delivered"]
) -> None:
    log, consumer = FakeLog(), FakeConsumer()
    member = Member(log, consumer, commit_after)
    written: dict[tuple[str, int], list[int | None]] = {place: [] for place in PARTITIONS}
    number = 0

    def write(place: tuple[str, int], *, is_bad: bool = False) -> None:
        nonlocal number
        number += 1
        written[place].append(None if is_bad else number)
        log.write(place[0], b"no request" if is_bad else traces(number, 1).SerializeToString(), partition=place[1])

    def check() -> None:
        done = accepted(consumer, None if commit_after == "accepted" else len(consumer.said))
        for place, offset in log.committed.items():
            assert {one for one in written[place][:offset] if one is not None} <= done

    for event, which in events:
        place = PARTITIONS[which]
        if event == "write":
            write(place)
        elif event == "bad":
            write(place, is_bad=True)
        elif event == "gain" and place not in member.client.assigned:
            member.client.gain(place)
        elif event in ("revoke", "lose") and place in member.client.assigned:
            member.client.lose(place, already=event == "lose")
        elif event in ("full", "roomy"):
            consumer.is_full = event == "full"
        elif event == "refuse a commit":
            member.client.refusals.append(KafkaError(KafkaError.REBALANCE_IN_PROGRESS))
        elif event == "arrive":
            consumer.said.append("settled")
        member.step()
        check()
    consumer.is_full = False
    consumer.said = ["settled"] * 1000
    member.client.refusals.clear()
    member.client.gain(*(place for place in PARTITIONS if place not in member.client.assigned))
    for _ in range(20):
        member.step()
    check()
    wanted = {one for place in PARTITIONS for one in written[place] if one is not None}
    assert accepted(consumer) == wanted
    assert log.committed == {place: len(found) for place, found in written.items() if found}
