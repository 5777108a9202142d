"""What happens to one request within a host: decode, process, encode, hand over to delivery."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm._generated.attributes import OtelLlmDropReasonValues as DropReason
from otel_llm._generated.attributes import OtelLlmRefusalReasonValues as RefusalReason
from otel_llm.clock import Clock
from otel_llm.codecs.triage import keep_important
from otel_llm.codecs.wire import decode_traces
from otel_llm.codecs.wire_logs import count_metrics, decode_logs
from otel_llm.delivery.fan_out import Acceptance, FanOut
from otel_llm.dialects.log_events import are_understood, details_of
from otel_llm.errors import MalformedError, RefusedError
from otel_llm.hosts.outputs import Outputs
from otel_llm.hosts.overload import Level, Overload
from otel_llm.operation import Operation
from otel_llm.pipeline import Pipeline
from otel_llm.signals import ConsumeResult, Payload, Settling, Signal
from otel_llm.telemetry import Metrics

_NORMALIZE: Final = "normalize"
# When a sender should ask again that was refused for lack of memory.
_RECOVERY_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Processed:
    """A request after processing.

    Attributes:
        payload: what is to be exported.
        received: items that came in.
        rejected: items that could not be read; the sender is told.
    """

    payload: Payload
    received: int
    rejected: int = 0


class SignalPipeline(Protocol):
    """One entry of `service.pipelines`."""

    name: str
    signal: Signal
    outputs: Outputs

    def process(self, body: bytes) -> Processed:
        """Process one request.

        Raises:
            MalformedError: it is not a request of the signal.
        """
        ...

    def pass_on(self, payload: Payload) -> Processed:
        """Process what another pipeline has made, and a connector has brought here."""
        ...

    def shed(self, processed: Processed) -> Processed:
        """Give up what matters least of a request."""
        ...


class _Counts:
    """What a pipeline counts, whatever its signal."""

    __slots__ = ("_dropped", "_duration", "_marked", "_name", "_normalized", "_processed", "_signal")

    def __init__(self, name: str, signal: Signal, metrics: Metrics) -> None:
        self._name = name
        self._signal = signal
        keys = (names.OTEL_LLM_COMPONENT_NAME, names.OTEL_LLM_SIGNAL)
        self._processed = metrics.counter(definitions.OTEL_LLM_PIPELINE_ITEMS_PROCESSED, keys)
        self._dropped = metrics.counter(
            definitions.OTEL_LLM_PIPELINE_ITEMS_DROPPED, (*keys, names.OTEL_LLM_DROP_REASON)
        )
        self._marked = metrics.counter(definitions.OTEL_LLM_PIPELINE_OPERATIONS_MARKED, keys)
        self._normalized = metrics.counter(
            definitions.OTEL_LLM_PIPELINE_OPERATIONS_NORMALIZED, (*keys, names.OTEL_LLM_DIALECT)
        )
        self._duration = metrics.histogram(definitions.OTEL_LLM_PIPELINE_DURATION, keys)

    def request(self, items: int, seconds: float) -> None:
        """A request went through."""
        self._processed.add(items, self._name, self._signal)
        self._duration.record(seconds, self._name, self._signal)

    def operations(self, operations: Sequence[Operation]) -> None:
        """What became of its operations."""
        dialects: Tally[str] = Tally()
        marked = 0
        for operation in operations:
            if not operation.is_changed:
                continue
            if operation.dropped is not None:
                self.drop(1, operation.dropped)
            marked += operation.was_set(names.OTEL_LLM_PROCESSING_ERRORS)
            if operation.was_set(names.OTEL_LLM_DIALECT):
                dialects[str(operation.get(names.OTEL_LLM_DIALECT))] += 1
        if marked:
            self._marked.add(marked, self._name, self._signal)
        for dialect, number in dialects.items():
            self._normalized.add(number, self._name, self._signal, dialect)

    def drop(self, items: int, reason: str) -> None:
        """Items that go no further."""
        self._dropped.add(items, self._name, self._signal, reason)

    def shed(self, processed: Processed) -> Processed:
        """Give up what matters least."""
        kept = keep_important(processed.payload)
        if kept.items < processed.payload.items:
            self.drop(processed.payload.items - kept.items, DropReason.OVERLOAD)
        return Processed(kept, processed.received, processed.rejected)


class TracePipeline:
    """Spans: GenAI ones through the processors, the others as they are."""

    signal: Signal = "traces"

    def __init__(self, name: str, pipeline: Pipeline, outputs: Outputs, metrics: Metrics, clock: Clock) -> None:
        self.name = name
        self.outputs = outputs
        self._pipeline = pipeline
        self._clock = clock
        self._counts = _Counts(name, self.signal, metrics)

    def process(self, body: bytes) -> Processed:
        """Process one request."""
        started = self._clock.monotonic()
        batch = decode_traces(body)
        self._pipeline.process(batch.operations)
        payload = batch.encode()
        self._counts.operations(batch.operations)
        if batch.unreadable:
            self._counts.drop(batch.unreadable, DropReason.UNREADABLE)
        self._counts.request(batch.items, self._clock.monotonic() - started)
        return Processed(payload, batch.items, batch.unreadable)

    def pass_on(self, payload: Payload) -> Processed:
        """Process what a connector brings; without processors there is no use in taking it apart again."""
        if self._pipeline.processors:
            return self.process(payload.join())
        self._counts.request(payload.items, 0.0)
        return Processed(payload, payload.items)

    def shed(self, processed: Processed) -> Processed:
        """Give up what matters least."""
        return self._counts.shed(processed)


class LogPipeline:
    """Log records: GenAI events through the processors, the others as they are."""

    signal: Signal = "logs"

    def __init__(self, name: str, pipeline: Pipeline, outputs: Outputs, metrics: Metrics, clock: Clock) -> None:
        self.name = name
        self.outputs = outputs
        self._pipeline = pipeline
        self._clock = clock
        self._counts = _Counts(name, self.signal, metrics)
        self._normalizes = any(one.name.partition("/")[0] == _NORMALIZE for one in pipeline.processors)

    def process(self, body: bytes) -> Processed:
        """Process one request."""
        started = self._clock.monotonic()
        batch = decode_logs(body)
        if self._normalizes:
            for message_events in batch.message_events():
                if are_understood(message_events.events):
                    message_events.replace(details_of(message_events.events))
        operations = batch.operations()
        self._pipeline.process(operations)
        payload = batch.encode()
        self._counts.operations(operations)
        self._counts.request(batch.items, self._clock.monotonic() - started)
        return Processed(payload, batch.items)

    def pass_on(self, payload: Payload) -> Processed:
        """As for spans."""
        if self._pipeline.processors:
            return self.process(payload.join())
        self._counts.request(payload.items, 0.0)
        return Processed(payload, payload.items)

    def shed(self, processed: Processed) -> Processed:
        """Give up what matters least."""
        return self._counts.shed(processed)


class MetricPipeline:
    """Metrics pass through."""

    signal: Signal = "metrics"

    def __init__(self, name: str, outputs: Outputs, metrics: Metrics, clock: Clock) -> None:
        self.name = name
        self.outputs = outputs
        self._clock = clock
        self._counts = _Counts(name, self.signal, metrics)

    def process(self, body: bytes) -> Processed:
        """Check and count one request."""
        started = self._clock.monotonic()
        items = count_metrics(body)
        self._counts.request(items, self._clock.monotonic() - started)
        return Processed(Payload.of("metrics", (body,), items), items)

    def pass_on(self, payload: Payload) -> Processed:
        """They were checked when they came in."""
        self._counts.request(payload.items, 0.0)
        return Processed(payload, payload.items)

    def shed(self, processed: Processed) -> Processed:
        """Give up what matters least."""
        return self._counts.shed(processed)


class Behind(Protocol):
    """What comes behind pipelines: Stages."""

    def offers(self, pipeline: SignalPipeline, payload: Payload) -> Iterable[tuple[FanOut, Payload]]:
        """Everything that a pipeline's result becomes; to be accepted as one."""
        ...

    def may_wait(self, pipeline: SignalPipeline) -> bool:
        """Whether offering it may wait for a disk."""
        ...

    def settling(self, pipeline: SignalPipeline) -> Iterable[Settling]:
        """What becomes of all that was accepted from it so far."""
        ...


