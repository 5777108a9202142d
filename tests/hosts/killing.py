"""Kills a gateway at random instants, under load, and counts what was acknowledged and did not arrive.

    python -m tests.hosts.killing --kills 1000

The gateway is `otel-llm run` with its queue on disk and `sync: always`. Four senders post requests of 1 to 20 spans,
now and then of some hundred kilobytes, each span with a number of its own, and never send one again; a request counts
as acknowledged when 200 came back. The destination answers 503 for a part of the time, so that there is a backlog.
Kills come from the start of the process on, so that some hit the recovery. At last a gateway is left alone until the
queue is empty. Then:

    lost          acknowledged spans that never arrived; must be 0
    duplicates    spans that arrived more than once, each time in a batch of the same id; from batches in flight
    unmarked      spans that arrived in batches of different ids; must be 0

With `--held`, the spans go through `tail_sampling` that keeps all of them, on disk as well: what it held at a kill
comes again, and what it let go of meanwhile with it, in other batches; so only `lost` must be 0 then.

With `--workers 2`, one gateway with so many workers stays, and one of the workers is killed at a time.

The processes are forked from one that has imported everything (`--spawn` starts new ones instead: slower, the same).
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from otel_llm.testing import Answer, Destination, OtlpHttpSink, unused_port
from tests.delivery.requests import numbers, traces

CONFIG = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
processors: {{normalize: , cost: }}
exporters:
  otlp_http:
    endpoint: {sink}
    compression: none
    retry_on_failure: {{initial_interval_seconds: 0.01, max_interval_seconds: 0.05}}
    sending_queue:
      size_bytes: 1048576
      batch: {{max_size_bytes: 200000, flush_timeout_seconds: 0.01}}
      disk: {disk}
{connectors}
service:
  workers: {workers}
  admin: {{endpoint: {admin}}}
  telemetry: {{logs: {{level: error}}}}
  pipelines: {pipelines}
"""
PIPELINES = "{traces: {receivers: [otlp], processors: [normalize, cost], exporters: [otlp_http]}}"
HELD_PIPELINES = """
    traces: {receivers: [otlp], processors: [normalize, cost], exporters: [tail_sampling]}
    traces/kept: {receivers: [tail_sampling], exporters: [otlp_http]}
"""
CONNECTORS = """
connectors:
  tail_sampling:
    sampling_percentage: 100
    decision_wait_seconds: 0.4
    wait_after_root_seconds: 0.4
    disk: {disk}
"""


@dataclass
class Result:
    """What was counted; spans unless it says otherwise."""

    kills: int = 0
    sent: int = 0
    acknowledged: int = 0
    arrived: int = 0
    lost: list[int] = field(default_factory=list)
    duplicates: int = 0
    unmarked: list[int] = field(default_factory=list)
    seconds: float = 0.0


