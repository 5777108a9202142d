"""Kafka on one machine: what the exporter costs, what a worker costs, and how two workers share the work.

    python -m benchmarks.kafka [--spans 60000] [--rounds 3] [--only 5]

A real broker (Apache Kafka, KRaft, fetched as the tests do), eight partitions. The exporter runs in this process: CPU
time of all its threads, librdkafka's included, for each span. Workers are `otel-llm run` processes that read, process
and send to a sink that drops: they have their partitions before the first message is written, and the time is that from
the first write until everything is exported. CPU of a worker is user and system time of all its threads. Broker, sink,
writer and workers share the cores of the machine, so the wall clock says what the machine can do, and CPU for each span
what a worker costs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import confluent_kafka
import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.payloads import SPANS, Kind, request
from benchmarks.processes import cpu_seconds, free_port, process
from benchmarks.processes import sink as fast_sink
from otel_llm.clock import SystemClock
from otel_llm.codecs.by_trace import messages
from otel_llm.components import Context
from otel_llm.exporters.kafka import Config, create
from otel_llm.signals import Payload
from otel_llm.telemetry import Metrics
from tests.kafka.broker import VERSION, Broker, why_not

SPANS_OF_A_TRACE = 8
LIMIT = 900_000
WORKER = """
receivers:
  kafka:
    brokers: ["{broker}"]
    group_id: {group}
    traces: {{topics: [{topic}]}}
processors: {{normalize: , cost: {{existing: replace}}, quality: , redact: }}
exporters:
  otlp_http:
    endpoint: "http://127.0.0.1:{sink}"
    compression: none
    sending_queue: {{{queue}}}
service:
  admin: {{endpoint: "127.0.0.1:{admin}"}}
  telemetry: {{logs: {{level: error}}}}
  pipelines: {{traces: {{receivers: [kafka], processors: [{processors}], exporters: [otlp_http]}}}}
