"""One worker, and two: what a machine does with more of them.

    python -m benchmarks.workers [--workers 1 2] [--payloads genai plain mix] [--seconds 4] [--rounds 5] [--disk FOLDER]

A gateway for each number of workers, in turns, the same requests of 512 spans over loopback HTTP, compressed by nobody,
on to a sink in another process. Per round: spans per second of wall time, CPU microseconds per span of the gateway (all
of its processes), the share of the accepted spans that came to the busiest worker, and the share of all spans that was
refused because the sink took less than came: what is refused has cost as much. Median of the rounds.

`spans/s` is what this machine did with sender, sink and gateway on the same processors. `alone` is what the gateway
would do with `--cores` processors for itself: as many workers as it has, at most that many cores, divided by its CPU a
span. It assumes that workers share nothing that makes one wait for another; what speaks for that is the CPU per span,
which must not grow with the workers, and `spans/s` on a machine with cores to spare, which must grow with them.

The sender is processes of their own (`--senders`), which send a body that was encoded before. It opens as many
connections as `--connections` says; a connection stays with one worker.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.payloads import KINDS, request
from benchmarks.processes import cpu_seconds, free_port, process, send

SPANS = 512
CONFIG = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
processors: {{normalize: , cost: {{existing: replace}}}}
exporters:
  otlp_http:
    endpoint: "http://127.0.0.1:{sink}"
    compression: none
    sending_queue: {queue}
service:
  workers: {workers}
  admin: {{endpoint: "127.0.0.1:{admin}"}}
  telemetry: {{logs: {{level: error}}}}
  pipelines: {{traces: {{receivers: [otlp], processors: [normalize, cost], exporters: [otlp_http]}}}}
"""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running one."""

    pid: int
    port: int
    admin: int

    def cpu_seconds(self) -> float:
        return sum(map(cpu_seconds, self.processes()))

    def processes(self) -> Iterator[int]:
        yield self.pid
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            yield from map(int, (task / "children").read_text().split())

    def metric(self, name: str) -> list[float]:
        """Its values, one for each worker and label."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return [float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)]


@dataclass(frozen=True, slots=True)
class Round:
    spans_per_second: float
    cpu_us: float
    busiest: float
    refused: float


def _send(port: int, kind: str, seconds: float, connections: int, done: multiprocessing.Queue[tuple[int, int]]) -> None:
    load = send(port, request(kind), seconds, connections)
    done.put((load.ok, load.refused))


def measure(gateway: Gateway, kind: str, options: argparse.Namespace, seconds: float) -> Round:
    """Send for so long and wait until all of it is delivered."""
    context = multiprocessing.get_context("fork")
    done: multiprocessing.Queue[tuple[int, int]] = context.Queue()
    each = max(options.connections // options.senders, 1)
    before = gateway.metric("otel_llm_receiver_items_accepted_total")
    cpu, start = gateway.cpu_seconds(), time.perf_counter()
    senders = [
        context.Process(target=_send, args=(gateway.port, kind, seconds, each, done)) for _ in range(options.senders)
    ]
    for sender in senders:
        sender.start()
    answers = [done.get() for _ in senders]
    spans = sum(ok for ok, _ in answers) * SPANS
    for sender in senders:
        sender.join()
    while sum(gateway.metric("otel_llm_delivery_items_queued")):
        time.sleep(0.02)
    took, cpu = time.perf_counter() - start, gateway.cpu_seconds() - cpu
    after = gateway.metric("otel_llm_receiver_items_accepted_total")
    shares = [now - (before[place] if place < len(before) else 0.0) for place, now in enumerate(after)]
    refused = sum(refused for _, refused in answers) * SPANS
    return Round(spans / took, cpu / spans * 1e6, max(shares) / sum(shares), refused / (spans + refused))


def start(stack: ExitStack, folder: Path, workers: int, options: argparse.Namespace) -> Gateway:
    sink, port, admin = free_port(), free_port(), free_port()
    stack.enter_context(process([sys.executable, "-m", "benchmarks.processes", str(sink)], sink))
    queue = f"{{disk: {{directory: {folder / str(workers)}}}}}" if options.disk else "{}"
    config = folder / f"{workers}.yaml"
    config.write_text(CONFIG.format(port=port, sink=sink, admin=admin, queue=queue, workers=workers))
    command = [sys.executable, "-m", "otel_llm.cli.main", "run", "--config", str(config)]
    gateway = Gateway(stack.enter_context(process(command, port)), port, admin)
    while workers > 1 and sum(gateway.metric("otel_llm_worker_ready")) < workers:
        time.sleep(0.05)
    return gateway


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--payloads", nargs="*", choices=KINDS, default=["genai", "mix"])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--senders", type=int, default=2)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--disk", type=Path, help="with a queue on disk that is synced, below this folder")
    options = parser.parse_args()
    columns = (("workers", 8), ("spans/s", 11), ("us CPU/span", 13), ("busiest", 9), ("refused", 9), ("alone", 11))
    print("payload  " + "".join(f"{name:>{width}}" for name, width in (*columns, ("of one", 8))))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.disk)))
        gateways = {workers: start(stack, folder, workers, options) for workers in options.workers}
        for kind in options.payloads:
            rounds: dict[int, list[Round]] = {workers: [] for workers in gateways}
            for gateway in gateways.values():
                measure(gateway, kind, options, 0.5)
            for _ in range(options.rounds):
                for workers, gateway in gateways.items():
                    rounds[workers].append(measure(gateway, kind, options, options.seconds))
            one = None
            for workers, measured in rounds.items():
                rate, cpu, busiest, refused = (
                    statistics.median(getattr(each, name) for each in measured)
                    for name in ("spans_per_second", "cpu_us", "busiest", "refused")
                )
                alone = min(workers, options.cores) / cpu * 1e6
                one = one or alone
                print(
                    f"{kind:9}{workers:8}{rate:11,.0f}{cpu:13.2f}{busiest:9.2f}{refused:9.2f}{alone:11,.0f}"
                    f"{alone / one:8.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