class Recorder(Destination):
    """Remembers in which batches each number arrived, and not the bodies."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: dict[int, list[str]] = defaultdict(list)
        self._recording = threading.Lock()

    def take(self, signal, body, headers=None):
        if self.default.kind == "accept":
            batch = (headers or {}).get("otel-llm-batch-id", "")
            with self._recording:
                for number in numbers(signal, body):
                    self.batches[number].append(batch)
        return self.default


class Senders:
    """Posts new spans until told to stop; knows which were acknowledged."""

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._lock = threading.Lock()
        self._next = 1
        self.acknowledged: set[int] = set()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(random.Random(seed + i),)) for i in range(4)]
        for thread in self._threads:
            thread.start()

    @property
    def sent(self) -> int:
        return self._next - 1

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, chance: random.Random) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        while not self._stop.is_set():
            count = chance.randint(1, 20)
            size = 20_000 if chance.random() < 0.02 else chance.randint(10, 500)
            with self._lock:
                first = self._next
                self._next += count
            body = traces(first, count, size=size).SerializeToString()
            try:
                connection.request("POST", "/v1/traces", body, {"content-type": "application/x-protobuf"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                self._stop.wait(0.005)
                continue
            if answer.status == 200:
                with self._lock:
                    self.acknowledged.update(range(first, first + count))
        connection.close()


class Forked:
    """Gateways forked from a process that has imported everything and started nothing."""

    def __init__(self, config: Path) -> None:
        command = [sys.executable, "-m", "tests.hosts.killing", "--template", str(config)]
        self._template = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._line()

    def _line(self) -> str:
        assert self._template.stdout is not None
        return self._template.stdout.readline()

    def start(self) -> int:
        self._tell("start")
        return int(self._line())

    def reap(self) -> None:
        self._tell("reap")
        self._line()

    def _tell(self, word: str) -> None:
        assert self._template.stdin is not None
        self._template.stdin.write(f"{word}\n")
        self._template.stdin.flush()

    def close(self) -> None:
        assert self._template.stdin is not None
        assert self._template.stdout is not None
        self._template.stdin.close()
        self._template.wait(30)
        self._template.stdout.close()


class Spawned:
    """Gateways as new processes."""

    def __init__(self, config: Path) -> None:
        self._command = [sys.executable, "-m", "otel_llm.cli.main", "run", "--config", str(config)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        self._process = subprocess.Popen(self._command)
        return self._process.pid

    def reap(self) -> None:
        if self._process is not None:
            self._process.wait(30)

    def close(self) -> None:
        """Nothing is left."""


def template(config: str) -> None:
    """Fork a gateway whenever a line says so."""
    from otel_llm.cli import run  # noqa: PLC0415 - here, and not in the process that sends
    from otel_llm.config import load  # noqa: PLC0415

    load(config, {}, [])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    child = 0
    for line in sys.stdin:
        if line == "start\n":
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    code = run.run(argparse.Namespace(config=config, overrides=[], worker=None))
                finally:
                    os._exit(code)
            sys.stdout.write(f"{child}\n")
        else:
            os.waitpid(child, 0)
            sys.stdout.write("reaped\n")
        sys.stdout.flush()


def wait_until_up(port: int, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        threading.Event().wait(0.01)
    raise AssertionError("the gateway does not come up")


def kill_at_random(
    kills: int, folder: Path, *, seed: int, spawn: bool = False, sync: str = "always", held: bool = False
) -> Result:
    """Do it; see the module."""
    chance = random.Random(seed)
    recorder, port, config = Recorder(), unused_port(), folder / "config.yaml"
    result = Result()
    started = time.monotonic()
    with OtlpHttpSink(recorder) as sink:
        disk = f"{{directory: {folder / 'queue'}, size_bytes: 268435456, sync: {sync}}}"
        disk = "null" if sync == "memory" else disk
        text = CONFIG.format(
            port=port,
            sink=sink.endpoint,
            workers=1,
            admin="null",
            disk=disk,
            connectors=CONNECTORS.format(disk=disk) if held else "",
            pipelines=HELD_PIPELINES if held else PIPELINES,
        )
        config.write_text(text)
        gateways = Spawned(config) if spawn else Forked(config)
        senders = Senders(port, seed)
        try:
            for _ in range(kills):
                recorder.default = Answer.unavailable() if chance.random() < 0.3 else Answer()
                pid = gateways.start()
                if spawn:
                    wait_until_up(port)
                threading.Event().wait(chance.uniform(0.0, 0.5))
                os.kill(pid, signal.SIGKILL)
                gateways.reap()
                result.kills += 1
            recorder.default = Answer()
            pid = gateways.start()
            wait_until_up(port)
            senders.stop()
            os.kill(pid, signal.SIGTERM)  # delivers everything first
            gateways.reap()
        finally:
            senders.stop()
            gateways.close()
    result.seconds = time.monotonic() - started
    return _counted(result, senders, recorder)


def kill_workers(kills: int, folder: Path, *, seed: int, workers: int = 2) -> Result:
    """The same with one gateway that has several workers: one of them is killed at a time, and comes back by itself."""
    chance = random.Random(seed)
    recorder, port, config = Recorder(), unused_port(), folder / "config.yaml"
    result = Result()
    started = time.monotonic()
    with OtlpHttpSink(recorder) as sink:
        disk = f"{{directory: {folder / 'queue'}, size_bytes: 268435456, sync: always}}"
        admin = unused_port()
        text = CONFIG.format(
            port=port,
            sink=sink.endpoint,
            workers=workers,
            admin=f'"127.0.0.1:{admin}"',
            disk=disk,
            connectors="",
            pipelines=PIPELINES,
        )
        config.write_text(text)
        gateway = subprocess.Popen([sys.executable, "-m", "otel_llm.cli.main", "run", "--config", str(config)])
        senders = None
        try:
            wait_until_ready(admin, workers)
            senders = Senders(port, seed)
            killed: set[int] = set()
            for _ in range(kills):
                recorder.default = Answer.unavailable() if chance.random() < 0.3 else Answer()
                threading.Event().wait(chance.uniform(0.0, 1.0))
                pid = chance.choice(wait_for_workers(gateway.pid, workers, killed))
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
                result.kills += 1
            recorder.default = Answer()
            wait_for_workers(gateway.pid, workers, killed)
            wait_until_ready(admin, workers)
            senders.stop()
            gateway.terminate()  # delivers everything first
            gateway.wait(60)
        finally:
            if senders is not None:
                senders.stop()
            gateway.kill()
            gateway.wait()
    result.seconds = time.monotonic() - started
    return _counted(result, senders, recorder)


def wait_for_workers(pid: int, workers: int, killed: Collection[int] = frozenset(), seconds: float = 60.0) -> list[int]:
    """The ids of the workers of a gateway beside those that were killed, once there are as many. Linux only."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        tasks = Path(f"/proc/{pid}/task")
        children = [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]
        living = [child for child in children if child not in killed]
        if len(living) == workers:
            return living
        threading.Event().wait(0.01)
    raise AssertionError(f"the gateway has not got {workers} workers")


