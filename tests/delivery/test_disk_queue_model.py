"""The queue on disk against a model: whatever happens in whatever order, what was accepted comes out, in order."""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from otel_llm.delivery.config import BatchConfig, DiskConfig, QueueConfig
from otel_llm.delivery.disk_queue import DiskQueue
from otel_llm.delivery.segment import Segment
from otel_llm.delivery.storage import Storage
from otel_llm.errors import RefusedError
from otel_llm.signals import Payload
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock

MIB = 1024 * 1024


class QueueOnDisk(RuleBasedStateMachine):
    """Payloads of one item each, told apart by their first eight bytes.

    Attributes:
        accepted: what senders were told OK about, in order.
        settled: how many of them were settled in the order of acceptance.
        refused: what senders were told to send again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.accepted: list[int] = []
        self.refused: set[int] = set()
        self.settled = 0
        self.number = 0
        self.batch: Payload | None = None
        self.queue: DiskQueue

    @initialize(memory=st.sampled_from([1024, 50_000, 10 * MIB]), sync=st.sampled_from(["always", "never"]))
    def begin(self, memory: int, sync: str) -> None:
        self.disk = DiskConfig(directory=str(self.folder), size_bytes=MIB, sync=sync)  # type: ignore[arg-type]
        self.config = QueueConfig(
            size_bytes=memory, batch=BatchConfig(max_size_bytes=20_000, max_items=50, flush_timeout_seconds=0)
        )
        self.open()

    def open(self) -> None:
        self.queue = Storage(Metrics(), FakeClock()).open("x", self.config, self.disk)
        self.batch = None

    def offer(self, size: int) -> bool:
        self.number += 1
        payload = Payload.of("traces", (self.number.to_bytes(8, "big"), bytes(size)), 1)
        try:
            if not self.queue.reserve(payload):
                return False
            self.queue.secure("traces", self.queue.put(payload))
        except RefusedError:
            self.refused.add(self.number)
            return False
        self.accepted.append(self.number)
        return True

    @rule(size=st.integers(0, 3000), count=st.integers(1, 40))
    def put(self, size: int, count: int) -> None:
        for _ in range(count):
            self.offer(size)

    @rule(size=st.integers(60_000, 200_000))
    def put_large(self, size: int) -> None:
        self.offer(size)

    @rule()
    def reserve_and_cancel(self) -> None:
        payload = Payload.of("traces", (bytes(70_000),), 1)
        if self.queue.reserve(payload):
            self.queue.cancel(payload)

    @rule()
    def the_disk_fails_to_sync(self) -> None:
        line = self.queue.shelf.lines["traces"]
        real = line.log.sync

        def failing(segment: Segment) -> None:  # noqa: ARG001 - as the method it stands for
            raise OSError(errno.EIO, "as a broken disk says")

        line.log.sync = failing  # type: ignore[method-assign] # there is no disk that fails on demand
        try:
            taken = self.offer(100)
        finally:
            line.log.sync = real  # type: ignore[method-assign]
        assert not (taken and self.disk.sync == "always")

    def has_more(self) -> bool:
        return self.settled < len(self.accepted)

    @precondition(lambda self: self.batch is None and self.has_more())
    @rule()
    def take(self) -> None:
        self.batch = self.queue.take()
        assert self.batch is not None
        found = self.numbers(self.batch)
        assert found == self.accepted[self.settled : self.settled + len(found)]

    def numbers(self, batch: Payload) -> list[int]:
        """The payloads of a batch: of each, the first piece or all of it when it was read from disk."""
        found, pieces = [], list(batch.buffers)
        while pieces:
            piece = pieces.pop(0)
            found.append(int.from_bytes(bytes(piece[:8]), "big"))
            if len(piece) == 8 and pieces and not any(pieces[0][:8]):
                pieces.pop(0)
        return found

    @precondition(lambda self: self.batch is not None)
    @rule()
    def settle(self) -> None:
        assert self.batch is not None
        self.settled += self.batch.items
        self.queue.settle(self.batch)
        self.batch = None

    @precondition(lambda self: self.batch is not None)
    @rule()
    def leave(self) -> None:
        """The worker ends without having settled: the same batch comes again."""
        assert self.batch is not None
        before = (self.batch.batch_id, self.batch.join())
        self.queue.leave()
        self.batch = self.queue.take()
        assert self.batch is not None
        assert (self.batch.batch_id, self.batch.join()) == before

    @rule()
    def crash(self) -> None:
        """The process is killed, and another one starts."""
        for line in self.queue.shelf.lines.values():
            for segment in line.log._segments:
                segment.close()
            line.log._cursor.close()
        self.queue.shelf._lock.release()
        self.queue.shelf.dead_letters.close()
        before = None if self.batch is None else (self.batch.batch_id, self.batch.join())
        self.open()
        if before is not None:
            self.batch = self.queue.take()
            assert self.batch is not None
            assert (self.batch.batch_id, self.batch.join()) == before

    @rule()
    def restart(self) -> None:
        self.queue.release()
        self.open()

    @invariant()
    def the_account_says_what_waits(self) -> None:
        if hasattr(self, "queue"):
            line = self.queue.shelf.lines["traces"]
            taken = 0 if self.batch is None else self.batch.items
            assert line.unread_items + taken == len(self.accepted) - self.settled
            assert self.queue.size_bytes() <= MIB + 300_000

    def teardown(self) -> None:
        if hasattr(self, "queue"):
            if self.batch is not None:
                self.settle()
            while self.has_more():
                self.take()
                self.settle()
            self.queue.release()
        shutil.rmtree(self.folder, ignore_errors=True)


TestQueueOnDisk = QueueOnDisk.TestCase
TestQueueOnDisk.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
