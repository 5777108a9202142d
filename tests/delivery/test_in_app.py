"""Acceptance 33 and 35: a delivery in an application that forks, and that ends in every way there is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter

import pytest

from otel_llm.delivery.config import Config
from otel_llm.delivery.delivery import Delivery
from otel_llm.delivery.in_app import AppDelivery
from otel_llm.telemetry import Metrics
from otel_llm.testing import HANG, Answer, Destination, InMemoryExporter, OtlpHttpSink, unused_port
from tests.delivery.app import CHILDREN
from tests.delivery.requests import numbers, payload

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def run(endpoint: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.delivery.app", endpoint, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)


def arrived(destination: Destination) -> Counter[int]:
    return Counter(number for request in destination.accepted for number in numbers(request.signal, request.body))


@pytest.mark.parametrize(
    ("mode", "code"), [("end", 0), ("sys.exit", 0), ("exception", 1), pytest.param("sigterm", -15, marks=posix)]
)
def test_acceptance_35_everything_is_at_the_destination_when_the_process_has_ended(mode: str, code: int) -> None:
    with OtlpHttpSink() as sink:
        done = run(sink.endpoint, mode)
    assert done.returncode == code, done.stderr
    assert arrived(sink.destination) == {1: 1, 2: 1}


@pytest.mark.parametrize("mode", ["end", pytest.param("sigterm", marks=posix)])
@pytest.mark.parametrize("answer", [HANG, Answer.unavailable(), None], ids=["hangs", "503", "refused"])
def test_acceptance_31_a_dead_destination_does_not_keep_a_process_alive(answer: Answer | None, mode: str) -> None:
    with OtlpHttpSink(Destination(default=answer or Answer())) as sink:
        endpoint = sink.endpoint if answer else f"http://127.0.0.1:{unused_port()}"
        start = time.monotonic()
        done = run(endpoint, mode)
        took = time.monotonic() - start
    assert done.returncode == (0 if mode == "end" else -15), done.stderr
    assert took < 5 + 3  # the start of Python with all that is imported, on a busy machine
    assert done.stderr.count("\n") <= 2
    assert "2 items were not delivered before the process ended" in done.stderr


@posix
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_acceptance_33_children_deliver_what_they_were_given_and_nothing_of_their_parent(method: str) -> None:
    with OtlpHttpSink() as sink:
        done = run(sink.endpoint, method)
    assert done.returncode == 0, done.stderr
    expected = {1, 2} | {number * 1000 + offset for number in range(1, CHILDREN + 1) for offset in range(3)}
    assert arrived(sink.destination) == dict.fromkeys(expected, 1)


@posix
@pytest.mark.parametrize("forks", [25, pytest.param(500, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
def test_acceptance_33_and_34_forks_at_random_times_neither_deadlock_nor_lose_nor_repeat_nor_count_twice(
    forks: int,
) -> None:
    with OtlpHttpSink() as sink:
        command = [sys.executable, "-m", "tests.delivery.app", sink.endpoint, "forks", str(forks)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    found = arrived(sink.destination)
    assert set(found.values()) == {1}
    children = {number * 1000 + offset for number in range(1, forks + 1) for offset in range(3)}
    assert {number for number in found if number < 10_000_000} == children | {1, 2}
    busy = {number for number in found if number >= 10_000_000}
    assert busy == set(range(10_000_001, 10_000_001 + len(busy)))


def test_nothing_is_made_before_something_is_offered_and_nothing_taken_after_shutdown() -> None:
    made: list[Delivery] = []
    metrics = Metrics()

    def make() -> Delivery:
        made.append(Delivery("app", InMemoryExporter(), Config(), metrics))
        return made[-1]

    app = AppDelivery(make, metrics, on_sigterm=False)
    assert app.force_flush(0)
    app.flush_at_exit()
    assert made == []
    assert app.offer(payload(1, 1))
    app.shutdown(5)
    app.shutdown(5)
    assert not app.offer(payload(2, 1))
    assert len(made) == 1
    assert made[0].balance().exported == 1


def test_the_end_of_a_process_is_held_up_for_one_budget_by_whoever_asks() -> None:
    metrics = Metrics()
    destination = Destination(default=HANG)
    app = AppDelivery(
        lambda: Delivery("app", InMemoryExporter(destination), Config(), metrics),
        metrics,
        exit_seconds=0.2,
        on_sigterm=False,
    )
    app.offer(payload(1, 1))
    start = time.monotonic()
    app.flush_at_exit()
    app.flush_at_exit()
    app.shutdown()
    assert time.monotonic() - start < 1.0
