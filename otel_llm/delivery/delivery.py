"""Delivery: takes payloads, and sees to it that they arrive at one destination.

The laws of this module:
- `offer` never blocks on the destination, and raises when there is no room.
- `accepted = exported + dropped{reason} + queued` at all times; see account.py.
- Every wait has a deadline, but for one: without `max_elapsed_seconds` a batch is retried for as long as the process
  runs, since the queue is bounded and a sender is told to wait.
"""

from __future__ import annotations

import logging
import random as random_module
import threading
from collections.abc import Callable

from otel_llm._generated import attributes as keys
from otel_llm._generated import metrics as definitions
from otel_llm._generated.attributes import OtelLlmComponentTypeValues as ComponentType
from otel_llm._generated.attributes import OtelLlmDropReasonValues as DropReason
from otel_llm._generated.attributes import OtelLlmErrorSiteValues as ErrorSite
from otel_llm.clock import Clock, SystemClock
from otel_llm.delivery.account import Account, Balance
from otel_llm.delivery.compact import compact
from otel_llm.delivery.config import Config
from otel_llm.delivery.queue import MemoryQueue, Queue
from otel_llm.delivery.sender import Attempts, GivenUpError, Sender
from otel_llm.delivery.stopping import Stopping
from otel_llm.errors import RefusedError
from otel_llm.exporters.exporter import Exporter
from otel_llm.signals import Payload, Signal
from otel_llm.telemetry import LogLimiter, Metrics

_logger = logging.getLogger(__name__)

# How long a worker may take to notice that its exporter was shut down under it.
_ABORT_SECONDS = 0.05
# A defect must not turn the worker into a busy loop.
_PAUSE_AFTER_DEFECT_SECONDS = 0.5


