"""Work for the event loop that comes from other threads."""

from __future__ import annotations

import asyncio
import threading

from otel_llm.http.mailbox import Mailbox
from tests.receivers.recording import DEADLINE_SECONDS


class _CountingLoop:
    """A loop that counts how often it was woken, and does nothing until it is told to."""

    def __init__(self) -> None:
        self.woken = 0
        self.ready: list[tuple[object, tuple[object, ...]]] = []

    def call_soon_threadsafe(self, callback: object, *args: object) -> None:
        self.woken += 1
        self.call_soon(callback, *args)

    def call_soon(self, callback: object, *args: object) -> None:
        self.ready.append((callback, args))

    def run(self) -> None:
        while self.ready:
            callback, args = self.ready.pop(0)
            callback(*args)  # type: ignore[operator]


def test_what_comes_together_wakes_the_loop_once_and_is_done_in_order() -> None:
    loop = _CountingLoop()
    mailbox = Mailbox(loop)  # type: ignore[arg-type]
    done: list[int] = []
    for number in range(10):
        mailbox.put(lambda number=number: done.append(number))  # type: ignore[misc] # defaults bind
    assert loop.woken == 1
    loop.run()
    assert done == list(range(10))
    mailbox.put(lambda: done.append(10))
    loop.run()
    assert (loop.woken, done[-1]) == (2, 10)


def test_nothing_is_left_behind_when_many_threads_put() -> None:
    done: list[int] = []

    async def run() -> None:
        mailbox, everything = Mailbox(asyncio.get_running_loop()), asyncio.Event()

        def put(first: int) -> None:
            for number in range(first, first + 500):
                mailbox.put(lambda number=number: deliver(number))  # type: ignore[misc] # defaults bind

        def deliver(number: int) -> None:
            done.append(number)
            if len(done) == 4000:
                everything.set()

        threads = [threading.Thread(target=put, args=(first,)) for first in range(0, 4000, 500)]
        for thread in threads:
            thread.start()
        await asyncio.wait_for(everything.wait(), DEADLINE_SECONDS)

    asyncio.run(run())
    assert sorted(done) == list(range(4000))
    for first in range(0, 4000, 500):
        mine = [number for number in done if first <= number < first + 500]
        assert mine == sorted(mine)


def test_what_comes_when_the_loop_is_closed_is_forgotten() -> None:
    loop = asyncio.new_event_loop()
    mailbox = Mailbox(loop)
    loop.close()
    mailbox.put(lambda: None)
