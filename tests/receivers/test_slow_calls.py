"""Clients that begin a call and say nothing hold up nobody for long."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc
import pytest

from otel_llm.receivers import otlp_grpc
from otel_llm.receivers.slow_calls import SlowCalls
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.receivers.otlp_client import refusals
from tests.receivers.recording import DEADLINE_SECONDS, RecordingConsumer

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Call:
    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


def test_a_call_is_cancelled_when_its_message_takes_too_long() -> None:
    clock = FakeClock()
    slow = SlowCalls(60.0, 3, clock.monotonic)
    first, second, done = Call(), Call(), Call()
    slow.begin(first)
    clock.advance(30.0)
    slow.begin(second)
    slow.begin(done)
    slow.end(done)
    clock.advance(30.0)
    assert slow.cancel_slow() == 1
    assert (first.is_cancelled, second.is_cancelled, done.is_cancelled) == (True, False, False)
    slow.end(first)


def test_when_all_threads_wait_they_wait_less() -> None:
    clock = FakeClock()
    slow = SlowCalls(60.0, 3, clock.monotonic)
    calls = [Call() for _ in range(3)]
    for call in calls[:2]:
        slow.begin(call)
    clock.advance(3.0)
    assert slow.cancel_slow() == 0
    slow.begin(calls[2])
    assert slow.cancel_slow() == 2
    assert [call.is_cancelled for call in calls] == [True, True, False]


@pytest.fixture
def silence() -> Iterator[threading.Event]:
    """Until it is set, clients of these tests say nothing."""
    event = threading.Event()
    yield event
    event.set()


def test_more_silent_clients_than_threads_do_not_stop_a_receiver(silence: threading.Event) -> None:
    consumer, metrics = RecordingConsumer(), Metrics()
    receiver = otlp_grpc.create(otlp_grpc.Config(endpoint="127.0.0.1:0"), name="otlp", metrics=metrics)
    receiver.start(consumer)

    def say_nothing() -> Iterator[bytes]:
        silence.wait(DEADLINE_SECONDS)
        yield b""

    with grpc.insecure_channel(receiver.endpoint) as rude, grpc.insecure_channel(receiver.endpoint) as good:
        calls = [rude.stream_unary(METHOD).future(say_nothing(), timeout=DEADLINE_SECONDS) for _ in range(40)]
        assert good.unary_unary(METHOD)(b"good", timeout=DEADLINE_SECONDS) == b""
        for call in calls[:16]:  # on a busy machine they begin after the good one, and are given up later
            assert call.code() is not grpc.StatusCode.OK
        for call in calls:
            call.cancel()
    receiver.shutdown(1.0)
    assert consumer.requests == [("traces", b"good")]
    assert refusals(metrics)["traces", "timeout"] >= 16


def test_a_call_without_a_message_is_refused() -> None:
    receiver = otlp_grpc.create(otlp_grpc.Config(endpoint="127.0.0.1:0"), name="otlp")
    receiver.start(RecordingConsumer())
    with grpc.insecure_channel(receiver.endpoint) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.stream_unary(METHOD)(iter(()), timeout=DEADLINE_SECONDS)
    receiver.shutdown(1.0)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