class Delivery:
    """Queue, batching, retry and accounts of one exporter; all methods are thread-safe.

    Args:
        name: the exporter's name in the configuration.
        exporter: the destination; shut down together with the delivery.
        config: what the user set.
        metrics: where self-telemetry goes.
        clock: for deadlines.
        random: returns a float in [0, 1), for the jitter.
    """

    def __init__(
        self,
        name: str,
        exporter: Exporter,
        config: Config,
        metrics: Metrics,
        *,
        clock: Clock | None = None,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self.name = name
        self.signals = exporter.signals
        clock = clock or SystemClock()
        self._exporter = exporter
        self._drop_when_full = config.sending_queue.on_full == "drop"
        self._clock = clock
        self._account = Account(name, metrics, clock)
        self._queue: Queue = MemoryQueue(config.sending_queue.size_bytes, config.sending_queue.batch, clock.monotonic)
        self._stopping = Stopping(clock)
        self._sender = Sender(
            name,
            exporter,
            config,
            account=self._account,
            stopping=self._stopping,
            attempts=Attempts(name, metrics, clock),
            clock=clock,
            random=random,
        )
        self._log = LogLimiter(_logger, clock.monotonic)
        self._errors = metrics.counter(
            definitions.OTEL_LLM_INTERNAL_ERRORS,
            (keys.OTEL_LLM_ERROR_SITE, keys.ERROR_TYPE, keys.OTEL_LLM_COMPONENT_TYPE, keys.OTEL_LLM_COMPONENT_NAME),
        )
        self._lifecycle = threading.Lock()
        self._worker: threading.Thread | None = None
        labels = (keys.OTEL_LLM_COMPONENT_NAME, keys.OTEL_LLM_SIGNAL)
        self._metrics = metrics
        self._gauges = (
            metrics.gauge(definitions.OTEL_LLM_DELIVERY_QUEUE_SIZE, labels, self._sizes),
            metrics.gauge(definitions.OTEL_LLM_DELIVERY_QUEUE_CAPACITY, labels[:1], self._capacity),
        )

    def _sizes(self) -> dict[tuple[str, ...], float]:
        return {(self.name, signal): size for signal, size in self._queue.sizes().items()}

    def _capacity(self) -> dict[tuple[str, ...], float]:
        return {(self.name,): self._queue.capacity_bytes}

    def start(self) -> None:
        """Begin to deliver. Nothing happens when it was started or shut down before."""
        with self._lifecycle:
            if self._worker is None and not self._stopping.is_asked:
                self._worker = threading.Thread(target=self._run, name=f"otel-llm-delivery-{self.name}", daemon=True)
                self._worker.start()

    def offer(self, payload: Payload) -> None:
        """Take over a payload.

        Raises:
            RefusedError: there is no room, or it is shutting down. With `on_full: drop` a full queue does not raise:
                the items are accepted and dropped, and counted as such.
        """
        if payload.items:
            payload = compact(payload)
            self.commit(payload, has_room=self.reserve(payload))

    def reserve(self, payload: Payload) -> bool:
        """Keep room free for a payload; to be followed by `commit` or `cancel`.

        Returns:
            whether there is room; false only with `on_full: drop`.

        Raises:
            RefusedError: as for `offer`.
        """
        if self._queue.reserve(payload.size_bytes):
            return True
        if self._queue.is_closed:
            raise RefusedError(f"exporter {self.name} is shutting down")
        if self._drop_when_full:
            return False
        raise RefusedError(
            f"sending_queue of exporter {self.name} is full: {self._queue.size_bytes()} of "
            f"{self._queue.capacity_bytes} bytes; the destination takes less than is sent"
        )

    def cancel(self, payload: Payload, *, has_room: bool) -> None:
        """Undo a `reserve`."""
        if has_room:
            self._queue.cancel(payload.size_bytes)

    def commit(self, payload: Payload, *, has_room: bool) -> None:
        """Take over a payload after `reserve`; `has_room` is what that returned."""
        if has_room:
            self._account.accept(payload.signal, payload.items)
            self._queue.put(payload)
            return
        self._account.refuse_room(payload.signal, payload.items, DropReason.QUEUE_FULL)
        self._log.warning(
            DropReason.QUEUE_FULL,
            "exporter %s: sending_queue is full; dropped %d items (on_full: drop)",
            self.name,
            payload.items,
        )

    def balance(self, signal: Signal | None = None) -> Balance:
        """What became of the items accepted so far, at one instant."""
        return self._account.balance(signal)

    def force_flush(self, timeout_seconds: float) -> bool:
        """Deliver what was accepted before this call; returns whether all of it was settled in time."""
        self._queue.flush()
        return self._account.wait_settled(timeout_seconds)

    def shutdown(self, deadline_seconds: float) -> None:
        """Take nothing more, deliver what was accepted within the deadline, drop the rest. Idempotent.

        Returns by the deadline and 0.1 s, whatever the destination does.
        """
        self._queue.close()
        with self._lifecycle:
            if self._stopping.is_asked:
                return
            self._stopping.ask(deadline_seconds)
            worker = self._worker
        if worker is not None:
            worker.join(deadline_seconds)
        self._stopping.end()
        self._exporter.shutdown()
        if worker is not None and worker.is_alive():
            worker.join(_ABORT_SECONDS)
        given_up = self._account.close(DropReason.SHUTDOWN)
        self._queue.clear()
        for gauge in self._gauges:
            self._metrics.remove(gauge)
        if given_up:
            self._log.warning(
                DropReason.SHUTDOWN,
                "exporter %s: %d items were not delivered within the shutdown deadline of %g s; dropped",
                self.name,
                given_up,
                deadline_seconds,
            )

    def _run(self) -> None:
        while not self._stopping.is_over:
            batch: Payload | None = None
            try:
                batch = self._queue.take()
                if batch is None:
                    return
                self._sender.send(batch)
            except GivenUpError:
                return
            except Exception as error:  # noqa: BLE001 - a worker loop's top: a defect must not end delivery
                self._isolate(error, batch)
            finally:
                if batch is not None:
                    self._queue.settle(batch)

    def _isolate(self, error: Exception, batch: Payload | None) -> None:
        """Count a defect of ours or of an exporter; what it hit is dropped, the worker goes on."""
        kind = type(error).__name__
        self._errors.add(1, ErrorSite.WORKER, kind, ComponentType.DELIVERY, self.name)
        # Not the message of the exception: it may quote content.
        self._log.warning(kind, "exporter %s: unexpected %s; dropped the rest of its batch", self.name, kind)
        if batch is not None:
            self._sender.abandon(batch.signal, DropReason.INTERNAL_ERROR)
        else:
            self._stopping.wait(_PAUSE_AFTER_DEFECT_SECONDS)
