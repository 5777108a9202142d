"""The three OTLP signals, and one export request of a signal on its way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

Signal = Literal["traces", "metrics", "logs"]
SIGNALS: tuple[Signal, ...] = ("traces", "metrics", "logs")

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Payload:
    """Spans, data points or log records ready to be exported.

    Attributes:
        signal: which OTLP service the payload is for.
        buffers: joined in order, the serialized `Export{Trace,Metrics,Logs}ServiceRequest`. Kept in pieces because most
            of them are slices of what was received; joining two payloads' buffers gives one valid request, since
            protobuf messages merge by concatenation.
        items: spans, data points or log records in it.
        size_bytes: the sum of the buffers' lengths.
        batch_id: what tells a batch on its way to a destination from every other; the same when it is sent again, also
            after a restart when the queue is on disk. Empty as long as it is no batch.
    """

    signal: Signal
    buffers: tuple[Buffer, ...]
    items: int
    size_bytes: int
    batch_id: str = ""

    @classmethod
    def of(cls, signal: Signal, buffers: tuple[Buffer, ...], items: int) -> Payload:
        """A payload whose size is counted from its buffers."""
        return cls(signal, buffers, items, sum(map(len, buffers)))

    def join(self) -> bytes:
        """The serialized request in one piece."""
        return b"".join(self.buffers)


@dataclass(frozen=True, slots=True)
class ConsumeResult:
    """What became of a request that was accepted: OTLP's partial success.

    Attributes:
        rejected: items that will not be exported, 0 when all were accepted.
        message: why, for a person; empty when there is nothing to say.
    """

    rejected: int = 0
    message: str = ""


class Settling(Protocol):
    """Tells what became of everything that had been accepted when it was made; thread-safe."""

    def __call__(self) -> Literal["waiting", "settled", "given up"]:
        """`settled` when all of it is delivered, or counted as dropped for a reason that sending again does not mend.

        `given up` when a part was dropped because there was no time left for it: who has it still may send it again.
        """
        ...


class Accepting(Protocol):
    """A request that was taken, and is accepted when something has happened that no thread has to wait for."""

    def ask(self, wake: Callable[[], None]) -> ConsumeResult | None:
        """What became of it. None when nobody knows yet: then `wake` is called once when it is worth asking again.

        That may be on any thread, and before this returns; `wake` must be quick and must not raise.

        Raises:
            RefusedError: it is not accepted; the sender should retry.
        """
        ...


class Consumer(Protocol):
    """What a receiver hands requests to.

    One that may wait, as for a disk, says so with a true attribute `may_wait`; an event loop calls its `begin` instead,
    see Beginning. One that does not take all signals has those it takes in an attribute `signals`. One that knows when
    what it took has arrived has a method `settling(signal)` that returns a Settling.
    """

    def consume(self, signal: Signal, body: bytes) -> ConsumeResult:
        """Take one serialized, uncompressed OTLP request; thread-safe.

        Returning means that delivery has accepted it.

        Raises:
            MalformedError: the bytes are not a request of that signal; the sender must not retry.
            RefusedError: there is no room now; the sender should retry.
        """
        ...


@runtime_checkable
class Beginning(Protocol):
    """A consumer that can be asked later what became of a request, so that an event loop need not wait for a disk."""

    def begin(self, signal: Signal, body: bytes) -> Accepting:
        """Take a request like `consume`, and raise the same, but do not wait until it is accepted."""
        ...
