from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from otel_llm.delivery.config import BatchConfig, Config, QueueConfig, RetryConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.delivery.fan_out import FanOut, offer_all
from otel_llm.errors import RefusedError
from otel_llm.exporters.exporter import ExportResult
from otel_llm.signals import SIGNALS, Payload
from otel_llm.telemetry import Metrics
from otel_llm.testing import HANG, TOO_LARGE, UNAUTHORIZED, Answer, Destination, InMemoryExporter
from tests.delivery.requests import numbers, payload

FAST = RetryConfig(initial_interval_seconds=0.001, max_interval_seconds=0.002)


def config(
    *, size_bytes: int = 1_000_000, on_full: str = "refuse", retry: RetryConfig = FAST, max_size_bytes: int = 100_000
) -> Config:
    batch = BatchConfig(max_size_bytes=max_size_bytes, flush_timeout_seconds=0.01)
    queue = QueueConfig(size_bytes=size_bytes, on_full=on_full, batch=batch)  # type: ignore[arg-type]
    return Config(sending_queue=queue, retry_on_failure=retry)


@contextmanager
def running(destination: Destination, settings: Config | None = None, name: str = "test") -> Iterator[Delivery]:
    delivery = Delivery(name, InMemoryExporter(destination), settings or config(), Metrics())
    delivery.start()
    try:
        yield delivery
    finally:
        delivery.shutdown(5)
        assert delivery.balance().is_balanced


def arrived(destination: Destination) -> list[int]:
    return sorted(number for request in destination.accepted for number in numbers(request.signal, request.body))


def wait_until_empty(delivery: Delivery) -> None:
    """The worker frees the room of a batch just after it has settled its items."""
    end = time.monotonic() + 5
    while delivery._queue.size_bytes():
        assert time.monotonic() < end
        threading.Event().wait(0.001)


def test_what_is_offered_arrives_and_is_counted() -> None:
    destination = Destination()
    with running(destination) as delivery:
        for signal in SIGNALS:
            delivery.offer(payload(1, 5, signal=signal))
        assert delivery.force_flush(5)
        balance = delivery.balance()
    assert destination.items == 15
    assert (balance.accepted, balance.exported, dict(balance.dropped), balance.queued) == (15, 15, {}, 0)
    assert delivery.balance("logs").exported == 5


def test_small_payloads_are_sent_together() -> None:
    destination = Destination(default=Answer())
    delivery = Delivery("test", InMemoryExporter(destination), config(), Metrics())
    for number in range(1, 51):
        delivery.offer(payload(number, 1))
    delivery.start()
    delivery.shutdown(5)
    assert len(destination.received) == 1
    assert arrived(destination) == list(range(1, 51))


def test_a_failure_that_passes_is_retried_until_it_does() -> None:
    destination = Destination()
    destination.will(Answer.unavailable(), Answer.unavailable(), Answer.throttled(0.01))
    with running(destination) as delivery:
        delivery.offer(payload(1, 3))
        assert delivery.force_flush(5)
    assert [request.answer.kind for request in destination.received] == [
        "unavailable",
        "unavailable",
        "throttled",
        "accept",
    ]
    assert delivery.balance().exported == 3


def test_retry_after_is_honoured() -> None:
    destination = Destination()
    destination.will(Answer.throttled(0.2))
    start = time.monotonic()
    with running(destination) as delivery:
        delivery.offer(payload(1, 1))
        assert delivery.force_flush(5)
        assert time.monotonic() - start >= 0.2


def test_retrying_ends_when_its_time_is_over() -> None:
    destination = Destination(default=Answer.unavailable())
    retry = RetryConfig(initial_interval_seconds=0.001, max_interval_seconds=0.002, max_elapsed_seconds=0.02)
    with running(destination, config(retry=retry)) as delivery:
        delivery.offer(payload(1, 4))
        assert delivery.force_flush(5)
        assert delivery.balance().dropped == {"retries_exhausted": 4}
    assert len(destination.received) > 1


