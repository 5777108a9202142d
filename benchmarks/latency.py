"""What a gateway adds to the time until a sender has its answer, at half of the load that it can take.

    python -m benchmarks.latency [--seconds 5] [--rounds 5] [--cases mix:512 genai:64 genai:8] [--folder DIRECTORY]

| row | the sender talks to |
|---|---|
| direct | the destination itself, which reads a request and says 200 |
| memory | a gateway (normalize, cost) in front of it, queue in memory |
| disk | the same with a queue on disk that is synced before the answer |

For each case (payload and spans a request), how many requests a second both gateways can take is measured first, by
senders that wait for nothing but answers. Then all rows, in turns, get half of what the slower one can, at even
distances on eight connections, by a sender in a process of its own. A time runs from when a request was due, not from
when it could be sent, so that a stall counts for all requests that it delays. Milliseconds; the median over the rounds
of each round's percentile; `added` is what is more than direct.

What must not be concluded: anything about single spans, which wait up to `flush_timeout_seconds` (0.2 by default) in
the queue for others; or anything on a machine that does other work: look at the row `direct`, whose 99th percentile is
below 1 ms on an idle one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import socket
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.payloads import KINDS, request
from benchmarks.processes import free_port, process, read_status, send

CONNECTIONS = 8
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
  admin: {{endpoint: null}}
  telemetry: {{logs: {{level: error}}}}
  pipelines: {{traces: {{receivers: [otlp], processors: [normalize, cost], exporters: [otlp_http]}}}}
"""
PERCENTILES = (0.5, 0.9, 0.99)


def paced(port: int, body: bytes, per_second: float, seconds: float) -> list[float]:
    """Milliseconds from when each request was due to its answer."""
    head = (
        f"POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/x-protobuf\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode()
    times: list[list[float]] = [[] for _ in range(CONNECTIONS)]
    start = time.perf_counter() + 0.05
    distance = CONNECTIONS / per_second

    def work(number: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            due = start + number / per_second
            while due < start + seconds:
                time.sleep(max(due - time.perf_counter(), 0.0))
                connection.sendall(head)
                connection.sendall(body)
                if read_status(connection) != 200:
                    raise SystemExit("a request was refused: this is not half load")
                times[number].append((time.perf_counter() - due) * 1e3)
                due += distance

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(one for several in times for one in several)


def _paced(done: multiprocessing.Queue[list[float]], *arguments: object) -> None:
    found = paced(*arguments)  # type: ignore[arg-type] # those of `paced`
    done.put([found[int(len(found) * part)] for part in PERCENTILES])


def percentiles(port: int, body: bytes, per_second: float, seconds: float) -> list[float]:
    """Of one round, from a process of its own."""
    context = multiprocessing.get_context("fork")
    done: multiprocessing.Queue[list[float]] = context.Queue()
    sender = context.Process(target=_paced, args=(done, port, body, per_second, seconds))
    sender.start()
    found = done.get(timeout=seconds + 60)
    sender.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", nargs="*", default=["mix:512", "genai:64", "genai:8"], help=f"of {', '.join(KINDS)}")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder)))
        sink = free_port()
        stack.enter_context(process([sys.executable, "-m", "benchmarks.processes", str(sink)], sink))
        ports = {"direct": sink}
        for name, queue in (("memory", "{}"), ("disk", f"{{disk: {{directory: {folder / 'queue'}}}}}")):
            ports[name] = free_port()
            config = folder / f"{name}.yaml"
            config.write_text(CONFIG.format(port=ports[name], sink=sink, queue=queue, workers=options.workers))
            command = [sys.executable, "-m", "otel_llm.cli.main", "run", "--config", str(config)]
            stack.enter_context(process(command, ports[name]))
        print(f"{'case':10}{'spans/s':>10}{'to':>9}{'p50':>8}{'p90':>8}{'p99':>8}{'added p99':>11}")
        for case in options.cases:
            kind, _, spans = case.partition(":")
            body = request(kind, spans=int(spans))
            for port in ports.values():
                send(port, body, 0.5, CONNECTIONS)
            loads = [send(ports[name], body, 2.0, CONNECTIONS) for name in ("memory", "disk")]
            half = min(load.ok / load.seconds for load in loads) / 2
            rounds: dict[str, list[list[float]]] = {name: [] for name in ports}
            for _ in range(options.rounds):
                for name, port in ports.items():
                    rounds[name].append(percentiles(port, body, half, options.seconds))
            show(case, half * int(spans), rounds)


def show(case: str, spans_per_second: float, rounds: dict[str, list[list[float]]]) -> None:
    direct = 0.0
    for name, several in rounds.items():
        p50, p90, p99 = (statistics.median(one[place] for one in several) for place in range(len(PERCENTILES)))
        direct = direct or p99
        added = "" if name == "direct" else f"{p99 - direct:.1f}"
        print(f"{case:10}{spans_per_second:10,.0f}{name:>9}{p50:8.2f}{p90:8.2f}{p99:8.2f}{added:>11}", flush=True)


if __name__ == "__main__":
    main()
