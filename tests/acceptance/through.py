"""A running gateway with a destination behind it: spans in over a socket, and what came out of it over another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_llm.hosts.gateway import Gateway
from otel_llm.operation import AttributeValue
from otel_llm.testing import Destination, OtlpHttpSink
from tests.hosts.running import get, http_port, post, running
from tests.spans import SpanSpec, attributes_of, request, spans_of

CONFIG = """
receivers:
  otlp:
    protocols:
      http: {{endpoint: "127.0.0.1:0", max_request_body_size: 4194304, max_inflated_body_size: 8388608}}
processors:
  normalize: {{media: {media}}}
  cost:
    prices: [{prices}]
  metrics:
    series_limit: {series_limit}
    dimensions: [{dimensions}]
exporters:
  otlp_http:
    endpoint: {sink}
    compression: none
    sending_queue: {{batch: {{flush_timeout_seconds: 0}}}}
service:
  admin: {{endpoint: "127.0.0.1:0"}}
  shutdown_timeout_seconds: 5
  pipelines:
    traces: {{receivers: [otlp], processors: [normalize, cost, metrics], exporters: [otlp_http]}}
    metrics: {{receivers: [otlp], exporters: [otlp_http]}}
    logs: {{receivers: [otlp], processors: [normalize], exporters: [otlp_http]}}
"""

Attributes = dict[str, AttributeValue]


@dataclass(slots=True)
class Through:
    """A gateway and what is behind it; for one test at a time.

    Attributes:
        gateway: runs.
        destination: what it exports to.
        destination_port: where that listens.
        trace: the number of the last trace sent: calls of one trace may be parts of each other.
    """

    gateway: Gateway
    destination: Destination
    destination_port: int
    trace: int = 0

    @property
    def port(self) -> int:
        """Of OTLP/HTTP."""
        return http_port(self.gateway)

    def post(self, body: bytes, **headers: str) -> tuple[int, bytes]:
        """Send a trace request; status and body of the answer."""
        return post(self.port, "/v1/traces", body, {name.replace("_", "-"): value for name, value in headers.items()})

    def send(self, body: bytes) -> list[Span]:
        """Send a trace request of spans that are all taken; the same spans as they arrive at the destination."""
        sent = spans_of(body)
        seen = len(self.destination.accepted)
        before = self.destination.items
        status, answer = self.post(body)
        assert (status, answer) == (200, b"")
        self.destination.wait_for(lambda: self.destination.items >= before + len(sent))
        return [span for received in self.destination.accepted[seen:] for span in spans_of(received.body)]

    def calls(self, specs: Iterable[SpanSpec]) -> list[Attributes]:
        """Send spans, each in a trace of its own; their attributes as they arrive."""
        numbered = []
        for spec in specs:
            self.trace += 1
            spec.trace = spec.span = self.trace
            numbered.append(spec)
        return [attributes_of(span) for span in self.send(request(numbered))]

    def call(self, attributes: Mapping[str, AttributeValue], scope: str = "app", **fields: int | str) -> Attributes:
        """Send one span; its attributes as they arrive."""
        (found,) = self.calls([SpanSpec(attributes, scope=scope, **fields)])  # type: ignore[arg-type] # fields of SpanSpec
        return found

    def own_metrics(self) -> str:
        """What /metrics shows."""
        status, text = get(self.gateway.admin_port, "/metrics")
        assert status == 200
        return text

    def own_metric(self, name: str, **labels: str) -> float:
        """The sum of the series of a metric that have these labels."""
        total = 0.0
        for line in self.own_metrics().splitlines():
            found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
            if found and all(f'{label}="{value}"' in (found[1] or "") for label, value in labels.items()):
                total += float(found[2])
        return total


@contextmanager
def started(
    folder: Path, prices: str = "", series_limit: int = 2000, dimensions: str = "", media: str = "keep"
) -> Iterator[Through]:
    """A gateway, with these prices of the user's (YAML)."""
    if prices:
        (folder / "prices.yaml").write_text(prices)
    paths = str(folder / "prices.yaml") if prices else ""
    with OtlpHttpSink() as sink:
        text = CONFIG.format(
            prices=paths, series_limit=series_limit, dimensions=dimensions, media=media, sink=sink.endpoint
        )
        with running(text, folder) as gateway:
            yield Through(gateway, sink.destination, sink.port)


def derived(destination: Destination, name: str) -> list[tuple[Attributes, float]]:
    """The series of a derived sum metric, as exported when the gateway stopped: attributes and value."""
    found = []
    for received in destination.accepted:
        if received.signal == "metrics":
            message = ExportMetricsServiceRequest.FromString(received.body)
            for metric in message.resource_metrics[0].scope_metrics[0].metrics:
                if metric.name == name:
                    found += [(attributes_of(point), _value(point)) for point in metric.sum.data_points]  # type: ignore[arg-type] # points have attributes as spans have
    return found


def _value(point: NumberDataPoint) -> float:
    return point.as_double if point.HasField("as_double") else point.as_int
