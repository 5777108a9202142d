from __future__ import annotations

import tracemalloc

from otel_llm.delivery.config import Config, QueueConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.errors import RefusedError
from otel_llm.signals import Payload
from otel_llm.telemetry import Metrics
from otel_llm.testing import HANG, Destination, InMemoryExporter

CAP = 8 * 1024 * 1024


def offer_until_refused(pieces: int, piece_bytes: int) -> int:
    """Bytes of memory that grew while payloads of slices were offered to a stalled destination, until none fitted."""
    delivery = Delivery("test", InMemoryExporter(Destination(default=HANG)), _config(), Metrics())
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    try:
        while True:
            # As a codec makes them: each payload holds slices of a body of its own, a tenth of which goes on.
            body = memoryview(bytes(10 * pieces * piece_bytes))
            slices = tuple(body[start * 10 :][:piece_bytes] for start in range(0, pieces * piece_bytes, piece_bytes))
            delivery.offer(Payload.of("traces", slices, pieces))
    except RefusedError:
        del body, slices
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        delivery.shutdown(0)


def _config() -> Config:
    return Config(sending_queue=QueueConfig(size_bytes=CAP))


def test_acceptance_30_a_full_queue_holds_what_it_counts_and_a_tenth_at_most() -> None:
    for pieces, piece_bytes in ((1, 200_000), (500, 100), (20, 5_000)):
        grown = offer_until_refused(pieces, piece_bytes)
        assert 0.9 * CAP < grown <= 1.1 * CAP, (pieces, piece_bytes, grown)
