"""Acceptance 36 and 41: what was acknowledged arrives, through kills, outages and other tenants' dead destinations."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.delivery.account import Account
from otel_llm.delivery.config import BatchConfig, Config, DiskConfig, QueueConfig, RetryConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.delivery.disk_queue import DiskQueue
from otel_llm.delivery.fan_out import FanOut
from otel_llm.delivery.sender import Attempts, Sender
from otel_llm.delivery.stopping import Stopping
from otel_llm.delivery.storage import Storage
from otel_llm.errors import RetryableError
from otel_llm.exporters import otlp_http
from otel_llm.exporters.exporter import ExportResult
from otel_llm.signals import SIGNALS, Payload
from otel_llm.telemetry import Metrics
from otel_llm.testing import HANG, Destination, FakeClock, OtlpHttpSink
from tests.delivery.requests import numbers, payload
from tests.hosts.killing import kill_at_random

MIB = 1024 * 1024
HOUR = 3600


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("kills", "how"), [(60, "forked"), (5, "spawned")])
def test_acceptance_36_killing_a_gateway_at_random_instants_loses_nothing_that_was_acknowledged(
    tmp_path: Path, kills: int, how: str
) -> None:
    result = kill_at_random(kills, tmp_path, seed=kills, spawn=how == "spawned")
    assert result.acknowledged > 1000
    assert result.lost == []
    assert result.unmarked == []


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_acceptance_36_nor_does_it_when_they_wait_in_tail_sampling_with_a_journal(tmp_path: Path) -> None:
    result = kill_at_random(25, tmp_path, seed=25, held=True)
    assert result.acknowledged > 1000
    assert result.lost == []


@pytest.mark.slow
def test_a_queue_in_memory_does_lose_and_so_the_killing_above_can_fail(tmp_path: Path) -> None:
    assert kill_at_random(15, tmp_path, seed=3, sync="memory").lost


class Backend:
    """A destination that is away until the clock says so."""

    signals = frozenset(SIGNALS)

    def __init__(self, clock: FakeClock, back_at: float) -> None:
        self._clock = clock
        self._back_at = back_at
        self.refused = 0
        self.arrived: list[int] = []

    def export(self, payload: Payload, timeout_seconds: float) -> ExportResult:  # noqa: ARG002 - the Exporter's call
        if self._clock.monotonic() < self._back_at:
            self.refused += 1
            raise RetryableError("connection refused")
        self.arrived += numbers(payload.signal, payload.join())
        return ExportResult()

    def shutdown(self) -> None:
        """Nothing is held."""


class Application:
    """Sends 50 spans a second by the clock."""

    def __init__(self, clock: FakeClock, queue: DiskQueue) -> None:
        self._clock = clock
        self._queue = queue
        self.sent = 0

    def live(self, seconds: float) -> None:
        while seconds > 0:
            step = min(seconds, 1.0)
            self._clock.advance(step)
            seconds -= step
            spans = payload(self.sent + 1, 50)
            assert self._queue.reserve(spans)
            self._queue.secure("traces", self._queue.put(spans))
            self.sent += 50


class Compressed(Stopping):
    """Waits take no time: meanwhile the application lives on."""

    def __init__(self, clock: FakeClock, application: Application) -> None:
        super().__init__(clock)
        self._application = application

    def wait_until_asked(self, seconds: float) -> bool:
        self._application.live(seconds)
        return False


def shelf_account(queue: DiskQueue) -> Account:
    return queue.shelf.account


@pytest.mark.parametrize("hours", [0.1, pytest.param(4, marks=[pytest.mark.slow, pytest.mark.timeout(180)])])
def test_acceptance_36_an_outage_costs_disk_and_nothing_else(
    tmp_path: Path, hours: float, caplog: pytest.LogCaptureFixture
) -> None:
    clock, metrics = FakeClock(), Metrics()
    disk = DiskConfig(directory=str(tmp_path), size_bytes=256 * MIB, sync="never")
    batch = BatchConfig(flush_timeout_seconds=0)
    config = Config(sending_queue=QueueConfig(size_bytes=MIB, disk=disk, batch=batch), retry_on_failure=RetryConfig())
    queue = Storage(metrics, clock).open("backend", config.sending_queue, disk)
    backend = Backend(clock, clock.monotonic() + hours * HOUR)
    application = Application(clock, queue)
    account = shelf_account(queue)
    sender = Sender(
        "backend",
        backend,
        config,
        account=account,
        stopping=Compressed(clock, application),
        attempts=Attempts("backend", metrics, clock),
        clock=clock,
        random=lambda: 0.5,
    )
    application.live(1)
    most_on_disk = 0
    while account.balance().queued:
        taken = queue.take()
        assert taken is not None
        sender.send(taken)
        most_on_disk = max(most_on_disk, sum(path.stat().st_blocks * 512 for path in tmp_path.rglob("*.log")))
        queue.settle(taken)
    balance = account.balance()
    queue.release()
    assert application.sent >= hours * HOUR * 50
    assert backend.arrived == list(range(1, application.sent + 1))
    assert (balance.accepted, balance.exported, dict(balance.dropped)) == (application.sent, application.sent, {})
    assert most_on_disk <= 256 * MIB
    # Waits of up to 30 s, 15 s in the middle: neither a hammer nor asleep when the backend is back.
    assert backend.refused < hours * HOUR / 15 + 10
    assert len(caplog.records) <= 2 * 60 * hours
    assert clock.monotonic() < 1000 + hours * HOUR + 60


def test_acceptance_41_one_dead_destination_delays_no_other() -> None:
    context = Context("test", Metrics(), SystemClock())
    queue = QueueConfig(size_bytes=20_000, on_full="drop", batch=BatchConfig(flush_timeout_seconds=0.01))
    destinations = [Destination(default=HANG), Destination(), Destination()]
    sinks = [OtlpHttpSink(destination) for destination in destinations]
    deliveries = []
    for number, sink in enumerate(sinks):
        sink.__enter__()
        exporter = otlp_http.create(otlp_http.Config(endpoint=sink.endpoint), context)
        deliveries.append(Delivery(f"tenant{number}", exporter, Config(sending_queue=queue), context.metrics))
        deliveries[-1].start()
    try:
        everyone = FanOut(deliveries)
        slowest = 0.0
        for number in range(1, 301):
            start = time.monotonic()
            everyone.offer(payload(number, 1))
            slowest = max(slowest, time.monotonic() - start)
            if number % 50 == 0:
                for delivery in deliveries[1:]:
                    assert delivery.force_flush(5)
        for destination in destinations[1:]:
            assert destination.items == 300
        assert deliveries[0].balance().exported == 0
        assert slowest < 1.0
    finally:
        stopping = [threading.Thread(target=delivery.shutdown, args=(0.1,)) for delivery in deliveries]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        for sink in sinks:
            sink.__exit__(None, None, None)
