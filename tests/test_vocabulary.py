"""What is written is what semconv/ lists: metrics and their attributes, and our attributes on spans."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import grpc
import pytest

from otel_llm._generated.attributes import ATTRIBUTE_TYPES, ENUM_VALUES, GEN_AI_TOKEN_MODALITY
from otel_llm._generated.metrics import METRICS
from otel_llm.clock import SystemClock
from otel_llm.delivery.config import Config as DeliveryConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.exporters.exporter import ExportResult
from otel_llm.hosts.gateway import Gateway
from otel_llm.operation import AttributeValue, Operation
from otel_llm.pipeline import Pipeline
from otel_llm.signals import Payload
from otel_llm.telemetry import OVERFLOW_KEY, Metrics, Series
from otel_llm.testing import HANG, TOO_LARGE, Answer, Destination, InMemoryExporter, OtlpHttpSink, unused_port
from tests.delivery.requests import payload
from tests.hosts.running import grpc_port, http_port, post, running
from tests.spans import SpanSpec, attributes_of, chat, operations, request, spans_of

GOLDEN = Path(__file__).resolve().parent / "golden" / "dialects"
CONFIG = """
receivers:
  otlp:
    protocols:
      http: {{endpoint: "127.0.0.1:0", max_request_body_size: 1048576, read_header_timeout_seconds: 0.05}}
      grpc: {{endpoint: "127.0.0.1:0"}}
processors:
  normalize:
  cost:
  metrics:
exporters:
  otlp_http: {{endpoint: "{sink}", sending_queue: {{batch: {{flush_timeout_seconds: 0}}}},
               retry_on_failure: {{initial_interval_seconds: 0.01}}}}
  otlp_http/gone: {{endpoint: "http://127.0.0.1:{nobody}", retry_on_failure: {{max_elapsed_seconds: 0}}}}
  otlp_http/stuck: {{endpoint: "{stuck}", sending_queue: {{size_bytes: 1024}}}}
  otlp_http/lossy: {{endpoint: "{stuck}", sending_queue: {{size_bytes: 1024, on_full: drop}}}}
service:
  admin: {{endpoint: null}}
  shutdown_timeout_seconds: 0.2
  pipelines:
    traces: {{receivers: [otlp], processors: [normalize, cost, metrics],
              exporters: [otlp_http, otlp_http/gone, otlp_http/lossy]}}
    metrics: {{receivers: [otlp], exporters: [otlp_http]}}
    logs: {{receivers: [otlp], processors: [normalize], exporters: [otlp_http/stuck]}}
