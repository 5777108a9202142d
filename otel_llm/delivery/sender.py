"""One batch to its destination: in pieces it takes, as often as needed, and every item counted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from otel_llm._generated import attributes as keys
from otel_llm._generated import metrics as definitions
from otel_llm._generated.attributes import OtelLlmDropReasonValues as DropReason
from otel_llm._generated.attributes import OtelLlmExportOutcomeValues as Outcome
from otel_llm.clock import Clock
from otel_llm.delivery.account import Account
from otel_llm.delivery.backoff import Backoff
from otel_llm.delivery.config import Config
from otel_llm.delivery.shorten import shorten
from otel_llm.delivery.split import split
from otel_llm.delivery.stopping import Stopping
from otel_llm.errors import (
    CredentialsError,
    ExportError,
    MalformedError,
    PermanentError,
    RejectedError,
    RetryableError,
    TooLargeError,
)
from otel_llm.exporters.exporter import Exporter, ExportResult
from otel_llm.signals import Payload, Signal
from otel_llm.telemetry import LogLimiter, Metrics

_logger = logging.getLogger(__name__)

# A backstop for exporters without a limit of their own; also what the last attempt before a deadline gets at least.
_LONGEST_ATTEMPT_SECONDS = 300.0
_SHORTEST_ATTEMPT_SECONDS = 0.01
# Finding 4 bad items among 8192 takes about 100 refusals.
_MOST_REFUSALS = 128


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
        self._shortened = metrics.counter(definitions.OTEL_LLM_DELIVERY_ITEMS_SHORTENED, labels)
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

    def shortened(self, signal: Signal) -> None:
        """An item was exported with its content cut."""
        self._shortened.add(1, self._name, signal)

    def _count_failure(self, signal: Signal, outcome: str, error: Exception, start: float) -> None:
        self._failed.add(1, self._name, signal, outcome, type(error).__name__)
        self._duration.record(self._clock.monotonic() - start, self._name, signal, outcome)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A destination that does not take what it is sent.

    Attributes:
        since: the first failure after the last success, by the monotonic clock.
        problem: what it said last; may be shown.
        retry_at: when it is tried again, by the monotonic clock.
        is_its_wish: it asked for that time itself.
        is_cut_by_stopping: stopping had not been asked for when that time was set, so it ends the wait.
    """

    since: float
    problem: str
    retry_at: float
    is_its_wish: bool
    is_cut_by_stopping: bool


