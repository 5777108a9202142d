"""What a queue on disk costs a gateway: sustained throughput beside the queue in memory, from sender to destination.

    python -m benchmarks.queue [--seconds 4] [--rounds 5] [--connections 4 16] [--compression gzip] [--folder DIRECTORY]

One gateway for each kind of queue, the same requests of 512 spans from the same sender over loopback HTTP, in turns,
on so many connections, each of which waits for its answer before it sends again,
on to a sink in another process; a round ends when the queue is empty. Spans per second of wall time and CPU
microseconds per span of the gateway, median of the rounds, and of each the ratio to the queue in memory, median of the
ratios within a round: what else the machine does then hits both. Every other round goes through them backwards.
`--compression gzip` is what a configuration gets that says nothing; `none` shows the queue alone.
`--folder` says which disk is measured. What must not be concluded: how a disk behaves whose sync takes milliseconds;
the first line says what it takes here.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.payloads import Kind, request
from benchmarks.processes import cpu_seconds, free_port, peak_memory_mb, process, send

SPANS = 512
CONFIG = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
processors: {{normalize: , cost: {{existing: replace}}}}
exporters:
  otlp_http:
    endpoint: "http://127.0.0.1:{sink}"
    compression: {compression}
    sending_queue: {queue}
service:
  admin: {{endpoint: "127.0.0.1:{admin}"}}
  telemetry: {{logs: {{level: error}}}}
  pipelines: {{traces: {{receivers: [otlp], processors: [normalize, cost], exporters: [otlp_http]}}}}
"""


def queues(folder: Path) -> dict[str, str]:
    disk = "{{disk: {{directory: {}, sync: {}}}}}"
    names = ("always", "interval", "never")
    return {"memory": "{}"} | {name: disk.format(folder / name, name) for name in names}


def queued(admin: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("otel_llm_delivery_items_queued"))


@dataclass(frozen=True, slots=True)
class Server:
    """A gateway that runs."""

    port: int
    admin: int
    pid: int


def measure(server: Server, body: bytes, seconds: float, connections: int) -> tuple[float, float]:
    """Spans per second until all is delivered, and CPU microseconds per span."""
    pid = server.pid
    before, start = cpu_seconds(pid), time.perf_counter()
    load = send(server.port, body, seconds, connections)
    while queued(server.admin):
        time.sleep(0.01)
    spans = load.ok * SPANS
    return spans / (time.perf_counter() - start), (cpu_seconds(pid) - before) / spans * 1e6


def sync_us(folder: Path) -> float:
    """Median microseconds of a write of 256 KiB and its fdatasync, on the same disk."""
    times = []
    with (folder / "probe").open("wb") as file:
        for _ in range(50):
            start = time.perf_counter()
            file.write(bytes(262_144))
            file.flush()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


Rounds = Sequence[tuple[float, float]]


def row(memory: Rounds, disk: Rounds) -> str:
    """Medians, and those of the ratios within a round."""
    rate, cpu = (statistics.median(one[i] for one in disk) for i in (0, 1))
    by_wall = statistics.median(other[0] / one[0] for one, other in zip(memory, disk, strict=True))
    by_cpu = statistics.median(one[1] / other[1] for one, other in zip(memory, disk, strict=True))
    return f"{rate:11,.0f}{by_wall:11.2f}{cpu:13.2f}{by_cpu:9.2f}"


def compare(servers: Mapping[str, Server], kind: Kind, options: argparse.Namespace, connections: int) -> None:
    """Measure and print one payload on so many connections."""
    body = request(kind)
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
    for server in servers.values():
        measure(server, body, 0.5, connections)
    for number in range(options.rounds):
        for name in list(servers)[:: -1 if number % 2 else 1]:
            rounds[name].append(measure(servers[name], body, options.seconds, connections))
    for name, server in servers.items():
        figures = row(rounds["memory"], rounds[name])
        print(f"{kind:9}{connections:11}  {name:10}{figures}{peak_memory_mb(server.pid):9.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, nargs="*", default=[4])
    parser.add_argument("--compression", choices=("none", "gzip"), default="none")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--payloads", nargs="*", default=["mix", "genai"])
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder)))
        sink = free_port()
        stack.enter_context(process([sys.executable, "-m", "benchmarks.processes", str(sink)], sink))
        servers = {}
        for name, queue in queues(folder).items():
            port, admin = free_port(), free_port()
            config = folder / f"{name}.yaml"
            values = {"port": port, "sink": sink, "admin": admin, "queue": queue}
            config.write_text(CONFIG.format(compression=options.compression, **values))
            command = [sys.executable, "-m", "otel_llm.cli.main", "run", "--config", str(config)]
            servers[name] = Server(port, admin, stack.enter_context(process(command, port)))
        print(f"a write of 256 KiB and its sync take {sync_us(folder):.0f} us here")
        columns = f"{'spans/s':>11}{'of memory':>11}{'us CPU/span':>13}{'by CPU':>9}{'peak MB':>9}"
        print(f"{'payload':9}{'connections':>11}  {'queue':10}{columns}")
        for kind in options.payloads:
            for connections in options.connections:
                compare(servers, kind, options, connections)


if __name__ == "__main__":
    main()
