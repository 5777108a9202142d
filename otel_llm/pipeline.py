"""Ordered processors over a batch of operations.

The laws of this module:
- The order is checked when the pipeline is made: a processor that reads what only a later one writes is a start-up
  error, and so is one that reads what an earlier one has shortened.
- Failure is isolated here and nowhere else. A processor that raises loses the operation it was at, not the batch: the
  operation is marked, counted and goes on; the processor goes on with the next one.
- A pipeline may run on several threads at once, each with its own batch; processors guard what they share.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, Self, runtime_checkable

from otel_llm._generated import metrics as definitions
from otel_llm._generated.attributes import (
    ERROR_TYPE,
    OTEL_LLM_COMPONENT_NAME,
    OTEL_LLM_PROCESSING_ERRORS,
    OTEL_LLM_SIGNAL,
)
from otel_llm.clock import Clock
from otel_llm.errors import PipelineOrderError
from otel_llm.operation import Operation
from otel_llm.signals import Signal
from otel_llm.telemetry import LogLimiter, Metrics

_logger = logging.getLogger(__name__)


class Processor(Protocol):
    """One step of a pipeline.

    Attributes:
        name: as in the configuration, e.g. `cost` or `cost/strict`.
        reads: the attributes it reads.
        writes: the attributes it may set or remove.
    """

    name: str
    reads: frozenset[str]
    writes: frozenset[str]

    def process(self, operations: Iterable[Operation]) -> None:
        """Read and change operations; thread-safe.

        `operations` may be iterated several times, and leaves out operations that were dropped. When this raises within
        a loop over it, the operation the loop was at is taken to have failed; when it raises elsewhere, all of them.
        """
        ...


@runtime_checkable
class Starting(Protocol):
    """A processor that opens files or has threads."""

    def start(self) -> None:
        """Begin; before the first operations come.

        Raises:
            ConfigError: a file cannot be used. Making a processor touches none, for a check of settings makes them too.
        """
        ...


@runtime_checkable
class Running(Starting, Protocol):
    """A processor that does something beside its pipeline."""

    def shutdown(self, deadline_seconds: float) -> None:
        """Finish what can be finished in time; operations may still come, and nothing more is done for them."""
        ...


@runtime_checkable
class Successor(Protocol):
    """A processor that goes on where one of an earlier configuration stood."""

    def succeed(self, predecessor: Self) -> None:
        """Take over from the processor of the same name and type; before `start`. Both may run for a while."""
        ...


@runtime_checkable
class Shortening(Protocol):
    """A processor that leaves a part of attributes that came whole, so that none behind it may read them.

    Attributes:
        shortens: these attributes.
    """

    shortens: frozenset[str]


class _Batch:
    """The operations from `start` on, remembering how far a loop over them came."""

    __slots__ = ("_complete", "_operations", "_position", "_start")

    def __init__(self, operations: Sequence[Operation], start: int) -> None:
        self._operations = operations
        self._start = start
        self._position = start
        self._complete = True

    def __iter__(self) -> Iterator[Operation]:
        self._complete = False
        operations = self._operations[self._start :] if self._start else self._operations
        for position, operation in enumerate(operations, self._start):
            if operation.dropped is None:
                self._position = position
                yield operation
        self._complete = True

    def failed(self) -> range:
        """The positions that failed, when the processor has raised just now."""
        if self._complete:  # outside of any loop: nobody can say which
            return range(self._start, len(self._operations))
        return range(self._position, self._position + 1)


class Pipeline:
    """Processors in order.

    Args:
        processors: in the order in which they run.
        metrics: where counts and durations go.
        clock: for durations and rate limits.
        signal: what its operations are read from, for the counts.

    Raises:
        PipelineOrderError: a processor reads an attribute that only a later one writes, or an earlier one shortens.
    """

    __slots__ = ("_clock", "_duration", "_failed", "_limiter", "_processed", "_processors", "_signal")

    def __init__(
        self, processors: Sequence[Processor], metrics: Metrics, clock: Clock, signal: Signal = "traces"
    ) -> None:
        check_order(processors)
        self._processors = tuple(processors)
        self._clock = clock
        self._limiter = LogLimiter(_logger, clock.monotonic)
        self._signal = signal
        keys = (OTEL_LLM_COMPONENT_NAME, OTEL_LLM_SIGNAL)
        self._processed = metrics.counter(definitions.OTEL_LLM_PROCESSOR_OPERATIONS_PROCESSED, keys)
        self._failed = metrics.counter(definitions.OTEL_LLM_PROCESSOR_OPERATIONS_FAILED, (*keys, ERROR_TYPE))
        self._duration = metrics.histogram(definitions.OTEL_LLM_PROCESSOR_DURATION, keys)

    @property
    def processors(self) -> tuple[Processor, ...]:
        """The processors, in order."""
        return self._processors

    def process(self, operations: Sequence[Operation]) -> None:
        """Run every processor over the operations; never raises what a processor raises."""
        if not operations:
            return
        for processor in self._processors:
            started = self._clock.monotonic()
            self._run(processor, operations)
            self._duration.record(self._clock.monotonic() - started, processor.name, self._signal)
            self._processed.add(len(operations), processor.name, self._signal)

    def _run(self, processor: Processor, operations: Sequence[Operation]) -> None:
        start = 0
        while start < len(operations):
            batch = _Batch(operations, start)
            try:
                processor.process(batch)
            except Exception as error:  # noqa: BLE001 - the one place that isolates processors; counted and logged below
                failed = batch.failed()
                self._mark(processor, error, [operations[position] for position in failed])
                start = failed.stop
            else:
                return

    def _mark(self, processor: Processor, error: Exception, operations: Sequence[Operation]) -> None:
        kind = type(error).__name__
        for operation in operations:
            before = operation.get(OTEL_LLM_PROCESSING_ERRORS)
            marks = tuple(before) if isinstance(before, Sequence) and not isinstance(before, str | bytes) else ()
            operation.set(OTEL_LLM_PROCESSING_ERRORS, (*marks, f"{processor.name}:{kind}"))
        self._failed.add(len(operations), processor.name, self._signal, kind)
        # The type and the place only: an exception's text may hold content of the span.
        self._limiter.warning(
            f"{processor.name}:{kind}",
            "processor %s failed with %s at %s; %d operations go on without its result",
            processor.name,
            kind,
            _place(error),
            len(operations),
        )


def _place(error: Exception) -> str:
    """File and line where an exception was raised."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return "an unknown place"
    return f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"


def check_order(processors: Sequence[Processor]) -> None:
    """Check that no processor reads what only a later one writes, or what an earlier one shortens.

    Raises:
        PipelineOrderError: with one problem for each two processors that stand the wrong way round.
    """
    problems = []
    written: set[str] = set()
    for position, processor in enumerate(processors):
        missing = processor.reads - written - processor.writes
        for later in processors[position + 1 :]:
            late = sorted(missing & later.writes)
            missing -= later.writes
            if late:
                more = f" and {len(late) - 1} more attributes" if len(late) > 1 else ""
                problems.append(
                    f"processors: {processor.name} reads {late[0]}{more}, which only {later.name} after it writes; "
                    f"put {later.name} before {processor.name}"
                )
        written |= processor.writes
        if isinstance(processor, Shortening):
            problems += _reading_a_part(processor.name, processor.shortens, processors[position + 1 :])
    if problems:
        raise PipelineOrderError(problems)


def _reading_a_part(name: str, shortened: frozenset[str], behind: Sequence[Processor]) -> list[str]:
    return [
        f"processors: {later.name} reads {min(cut)}, of which {name} before it leaves only a part; "
        f"put {name} behind {later.name}"
        for later in behind
        if (cut := later.reads & shortened)
    ]
