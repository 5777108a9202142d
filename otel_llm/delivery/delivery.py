"""Delivery: takes payloads, and sees to it that they arrive at one destination.

The laws of this module:
- `offer` never blocks on the destination, and raises when there is no room.
- `accepted = exported + dropped{reason} + queued` at all times; see account.py.
- Every wait has a deadline, but for one: without `max_elapsed_seconds` a batch is retried for as long as the process
  runs, since the queue is bounded and a sender is told to wait.
- With a queue on disk, what was not delivered when the process ends is delivered by the next one.
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
from otel_llm.codecs.triage import keep_important
from otel_llm.delivery.account import Account, Balance
from otel_llm.delivery.compact import compact
from otel_llm.delivery.config import Config
from otel_llm.delivery.dead_letters import DeadLetters
from otel_llm.delivery.queue import MemoryQueue, Queue
from otel_llm.delivery.sender import Attempts, GivenUpError, Sender
from otel_llm.delivery.status import DeliveryStatus, signal_status
from otel_llm.delivery.stopping import Stopping
from otel_llm.delivery.storage import Storage
from otel_llm.errors import RefusedError
from otel_llm.exporters.exporter import Exporter
from otel_llm.signals import SIGNALS, Payload, Settling, Signal
from otel_llm.telemetry import LogLimiter, Metrics

_logger = logging.getLogger(__name__)

# How long a worker may take to notice that its exporter was shut down under it.
_ABORT_SECONDS = 0.05
# With `on_full: drop`, what matters less finds the queue full from here on.
_ORDINARY_PART = 0.9
# How long a delivery goes on when another one waits for its queue: enough for an answer that is on its way.
_HANDOVER_SECONDS = 1.0
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
        storage: opens queues on disk; without one, a queue that is configured to be there has it to itself.

    Attributes:
        may_wait: an offer may wait for the disk.

    Raises:
        ConfigError: the queue on disk cannot be used.
    """

    def __init__(  # noqa: PLR0913 - name, destination and settings, and what tests put in the place of the system
        self,
        name: str,
        exporter: Exporter,
        config: Config,
        metrics: Metrics,
        *,
        clock: Clock | None = None,
        random: Callable[[], float] = random_module.random,
        storage: Storage | None = None,
    ) -> None:
        self.name = name
        self.signals = exporter.signals
        clock = clock or SystemClock()
        self._exporter = exporter
        self._drop_when_full = config.sending_queue.on_full == "drop"
        self._clock = clock
        disk = config.sending_queue.disk
        self.may_wait = disk is not None and disk.sync == "always"
        self._queue: Queue
        self._dead_letters: DeadLetters | None = None
        if disk is None:
            self._account = Account(name, metrics, clock)
            self._queue = MemoryQueue(
                config.sending_queue.size_bytes, config.sending_queue.batch, clock.monotonic, self._account.accept
            )
        else:
            queue = (storage or Storage(metrics, clock)).open(name, config.sending_queue, disk)
            self._queue, self._account = queue, queue.shelf.account
            self._dead_letters = queue.shelf.dead_letters
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
            park=self._park,
        )
        self._log = LogLimiter(_logger, clock.monotonic)
        self._errors = metrics.counter(
            definitions.OTEL_LLM_INTERNAL_ERRORS,
            (keys.OTEL_LLM_ERROR_SITE, keys.ERROR_TYPE, keys.OTEL_LLM_COMPONENT_TYPE, keys.OTEL_LLM_COMPONENT_NAME),
        )
        self._lifecycle = threading.Lock()
        self._ending = threading.Lock()
        self._is_ended = False
        self._worker: threading.Thread | None = None
        labels = (keys.OTEL_LLM_COMPONENT_NAME, keys.OTEL_LLM_SIGNAL)
        self._metrics = metrics
        self._gauges = (
            metrics.gauge(definitions.OTEL_LLM_DELIVERY_QUEUE_SIZE, labels, self._sizes),
            metrics.gauge(definitions.OTEL_LLM_DELIVERY_QUEUE_CAPACITY, labels[:1], self._capacity),
            metrics.gauge(definitions.OTEL_LLM_DELIVERY_ITEMS_PARKED, labels[:1], self._parked),
            metrics.gauge(definitions.OTEL_LLM_DELIVERY_DAMAGED_FILES, labels[:1], self._damaged),
        )

    def _sizes(self) -> dict[tuple[str, ...], float]:
        return {(self.name, signal): size for signal, size in self._queue.sizes().items()}

    def _capacity(self) -> dict[tuple[str, ...], float]:
        return {(self.name,): self._queue.capacity_bytes}

    def _parked(self) -> dict[tuple[str, ...], float]:
        return {} if self._dead_letters is None else {(self.name,): self._dead_letters.items()}

    def _damaged(self) -> dict[tuple[str, ...], float]:
        return {(self.name,): self._queue.damaged_segments} if self._queue.is_durable else {}

    def unregister(self) -> None:
        """Show its gauges no more. Idempotent; takes no lock of its own, for after a fork one may be held for ever."""
        self._account.retire()
        for gauge in self._gauges:
            self._metrics.remove(gauge)

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
            taken = self.reserve(payload)
            if taken is not None:
                self.secure(taken, self.put(taken))
            self.drop_full(payload.signal, payload.items - (0 if taken is None else taken.items))

    def reserve(self, payload: Payload) -> Payload | None:
        """Keep room free for a payload; to be followed by `put` and `secure`, or by `cancel`.

        Returns:
            what there is room for: the payload, and with `on_full: drop` perhaps what matters most of it, or None.

        Raises:
            RefusedError: as for `offer`.
        """
        if (not self._drop_when_full or self._is_roomy(payload)) and self._queue.reserve(payload):
            return payload
        if self._queue.is_closed:
            raise RefusedError(f"exporter {self.name} is shutting down", reason="shutting_down")
        if self._drop_when_full:
            kept = compact(keep_important(payload))
            return kept if kept.items and self._queue.reserve(kept) else None
        if problem := self._queue.problem():
            text = f"sending_queue of exporter {self.name} cannot be written: {problem}"
            raise RefusedError(text, reason="disk_failing")
        raise RefusedError(
            f"sending_queue of exporter {self.name} is full: {self._queue.size_bytes()} of "
            f"{self._queue.capacity_bytes} bytes; the destination takes less than is sent"
        )

    def _is_roomy(self, payload: Payload) -> bool:
        """Whether a payload fits without the last of the room, which is for what matters most: see codecs/triage.py."""
        size = self._queue.size_bytes()
        return not size or size + payload.size_bytes <= _ORDINARY_PART * self._queue.capacity_bytes

    def cancel(self, payload: Payload) -> None:
        """Undo a `reserve`."""
        self._queue.cancel(payload)

    def put(self, payload: Payload) -> int:
        """Take over a payload for which there is room; returns the ticket for `secure`.

        Raises:
            RefusedError: the disk would not have it.
        """
        return self._queue.put(payload)

    def secure(self, payload: Payload, ticket: int) -> None:
        """Return when a payload that was put is as safe as the queue makes it.

        Raises:
            RefusedError: the disk would not have it.
        """
        self._queue.secure(payload.signal, ticket)

    def is_secure(self, payload: Payload, ticket: int, wake: Callable[[], None]) -> bool:
        """Whether `secure` would return at once; if not, `wake` is called once when it would, on any thread.

        Raises:
            RefusedError: the disk would not have it.
        """
        return self._queue.is_secure(payload.signal, ticket, wake)

    @property
    def is_durable(self) -> bool:
        """Whether what it accepted survives the process."""
        return self._queue.is_durable

    def drop_full(self, signal: Signal, items: int) -> None:
        """Accept and drop items for which there is no room, as `on_full: drop` has it."""
        if not items:
            return
        self._account.refuse_room(signal, items, DropReason.QUEUE_FULL)
        self._log.warning(
            DropReason.QUEUE_FULL,
            "exporter %s: sending_queue is full; dropped %d items (on_full: drop)",
            self.name,
            items,
        )

    def _park(self, payload: Payload, note: str) -> bool:
        return self._dead_letters is not None and self._dead_letters.put(payload, note)

    def balance(self, signal: Signal | None = None) -> Balance:
        """What became of the items accepted so far, at one instant."""
        return self._account.balance(signal)

    def settling(self, signal: Signal) -> Settling:
        """What becomes of all that was accepted of a signal before this call."""
        return self._account.settling(signal)

    def status(self) -> DeliveryStatus:
        """What there is to say about it now."""
        trouble, now = self._sender.trouble, self._clock.monotonic()
        balances = {signal: self._account.balance(signal) for signal in SIGNALS}
        return DeliveryStatus(
            name=self.name,
            queue="disk" if self._queue.is_durable else "memory",
            size_bytes=self._queue.size_bytes(),
            capacity_bytes=self._queue.capacity_bytes,
            signals={signal: signal_status(one) for signal, one in balances.items() if one.accepted},
            failing_seconds=None if trouble is None else now - trouble.since,
            problem=self._queue.problem() if trouble is None else trouble.problem,
            retry_in_seconds=None if trouble is None else max(trouble.retry_at - now, 0.0),
            dead_letter_items=0 if self._dead_letters is None else self._dead_letters.items(),
            damaged_segments=self._queue.damaged_segments,
        )

    def force_flush(self, timeout_seconds: float) -> bool:
        """Deliver what was accepted before this call; returns whether all of it was settled in time."""
        self._queue.flush()
        return self._account.wait_settled(timeout_seconds)

    def shutdown(self, deadline_seconds: float) -> None:
        """Take nothing more and deliver what was accepted within the deadline. Idempotent.

        What is not delivered by then is dropped, and counted as such, when the queue is in memory; on disk it is kept
        for the next process, or after a reload for the delivery that takes its place, which does not wait for long.
        Returns by the deadline and 0.1 s, whatever the destination does.
        """
        self._queue.close()
        with self._lifecycle:
            if self._stopping.is_asked:
                return
            if self._queue.has_successor:
                deadline_seconds = min(deadline_seconds, _HANDOVER_SECONDS)
            self._stopping.ask(deadline_seconds)
            worker = self._worker
        if worker is not None:
            worker.join(deadline_seconds)
        self._end(worker, f"within the shutdown deadline of {deadline_seconds:g} s")

    def abandon(self) -> None:
        """Stop at once: nothing more is tried, what was accepted is counted and, in memory, dropped. Idempotent."""
        self._queue.close()
        self._stopping.ask(0.0)
        self._end(self._worker, "before the process was told to stop at once")

    def _end(self, worker: threading.Thread | None, when: str) -> None:
        with self._ending:
            if self._is_ended:
                return
            self._is_ended = True
            self._stopping.end()
            self._exporter.shutdown()
            if worker is not None and worker.is_alive():
                worker.join(_ABORT_SECONDS)
            self._queue.leave()
            is_last = self._queue.release()
            if self._queue.is_durable:  # another delivery of this name goes on with it after a reload
                left, what = self._account.balance().queued if is_last else 0, "kept on disk for the next start"
            else:
                left, what = self._account.close(DropReason.SHUTDOWN), "dropped"
            for gauge in self._gauges:
                self._metrics.remove(gauge)
            if left:
                self._log.warning(
                    DropReason.SHUTDOWN, "exporter %s: %d items were not delivered %s; %s", self.name, left, when, what
                )

    def _run(self) -> None:
        try:
            self._deliver()
        finally:
            self._queue.leave()

    def _deliver(self) -> None:
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
            if batch is not None:
                self._queue.settle(batch)

    def _isolate(self, error: Exception, batch: Payload | None) -> None:
        """Count a defect of ours or of an exporter; what it hit is dropped, the worker goes on."""
        kind = type(error).__name__
        self._errors.add(1, ErrorSite.WORKER, kind, ComponentType.DELIVERY, self.name)
        # Not the message of the exception: it may quote content.
        self._log.warning(kind, "exporter %s: unexpected %s; dropped the rest of its batch", self.name, kind)
        if batch is not None:
            self._sender.abandon(DropReason.INTERNAL_ERROR)
        else:
            self._stopping.wait(_PAUSE_AFTER_DEFECT_SECONDS)
