"""One batch to its destination: in pieces it takes, as often as needed, and every item counted."""

from __future__ import annotations

import logging
from collections.abc import Callable

from otel_llm._generated import attributes as keys
from otel_llm._generated import metrics as definitions
from otel_llm._generated.attributes import OtelLlmDropReasonValues as DropReason
from otel_llm._generated.attributes import OtelLlmExportOutcomeValues as Outcome
from otel_llm.clock import Clock
from otel_llm.delivery.account import Account
from otel_llm.delivery.backoff import Backoff
from otel_llm.delivery.config import Config
from otel_llm.delivery.split import split
from otel_llm.delivery.stopping import Stopping
from otel_llm.errors import MalformedError, PermanentError, RetryableError, TooLargeError
from otel_llm.exporters.exporter import Exporter, ExportResult
from otel_llm.signals import Payload, Signal
from otel_llm.telemetry import LogLimiter, Metrics

_logger = logging.getLogger(__name__)

# A backstop for exporters without a limit of their own; also what the last attempt before a deadline gets at least.
_LONGEST_ATTEMPT_SECONDS = 300.0
_SHORTEST_ATTEMPT_SECONDS = 0.01


class GivenUpError(Exception):
    """Stopping was asked for and nothing more can be delivered in time. Never leaves this package."""


