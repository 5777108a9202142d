from __future__ import annotations

import threading

import pytest

from otel_llm.delivery.compact import compact, retained_bytes
from otel_llm.delivery.config import BatchConfig
from otel_llm.delivery.queue import MemoryQueue
from otel_llm.signals import Payload, Signal
from otel_llm.testing import FakeClock


def some(size: int, items: int = 1, signal: Signal = "traces") -> Payload:
    return Payload.of(signal, (bytes(size),), items)


class Fixture:
    def __init__(self, capacity: int = 10_000, **limits: float) -> None:
        self.clock = FakeClock()
        config = BatchConfig(**{"max_size_bytes": 4000, "max_items": 10, "flush_timeout_seconds": 1.0} | limits)  # type: ignore[arg-type]
        self.queue = MemoryQueue(capacity, config, self.clock.monotonic)

    def put(self, payload: Payload) -> None:
        assert self.queue.reserve(payload)
        self.queue.put(payload)

    def take(self) -> Payload:
        batch = self.queue.take()
        assert batch is not None
        return batch


def test_what_fits_is_put_together_in_order() -> None:
    fixture = Fixture()
    for size in (1000, 1001, 1002, 2000):
        fixture.put(some(size))
    batch = fixture.take()
    assert [len(piece) for piece in batch.buffers] == [1000, 1001, 1002]
    assert (batch.items, batch.size_bytes) == (3, 3003)


def test_items_limit_a_batch_too() -> None:
    fixture = Fixture()
    for _ in range(3):
        fixture.put(some(10, items=4))
    assert fixture.take().items == 8


def test_a_payload_over_the_limit_goes_alone_and_whole() -> None:
    fixture = Fixture()
    fixture.put(some(5000, items=50))
    fixture.put(some(10))
    assert fixture.take().items == 50


def test_signals_are_not_mixed_and_the_oldest_goes_first() -> None:
    fixture = Fixture()
    fixture.put(some(10, signal="logs"))
    fixture.clock.advance(0.1)
    fixture.put(some(10, signal="traces"))
    fixture.queue.flush()
    assert [fixture.take().signal, fixture.take().signal] == ["logs", "traces"]


def test_time_alone_makes_a_batch_ready() -> None:
    fixture = Fixture()
    fixture.put(some(10))
    fixture.clock.advance(1.0)
    assert fixture.take().size_bytes == 10


def test_a_waiting_taker_is_woken_by_the_payload_that_completes_a_batch() -> None:
    fixture = Fixture(flush_timeout_seconds=3600)
    taken: list[Payload | None] = []
    taker = threading.Thread(target=lambda: taken.append(fixture.queue.take()))
    taker.start()
    fixture.put(some(3000))
    fixture.put(some(1000))
    taker.join(5)
    assert [batch and batch.size_bytes for batch in taken] == [4000]


def test_room_is_held_until_the_batch_is_settled() -> None:
    fixture = Fixture(capacity=4096)
    fixture.put(some(4000))
    batch = fixture.take()
    assert not fixture.queue.reserve(some(1000))
    assert fixture.queue.sizes() == {"traces": 4000}
    fixture.queue.settle(batch)
    assert fixture.queue.reserve(some(1000))
    fixture.queue.cancel(some(1000))
    assert fixture.queue.size_bytes() == 0


def test_a_payload_larger_than_the_queue_is_taken_when_nothing_else_is_there() -> None:
    fixture = Fixture(capacity=1024)
    fixture.put(some(5000))
    assert not fixture.queue.reserve(some(1))


def test_closing_hands_out_what_is_there_and_then_nothing() -> None:
    fixture = Fixture()
    fixture.put(some(10))
    assert fixture.queue.reserve(some(20))
    fixture.queue.close()
    assert not fixture.queue.reserve(some(1))
    assert fixture.take().size_bytes == 10
    fixture.queue.put(some(20))  # its room was reserved before
    assert fixture.take().size_bytes == 20
    assert fixture.queue.take() is None


@pytest.mark.parametrize("cut", [slice(0, 100), slice(0, 100_000)])
def test_a_slice_does_not_keep_a_body_alive_that_is_much_larger(cut: slice) -> None:
    body = bytes(100_000)
    payload = compact(Payload.of("traces", (memoryview(body)[cut],), 1))
    assert retained_bytes(payload) <= 1.05 * payload.size_bytes
    assert payload.join() == body[cut]


def test_many_small_pieces_become_one() -> None:
    payload = compact(Payload.of("traces", tuple(b"ab" for _ in range(1000)), 7))
    assert payload == Payload("traces", (b"ab" * 1000,), 7, 2000)