"""
_NUMBERS = count(1)


def traced(kind: Kind) -> bytes:
    """A request whose spans are in traces of eight."""
    message = ExportTraceServiceRequest.FromString(request(kind))
    spans = [span for holder in message.resource_spans for scope in holder.scope_spans for span in scope.spans]
    for number, span in enumerate(spans):
        span.trace_id = (number // SPANS_OF_A_TRACE + 1).to_bytes(16, "big")
    return message.SerializeToString()


def export_cost(broker: Broker, kind: Kind, *, by_trace: bool, rounds: int, compression: str) -> float:
    """Microseconds of CPU for each span, the least of the rounds; each sends 20 requests."""
    topic = f"out_{next(_NUMBERS)}"
    broker.create_topics([topic], 8)
    settings = {
        "brokers": [broker.address],
        "traces": {"topic": topic},
        "partition_traces_by_id": by_trace,
        "producer": {"compression": compression},
        "timeout_seconds": 60,
    }
    exporter = create(msgspec.convert(settings, Config), Context("kafka", Metrics(), SystemClock()))
    payload = Payload.of("traces", (traced(kind),), SPANS)
    exporter.export(replace(payload, batch_id="first"), 60)
    costs = []
    for turn in range(rounds):
        before = time.process_time()
        for number in range(20):
            exporter.export(replace(payload, batch_id=f"{turn}-{number}"), 60)
        costs.append((time.process_time() - before) / 20 / SPANS * 1e6)
    exporter.shutdown()
    return min(costs)


@dataclass(frozen=True)
class Run:
    """Workers on one topic: spans a second, and CPU microseconds a span of each worker, of broker and sink."""

    per_second: float
    worker: float
    broker: float
    sink: float
    shares: list[float]


@dataclass(frozen=True)
class Way:
    """What workers are given, and what they do."""

    kind: Kind
    by_trace: bool = True
    disk: bool = False
    processors: str = "normalize, cost"
    share: float = 1.0
    delay: float = 0.0

    def __str__(self) -> str:
        how = ", a message a trace" if self.by_trace else ", whole requests"
        return f"{self.kind}{how}{', queue on disk' if self.disk else ''}; {self.processors}" + (
            f"; a destination that takes {self.delay:g} s for 256 KiB" if self.delay else ""
        )


WAYS = (
    Way("genai"),
    Way("mix"),
    Way("mix", by_trace=False),
    Way("mix", disk=True),
    Way("content", processors="normalize, cost, quality, redact", share=0.1),
    Way("mix", share=0.2, delay=0.1),
)


def run_workers(broker: Broker, folder: Path, way: Way, *, workers: int, spans: int) -> Run:
    """Let workers read so many spans."""
    number = next(_NUMBERS)
    topic = f"in_{number}"
    broker.create_topics([topic], 8)
    found = messages(Payload.of("traces", (traced(way.kind),), SPANS), LIMIT, by_trace=way.by_trace)
    repeats = max(spans // SPANS, 1)
    with ExitStack() as stack:
        sink = free_port()
        sink_pid = stack.enter_context(
            process([sys.executable, "-c", f"from benchmarks.kafka import sink; sink({sink}, {way.delay})"], sink)
        )
        ports, pids = [free_port() for _ in range(workers)], []
        for port in ports:
            queue = f"disk: {{directory: {folder}/queue-{number}-{port}}}" if way.disk else ""
            queue += "batch: {max_size_bytes: 262144}" if way.delay else ""
            config = folder / f"{number}-{port}.yaml"
            config.write_text(
                WORKER.format(
                    broker=broker.address,
                    group=f"group-{number}",
                    topic=topic,
                    sink=sink,
                    admin=port,
                    queue=queue,
                    processors=way.processors,
                )
            )
            command = [sys.executable, "-m", "otel_llm.cli.main", "run", "--config", str(config)]
            pids.append(stack.enter_context(process(command, port)))
        wait(lambda: sorted(partitions(port) for port in ports) == [8 // workers] * workers)
        watched = [*pids, broker.pid, sink_pid]
        before = {pid: cpu_seconds(pid) for pid in watched}
        started = time.monotonic()
        write(broker, topic, found, repeats)
        wait(lambda: sum(map(exported, ports)) >= repeats * SPANS)
        seconds = time.monotonic() - started
        used = {pid: (cpu_seconds(pid) - before[pid]) / (repeats * SPANS) * 1e6 for pid in watched}
        shares = [exported(port) / (repeats * SPANS) for port in ports]
    return Run(repeats * SPANS / seconds, sum(used[pid] for pid in pids), used[broker.pid], used[sink_pid], shares)


def write(broker: Broker, topic: str, found: list, repeats: int) -> None:
    """Write the messages over and over, spread over all partitions."""
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": broker.address, "compression.type": "lz4", "linger.ms": 20, "acks": 1}
    )
    partition = 0
    for _ in range(repeats):
        for one in found:
            partition = (partition + 1) % 8
            while True:
                try:
                    producer.produce(topic, one.value, one.key, partition=partition)
                    break
                except BufferError:
                    producer.poll(0.05)
        producer.poll(0)
    producer.flush(120)


class _Slow(BaseHTTPRequestHandler):
    """Takes its time over a request, and nothing else."""

    protocol_version = "HTTP/1.1"
    delay = 0.0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        time.sleep(self.delay)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def sink(port: int, delay: float) -> None:
    """A destination that drops, at once or after a delay. Runs until it is ended."""
    if not delay:
        fast_sink(port)
    _Slow.delay = delay
    ThreadingHTTPServer(("127.0.0.1", port), _Slow).serve_forever()


def status(port: int) -> dict:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=10) as answer:
        return json.load(answer)


def partitions(port: int) -> int:
    return sum(one["partitions"] for one in status(port)["receivers"])


def exported(port: int) -> int:
    return sum(one["exported"] for one in status(port)["exporters"][0]["signals"].values())


def wait(is_so) -> None:
    end = time.monotonic() + 300
    while not is_so():
        if time.monotonic() > end:
            raise SystemExit("it does not end")
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=int, help="of the ways for workers, this one alone (from 0)")
    options = parser.parse_args()
    reason = why_not()
    if reason is not None:
        raise SystemExit(reason)
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr.splitlines()[0]
    print(f"Apache Kafka {VERSION}, {java}; confluent-kafka {confluent_kafka.version()}, librdkafka "
          f"{confluent_kafka.libversion()[0]}; Python {sys.version.split()[0]}; {os.cpu_count()} cores")  # fmt: skip
    with tempfile.TemporaryDirectory() as name, Broker(Path(name) / "broker") as broker:
        print("\nexporter, CPU us/span | keyed, lz4 | keyed, none | whole requests, lz4")
        for kind in ("content", "genai", "plain", "mix") if options.only is None else ():
            ways = ((True, "lz4"), (True, "none"), (False, "lz4"))
            costs = [
                export_cost(broker, kind, by_trace=keyed, rounds=options.rounds, compression=compression)
                for keyed, compression in ways
            ]
            print(f"{kind} | " + " | ".join(f"{cost:.1f}" for cost in costs), flush=True)
        print("\nworkers | spans/s | CPU us/span: worker | broker | sink | shares | load before")
        for way in WAYS if options.only is None else [WAYS[options.only]]:
            rates: dict[int, list[Run]] = {1: [], 2: []}
            for _ in range(options.rounds):
                for workers in (1, 2):
                    load = os.getloadavg()[0]
                    run = run_workers(broker, Path(name), way, workers=workers, spans=int(options.spans * way.share))
                    rates[workers].append(run)
                    shares = " ".join(f"{share:.2f}" for share in run.shares)
                    print(f"{way}: {workers} | {run.per_second:,.0f} | {run.worker:.1f} | {run.broker:.1f} | "
                          f"{run.sink:.1f} | {shares} | {load:.1f}", flush=True)  # fmt: skip
            one, two = (statistics.median(run.per_second for run in rates[workers]) for workers in (1, 2))
            cheap = [min(run.worker for run in rates[workers]) for workers in (1, 2)]
            print(
                f"  two are {two / one:.2f} times one by the clock; CPU for a span {cheap[1] / cheap[0]:.2f} times",
                flush=True,
            )


if __name__ == "__main__":
    main()
