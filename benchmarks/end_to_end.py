"""The gateway as a process: OTLP/HTTP in, normalise, cost, OTLP/HTTP out, beside rotel receiving into a blackhole.

    python -m benchmarks.end_to_end [--rotel PATH_OF_ROTEL_AGENT] [--seconds 5]

CPU seconds of the server process (user and system, all threads) per span, and its peak memory. Both get the same
requests of 512 spans from the same sender, one after the other, in turns. rotel (package `rotel`, `rotel-agent start`)
does nothing with them but receive and drop: no processing, no export. Ours also sends everything on to a sink.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from contextlib import ExitStack
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
    parser.add_argument("--seconds", type=float, default=5.0)
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
        print(f"{'payload':9}{'server':10}{'us CPU/span':>12}{'spans/s':>11}{'p99 ms':>9}{'refused':>9}{'peak MB':>9}")
        for kind in KINDS:
            body = request(kind)
            for name, (port, pid) in servers.items():
                send(port, body, 1.0)  # warm
                forget_peak(pid)
                before = cpu_seconds(pid)
                load = send(port, body, options.seconds)
                used = cpu_seconds(pid) - before
                spans = load.ok * SPANS
                print(
                    f"{kind:9}{name:10}{used / spans * 1e6:12.2f}{spans / load.seconds:11,.0f}{load.p99_ms:9.1f}"
                    f"{load.refused:9}{peak_memory_mb(pid):9.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