class Attempts:
    """Measures the attempts of one exporter.

    Args:
        name: the exporter's name in the configuration.
        metrics: where to count.
        clock: for durations.
    """

    def __init__(self, name: str, metrics: Metrics, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        labels = (keys.OTEL_LLM_COMPONENT_NAME, keys.OTEL_LLM_SIGNAL)
        with_outcome = (*labels, keys.OTEL_LLM_EXPORT_OUTCOME)
        self._succeeded = metrics.counter(definitions.OTEL_LLM_EXPORTER_ATTEMPTS, with_outcome)
        self._failed = metrics.counter(definitions.OTEL_LLM_EXPORTER_ATTEMPTS, (*with_outcome, keys.ERROR_TYPE))
        self._duration = metrics.histogram(definitions.OTEL_LLM_EXPORTER_DURATION, with_outcome)
        self._io = metrics.counter(definitions.OTEL_LLM_EXPORTER_IO, labels)
        self._rejected = metrics.counter(definitions.OTEL_LLM_EXPORTER_ITEMS_REJECTED, labels)

    def export(self, exporter: Exporter, payload: Payload, timeout_seconds: float) -> ExportResult:
        """Export once and measure it; raises what the exporter raises."""
        start = self._clock.monotonic()
        try:
            result = exporter.export(payload, timeout_seconds)
        except RetryableError as error:
            self._count_failure(payload.signal, Outcome.RETRYABLE, error, start)
            raise
        except TooLargeError as error:
            self._count_failure(payload.signal, Outcome.TOO_LARGE, error, start)
            raise
        except PermanentError as error:
            self._count_failure(payload.signal, Outcome.PERMANENT, error, start)
            raise
        self._succeeded.add(1, self._name, payload.signal, Outcome.SUCCESS)
        self._duration.record(self._clock.monotonic() - start, self._name, payload.signal, Outcome.SUCCESS)
        self._io.add(payload.size_bytes, self._name, payload.signal)
        if result.rejected:
            self._rejected.add(result.rejected, self._name, payload.signal)
        return result

    def _count_failure(self, signal: Signal, outcome: str, error: Exception, start: float) -> None:
        self._failed.add(1, self._name, signal, outcome, type(error).__name__)
        self._duration.record(self._clock.monotonic() - start, self._name, signal, outcome)


class Sender:
    """Delivers batches, one at a time, on the worker's thread.

    Args:
        name: the exporter's name in the configuration.
        exporter: the destination.
        config: limits and retries.
        account: told about every item.
        stopping: ends waits.
        attempts: measures.
        clock: for the time retries may take.
        random: returns a float in [0, 1).
    """

    def __init__(  # noqa: PLR0913 - it is the one place where all parts of a delivery meet
        self,
        name: str,
        exporter: Exporter,
        config: Config,
        *,
        account: Account,
        stopping: Stopping,
        attempts: Attempts,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._name = name
        self._exporter = exporter
        self._limits = config.sending_queue.batch
        self._retry = config.retry_on_failure
        self._account = account
        self._stopping = stopping
        self._attempts = attempts
        self._clock = clock
        self._random = random
        self._log = LogLimiter(_logger, clock.monotonic)
        self._open_items = 0

    def send(self, batch: Payload) -> None:
        """Deliver a batch; when this returns, each of its items is exported or dropped.

        Raises:
            GivenUpError: there is no time left; what is not settled yet stays queued in the account.
        """
        self._open_items = batch.items
        parts = [batch]
        while parts:
            part = parts.pop()
            halves = self._halves(part) if part.size_bytes > self._limits.max_size_bytes else None
            if halves is None:
                halves = self._deliver(part)
            if halves is not None:
                parts += reversed(halves)

    def abandon(self, signal: Signal, reason: str) -> None:
        """Drop what `send` left unsettled when it failed."""
        if self._open_items:
            self._account.drop(signal, self._open_items, reason)
            self._open_items = 0

    def _deliver(self, part: Payload) -> tuple[Payload, Payload] | None:
        """Try until the part is settled; its halves when the destination finds it too large."""
        backoff = Backoff(self._retry.initial_interval_seconds, self._retry.max_interval_seconds, self._random)
        start = self._clock.monotonic()
        while True:
            try:
                result = self._attempts.export(self._exporter, part, self._attempt_seconds())
            except RetryableError as error:
                if not self._wait_to_retry(backoff, error, start):
                    self._drop(part, DropReason.RETRIES_EXHAUSTED, error)
                    return None
            except TooLargeError as error:
                halves = self._halves(part)
                if halves is None:
                    self._drop(part, DropReason.TOO_LARGE, error)
                return halves
            except PermanentError as error:
                self._drop(part, DropReason.PERMANENT_ERROR, error)
                return None
            else:
                self._settle(part, result)
                return None

    def _attempt_seconds(self) -> float:
        if self._stopping.is_over:
            raise GivenUpError
        return min(max(self._stopping.remaining_seconds(), _SHORTEST_ATTEMPT_SECONDS), _LONGEST_ATTEMPT_SECONDS)

    def _wait_to_retry(self, backoff: Backoff, error: RetryableError, start: float) -> bool:
        """Wait before the next attempt; false when retrying has taken its time."""
        delay = backoff.next(error.retry_after_seconds)
        now = self._clock.monotonic()
        limit = self._retry.max_elapsed_seconds
        if limit is not None and now + delay - start > limit:
            return False
        self._log.warning("retry", "exporter %s: %s; the items are kept and sent again", self._name, error)
        was_asked = self._stopping.is_asked
        self._wait(now + delay)
        if self._stopping.is_asked and not was_asked:
            backoff.reset()
            if error.retry_after_seconds is not None:  # it asked for this wait; our own may be cut short
                self._wait(now + delay)
        return True

    def _wait(self, until: float) -> None:
        """Wait until then, or until stopping is asked for; gives up at once when there is not so much time."""
        delay = until - self._clock.monotonic()
        if delay > self._stopping.remaining_seconds():
            raise GivenUpError
        self._stopping.wait(delay)

    def _halves(self, part: Payload) -> tuple[Payload, Payload] | None:
        try:
            return split(part)
        except MalformedError:  # what cannot be taken apart goes or stays as it is
            return None

    def _settle(self, part: Payload, result: ExportResult) -> None:
        rejected = max(0, min(result.rejected, part.items))
        self._open_items -= part.items
        if part.items > rejected:
            self._account.export(part.signal, part.items - rejected)
        if rejected:
            self._account.drop(part.signal, rejected, DropReason.REJECTED)
            self._log.warning(
                "rejected", "exporter %s: %d of %d items rejected: %s", self._name, rejected, part.items, result.message
            )
        elif result.message:
            self._log.warning("message", "exporter %s: the destination warns: %s", self._name, result.message)

    def _drop(self, part: Payload, reason: str, error: Exception) -> None:
        self._open_items -= part.items
        self._account.drop(part.signal, part.items, reason)
        self._log.warning(reason, "exporter %s: %s; dropped %d items (%s)", self._name, error, part.items, reason)