"""
PYTHON_TYPES: Mapping[str, type] = {"string": str, "int": int, "double": float, "boolean": bool}
TEXTS = {
    "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"What is the capital of France?"}]}]',
    "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"Paris."}]}]',
}
# One span of each kind that the cost processor tells apart.
BILLS: tuple[dict[str, AttributeValue], ...] = (
    chat(gen_ai__response__id="r1"),
    chat(gen_ai__response__id="r1"),
    chat(gen_ai__operation__name="invoke_agent"),
    chat(gen_ai__request__model="none such", gen_ai__response__model=None),
    chat(gen_ai__provider__name="nobody"),
    chat(gen_ai__usage__input_tokens=-1),
    chat(gen_ai__usage__cache_read__input_tokens=100, openai__response__service_tier="flex"),
    chat(gen_ai__usage__input_tokens=None, gen_ai__usage__output_tokens=None),
    {**chat(gen_ai__usage__input_tokens=None, gen_ai__usage__output_tokens=None), **TEXTS},
    chat(otel_llm__usage__web_searches=2, otel_llm__usage__processing="batch"),
)


def metric_problems(metrics: Metrics) -> Iterator[str]:
    """What is measured and not listed."""
    for family in metrics.collect():
        name = family.definition.name
        if METRICS.get(name) != family.definition:
            yield f"metric {name} is not the one of the registry"
        for series in family.series:
            yield from (f"{name}: {problem}" for problem in _series_problems(series, family.definition.attributes))
            missing = family.definition.required - {key for key, _ in series.attributes}
            if missing and name.startswith("otel_llm."):
                yield f"{name}: a series without {sorted(missing)}"


def _series_problems(series: Series, listed: Iterable[str]) -> Iterator[str]:
    for key, value in series.attributes:
        if key not in (*listed, OVERFLOW_KEY):
            yield f"{key} is no attribute of it"
        if (key.startswith("otel_llm.") or key == GEN_AI_TOKEN_MODALITY) and not _is_listed(key, value):
            yield f"{value!r} is no value of {key}"


def attribute_problems(attributes: Mapping[str, AttributeValue]) -> Iterator[str]:
    """What stands on a span under our names and is not listed, or has another type."""
    for key, value in attributes.items():
        if not key.startswith("otel_llm."):
            continue
        declared = ATTRIBUTE_TYPES.get(key)
        if declared is None:
            yield f"{key} is not in the registry"
        elif not _is_of(value, declared):
            yield f"{key} is {declared}, not {value!r}"
        elif not _is_listed(key, value):
            yield f"{value!r} is no value of {key}"


def _is_listed(key: str, value: AttributeValue) -> bool:
    return key not in ENUM_VALUES or value in ENUM_VALUES[key]


def _is_of(value: AttributeValue, declared: str) -> bool:
    element = PYTHON_TYPES[declared.removesuffix("[]")]
    if declared.endswith("[]"):
        return isinstance(value, list | tuple) and all(type(one) is element for one in value)
    return type(value) is element


def values_of(metrics: Metrics, key: str) -> set[str]:
    """The values that an attribute has in any series."""
    return {
        value
        for family in metrics.collect()
        for series in family.series
        for name, value in series.attributes
        if name == key
    }


def golden_spans() -> list[SpanSpec]:
    """Spans in every source convention."""
    cases = [case for path in sorted(GOLDEN.glob("*.json")) for case in json.loads(path.read_text(encoding="utf-8"))]
    return [
        SpanSpec(case["attributes"], span=number, trace=number, scope=case["scope_name"])
        for number, case in enumerate(cases, start=1000)
    ]


def bill_spans() -> list[SpanSpec]:
    return [SpanSpec(attributes, span=number, trace=number) for number, attributes in enumerate(BILLS, start=1)]


def send_bad_requests(gateway: Gateway, destination: Destination) -> None:
    """Everything that a receiver refuses."""
    port = http_port(gateway)
    assert post(port, "/v1/traces", b"\x0a\xff\xff\xff")[0] == 400
    assert post(port, "/v1/traces", b"x", {"content-type": "text/html"})[0] == 415
    assert post(port, "/v9/nothing", b"x")[0] == 404
    assert post(port, "/v1/traces", b"x" * 1_100_000)[0] == 413
    broken = b"gen_ai.x\xff\xff"  # no Span
    group = b"\x12" + bytes([len(broken)]) + broken
    holder = b"\x12" + bytes([len(group)]) + group
    assert post(port, "/v1/traces", b"\x0a" + bytes([len(holder)]) + holder)[0] == 200
    with socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
        slow.sendall(b"POST /v1/traces HTTP/1.1\r\n")
        assert slow.recv(1000)  # it gives up waiting, and says so
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port(gateway)}") as channel:
        call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        with pytest.raises(grpc.RpcError):
            call(b"\x0a\xff\xff\xff", timeout=10)
    log = b"\x0a\x06\x12\x04\x12\x02\x5a\x00" * 100
    assert 429 in [post(port, "/v1/logs", log)[0] for _ in range(3)]
    destination.wait_for(lambda: bool(destination.received))


def test_a_gateway_measures_and_writes_only_what_the_registry_lists(tmp_path: Path) -> None:
    stuck = Destination(default=HANG)
    with OtlpHttpSink() as sink, OtlpHttpSink(stuck) as stuck_sink:
        text = CONFIG.format(sink=sink.endpoint, stuck=stuck_sink.endpoint, nobody=unused_port())
        sink.destination.will(Answer.bad_request(), TOO_LARGE, Answer.unavailable(0.01), Answer.partial(1, "too old"))
        with running(text, tmp_path) as gateway:
            for number in range(3):
                before = len(sink.destination.received)
                body = request([SpanSpec(chat(), span=100 + number, trace=100 + number)])
                assert post(http_port(gateway), "/v1/traces", body)[0] == 200
                sink.destination.wait_for(lambda before=before: len(sink.destination.received) > before)  # type: ignore[misc] # the loop's own
            specs = [*bill_spans(), *golden_spans()]
            assert post(http_port(gateway), "/v1/traces", request(specs))[0] == 200
            assert post(http_port(gateway), "/v1/metrics", b"")[0] == 200
            sink.destination.wait_for(lambda: sink.destination.items >= len(specs))
            send_bad_requests(gateway, stuck)
        spans = [
            attributes_of(span)
            for received in sink.destination.accepted
            if received.signal == "traces"
            for span in spans_of(received.body)
        ]
    assert [problem for span in spans for problem in attribute_problems(span)] == []
    assert sorted(set(metric_problems(gateway.metrics))) == []
    seen = {key: values_of(gateway.metrics, key) for key in ENUM_VALUES}
    assert seen["otel_llm.refusal.reason"] == {"malformed", "unsupported", "too_large", "timeout", "queue_full"}
    assert seen["otel_llm.drop.reason"] == {
        *("unreadable", "permanent_error", "too_large", "rejected"),
        *("retries_exhausted", "queue_full", "shutdown"),
    }
    assert seen["otel_llm.export.outcome"] == {"success", "retryable", "permanent", "too_large"}
    assert {span.get("otel_llm.cost.status") for span in spans} >= {"priced", "unpriced", "partial", "not_billable"}
    assert {"service.name", "otel_llm.cost.currency"} <= {
        key for family in gateway.metrics.collect() for series in family.series for key, _ in series.attributes
    }


class Defective:
    """A processor with a defect."""

    name = "cost"
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()

    def process(self, operations: Iterable[Operation]) -> None:
        for _ in operations:
            raise KeyError


class DefectiveExporter(InMemoryExporter):
    """An exporter with a defect."""

    def export(self, payload: Payload, timeout_seconds: float) -> ExportResult:
        super().export(payload, timeout_seconds)
        raise KeyError


def test_defects_are_counted_as_the_registry_lists_them() -> None:
    metrics = Metrics()
    spans = operations(SpanSpec(chat()))
    Pipeline([Defective()], metrics, SystemClock()).process(spans)
    exporter = DefectiveExporter()
    delivery = Delivery("otlp_http", exporter, DeliveryConfig(), metrics)
    delivery.start()
    delivery.offer(payload(1, 1))
    exporter.destination.wait_for(lambda: len(exporter.destination.received) == 1)
    delivery.shutdown(5)
    (span,) = spans
    assert span.get("otel_llm.processing.errors") == ("cost:KeyError",)
    assert list(attribute_problems({key: span.get(key) for key in sorted(span.keys())})) == []
    assert list(metric_problems(metrics)) == []
    assert values_of(metrics, "otel_llm.drop.reason") == {"internal_error"}
    assert values_of(metrics, "otel_llm.error.site") == {"worker"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("otel_llm.cost.totel", 1.0),
        ("otel_llm.cost.total", 1),
        ("otel_llm.cost.estimated", 1),
        ("otel_llm.cost.status", "free"),
        ("otel_llm.processing.errors", "cost:KeyError"),
    ],
)
def test_what_is_not_listed_would_be_found_on_a_span(key: str, value: AttributeValue) -> None:
    assert list(attribute_problems({key: value})) != []


def test_what_is_not_listed_would_be_found_in_a_metric() -> None:
    metrics = Metrics()
    definition = METRICS["otel_llm.delivery.items.dropped"]
    metrics.counter(definition, ("otel_llm.drop.reason", "user.id")).add(1, "bored", "7")
    assert len(list(metric_problems(metrics))) == 3