def test_a_token_that_has_run_out_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    destination = Destination(default=UNAUTHORIZED)
    with running(destination) as delivery:
        delivery.offer(payload(1, 4))
        destination.wait_for(lambda: len(destination.received) >= 3)
        assert delivery.status().problem == "the token has run out"
        destination.default = Answer()
        assert delivery.force_flush(5)
        assert (delivery.balance().exported, dict(delivery.balance().dropped)) == (4, {})
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_what_the_wrong_credentials_cannot_send_is_given_up_where_that_is_wanted() -> None:
    destination = Destination(default=UNAUTHORIZED)
    retry = RetryConfig(initial_interval_seconds=0.001, max_interval_seconds=0.002, when_unauthorized="give_up")
    with running(destination, config(retry=retry)) as delivery:
        delivery.offer(payload(1, 4))
        assert delivery.force_flush(5)
        assert delivery.balance().dropped == {"permanent_error": 4}
    assert len(destination.received) == 1


def test_what_a_destination_refuses_for_good_is_dropped_and_the_next_batch_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    destination = Destination(default=Answer.bad_request("no such project"))
    with running(destination) as delivery:
        delivery.offer(payload(1, 4))
        assert delivery.force_flush(5)
        destination.default = Answer()
        delivery.offer(payload(5, 2))
        assert delivery.force_flush(5)
        balance = delivery.balance()
    assert (balance.exported, dict(balance.dropped)) == (2, {"permanent_error": 4})
    assert "no such project" in caplog.text


def test_acceptance_29_one_big_span_does_not_sink_its_batch() -> None:
    destination = Destination(max_body_bytes=40_000)
    with running(destination, config(max_size_bytes=1_000_000)) as delivery:
        delivery.offer(payload(1, 255))
        delivery.offer(payload(256, 1, size=50_000))
        delivery.offer(payload(257, 256))
        assert delivery.force_flush(5)
        balance = delivery.balance()
    assert arrived(destination) == [number for number in range(1, 513) if number != 256]
    assert (balance.exported, dict(balance.dropped)) == (511, {"too_large": 1})
    assert len(destination.received) <= 2 * 9 + 1  # bisection: log2(512) refusals and their other halves


def test_a_request_over_the_batch_limit_is_split_before_it_is_sent() -> None:
    destination = Destination(max_body_bytes=4 * 1024)
    with running(destination, config(max_size_bytes=4 * 1024)) as delivery:
        delivery.offer(payload(1, 100, size=500))
        assert delivery.force_flush(5)
    assert arrived(destination) == list(range(1, 101))
    assert all(request.answer.kind == "accept" for request in destination.received)


def test_acceptance_32_partial_success_is_counted_logged_once_and_not_retried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    destination = Destination(default=Answer.partial(3, "timestamps too old"))
    with running(destination) as delivery:
        for first in (1, 11):
            delivery.offer(payload(first, 10))
            assert delivery.force_flush(5)
        balance = delivery.balance()
    assert len(destination.received) == 2
    assert (balance.exported, dict(balance.dropped)) == (14, {"rejected": 6})
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "3 of 10 items rejected: timestamps too old" in caplog.text


def test_acceptance_32_a_warning_without_rejections_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    destination = Destination(default=Answer(message="please upgrade"))
    with running(destination) as delivery:
        delivery.offer(payload(1, 2))
        assert delivery.force_flush(5)
    assert delivery.balance().exported == 2
    assert "please upgrade" in caplog.text


def test_a_destination_that_rejects_more_than_it_got_does_not_break_the_account() -> None:
    destination = Destination(default=Answer.partial(99, "all of it"))
    with running(destination) as delivery:
        delivery.offer(payload(1, 2))
        assert delivery.force_flush(5)
        assert delivery.balance().dropped == {"rejected": 2}