class ReceiverConsumer:
    """What a receiver hands requests to: all pipelines that name it, as one.

    Args:
        receiver: its name in the configuration.
        pipelines: those that name it, by signal.
        metrics: where items are counted.
        behind: what comes behind these pipelines.
        overload: what to do when memory is short.

    Attributes:
        may_wait: consuming may wait for a disk.
        signals: those that a pipeline takes.
    """

    def __init__(
        self,
        receiver: str,
        pipelines: Mapping[Signal, Sequence[SignalPipeline]],
        metrics: Metrics,
        behind: Behind,
        *,
        overload: Overload,
    ) -> None:
        self._receiver = receiver
        self._overload = overload
        self._pipelines = pipelines
        self.signals = frozenset(pipelines)
        self._behind = behind
        self.may_wait = any(behind.may_wait(one) for several in pipelines.values() for one in several)
        keys = (names.OTEL_LLM_COMPONENT_NAME, names.OTEL_LLM_SIGNAL)
        self._received = metrics.counter(definitions.OTEL_LLM_RECEIVER_ITEMS_RECEIVED, keys)
        self._accepted = metrics.counter(definitions.OTEL_LLM_RECEIVER_ITEMS_ACCEPTED, keys)
        self._refused = metrics.counter(
            definitions.OTEL_LLM_RECEIVER_ITEMS_REFUSED, (*keys, names.OTEL_LLM_REFUSAL_REASON)
        )

    def settling(self, signal: Signal) -> Settling:
        """What becomes of all that was accepted of a signal so far, in all deliveries behind its pipelines."""
        open_ones = [one for pipeline in self._pipelines.get(signal, ()) for one in self._behind.settling(pipeline)]

        def look() -> Literal["waiting", "settled", "given up"]:
            found = {one: one() for one in open_ones}
            open_ones[:] = [one for one, said in found.items() if said != "settled"]
            if "given up" in found.values():
                return "given up"
            return "waiting" if open_ones else "settled"

        return look

    def consume(self, signal: Signal, body: bytes) -> ConsumeResult:
        """Process a request in each pipeline and hand the results over to delivery: all of them, or none.

        Raises:
            MalformedError: it is not a request of that signal.
            RefusedError: delivery has no room, or memory is short.
        """
        return self.begin(signal, body).wait()

    def begin(self, signal: Signal, body: bytes) -> Taken:
        """The same without waiting for a disk.

        Raises:
            MalformedError: it is not a request of that signal.
            RefusedError: delivery has no room, or memory is short.
        """
        pipelines = self._pipelines.get(signal, ())
        if not pipelines:
            raise MalformedError(
                f"receiver {self._receiver} is in no {signal} pipeline; add it to service.pipelines.{signal}"
            )
        level = self._overload.guard.level()
        if level is Level.NONE or (level is Level.SHORT and not self._overload.sheds):
            raise RefusedError("the process is short of memory", _RECOVERY_SECONDS, "overload")
        results = [(pipeline, pipeline.process(body)) for pipeline in pipelines]
        if level is Level.SHORT:
            results = [(pipeline, pipeline.shed(result)) for pipeline, result in results]
        offers = [offer for pipeline, result in results for offer in self._behind.offers(pipeline, result.payload)]
        received = results[0][1].received
        self._received.add(received, self._receiver, signal)
        with self.refusals(signal, received):
            return Taken(self, signal, results[0][1], Acceptance(offers))

    @contextmanager
    def refusals(self, signal: Signal, items: int) -> Iterator[None]:
        """Count items whose delivery is refused within."""
        try:
            yield
        except RefusedError as error:
            self._refused.add(items, self._receiver, signal, error.reason)
            raise

    def accepted(self, signal: Signal, processed: Processed) -> ConsumeResult:
        """Count a request that is accepted; what the sender is told."""
        rejected = processed.rejected
        self._accepted.add(processed.received - rejected, self._receiver, signal)
        if not rejected:
            return ConsumeResult()
        self._refused.add(rejected, self._receiver, signal, RefusalReason.MALFORMED)
        return ConsumeResult(rejected, f"{rejected} GenAI spans cannot be read: their bytes are not OTLP Spans")


class Taken:
    """A request that was processed and offered; an Accepting.

    Args:
        consumer: which counts.
        signal: of the request.
        processed: by its first pipeline.
        acceptance: of what all of them made.
    """

    __slots__ = ("_acceptance", "_consumer", "_processed", "_signal")

    def __init__(
        self, consumer: ReceiverConsumer, signal: Signal, processed: Processed, acceptance: Acceptance
    ) -> None:
        self._consumer = consumer
        self._signal = signal
        self._processed = processed
        self._acceptance = acceptance

    def wait(self) -> ConsumeResult:
        """Return when it is accepted.

        Raises:
            RefusedError: a disk would not have it.
        """
        with self._consumer.refusals(self._signal, self._processed.received):
            self._acceptance.wait()
        return self._consumer.accepted(self._signal, self._processed)

    def ask(self, wake: Callable[[], None]) -> ConsumeResult | None:
        """What became of it, or None; see Accepting.

        Raises:
            RefusedError: a disk would not have it.
        """
        with self._consumer.refusals(self._signal, self._processed.received):
            is_complete = self._acceptance.is_complete(wake)
        return self._consumer.accepted(self._signal, self._processed) if is_complete else None
