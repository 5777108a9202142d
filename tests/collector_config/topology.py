"""Collectors and gateways of collector-config's own files, one sending to the next, on ports of their own."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from otel_llm.config import load
from otel_llm.hosts.gateway import Gateway
from otel_llm.signals import Signal
from otel_llm.testing import Destination, Received, unused_port
from tests.collector_config.collector import MANIFEST, Collector
from tests.hosts.running import grpc_port, http_port

FOLDER = MANIFEST.parent
# Everything runs at once on a machine that may be busy; nothing waits this long when all is well.
PATIENCE_SECONDS = 120


class OfApps(Destination):
    """Does not count what the gateway measures of itself, which comes when it will."""

    @property
    def accepted(self) -> list[Received]:
        """The requests it took, of apps."""
        return [got for got in super().accepted if got.signal != "metrics" or b"otel-llm" not in got.body]


@dataclass
class Front:
    """A Collector of a file, and where it listens."""

    collector: Collector
    http: int
    grpc: int

    def __enter__(self) -> Self:
        self.collector.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.collector.stop()


def collector(name: str, folder: Path, environment: Mapping[str, str], *, over: str | None = None) -> Front:
    """One of collector-config/collector-NAME.yaml, not started; `over` is YAML that is laid over it."""
    http_at, grpc_at = unused_port(), unused_port()
    addresses = {"OTLP_HTTP": f"127.0.0.1:{http_at}", "OTLP_GRPC": f"127.0.0.1:{grpc_at}"}
    config = FOLDER / f"collector-{name}.yaml"
    configs = [config] if over is None else [config, over]
    return Front(Collector(folder, *configs, environment={**addresses, **environment}), http_at, grpc_at)


@dataclass
class Middle:
    """A gateway of a file, and where it listens."""

    gateway: Gateway
    endpoint: str
    grpc: str


@contextmanager
def gateway(
    name: str, environment: Mapping[str, str], *, http: int = 0, grpc: int = 0, overrides: tuple[str, ...] = ()
) -> Iterator[Middle]:
    """One of collector-config/gateway-NAME.yaml, running in this process."""
    addresses = {"OTEL_LLM_LISTEN_HTTP": f"127.0.0.1:{http}", "OTEL_LLM_LISTEN": f"127.0.0.1:{grpc}"}
    given = ("service.admin.endpoint=127.0.0.1:0", "service.shutdown_timeout_seconds=5", *overrides)
    running = Gateway(
        load(str(FOLDER / f"gateway-{name}.yaml"), {**addresses, **environment}, given), metrics_interval_seconds=3600
    )
    running.start()
    try:
        yield Middle(running, f"http://127.0.0.1:{http_port(running)}", f"127.0.0.1:{grpc_port(running)}")
    finally:
        running.shutdown()


@dataclass
class Sender:
    """Sends over one kept connection, as an SDK does.

    Attributes:
        refused: statuses other than 200, in order.
    """

    port: int
    refused: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)

    def send(self, body: bytes, signal: Signal = "traces") -> int:
        """The status."""
        self._connection.request("POST", f"/v1/{signal}", body, {"content-type": "application/x-protobuf"})
        answer = self._connection.getresponse()
        answer.read()
        if answer.status != 200:
            self.refused.append(answer.status)
        return answer.status

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def wait_for_items(destination: Destination, number: int) -> None:
    """Until so many have come."""
    destination.wait_for(lambda: destination.items >= number, PATIENCE_SECONDS)
