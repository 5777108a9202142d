"""A gateway from YAML text, and what tests ask of it."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from otel_llm.config import load
from otel_llm.config.settings import Settings
from otel_llm.hosts.gateway import Gateway
from otel_llm.receivers.otlp import OtlpReceiver

SIMPLE = """
receivers:
  otlp:
    protocols:
      http: {{endpoint: "127.0.0.1:0"}}
      grpc: {{endpoint: "127.0.0.1:0"}}
processors:
  normalize:
  cost:
exporters:
  otlp_http:
    endpoint: {sink}
    compression: none
    sending_queue: {{batch: {{flush_timeout_seconds: 0}}}}
service:
  admin: {{endpoint: "127.0.0.1:0"}}
  shutdown_timeout_seconds: 5
  pipelines:
    traces: {{receivers: [otlp], processors: [normalize, cost], exporters: [otlp_http]}}
    metrics: {{receivers: [otlp], exporters: [otlp_http]}}
    logs: {{receivers: [otlp], processors: [normalize], exporters: [otlp_http]}}
"""


def settings(text: str, folder: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Settings of YAML text."""
    path = folder / "config.yaml"
    path.write_text(text)
    return load(str(path), environment or {})


@contextmanager
def running(
    text: str, folder: Path, metrics_interval_seconds: float = 3600, environment: Mapping[str, str] | None = None
) -> Iterator[Gateway]:
    """A gateway that has started."""
    gateway = Gateway(settings(text, folder, environment), metrics_interval_seconds=metrics_interval_seconds)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.shutdown()


def http_port(gateway: Gateway, receiver: str = "otlp") -> int:
    """The port of its OTLP/HTTP receiver."""
    found = cast("OtlpReceiver", gateway.receiver(receiver)).http
    assert found is not None
    return int(found.endpoint.rpartition(":")[2])


def grpc_port(gateway: Gateway, receiver: str = "otlp") -> int:
    """The port of its OTLP/gRPC receiver."""
    found = cast("OtlpReceiver", gateway.receiver(receiver)).grpc
    assert found is not None
    return int(found.endpoint.rpartition(":")[2])


def post(port: int, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", path, body, {"content-type": "application/x-protobuf", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def get(port: int | None, path: str) -> tuple[int, str]:
    """Status and text of the answer."""
    assert port is not None
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