def test_a_full_queue_refuses_and_accepts_again_when_there_is_room() -> None:
    destination = Destination(default=HANG)
    with running(destination, config(size_bytes=2048)) as delivery:
        first = payload(1, 1, size=1500)
        delivery.offer(first)
        with pytest.raises(RefusedError, match=r"sending_queue of exporter test is full: \d+ of 2048 bytes"):
            delivery.offer(payload(2, 1, size=1500))
        assert delivery.balance().accepted == 1
        destination.default = Answer()
        destination.release()  # the hanging attempt fails as retryable
        assert delivery.force_flush(5)
        wait_until_empty(delivery)
        delivery.offer(payload(2, 1, size=1500))
    assert arrived(destination) == [1, 2]


def test_a_full_queue_drops_when_told_to_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    destination = Destination(default=HANG)
    with running(destination, config(size_bytes=2048, on_full="drop")) as delivery:
        for number in range(1, 4):
            delivery.offer(payload(number, 1, size=1500))
        balance = delivery.balance()
        assert (balance.accepted, dict(balance.dropped), balance.queued) == (3, {"queue_full": 2}, 1)
        destination.default = Answer()
        destination.release()
    assert caplog.text.count("sending_queue is full") == 1


def test_one_bad_span_does_not_sink_its_batch() -> None:
    destination = Destination(refuses=lambda signal, body: 300 in numbers(signal, body))
    with running(destination) as delivery:
        delivery.offer(payload(1, 512))
        assert delivery.force_flush(5)
        assert delivery.balance().dropped == {"permanent_error": 1}
    assert arrived(destination) == [number for number in range(1, 513) if number != 300]
    assert len(destination.received) <= 2 * 9 + 1


def test_a_destination_that_finds_everything_bad_is_not_asked_about_every_span() -> None:
    destination = Destination(default=Answer.bad_request())
    with running(destination) as delivery:
        delivery.offer(payload(1, 4096))
        assert delivery.force_flush(5)
        assert delivery.balance().dropped == {"permanent_error": 4096}
    assert len(destination.received) < 200


def test_the_breaker_leaves_a_failing_destination_alone_between_batches() -> None:
    destination = Destination(default=Answer.throttled(30))
    retry = RetryConfig(initial_interval_seconds=0.001, max_interval_seconds=0.002, max_elapsed_seconds=0)
    delivery = Delivery("test", InMemoryExporter(destination), config(retry=retry, max_size_bytes=1024), Metrics())
    for number in range(1, 21):
        delivery.offer(payload(number, 1, size=900))
    delivery.start()
    assert not delivery.force_flush(0.2)
    delivery.shutdown(0.1)
    assert len(destination.received) == 1
    assert delivery.balance().dropped == {"retries_exhausted": 1, "shutdown": 19}


def test_a_request_that_is_sent_again_has_the_id_that_it_had() -> None:
    ids: list[str] = []

    class Remembers(InMemoryExporter):
        def export(self, payload: Payload, timeout_seconds: float) -> ExportResult:
            ids.append(payload.batch_id)
            return super().export(payload, timeout_seconds)

    destination = Destination()
    destination.will(Answer.unavailable(), TOO_LARGE, Answer.unavailable())
    delivery = Delivery("test", Remembers(destination), config(), Metrics())
    delivery.start()
    delivery.offer(payload(1, 4))
    assert delivery.force_flush(5)
    delivery.offer(payload(5, 1))
    delivery.shutdown(5)
    whole = ids[0]
    assert ids[:5] == [whole, whole, f"{whole}/0", f"{whole}/0", f"{whole}/1"]
    assert ids[5] not in ids[:5]


def test_shutdown_delivers_what_was_accepted() -> None:
    destination = Destination()
    with running(destination, config(max_size_bytes=2048)) as delivery:
        for number in range(1, 201):
            delivery.offer(payload(number, 1, size=100))
    assert arrived(destination) == list(range(1, 201))
    with pytest.raises(RefusedError, match="shutting down"):
        delivery.offer(payload(1, 1))


