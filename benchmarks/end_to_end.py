"""The gateway as a process: OTLP/HTTP in, normalise, cost, OTLP/HTTP out, beside rotel receiving into a blackhole.

    python -m benchmarks.end_to_end [--rotel PATH_OF_ROTEL_AGENT] [--seconds 3] [--rounds 5]

CPU seconds of the server process (user and system, all threads) per span: median and range of the rounds, and its peak
memory. Both get the same requests of 512 spans from the same sender, in turns, so that what else the machine does hits
both alike. rotel (package `rotel`, `rotel-agent start`)
does nothing with them but receive and drop: no processing, no export. Ours also sends everything on to a sink.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.payloads import KINDS, SPANS, request
from benchmarks.processes import cpu_seconds, forget_peak, free_port, peak_memory_mb, process, send

CONFIG = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
processors: {{normalize: , cost: {{existing: replace}}}}
exporters:
  otlp_http: {{endpoint: "http://127.0.0.1:{sink}", compression: none}}
service:
  admin: {{endpoint: null}}
  telemetry: {{logs: {{level: error}}}}
  pipelines: {{traces: {{receivers: [otlp], processors: [normalize, cost], exporters: [otlp_http]}}}}
"""


def find_rotel(given: str | None) -> str | None:
    if given:
        return given
    found = importlib.util.find_spec("rotel")
    if found is None or found.origin is None:
        return None
    return str(Path(found.origin).parent / "rotel-agent")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rotel", help="path of the rotel-agent binary; the installed package's by default")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--payloads", nargs="*", choices=KINDS, default=KINDS)
    options = parser.parse_args()
    rotel = find_rotel(options.rotel)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink, ours, theirs = free_port(), free_port(), free_port()
        stack.enter_context(process([sys.executable, "-m", "benchmarks.processes", str(sink)], sink))
        config = folder / "config.yaml"
        config.write_text(CONFIG.format(port=ours, sink=sink))
        gateway = [
            sys.executable,
            "-c",
            "import sys; from otel_llm.cli.main import main; sys.exit(main())",
            "run",
            "--config",
            str(config),
        ]
        servers = {"otel_llm": (ours, stack.enter_context(process(gateway, ours)))}
        if rotel is not None:
            grpc = free_port()
            arguments = [rotel, "start", "--exporter", "blackhole", "--otlp-http-endpoint", f"127.0.0.1:{theirs}"]
            arguments += ["--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--pid-file", str(folder / "rotel.pid")]
            servers["rotel"] = (theirs, stack.enter_context(process(arguments, theirs)))
        print(f"{'payload':9}{'server':10}{'us CPU/span':>12}{'range':>16}{'spans/s':>11}{'p99 ms':>8}{'peak MB':>9}")
        for kind in options.payloads:
            body = request(kind)
            rounds: dict[str, list[Round]] = {name: [] for name in servers}
            for port, pid in servers.values():
                send(port, body, 1.0)  # warm
                forget_peak(pid)
            for _ in range(options.rounds):
                for name, (port, pid) in servers.items():
                    rounds[name].append(measure(port, pid, body, options.seconds))
            for name, (_, pid) in servers.items():
                show(kind, name, rounds[name], peak_memory_mb(pid))


@dataclass(frozen=True, slots=True)
class Round:
    cpu_us: float
    spans_per_second: float
    p99_ms: float


def measure(port: int, pid: int, body: bytes, seconds: float) -> Round:
    before = cpu_seconds(pid)
    load = send(port, body, seconds)
    spans = load.ok * SPANS
    return Round((cpu_seconds(pid) - before) / spans * 1e6, spans / load.seconds, load.p99_ms)


def show(kind: str, name: str, rounds: Sequence[Round], peak_mb: float) -> None:
    cpu = sorted(one.cpu_us for one in rounds)
    spans = statistics.median(one.spans_per_second for one in rounds)
    slowest = statistics.median(one.p99_ms for one in rounds)
    spread = f"{cpu[0]:.2f}-{cpu[-1]:.2f}"
    print(
        f"{kind:9}{name:10}{statistics.median(cpu):12.2f}{spread:>16}{spans:11,.0f}{slowest:8.1f}{peak_mb:9.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
