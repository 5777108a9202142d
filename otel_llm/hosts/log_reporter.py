"""Brings our own log records from the components that emit them to the logs pipelines."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm._generated.attributes import OtelLlmDropReasonValues as DropReason
from otel_llm.clock import Clock
from otel_llm.codecs.log_records import encode_log_records
from otel_llm.errors import RefusedError
from otel_llm.log_records import LogRecord, LogRecords
from otel_llm.signals import Payload
from otel_llm.telemetry import LogLimiter, Metrics

_logger = logging.getLogger(__name__)
_WAIT_SECONDS: Final = 0.5
_MOST_WAITING: Final = 10_000


class LogReporter:
    """A thread that hands records over as they come.

    Without a logs pipeline nobody gets them; they are counted as dropped, and a line says so.

    Args:
        records: where components emit.
        pipelines: what takes a payload into each of the logs pipelines that run now; asked for each time, as a reload
            changes them.
        resource: attributes of this process.
        metrics: where records are counted.
        clock: for how often a line is logged.
    """

    def __init__(
        self,
        records: LogRecords,
        pipelines: Callable[[], Sequence[Callable[[Payload], None]]],
        resource: Mapping[str, str],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._records = records
        self._pipelines = pipelines
        self._resource = resource
        self._limiter = LogLimiter(_logger, clock.monotonic)
        self._emitted = metrics.counter(definitions.OTEL_LLM_RECORDS_EMITTED, ())
        self._dropped = metrics.counter(definitions.OTEL_LLM_RECORDS_DROPPED, (names.OTEL_LLM_DROP_REASON,))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otel-llm-records", daemon=True)
        self._waiting: list[LogRecord] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def shutdown(self, deadline_seconds: float) -> None:
        """Hand over what was emitted until now, then stop. Idempotent, and safe without `start`."""
        self._stopped.set()
        self._records.close()
        if self._thread.ident is not None:
            self._thread.join(deadline_seconds)
        self._hand_over(self._records.take())
        self._drop(len(self._waiting), DropReason.SHUTDOWN)
        self._waiting = []

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._hand_over(self._records.take(_WAIT_SECONDS))

    def _hand_over(self, records: list[LogRecord]) -> None:
        self._emitted.add(len(records))
        self._drop(self._records.take_dropped(), DropReason.QUEUE_FULL)
        waiting = self._waiting + records
        self._waiting = []
        if not waiting:
            return
        pipelines = self._pipelines()
        if not pipelines:
            self._drop(len(waiting), DropReason.NO_PIPELINE)
            return
        payload = encode_log_records(waiting, self._resource)
        refused = 0
        for offer in pipelines:
            try:
                offer(payload)
            except RefusedError:
                refused += 1
        if refused == len(pipelines):  # later, then; but if some took them, others would get them twice
            self._drop(max(0, len(waiting) - _MOST_WAITING), DropReason.QUEUE_FULL)
            self._waiting = waiting[-_MOST_WAITING:]
            self._stopped.wait(_WAIT_SECONDS)

    def _drop(self, records: int, reason: str) -> None:
        if records:
            self._dropped.add(records, reason)
            self._limiter.warning(reason, "%d log records of our own are dropped: %s", records, _REASONS[reason])


_REASONS: Final[Mapping[str, str]] = {
    DropReason.QUEUE_FULL: "the logs pipelines take no more for now",
    DropReason.SHUTDOWN: "the process stops",
    DropReason.NO_PIPELINE: "no logs pipeline is configured; add one to service.pipelines",
}
