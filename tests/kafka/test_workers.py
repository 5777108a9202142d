"""Several workers as processes: they come, go and are killed under load, and every span arrives."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kafka.conftest import Topics
from tests.kafka.workers import Trial

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DISK = ", disk: {{directory: {folder}/queue, size_bytes: 67108864}}"


@pytest.fixture
def trial(topics: Topics, tmp_path: Path) -> Iterator[Callable[..., Trial]]:
    made: list[Trial] = []

    def make(**settings: str) -> Trial:
        made.append(Trial(topics, tmp_path, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_workers_that_come_and_go_in_order_lose_nothing_and_repeat_nothing(trial: Callable[..., Trial]) -> None:
    run = trial()
    first, second, third = run.workers
    first.start()
    run.wait_for(500)
    second.start()  # takes partitions over
    second.wait_until_up()
    run.wait_for(2000)
    third.start()
    third.wait_until_up()
    run.wait_for(2000)
    first.end(signal.SIGTERM)  # gives them back
    run.wait_for(2000)
    second.end(signal.SIGTERM)
    run.wait_for(1000)
    result = run.finish()
    assert (result.lost, result.twice) == ([], [])
    assert result.sent > 7000


@pytest.mark.parametrize(
    "settings", [{"queue": DISK}, {"more": "commit_after: delivered"}], ids=["on disk", "in memory, when delivered"]
)
def test_workers_that_are_killed_lose_nothing_and_repeat_what_was_not_committed(
    trial: Callable[..., Trial], settings: dict[str, str]
) -> None:
    run = trial(**settings)
    for worker in run.workers:
        worker.start()
    run.wait_for(1000)
    for number in range(6):
        worker = run.workers[number % 3]
        run.kill(worker)
        run.wait_for(500 if number % 2 else 50)  # now and then before the others have its partitions
        worker.start()
        worker.wait_until_up()
    result = run.finish()
    assert (result.lost, result.unexplained, result.kills) == ([], [], 6)