def test_shutdown_does_not_wait_out_a_backoff_of_its_own() -> None:
    destination = Destination()
    destination.will(Answer.unavailable())
    retry = RetryConfig(initial_interval_seconds=3600, max_interval_seconds=3600)
    exporter = InMemoryExporter(destination)
    delivery = Delivery("test", exporter, config(retry=retry), Metrics(), random=lambda: 0.99)
    delivery.start()
    delivery.offer(payload(1, 3))
    destination.wait_for(lambda: len(destination.received) == 1)
    start = time.monotonic()
    delivery.shutdown(5)
    assert time.monotonic() - start < 4
    assert arrived(destination) == [1, 2, 3]
    assert exporter.is_shut_down


@pytest.mark.parametrize(
    "answer", [HANG, Answer.unavailable(), Answer.throttled(3600), TOO_LARGE], ids=lambda answer: str(answer.kind)
)
def test_acceptance_31_shutdown_ends_in_time_and_counts_what_it_could_not_deliver(answer: Answer) -> None:
    destination = Destination(default=answer)
    delivery = Delivery("test", InMemoryExporter(destination), config(), Metrics())
    delivery.start()
    delivery.offer(payload(1, 1))
    start = time.monotonic()
    assert delivery.force_flush(0.05) is (answer is TOO_LARGE)
    assert time.monotonic() - start < 0.15
    delivery.shutdown(0.2)
    assert time.monotonic() - start < 1.0
    balance = delivery.balance()
    assert balance.is_balanced
    assert dict(balance.dropped) == {"too_large" if answer is TOO_LARGE else "shutdown": 1}
    delivery.shutdown(5)
    assert delivery.balance() == balance


def test_shutdown_without_start_counts_what_was_accepted_as_dropped() -> None:
    delivery = Delivery("test", InMemoryExporter(), config(), Metrics())
    delivery.offer(payload(1, 2))
    delivery.shutdown(1)
    delivery.start()
    assert delivery.balance().dropped == {"shutdown": 2}


class Broken:
    """An exporter with a defect."""

    signals = frozenset(SIGNALS)

    def __init__(self) -> None:
        self.calls = 0

    def export(self, payload: Payload, timeout_seconds: float) -> ExportResult:  # noqa: ARG002 - the Exporter's call
        self.calls += 1
        if self.calls == 1:
            raise KeyError("content that must not be logged")
        return ExportResult()

    def shutdown(self) -> None:
        pass


def test_a_defect_in_an_exporter_costs_its_batch_and_not_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    delivery = Delivery("test", Broken(), config(), metrics)
    delivery.start()
    delivery.offer(payload(1, 3))
    assert delivery.force_flush(5)
    delivery.offer(payload(4, 2))
    assert delivery.force_flush(5)
    delivery.shutdown(5)
    balance = delivery.balance()
    assert (balance.exported, dict(balance.dropped)) == (2, {"internal_error": 3})
    assert "unexpected KeyError" in caplog.text
    assert "content" not in caplog.text
    (errors,) = [family for family in metrics.collect() if family.definition.name == "otel_llm.internal_errors"]
    assert [series.value for series in errors.series] == [1]


def test_attempts_are_measured_by_outcome() -> None:
    metrics = Metrics()
    destination = Destination()
    destination.will(Answer.unavailable(), TOO_LARGE, Answer.bad_request())
    delivery = Delivery("test", InMemoryExporter(destination), config(), metrics)
    delivery.start()
    delivery.offer(payload(1, 2))
    delivery.shutdown(5)
    attempts = {
        dict(series.attributes)["otel_llm.export.outcome"]: series.value
        for family in metrics.collect()
        if family.definition.name == "otel_llm.exporter.attempts"
        for series in family.series
    }
    assert attempts == {"retryable": 1, "too_large": 1, "permanent": 1, "success": 1}


