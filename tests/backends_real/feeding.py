"""A gateway of collector-config that sends to a backend, what is sent through it, and what left it."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm.config import load
from otel_llm.hosts.gateway import Gateway
from otel_llm.operation import AttributeValue
from otel_llm.receivers.feedback import FeedbackReceiver
from otel_llm.testing import Destination, OtlpHttpSink
from tests.golden.recorded import RECORDINGS
from tests.hosts.running import http_port, post
from tests.spans import SpanSpec, attributes_of, chat, request, spans_of

_CONFIG = Path(__file__).resolve().parents[2] / "collector-config"
Attributes = dict[str, AttributeValue]

# Emitters of five conventions; the others write what one of these writes.
_EMITTERS = {"genai-openai", "openinference", "openllmetry", "openlit", "anthropic-native"}
_REFUSAL = '[{"role":"assistant","parts":[{"type":"text","content":"I\'m sorry, but I can\'t help with that."}]}]'
_CARD = '[{"role":"user","parts":[{"type":"text","content":"Pay with 4111 1111 1111 1111, please."}]}]'


@dataclass(frozen=True, slots=True)
class Calls:
    """Trace numbers of the calls made here, whose results are known."""

    priced: int = 0xC0FFEE01
    unpriced: int = 0xC0FFEE02
    refused: int = 0xC0FFEE03
    denied: int = 0xC0FFEE04


CALLS = Calls()


# Ids do not begin with zeros, which Jaeger leaves out.
_TRACE, _SPAN = 0x1000000010000000100000001, 0x100000001


def trace_id(number: int) -> str:
    """As backends write it."""
    return (number * _TRACE).to_bytes(16, "big").hex()


def span_id(number: int) -> str:
    """As backends write it."""
    return (number * _SPAN).to_bytes(8, "big").hex()


def known_calls() -> bytes:
    """One call that is priced, one that cannot be, a refusal, and one with a card number in its prompt."""
    cached = chat(gen_ai__usage__cache_read__input_tokens=600)
    unknown = chat(gen_ai__request__model="nobody-knows", gen_ai__response__model=None)
    refusal = chat(gen_ai__output__messages=_REFUSAL, gen_ai__response__finish_reasons=["stop"])
    card = chat(gen_ai__input__messages=_CARD)
    numbers = (CALLS.priced, CALLS.unpriced, CALLS.refused, CALLS.denied)
    start = time.time_ns() - 60_000_000_000
    return request(
        SpanSpec(attributes=attributes, trace=number * _TRACE, span=number * _SPAN, start=start)
        for attributes, number in zip((cached, unknown, refusal, card), numbers, strict=True)
    )


def recorded_calls() -> list[bytes]:
    """The recorded requests of real emitters; ids are the same for one scenario of all of them, so they are changed."""
    bodies = []
    for number, recording in enumerate((one for one in RECORDINGS if one.emitter in _EMITTERS), start=1):
        message = ExportTraceServiceRequest.FromString(recording.traces)
        for span in (span for held in message.resource_spans for group in held.scope_spans for span in group.spans):
            span.trace_id, span.span_id = _changed(span.trace_id, number), _changed(span.span_id, number)
            span.parent_span_id = _changed(span.parent_span_id, number)
        bodies.append(message.SerializeToString())
    return bodies


def _changed(identifier: bytes, number: int) -> bytes:
    return bytes([number]) + identifier[1:] if identifier else b""


@dataclass(frozen=True, slots=True)
class Fed:
    """A gateway before a backend.

    Attributes:
        gateway: it runs.
        seen: what left it for the backend, once more.
    """

    gateway: Gateway
    seen: Destination = field(repr=False)

    def send(self, body: bytes) -> None:
        """One request, accepted."""
        assert post(http_port(self.gateway), "/v1/traces", body)[0] == 200

    def send_all(self) -> None:
        """The recorded requests of real emitters, and the known calls; returns when all have left."""
        bodies = [known_calls(), *recorded_calls()]
        for body in bodies:
            self.send(body)
        sent = sum(len(spans_of(body)) for body in bodies)
        self.seen.wait_for(lambda: self.seen.items >= sent, 60)

    def send_thumb(self, number: int) -> None:
        """A user's thumb down for a known call, to the feedback receiver."""
        address = cast("FeedbackReceiver", self.gateway.receiver("feedback")).endpoint.removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=10)
        thumb = {"trace_id": trace_id(number), "span_id": span_id(number), "score": 0}
        connection.request("POST", "/v1/feedback", json.dumps(thumb), {"content-type": "application/json"})
        assert connection.getresponse().status in (200, 202)
        connection.close()

    @property
    def spans(self) -> dict[tuple[str, str], Attributes]:
        """Attributes of what left, by trace and span id."""
        bodies = [one.body for one in self.seen.accepted if one.signal == "traces"]
        return {
            (span.trace_id.hex(), span.span_id.hex()): attributes_of(span) for body in bodies for span in spans_of(body)
        }


@contextmanager
def fed(
    name: str,
    environment: Mapping[str, str],
    exporter: str | None,
    *overrides: str,
    metrics_interval_seconds: float = 3600,
) -> Iterator[Fed]:
    """The gateway of collector-config/gateway-NAME.yaml on ports of its own, with a second exporter that we see.

    Args:
        name: of the file.
        environment: the variables it reads.
        exporter: the one of its traces that sends to the backend; None where metrics are looked at.
        overrides: settings that a test needs otherwise.
        metrics_interval_seconds: how often it sends metrics.
    """
    exporters = ["otlp_http/seen"] if exporter is None else [exporter, "otlp_http/seen"]
    with OtlpHttpSink() as sink:
        given = (
            "receivers.otlp={protocols: {http: {endpoint: '127.0.0.1:0'}, grpc: {endpoint: '127.0.0.1:0'}}}",
            "service.admin.endpoint=127.0.0.1:0",
            "service.shutdown_timeout_seconds=10",
            f"exporters.otlp_http/seen={{endpoint: '{sink.endpoint}'}}",
            f"service.pipelines.traces.exporters=[{', '.join(exporters)}]",
            *overrides,
        )
        settings = load(str(_CONFIG / f"gateway-{name}.yaml"), environment, given)
        gateway = Gateway(settings, metrics_interval_seconds=metrics_interval_seconds)
        gateway.start()
        try:
            yield Fed(gateway, sink.destination)
        finally:
            gateway.shutdown()
