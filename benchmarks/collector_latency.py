"""What the gateway adds between a Collector and a backend, in time: the same requests with it and without it.

    ./dev bench collector_latency [--seconds 20] [--rounds 3] [--rate REQUESTS_A_SECOND]

Collector -> sink, and Collector -> gateway -> sink, OTLP/HTTP, in turns, at half of what the second takes when it is
pushed. A request carries the time at which it was sent; its delay is what the clock says when the whole of it has
reached the sink. The gateway normalises, prices and counts. It waits up to `flush_timeout_seconds` (0.2) for more to
send at once, unless that is 0: both are measured.
"""

from __future__ import annotations

import argparse
import http.client
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks import collector_peers as peers
from benchmarks.payloads import request
from benchmarks.processes import free_port, process, send
from otel_llm.http.message import Request, Response, Route
from otel_llm.http.server import HttpServer, Settings
from tests.collector_config.collector import built

_SPANS = 64
_SENT = b"sent-at-nanoseconds="
_STAMP = re.compile(re.escape(_SENT) + rb"(\d{20})")
_GATEWAY = ("normalize", "cost", "metrics")


class Sink:
    """Notes each request's delay in seconds."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self._server = HttpServer({("POST", "/v1/traces"): Route(self._take)}, Settings(name="sink", worker_threads=1))
        self._server.start()
        self.endpoint = f"http://127.0.0.1:{self._server.port}"

    def _take(self, request: Request) -> Response:
        now = time.monotonic_ns()
        self.delays += [(now - int(found)) / 1e9 for found in _STAMP.findall(request.body)]
        return Response(200, b"", "application/x-protobuf")

    def shutdown(self) -> None:
        self._server.shutdown(1)


def stamped() -> bytes:
    """A request with room for the time."""
    message = ExportTraceServiceRequest.FromString(request("mix", spans=_SPANS))
    value = message.resource_spans[0].resource.attributes.add(key="bench").value
    value.string_value = (_SENT + b"0" * 20).decode()
    return message.SerializeToString()


def pace(port: int, body: bytes, per_second: float, seconds: float) -> None:
    """Send at a steady rate, whatever the answers take; two connections."""
    place = body.index(_SENT) + len(_SENT)

    def work(offset: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        begin = time.monotonic() + offset
        for number in range(int(seconds * per_second / 2)):
            wait = begin + number * 2 / per_second - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            stamp = b"%020d" % time.monotonic_ns()
            connection.request(
                "POST",
                "/v1/traces",
                body[:place] + stamp + body[place + 20 :],
                {"content-type": "application/x-protobuf"},
            )
            connection.getresponse().read()
        connection.close()

    threads = [threading.Thread(target=work, args=(number / per_second,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def half_of_most(port: int, body: bytes) -> float:
    most = send(port, body, 5.0)
    time.sleep(2)
    return most.ok / most.seconds / 2


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)] * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, help="requests a second, in place of half of what was found to be most")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink = Sink()
        stack.callback(sink.shutdown)
        ports: dict[str, int] = {}
        ours = [sys.executable, "-c", "import sys; from otel_llm.cli.main import main; sys.exit(main())", "run"]

        def start(command: Sequence[str], text: str, port: int) -> None:
            config = folder / f"{port}.yaml"
            config.write_text(text)
            argument = f"--config={config}"
            stack.enter_context(process([*command, argument], port))

        for name, flush in (("with the gateway, flush 0", 0.0), ("with the gateway, flush 0.2 s", 0.2)):
            behind, front = free_port(), free_port()
            start(ours, peers.gateway(behind, sink.endpoint, *_GATEWAY, flush_seconds=flush), behind)
            start([str(built())], peers.collector(front, f"http://127.0.0.1:{behind}"), front)
            ports[name] = front
        direct = free_port()
        start([str(built())], peers.collector(direct, sink.endpoint), direct)
        ports = {"Collector alone": direct, **ports}
        body = stamped()
        rate = options.rate or half_of_most(ports["with the gateway, flush 0"], body)
        print(f"{rate:.0f} requests/s of {_SPANS} spans\n")
        rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in ports}
        for _ in range(options.rounds):
            for name, port in ports.items():
                sink.delays.clear()
                pace(port, body, rate, options.seconds)
                time.sleep(1)
                rounds[name].append((quantile(sink.delays, 0.5), quantile(sink.delays, 0.99)))
        print("| path | p50 ms | p99 ms, each round | p99 ms, least |\n| --- | --- | --- | --- |")
        for name, found in rounds.items():
            p99 = [one[1] for one in found]
            each = ", ".join(f"{one:.1f}" for one in p99)
            print(f"| {name} | {statistics.median(one[0] for one in found):.1f} | {each} | {min(p99):.1f} |")


if __name__ == "__main__":
    main()
