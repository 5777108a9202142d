"""Memory of a gateway whose destination has stalled: spans of 200 KB until the queue is full, and on.

    python -m benchmarks.stalled [--seconds 10]

Two gateways, each with `sending_queue.size_bytes` of 64 MiB: one with the queue in memory, one with 1 GiB on disk. The
destination takes connections and never reads. Resident memory of the process (its peak) before and after, and the
growth as a part of the limit. What must not be concluded: the memory of a gateway at work; see end_to_end.
"""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.processes import forget_peak, free_port, peak_memory_mb, process, send
from tests.delivery.requests import traces

CAP_MB = 64
CONFIG = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
processors: {{normalize: , cost: }}
exporters:
  otlp_http:
    endpoint: "http://127.0.0.1:{sink}"
    compression: none
    sending_queue: {queue}
service:
  admin: {{endpoint: null}}
  shutdown_timeout_seconds: 0
  telemetry: {{logs: {{level: error}}}}
  pipelines: {{traces: {{receivers: [otlp], processors: [normalize, cost], exporters: [otlp_http]}}}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    span = traces(1, 1, size=200_000).SerializeToString()
    small = traces(1, 10).SerializeToString()
    print(f"{'queue':10}{'taken MB':>10}{'refused':>9}{'before MB':>11}{'peak MB':>9}{'growth / limit':>16}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stalled = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        on_disk = f"{{size_bytes: {CAP_MB * 2**20}, disk: {{directory: {folder / 'queue'}, size_bytes: {2**30}}}}}"
        for name, queue in {"memory": f"{{size_bytes: {CAP_MB * 2**20}}}", "disk": on_disk}.items():
            port = free_port()
            config = folder / f"{name}.yaml"
            config.write_text(CONFIG.format(port=port, sink=stalled.getsockname()[1], queue=queue))
            command = [sys.executable, "-m", "otel_llm.cli.main", "run", "--config", str(config)]
            with process(command, port) as pid:
                send(port, small, 1.0)
                before = peak_memory_mb(pid)
                forget_peak(pid)
                load = send(port, span, options.seconds)
                peak = peak_memory_mb(pid)
            taken = load.ok * len(span) / 2**20
            growth = (peak - before) / CAP_MB
            print(f"{name:10}{taken:10.0f}{load.refused:9}{before:11.0f}{peak:9.0f}{growth:16.2f}", flush=True)


if __name__ == "__main__":
    main()