class Sender:
    """Delivers batches, one at a time, on the worker's thread.

    It is also the breaker: after a failure that may pass, nothing is sent to the destination until its wait is over,
    then one batch; the waits grow from batch to batch until something succeeds.

    Args:
        name: the exporter's name in the configuration.
        exporter: the destination.
        config: limits and retries.
        account: told about every item.
        stopping: ends waits.
        attempts: measures.
        clock: for the time retries may take.
        random: returns a float in [0, 1).
        park: keeps what is refused for good, with the reason; returns whether it did.

    Attributes:
        trouble: what is wrong with the destination, None while it takes what it is sent.
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
        park: Callable[[Payload, str], bool] = lambda payload, note: False,  # noqa: ARG005 - nowhere to keep it
    ) -> None:
        self._name = name
        self._exporter = exporter
        self._limits = config.sending_queue.batch
        self._max_elapsed = config.retry_on_failure.max_elapsed_seconds
        self._gives_up_unauthorized = config.retry_on_failure.when_unauthorized == "give_up"
        self._account = account
        self._stopping = stopping
        self._attempts = attempts
        self._clock = clock
        self._park = park
        self._log = LogLimiter(_logger, clock.monotonic)
        self._backoff = Backoff(
            config.retry_on_failure.initial_interval_seconds, config.retry_on_failure.max_interval_seconds, random
        )
        # What of the batch is not settled, the part that is on its way last; and how often it was refused.
        self._parts: list[Payload] = []
        self._refusals = 0
        self._shortened: Payload | None = None
        self.trouble: Trouble | None = None

    def send(self, batch: Payload) -> None:
        """Deliver a batch; when this returns, each of its items is exported, parked or dropped.

        Raises:
            GivenUpError: there is no time left; what is not settled yet stays queued in the account.
        """
        self._parts = [batch]
        self._refusals = 0
        while self._parts:
            part = self._parts[-1]
            smaller = self._halves(part) if part.size_bytes > self._limits.max_size_bytes else ()
            if not smaller:
                smaller = self._deliver(part)
            self._parts.pop()
            self._parts += reversed(smaller)

    def abandon(self, reason: str) -> None:
        """Give up what `send` left unsettled when it failed."""
        while self._parts:
            self._give_up(self._parts.pop(), reason, reason)

    def _deliver(self, part: Payload) -> tuple[Payload, ...]:
        """Try until the part is settled; what to try in its place when the destination would take that better."""
        start = self._clock.monotonic()
        while True:
            self._pause()
            was_asked = self._stopping.is_asked
            try:
                result = self._attempts.export(self._exporter, part, self._attempt_seconds())
            except RetryableError as error:
                if self._gives_up_unauthorized and isinstance(error, CredentialsError):
                    self._answered()
                    self._drop(part, DropReason.PERMANENT_ERROR, error)
                    return ()
                if not self._may_retry(error, start, was_asked=was_asked):
                    self._drop(part, DropReason.RETRIES_EXHAUSTED, error)
                    return ()
            except TooLargeError as error:
                return self._refused(part, DropReason.TOO_LARGE, error)
            except RejectedError as error:
                return self._refused(part, DropReason.PERMANENT_ERROR, error)
            except PermanentError as error:
                self._answered()
                self._drop(part, DropReason.PERMANENT_ERROR, error)
                return ()
            else:
                self._answered()
                self._settle(part, result)
                return ()

    def _refused(self, part: Payload, reason: str, error: ExportError) -> tuple[Payload, ...]:
        """The halves of a part that was refused for what is in it, or a shorter one; without any it is given up.

        A destination that refuses everything is not asked about every single item.
        """
        self._answered()
        self._refusals += 1
        smaller: tuple[Payload, ...] = self._halves(part) if self._refusals < _MOST_REFUSALS else ()
        if not smaller and reason == DropReason.TOO_LARGE:
            smaller = self._shorter(part, error)
        if not smaller:
            self._drop(part, reason, error)
        return smaller

    def _shorter(self, part: Payload, error: ExportError) -> tuple[Payload, ...]:
        """A single item with its content cut: to our own limit at first, then to half each time."""
        shorter = shorten(part, min(self._limits.max_size_bytes, part.size_bytes // 2))
        if shorter is None:
            return ()
        self._shortened = shorter
        self._log.warning("shortened", "exporter %s: %s; the content of an item was cut", self._name, error)
        return (shorter,)

    def _attempt_seconds(self) -> float:
        if self._stopping.is_over:
            raise GivenUpError
        return min(max(self._stopping.remaining_seconds(), _SHORTEST_ATTEMPT_SECONDS), _LONGEST_ATTEMPT_SECONDS)

    def _answered(self) -> None:
        """The destination answered for good: the breaker closes.

        After the end that is too late: what was queued was counted, or another delivery sends it again.
        """
        if self._stopping.is_over:
            raise GivenUpError
        if self.trouble is not None:
            self.trouble = None
            self._backoff.reset()

    def _may_retry(self, error: RetryableError, start: float, *, was_asked: bool) -> bool:
        """Note when the destination may be tried again; false when the part has had its time.

        An attempt during which stopping was asked for (`was_asked` is from before it) is followed by another at once,
        unless the destination wants to be left alone.
        """
        now = self._clock.monotonic()
        is_its_wish = error.retry_after_seconds is not None
        delay = self._backoff.next(error.retry_after_seconds)
        is_asked = self._stopping.is_asked  # once: what is asked for from here on cuts the wait
        if is_asked and not was_asked and not is_its_wish:
            self._backoff.reset()
            delay = 0.0
        since = now if self.trouble is None else self.trouble.since
        is_cut = not is_its_wish and not is_asked
        self.trouble = Trouble(since, str(error), now + delay, is_its_wish, is_cut)
        if self._max_elapsed is not None and now + delay - start > self._max_elapsed:
            return False
        self._log.warning("retry", "exporter %s: %s; the items are kept and sent again", self._name, error)
        return True

    def _pause(self) -> None:
        """Wait until the destination may be tried again.

        A wait of our own ends when stopping is asked for, one that the destination asked for does not.
        """
        trouble = self.trouble
        if trouble is None:
            return
        if not trouble.is_cut_by_stopping:
            self._wait(trouble.retry_at)
            self._wait(trouble.retry_at)  # the first ends when stopping is asked for
            return
        if self._stopping.wait_until_asked(trouble.retry_at - self._clock.monotonic()):
            self._backoff.reset()

    def _wait(self, until: float) -> None:
        """Wait until then, or until stopping is asked for; gives up at once when there is not so much time."""
        delay = until - self._clock.monotonic()
        if delay > self._stopping.remaining_seconds():
            raise GivenUpError
        if delay > 0:
            self._stopping.wait(delay)

    def _halves(self, part: Payload) -> tuple[Payload, ...]:
        """Two halves, or nothing when there are not two items."""
        try:
            return split(part) or ()
        except MalformedError:  # what cannot be taken apart goes or stays as it is
            return ()

    def _settle(self, part: Payload, result: ExportResult) -> None:
        if part is self._shortened:
            self._attempts.shortened(part.signal)
        rejected = max(0, min(result.rejected, part.items))
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
        what = self._give_up(part, reason, f"{reason}: {error}")
        self._log.warning(reason, "exporter %s: %s; %s %d items (%s)", self._name, error, what, part.items, reason)

    def _give_up(self, part: Payload, reason: str, note: str) -> str:
        """Park or drop a part; returns which."""
        is_parked = self._park(part, note)
        self._account.drop(part.signal, part.items, DropReason.PARKED if is_parked else reason)
        return "parked" if is_parked else "dropped"
