"""The thread that takes a book's sums to the store, and brings back what the store knows.

The laws of this module: nobody but this thread waits for the store; while the store cannot be reached, it is tried ever
less often, up to a limit, and the sums go on growing in the book; nothing is thrown away but by whoever ends the
process before the store is back, and then it is said.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from otel_llm.budget.batch import CounterStore
from otel_llm.budget.book import Book
from otel_llm.budget.model import Crossing
from otel_llm.clock import Clock
from otel_llm.errors import StoreError
from otel_llm.telemetry import LogLimiter

_logger = logging.getLogger(__name__)
_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 15.0
# Two trips are no closer than this, however many calls want a lease: they are answered together.
_PAUSE_SECONDS: Final = 0.001


@dataclass(frozen=True, slots=True)
class Source:
    """Where a store is found.

    Attributes:
        open: opens it, or raises a StoreError; called on the keeper's thread, and again after a failure.
        setting: the path of the setting that names it, for messages.
    """

    open: Callable[[], CounterStore]
    setting: str


class Keeper:
    """Makes the trips. Methods may be called from any thread; `flush` from one at a time.

    Args:
        book: the sums.
        source: where the store is found.
        clock: the time.
        interval_seconds: how often a trip is made.
        on_crossings: told of thresholds that were crossed.
        on_failure: told of each trip that failed.
    """

    def __init__(
        self,
        book: Book,
        source: Source,
        clock: Clock,
        *,
        interval_seconds: float = 1.0,
        on_crossings: Callable[[list[Crossing]], None] = lambda _: None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._book = book
        self._source = source
        self._setting = source.setting
        self._clock = clock
        self._interval = interval_seconds
        self._on_crossings = on_crossings
        self._on_failure = on_failure
        self._limiter = LogLimiter(_logger, clock.monotonic)
        self._store: CounterStore | None = None
        self._failures = 0
        self._woken = threading.Condition()
        self._is_woken = False
        self._is_stopped = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin. Idempotent."""
        with self._woken:
            if self._thread is None and not self._is_stopped:
                self._thread = threading.Thread(target=self._run, name="otel-llm-budget", daemon=True)
                self._thread.start()

    def wake(self) -> None:
        """Make a trip now, unless the store is known not to answer."""
        with self._woken:
            self._is_woken = True
            self._woken.notify_all()

    def shutdown(self, deadline_seconds: float) -> None:
        """Make a last trip, and stop. Idempotent, and safe without `start`."""
        with self._woken:
            self._is_stopped = True
            self._woken.notify_all()
            thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(deadline_seconds)

    def flush(self) -> bool:
        """Make a trip; whether the store answered."""
        asked_at = self._clock.monotonic()
        try:
            if self._store is None:
                self._store = self._source.open()
            answer = self._store.apply(self._book.take(self._clock.unix_nano()))
        except StoreError as error:
            self._failed(error)
            return False
        crossings = self._book.answered(answer, asked_at, self._clock.unix_nano())
        if self._failures:
            _logger.info("%s: %s is back after %d attempts", self._setting, self._store.place, self._failures)
            self._failures = 0
        if crossings:
            self._on_crossings(crossings)
        return True

    def _failed(self, error: StoreError) -> None:
        self._failures += 1
        self._book.failed()
        self._on_failure()
        self._limiter.warning(
            "failed",
            "%s: %s; budgets go on counting here, %d sums wait until it is back",
            self._setting,
            error,
            self._book.waiting,
        )

    def _run(self) -> None:
        try:
            while self._wait():
                self.flush()
            if not self.flush() and self._book.waiting:
                _logger.error(
                    "%s: %d sums are lost, for the store did not answer before the end",
                    self._setting,
                    self._book.waiting,
                )
        finally:
            if self._store is not None:
                self._store.close()

    def _wait(self) -> bool:
        """Wait for the next trip; False when it is the last one."""
        with self._woken:
            if self._failures:
                seconds = min(_FIRST_WAIT_SECONDS * 2 ** (self._failures - 1), _LONGEST_WAIT_SECONDS)
                self._woken.wait_for(lambda: self._is_stopped, seconds)
            else:
                self._woken.wait_for(lambda: self._is_stopped, _PAUSE_SECONDS)
                self._woken.wait_for(lambda: self._is_stopped or self._is_woken, self._interval)
            self._is_woken = False
            return not self._is_stopped