def wait_until_ready(admin: int, workers: int, seconds: float = 90.0) -> None:
    """Wait until all workers of a gateway take telemetry, as its admin endpoint says."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=10)
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
            connection.close()
            if sum(line.startswith("otel_llm_worker_ready{") and line.endswith(" 1.0") for line in lines) == workers:
                return
        threading.Event().wait(0.05)
    raise AssertionError(f"the gateway has not got {workers} workers that take telemetry")


def _counted(result: Result, senders: Senders, recorder: Recorder) -> Result:
    result.sent, result.acknowledged = senders.sent, len(senders.acknowledged)
    result.arrived = len(recorder.batches)
    result.lost = sorted(senders.acknowledged - recorder.batches.keys())
    result.duplicates = sum(len(batches) > 1 for batches in recorder.batches.values())
    result.unmarked = sorted(number for number, batches in recorder.batches.items() if len(set(batches)) > 1)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sync", choices=("always", "interval", "never", "memory"), default="always")
    parser.add_argument("--spawn", action="store_true", help="start new processes instead of forking them")
    parser.add_argument("--held", action="store_true", help="let the spans go through tail_sampling with a journal")
    parser.add_argument("--workers", type=int, default=1, help="kill one of so many workers at a time")
    parser.add_argument("--folder", type=Path, help="where the queue is; a temporary folder by default")
    parser.add_argument("--template", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.template:
        template(options.template)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        place = options.folder or Path(folder)
        if options.workers > 1:
            result = kill_workers(options.kills, place, seed=options.seed, workers=options.workers)
        else:
            how = {"seed": options.seed, "spawn": options.spawn, "sync": options.sync, "held": options.held}
            result = kill_at_random(options.kills, place, **how)
    shown = {**vars(result), "lost": len(result.lost), "unmarked": len(result.unmarked)}
    sys.stdout.write(json.dumps({**shown, "seconds": round(result.seconds)}) + "\n")
    return 1 if result.lost or (result.unmarked and not options.held) else 0


if __name__ == "__main__":
    sys.exit(main())
