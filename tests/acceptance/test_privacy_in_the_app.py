"""Personal data and secrets in an app without a gateway: none of it leaves the process, whoever made the telemetry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, Tracer, TraceState
from opentelemetry.trace import set_span_in_context as within

from otel_llm.audit import AuditConfig, read_anchors, verify
from otel_llm.audit.config import open_logs
from otel_llm.hosts.redacting import Redaction
from otel_llm.hosts.sdk import Enriching
from otel_llm.loopback import LoopbackProvider
from otel_llm.processors.redact import Config
from otel_llm.processors.redact_config import CallableConfig
from otel_llm.testing import OtlpHttpSink
from tests.acceptance.test_privacy import CARD, MAIL, MESSAGES, STACK, TOKEN, assert_clean

KEY = "a key of 32 bytes, for tests only"


class App:
    """An app whose own OpenTelemetry SDK sends to a sink, through redaction."""

    def __init__(self, sink: OtlpHttpSink, redaction: Redaction, resource: Resource) -> None:
        self._sink = sink
        self.tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=f"{sink.endpoint}/v1/traces")
        self.tracers.add_span_processor(SimpleSpanProcessor(Enriching(redaction.spans(exporter))))
        self.loggers = LoggerProvider(resource=resource, shutdown_on_exit=False)
        records = redaction.records(OTLPLogExporter(endpoint=f"{sink.endpoint}/v1/logs"))
        self.loggers.add_log_record_processor(SimpleLogRecordProcessor(records))
        redaction.send_anchors_to(self.loggers)
        metrics = redaction.metrics(OTLPMetricExporter(endpoint=f"{sink.endpoint}/v1/metrics"))
        reader = PeriodicExportingMetricReader(metrics, export_interval_millis=float("inf"))
        shape = View(instrument_name="others", aggregation=ExponentialBucketHistogramAggregation())
        self.meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False, views=[shape])

    def bodies(self, signal: str) -> list[bytes]:
        return [one.body for one in self._sink.destination.accepted if one.signal == signal]


@contextmanager
def app(config: Config | None = None, resource: Resource | None = None) -> Iterator[App]:
    with OtlpHttpSink() as sink:
        made = App(sink, Redaction(config), resource or Resource({"service.name": "shop"}))
        try:
            yield made
        finally:
            for provider in (made.tracers, made.meters, made.loggers):
                provider.shutdown()


def attributes(**known: object) -> Callable[[Tracer], None]:
    def make(tracer: Tracer) -> None:
        tracer.start_span("chat", attributes={key.replace("__", "."): value for key, value in known.items()}).end()  # type: ignore[misc]

    return make


def exception(tracer: Tracer) -> None:
    with pytest.raises(ValueError, match="no user"), tracer.start_as_current_span("chat"):
        raise ValueError(STACK)


def event(tracer: Tracer) -> None:
    span = tracer.start_span("chat")
    span.add_event(f"sent {MAIL}", {"to": MAIL, "exception.stacktrace": STACK})
    span.end()


def status(tracer: Tracer) -> None:
    span = tracer.start_span("chat")
    span.set_status(Status(StatusCode.ERROR, f"no user {MAIL}"))
    span.end()


def context(**entries: str) -> SpanContext:
    return SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState(list(entries.items())))


SPANS: dict[str, Callable[[Tracer], None]] = {
    "prompt": attributes(gen_ai__operation__name="chat", gen_ai__input__messages=MESSAGES),
    "answer": attributes(gen_ai__operation__name="chat", gen_ai__output__messages=MESSAGES),
    "system prompt": attributes(gen_ai__system_instructions=json.dumps([{"type": "text", "content": MAIL}])),
    "tool arguments": attributes(gen_ai__tool__call__arguments=json.dumps({"to": MAIL, "api_key": "hunter-two-2"})),
    "tool result": attributes(gen_ai__tool__call__result=f"sent to {MAIL}"),
    "tool definitions": attributes(gen_ai__tool__definitions=json.dumps([{"description": f"asks {MAIL}"}])),
    "MCP payload": attributes(mcp__request__params=json.dumps({"arguments": {"query": MAIL}})),
    "array": attributes(app__list=["fine", MAIL]),
    "integer": attributes(app__card=4111111111111111),
    "double": attributes(app__card=4111111111111111.0),
    "array of integers": attributes(app__cards=[1, 4111111111111111]),
    "bytes": attributes(app__bytes=MAIL.encode()),
    "JSON in JSON": attributes(app__json=json.dumps({"inner": json.dumps([MAIL, {"api_key": "hunter-two-2"}])})),
    "user's part, path and hash of a URL": attributes(
        http__url=f"https://jane:hunter-two-2@x.example/users/{MAIL}/cards#{MAIL}", url__query="api_key=hunter-two-2"
    ),
    "key": lambda tracer: tracer.start_span("a", attributes={f"visits.{MAIL}": 3}).end(),
    "URL query of httpx": attributes(url__full=f"https://api.example.com/?email={MAIL}&key=hunter-two-2"),
    "OpenInference": attributes(
        openinference__span__kind="LLM",
        llm__input_messages__0__message__content=f"{MAIL} {CARD}",
        llm__invocation_parameters=json.dumps({"api_key": "hunter-two-2"}),
    ),
    "OpenLLMetry": attributes(gen_ai__prompt__0__role="user", gen_ai__prompt__0__content=f"{TOKEN} {MAIL}"),
    "span name": lambda tracer: tracer.start_span(f"pay {MAIL}").end(),
    "event": event,
    "exception": exception,
    "status": status,
    "link": lambda tracer: tracer.start_span("a", links=[Link(context(app=MAIL), {"to": MAIL})]).end(),
    "trace state": lambda tracer: tracer.start_span("a", within(NonRecordingSpan(context(app=MAIL)))).end(),
}


@pytest.mark.parametrize("place", SPANS)
def test_22_in_an_app_without_a_gateway_a_canary_in_any_place_of_a_span_leaves_in_no_byte(place: str) -> None:
    with app() as made:
        SPANS[place](made.tracers.get_tracer("opentelemetry.instrumentation.httpx"))
        (body,) = made.bodies("traces")
    assert_clean(body)
    assert_clean(str(ExportTraceServiceRequest.FromString(body)).encode())  # numbers, too


def test_22_in_an_app_resource_scope_log_records_and_metrics_leave_without_canaries() -> None:
    schema = f"https://x.example/{MAIL}"
    resource = Resource({"service.name": "shop", "owner": MAIL, "db.password": "hunter-two-2"}, schema)
    scope = {"schema_url": schema, "attributes": {"by": MAIL}}
    with app(resource=resource) as made:
        made.tracers.get_tracer(f"app {MAIL}", MAIL, **scope).start_span("a").end()
        logger = made.loggers.get_logger(f"app {MAIL}", MAIL, **scope)
        bodies: tuple[Any, ...] = (
            f"I am {MAIL}",
            {"messages": [{"content": CARD}], MAIL: 1},
            [TOKEN],
            4111111111111111,
        )
        for body in (*bodies, MAIL.encode(), json.dumps({"inner": json.dumps([MAIL])})):
            record = LogRecord(
                body=body, event_name=f"sent {MAIL}", severity_text=MAIL, attributes={"a": {"b": [MAIL]}}
            )
            logger.emit(record)
        logger.emit(LogRecord(body="failed", exception=ValueError(STACK)))
        meter = made.meters.get_meter(f"app {MAIL}", MAIL, **scope)
        with made.tracers.get_tracer("app").start_as_current_span("b"):  # exemplars are of measurements in a span
            meter.create_counter("count", unit=f"{{{MAIL}}}", description=f"of {MAIL}").add(1, {MAIL: "a"})
            meter.create_histogram("sizes").record(2.0, {"to": CARD})
            meter.create_histogram("others").record(2.0, {"to": MAIL})
            meter.create_gauge("level").set(1, {"to": [MAIL], "token": TOKEN})
        made.meters.force_flush()
        traces, logs, metrics = (made.bodies(signal) for signal in ("traces", "logs", "metrics"))
    assert (len(traces), len(logs), len(metrics)) == (2, 7, 1)
    for body in (*traces, *logs, *metrics):
        assert_clean(body)
    assert_clean(str([ExportLogsServiceRequest.FromString(body) for body in logs]).encode())
    assert_clean(str([ExportMetricsServiceRequest.FromString(body) for body in metrics]).encode())
    (holder,) = ExportLogsServiceRequest.FromString(logs[0]).resource_logs
    assert holder.scope_logs[0].log_records[0].body.string_value == "I am [EMAIL_ADDRESS]"
    (found,) = ExportMetricsServiceRequest.FromString(metrics[0]).resource_metrics
    assert {one.name for one in found.scope_metrics[0].metrics} == {"count", "sizes", "others", "level"}
    assert {len(point.exemplars) for point in found.scope_metrics[0].metrics[0].sum.data_points} == {1}


def test_22_in_an_app_what_is_not_personal_leaves_as_it_was() -> None:
    with app() as made:
        made.tracers.get_tracer("app", "1.0").start_span("basket", attributes={"n": (1, 2), "items": "a, b"}).end()
        made.loggers.get_logger("app").emit(LogRecord(body={"a": [1, True, 2.5]}, attributes={"n": 3}))
        (traces,), (logs,) = made.bodies("traces"), made.bodies("logs")
    (span,) = ExportTraceServiceRequest.FromString(traces).resource_spans[0].scope_spans[0].spans
    assert span.name == "basket"
    assert {one.key for one in span.attributes} == {"n", "items"}
    (record,) = ExportLogsServiceRequest.FromString(logs).resource_logs[0].scope_logs[0].log_records
    assert [one.key for one in record.body.kvlist_value.values] == ["a"]
    assert [one.key for one in record.attributes] == ["n"]


def breaks(text: str) -> list[tuple[str, int, int]]:
    raise ValueError(text)


def test_22_in_an_app_a_detector_that_fails_costs_the_value_and_is_counted() -> None:
    function = CallableConfig(name="own", function=f"{__name__}:breaks", types=("OWN",))
    with app(Config(detectors=(function,))) as made:
        made.tracers.get_tracer("app").start_span(MAIL, attributes={"note": "canary.bird"}).end()
        (body,) = made.bodies("traces")
    assert_clean(body)
    (span,) = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
    assert not span.attributes


def test_27_in_an_app_what_was_taken_out_is_in_an_audit_log_whose_anchors_leave(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    with app(Config(audit=AuditConfig(path=str(folder), key=KEY, anchor_records=2))) as made:
        tracer = made.tracers.get_tracer("app")
        for _ in range(3):
            tracer.start_span("chat", attributes={"gen_ai.prompt": MAIL}).end()
        logs = made.bodies("logs")
    (log,) = [one for one in open_logs() if one.folder == folder]
    log.close()
    records = [
        record
        for body in logs
        for holder in ExportLogsServiceRequest.FromString(body).resource_logs
        for scope in holder.scope_logs
        for record in scope.log_records
    ]
    assert records
    assert {one.event_name for one in records} == {"otel_llm.audit.anchor"}
    lines = [
        json.dumps(
            {one.key.rpartition(".")[2].replace("sequence", "seq"): plain(one.value) for one in record.attributes}
        )
        for record in records
    ]
    report = verify(folder, KEY.encode(), list(read_anchors("\n".join(lines))))
    assert report.problems == []
    text = "".join(path.read_text() for path in folder.glob("*.jsonl"))
    assert text.count('"EMAIL_ADDRESS"') == 3
    assert "canary" not in text


def plain(value: object) -> object:
    return getattr(value, value.WhichOneof("value"))  # type: ignore[attr-defined]


SCRIPT = """
import sys, openai, otel_llm
otel_llm.instrument()
with openai.OpenAI(base_url=sys.argv[1], api_key="any", max_retries=0) as client:
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": sys.argv[2]}])
print(otel_llm.flush(20))
"""


def environment_of(sink: OtlpHttpSink) -> dict[str, str]:
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("OTEL_")},
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint,
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_AND_EVENT",
        "OTEL_RESOURCE_ATTRIBUTES": f"owner={MAIL}",
    }


def run(
    provider: LoopbackProvider, sink: OtlpHttpSink, redaction: str, **more: str
) -> subprocess.CompletedProcess[str]:
    environment = {**environment_of(sink), "OTEL_LLM_REDACTION": redaction, **more}
    arguments = [sys.executable, "-c", SCRIPT, provider.openai_base_url, f"I am {MAIL}, {CARD}, {TOKEN}"]
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True, timeout=60)


def test_22_an_app_that_has_set_up_nothing_redacts_when_its_environment_says_so(tmp_path: Path) -> None:
    settings = tmp_path / "redaction.yaml"
    settings.write_text(f"audit: {{path: {tmp_path / 'audit'}, key: '${{env:AUDIT_KEY}}'}}\n")
    with LoopbackProvider() as provider, OtlpHttpSink() as sink:
        result = run(provider, sink, str(settings), AUDIT_KEY=KEY)
        assert result.stdout == "True\n", result.stderr
        bodies = [one.body for one in sink.destination.accepted]
        signals = {one.signal for one in sink.destination.accepted}
    assert signals == {"traces", "logs", "metrics"}
    assert any(b"[EMAIL_ADDRESS]" in body for body in bodies)
    for body in bodies:
        assert_clean(body)
    assert verify(tmp_path / "audit", KEY.encode()).problems == []
    assert any(b"otel_llm.audit.anchor" in body for body in bodies)


@pytest.mark.parametrize("settings", ["types: [nothing_of_that_name]", "audit: {path: a, key: short}", None])
def test_22_an_app_whose_redaction_cannot_be_set_up_sends_nothing(settings: str | None, tmp_path: Path) -> None:
    path = tmp_path / "redaction.yaml"
    if settings is not None:
        path.write_text(settings)
    with LoopbackProvider() as provider, OtlpHttpSink() as sink:
        result = run(provider, sink, str(path))
        assert sink.destination.accepted == []
    assert "GenAI calls are not exported" in result.stderr


LONG = """
import sys, otel_llm
otel_llm.instrument()
with otel_llm.agent(sys.argv[1]):
    sys.stdin.read()
"""


@pytest.mark.slow  # a span is announced after two seconds
def test_22_what_is_told_of_a_span_that_is_still_open_is_redacted_too() -> None:
    with OtlpHttpSink() as sink:
        environment = {**environment_of(sink), "OTEL_LLM_REDACTION": "true"}
        process = subprocess.Popen([sys.executable, "-c", LONG, MAIL], env=environment, stdin=subprocess.PIPE)
        try:
            sink.destination.wait_for(lambda: b"span.started" in b"".join(told(sink)))
        finally:
            process.communicate(timeout=30)
        bodies = [one.body for one in sink.destination.accepted]
    (record, *_) = [
        record
        for body in told(sink)
        for scope in ExportLogsServiceRequest.FromString(body).resource_logs[0].scope_logs
        for record in scope.log_records
    ]
    assert "[EMAIL_ADDRESS]" in str(record)
    for body in bodies:
        assert_clean(body)


def told(sink: OtlpHttpSink) -> list[bytes]:
    return [one.body for one in sink.destination.accepted if one.signal == "logs"]