def test_fan_out_is_accepted_by_all_or_by_none() -> None:
    healthy, stuck = Destination(), Destination(default=HANG)
    with running(healthy, name="healthy") as first, running(stuck, config(size_bytes=2048), "stuck") as second:
        both = FanOut([first, second])
        both.offer(payload(1, 1, size=1500))
        with pytest.raises(RefusedError, match="exporter stuck is full"):
            both.offer(payload(2, 1, size=1500))
        assert first.force_flush(5)
        assert first.balance().accepted == second.balance().accepted == 1
        stuck.default = Answer()
        stuck.release()
    assert arrived(healthy) == [1]


def test_fan_out_goes_on_past_a_dead_destination_that_may_drop() -> None:
    healthy, stuck = Destination(), Destination(default=HANG)
    settings = config(size_bytes=2048, on_full="drop")
    with running(healthy, name="healthy") as first, running(stuck, settings, "stuck") as second:
        both = FanOut([first, second])
        for number in range(1, 11):
            both.offer(payload(number, 1, size=1500))
        assert first.force_flush(5)
        assert second.balance().dropped == {"queue_full": 9}
        stuck.default = Answer()
        stuck.release()
    assert arrived(healthy) == list(range(1, 11))


def test_several_pipelines_accept_together_or_not_at_all() -> None:
    healthy, stuck = Destination(), Destination(default=HANG)
    with running(healthy, name="healthy") as first, running(stuck, config(size_bytes=2048), "stuck") as second:
        offers = [(FanOut([first]), payload(1, 2)), (FanOut([first, second]), payload(3, 1, size=1500))]
        offer_all(offers)
        with pytest.raises(RefusedError, match="exporter stuck is full"):
            offer_all(offers)
        assert first.force_flush(5)
        assert (first.balance().accepted, second.balance().accepted) == (3, 1)
        wait_until_empty(first)  # what was reserved for the refused offer is given back
        stuck.default = Answer()
        stuck.release()
    assert arrived(healthy) == [1, 2, 3]


def test_fan_out_leaves_out_exporters_that_do_not_take_the_signal() -> None:
    destination = Destination()
    only_traces = Delivery("traces", InMemoryExporter(signals=frozenset({"traces"})), config(), Metrics())
    with running(destination) as everything:
        FanOut([only_traces, everything]).offer(payload(1, 2, signal="logs"))
    assert only_traces.balance().accepted == 0
    assert destination.items == 2
    only_traces.shutdown(0)


def test_acceptance_30_the_account_balances_at_every_instant_under_load() -> None:
    destination = Destination(max_body_bytes=3_000)
    settings = config(size_bytes=20_000, max_size_bytes=5_000)
    stop = threading.Event()
    wrong: list[object] = []
    refused = [0] * 4
    with running(destination, settings) as delivery:

        def watch() -> None:
            while not stop.is_set():
                balance = delivery.balance()
                if not balance.is_balanced or balance.queued < 0:
                    wrong.append(balance)

        def send(sender: int) -> None:
            for number in range(100):
                try:
                    delivery.offer(payload(sender * 1000 + number * 3 + 1, 3, size=20 if number % 7 else 3_500))
                except RefusedError:
                    refused[sender] += 3
                if number % 10 == 0:
                    destination.will(Answer.unavailable(), Answer.partial(1, "no"), Answer.bad_request())

        threads = [threading.Thread(target=send, args=(sender,)) for sender in range(4)]
        watcher = threading.Thread(target=watch)
        watcher.start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert delivery.force_flush(20)
        stop.set()
        watcher.join()
        balance = delivery.balance()
    assert not wrong
    assert balance.queued == 0
    assert balance.accepted + sum(refused) == 1200
    assert balance.exported == destination.items
