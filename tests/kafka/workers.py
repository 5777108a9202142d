"""Workers as processes, a stream of numbered spans for them, and what became of each span.

lost          spans that a broker has and that never arrived; must be 0
twice         spans that arrived more than once
unexplained   those of them whose message was committed before any worker was killed, in batches of different ids
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from otel_llm.testing import OtlpHttpSink, unused_port
from tests.delivery.requests import traces
from tests.hosts.killing import Recorder, wait_until_up
from tests.kafka.conftest import Topics
from tests.kafka.gateways import out_of_kafka, wait_until


class Stream:
    """Spans with numbers from 1 on, one message each of one to twenty, until it is told to stop.

    Attributes:
        places: of each number: the partition and the offset of its message.
    """

    def __init__(self, topics: Topics, per_second: int) -> None:
        self._topics = topics
        self._pause = 1 / per_second
        self._producer = Producer({"bootstrap.servers": topics.address, "linger.ms": 1})
        self._stop = threading.Event()
        self.places: dict[int, tuple[int, int]] = {}
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number, count = 1, 1
        while not self._stop.wait(self._pause):
            numbers = range(number, number + count)
            body = traces(number, count, size=300).SerializeToString()

            def report(error: object, message: object, numbers: range = numbers) -> None:
                if error is None:
                    place = (message.partition(), message.offset())  # type: ignore[attr-defined]
                    self.places.update(dict.fromkeys(numbers, place))

            self._producer.produce(self._topics.spans, body, f"{number:032x}".encode(), on_delivery=report)
            self._producer.poll(0)
            number += count
            count = count % 20 + 1

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._producer.flush(30)


class Worker:
    """A worker with a folder of its own, which can be killed and started again."""

    def __init__(self, topics: Topics, sink: str, folder: Path, queue: str, more: str = "") -> None:
        folder.mkdir()
        self._admin = unused_port()
        config = folder / "config.yaml"
        config.write_text(out_of_kafka(topics, sink, more, queue.format(folder=folder), self._admin))
        self._command = [sys.executable, "-m", "otel_llm.cli.main", "run", "--config", str(config)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command)

    def wait_until_up(self) -> None:
        wait_until_up(self._admin)

    def end(self, how: signal.Signals) -> None:
        """End it; a second time nothing happens."""
        if self._process is not None:
            os.kill(self._process.pid, how)
            self._process.wait(60)
            self._process = None


@dataclass
class Result:
    """What was counted; spans unless it says otherwise."""

    sent: int = 0
    lost: list[int] = field(default_factory=list)
    twice: list[int] = field(default_factory=list)
    unexplained: list[int] = field(default_factory=list)
    kills: int = 0


class Trial:
    """Workers of one group, a stream for them, and a destination that remembers."""

    def __init__(self, topics: Topics, folder: Path, queue: str = "", more: str = "", per_second: int = 200) -> None:
        self._topics = topics
        self.recorder = Recorder()
        self._sink = OtlpHttpSink(self.recorder)
        self._sink.__enter__()
        self.workers = [
            Worker(topics, self._sink.endpoint, folder / f"worker-{number}", queue, more) for number in range(3)
        ]
        self._committed: list[dict[int, int]] = []
        self._kills = 0
        self._stream = Stream(topics, per_second)

    def wait_for(self, arrived: int) -> None:
        """Wait until so many more spans have arrived."""
        target = len(self.recorder.batches) + arrived
        wait_until(lambda: len(self.recorder.batches) >= target, 60)

    def kill(self, worker: Worker) -> None:
        """As kill -9, and note how far the group had come."""
        worker.end(signal.SIGKILL)
        self._kills += 1
        self._committed.append(self._offsets())

    def _offsets(self) -> dict[int, int]:
        consumer = Consumer({"bootstrap.servers": self._topics.address, "group.id": self._topics.group})
        places = [TopicPartition(self._topics.spans, partition) for partition in range(4)]
        found = {one.partition: one.offset for one in consumer.committed(places, 30)}
        consumer.close()
        return found

    def finish(self) -> Result:
        """Let everything arrive, and count."""
        self._stream.stop()
        sent = self._stream.places
        wait_until(lambda: sent.keys() <= self.recorder.batches.keys(), 90)
        return self._count()

    def _count(self) -> Result:
        sent, batches = self._stream.places, self.recorder.batches
        twice = sorted(number for number in sent if len(batches[number]) > 1)
        return Result(
            sent=len(sent),
            lost=sorted(sent.keys() - batches.keys()),
            twice=twice,
            unexplained=[number for number in twice if len(set(batches[number])) > 1 and self._was_committed(number)],
            kills=self._kills,
        )

    def _was_committed(self, number: int) -> bool:
        """Whether the message of a span was committed at every kill before which it may have been read."""
        partition, offset = self._stream.places[number]
        return all(committed[partition] > offset for committed in self._committed)

    def close(self) -> None:
        self._stream.stop()
        for worker in self.workers:
            worker.end(signal.SIGKILL)
        self._sink.__exit__(None, None, None)
