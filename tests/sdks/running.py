"""Runs an app as a process against servers on loopback, and reads what it sent."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm.loopback import LoopbackProvider
from otel_llm.testing import Destination, OtlpHttpSink

APPS = Path(__file__).with_name("apps")
PLAIN = (sys.executable,)
EXEC = (sys.executable, "-m", "otel_llm.cli.main", "exec", "--", sys.executable)
PATIENCE_SECONDS = 60
TOKENS = "gen_ai.client.inference.usage.input_tokens"
# What of this machine's environment an app must not see: other set-ups of telemetry, keys of providers, tests.
_FOREIGN = (
    "OTEL_",
    "DD_",
    "LOGFIRE_",
    "LANGFUSE_",
    "SENTRY_",
    "TRACELOOP_",
    "OPENAI_",
    "ANTHROPIC_",
    "PYTHON",
    "PYTEST",
)
_CLEAN = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}


@dataclass(frozen=True, slots=True)
class Sent:
    """One span that arrived.

    Attributes:
        name: its name.
        scope: who made it.
        trace_id: its trace.
        span_id: its id.
        parent_id: its parent's; empty for a root.
        resource: the attributes of its resource.
        attributes: its own.
    """

    name: str
    scope: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    resource: Mapping[str, Any]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an app.

    Attributes:
        code: its exit status.
        out: what it printed.
        err: what it complained of.
    """

    code: int
    out: str
    err: str


class World:
    """A model provider and a destination for telemetry, for the apps of one test."""

    def __init__(self, provider: LoopbackProvider, destination: Destination, endpoint: str, home: str) -> None:
        self.provider = provider
        self.destination = destination
        self.endpoint = endpoint
        self._home = home

    def environment(self, **more: str) -> dict[str, str]:
        """What apps find."""
        return {
            **_CLEAN,
            "HOME": self._home,  # what tools keep between runs
            "OPENAI_BASE_URL": self.provider.openai_base_url,
            "OPENAI_API_KEY": "any",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint,
            "OTEL_METRIC_EXPORT_INTERVAL": "60000",
            **more,
        }

    def run(self, command: Sequence[str], *, timeout: float = 120, **more: str) -> Done:
        """The app, until it has ended."""
        done = subprocess.run(
            command, env=self.environment(**more), capture_output=True, text=True, timeout=timeout, check=False
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def spans(self) -> list[Sent]:
        """The spans that arrived, in order."""
        return self.read_spans(self._bodies("traces"))

    @staticmethod
    def read_spans(bodies: Sequence[bytes]) -> list[Sent]:
        """The spans of OTLP requests."""
        return [span for body in bodies for span in _spans(body)]

    def priced(self) -> list[Sent]:
        """Those that are billed."""
        return [span for span in self.spans() if span.attributes.get("otel_llm.cost.status") == "priced"]

    def tokens(self) -> int:
        """The input tokens that the metrics add up to, over the last value of each series of each process."""
        last: dict[tuple[str, str], int] = {}
        for body in self._bodies("metrics"):
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                instance = str(_values(resource.resource.attributes).get("service.instance.id"))
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        if metric.name == TOKENS:
                            for point in metric.sum.data_points:
                                last[instance, str(sorted(map(str, point.attributes)))] = point.as_int
        return sum(last.values())

    def served_tokens(self) -> int:
        """The input tokens that the provider has answered with."""
        return sum(served.usage.input_tokens for served in self.provider.served() if served.usage is not None)

    def _bodies(self, signal: str) -> list[bytes]:
        return [request.body for request in self.destination.accepted if request.signal == signal]


@contextmanager
def world() -> Iterator[World]:
    """Servers that are there for the time of a `with` block."""
    with LoopbackProvider() as provider, OtlpHttpSink() as sink, tempfile.TemporaryDirectory() as home:
        yield World(provider, sink.destination, sink.endpoint, home)


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        threading.Event().wait(0.05)


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def tree(spans: Sequence[Sent]) -> str:
    """Spans as they hang together, for messages of tests that fail."""
    ids = {span.span_id for span in spans}

    def lines(parent: bytes | None, depth: int) -> Iterator[str]:
        for span in spans:
            at = span.parent_id if span.parent_id in ids else None
            if at == parent:
                status = span.attributes.get("otel_llm.cost.status", "")
                yield f"{'  ' * depth}{span.name} [{span.scope}] {status}"
                yield from lines(span.span_id, depth + 1)

    return "\n".join(lines(None, 0))


def roots(spans: Sequence[Sent]) -> list[Sent]:
    """Those whose parent has not arrived."""
    ids = {span.span_id for span in spans}
    return [span for span in spans if span.parent_id not in ids]


def _spans(body: bytes) -> Iterator[Sent]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        about = _values(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Sent(
                    span.name,
                    scope.scope.name,
                    span.trace_id,
                    span.span_id,
                    span.parent_span_id,
                    about,
                    _values(span.attributes),
                )


def _values(attributes: Any) -> dict[str, Any]:
    found = {}
    for attribute in attributes:
        kind = attribute.value.WhichOneof("value")
        found[attribute.key] = getattr(attribute.value, kind) if kind else None
    return found
