"""What a supervisor and a worker say to each other."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from otel_llm.hosts.worker_channel import METRICS, STATUS, SupervisorEnd, WorkerEnd


class Pair:
    """Both ends; `release` lets the answer about metrics go."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.release, self.ended = threading.Event(), threading.Event()
        self.supervisor = SupervisorEnd(ours)
        self.worker = WorkerEnd(self.theirs, {METRICS: self._slow, STATUS: lambda: b"s" * 300_000}, self.ended.set)

    def _slow(self) -> bytes:
        self.release.wait(10)
        return b"metrics"


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.release.set()
    made.supervisor.close()
    made.theirs.close()


def test_a_worker_is_ready_when_it_says_so_and_answers_from_then_on(pair: Pair) -> None:
    assert pair.supervisor.ask(STATUS, 1) is None
    assert not pair.supervisor.wait_ready(0.01)
    pair.worker.start()
    assert pair.supervisor.wait_ready(10)
    assert pair.supervisor.ask(STATUS, 10) == b"s" * 300_000


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(pair: Pair) -> None:
    pair.worker.start()
    assert pair.supervisor.wait_ready(10)
    assert pair.supervisor.ask(METRICS, 0.01) is None
    pair.release.set()
    assert pair.supervisor.ask(STATUS, 10) == b"s" * 300_000


def test_a_worker_learns_that_its_supervisor_is_gone(pair: Pair) -> None:
    pair.worker.start()
    assert not pair.ended.is_set()
    pair.supervisor.close()
    assert pair.ended.wait(10)


def test_a_worker_that_is_gone_is_not_ready_and_gives_no_answer(pair: Pair) -> None:
    pair.theirs.shutdown(socket.SHUT_RDWR)
    assert not pair.supervisor.wait_ready(10)
    assert pair.supervisor.ask(STATUS, 10) is None
