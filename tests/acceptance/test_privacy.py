"""Personal data and secrets: none of it leaves, wherever it stands; and what is not asked to be changed stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_llm.codecs.json import to_json
from otel_llm.codecs.protobuf import encode_value
from otel_llm.operation import AttributeValue
from otel_llm.signals import Signal
from otel_llm.testing import Destination, OtlpHttpSink
from tests.hosts.running import get, http_port, post, running

MAIL = "canary.bird@mail.example.org"
CARD = "4111 1111 1111 1111"
TOKEN = "ghp_Qz7Qz7aB3xY9Zk0mNpR5tUvW8sLhJf2cGdE4"
CANARIES = ("canary.bird", "mail.example.org", "4111 1111", "411111111111", "Qz7Qz7", "hunter-two-2")

CONFIG = """
receivers:
  otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:0"}}}}}}
processors:
  normalize:
  cost:
  redact: {redact}
exporters:
  otlp_http: {{endpoint: {sink}, compression: none, sending_queue: {{batch: {{flush_timeout_seconds: 0}}}}}}
  otlp_http/raw: {{endpoint: {raw}, compression: none, sending_queue: {{batch: {{flush_timeout_seconds: 0}}}}}}
service:
  admin: {{endpoint: "127.0.0.1:0"}}
  shutdown_timeout_seconds: 5
  pipelines:
    traces: {{receivers: [otlp], processors: [redact, normalize, cost], exporters: [otlp_http, otlp_http/raw]}}
    metrics: {{receivers: [otlp], processors: [redact], exporters: [otlp_http]}}
    logs: {{receivers: [otlp], processors: [normalize, redact], exporters: [otlp_http]}}
"""


class Redacting:
    """A gateway that redacts, what is behind it, and what is behind its raw exporter."""

    def __init__(self, port: int, admin_port: int | None, redacted: Destination, raw: Destination) -> None:
        self.port = port
        self.admin_port = admin_port
        self.redacted = redacted
        self.raw = raw

    def send(self, signal: Signal, body: bytes) -> bytes:
        """The bytes that leave, redacted, for a request that comes in."""
        before = len(self.redacted.accepted)
        path = {"traces": "/v1/traces", "logs": "/v1/logs", "metrics": "/v1/metrics"}[signal]
        status, _ = post(self.port, path, body)
        assert status == 200
        self.redacted.wait_for(lambda: len(self.redacted.accepted) > before)
        (received,) = self.redacted.accepted[before:]
        return received.body


@contextmanager
def redacting(folder: Path, redact: str) -> Iterator[Redacting]:
    with OtlpHttpSink() as sink, OtlpHttpSink() as raw:
        text = CONFIG.format(redact=redact, sink=sink.endpoint, raw=raw.endpoint)
        with running(text, folder) as gateway:
            yield Redacting(http_port(gateway), gateway.admin_port, sink.destination, raw.destination)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redacting]:
    with redacting(tmp_path_factory.mktemp("redacting"), "{raw_exporters: [otlp_http/raw]}") as running_one:
        yield running_one


def value(plain: AttributeValue) -> AnyValue:
    return AnyValue.FromString(encode_value(plain))


def attribute(key: str, plain: AttributeValue) -> KeyValue:
    return KeyValue(key=key, value=value(plain))


MESSAGES = json.dumps(
    [
        {"role": "user", "parts": [{"type": "text", "content": f"I am {MAIL}, card {CARD}, token {TOKEN}"}]},
        {
            "role": "assistant",
            "parts": [
                {
                    "type": "tool_call",
                    "id": "call_1",
                    "name": "pay",
                    "arguments": {"to": MAIL, "password": "hunter-two-2", "card": 4111111111111111},
                },
                {"type": "tool_call_response", "id": "call_1", "response": json.dumps({"inner": json.dumps([MAIL])})},
            ],
        },
    ]
)
STACK = f'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: no user {MAIL} with {TOKEN}'

Put = Callable[[ExportTraceServiceRequest, Span], object]
# A field that OTLP does not have, with a text in it.
UNKNOWN = b"\xfa\x3f" + bytes([len(MAIL)]) + MAIL.encode()
# Where other instrumentations put what was said; after `@`, the event that has it.
DIALECTS = {
    "Anthropic SDK": ("anthropic.request.messages", "llm.prompts", "llm.completions"),
    "Claude Code": ("prompt", "tool_input", "tool_parameters", "error"),
    "Gemini CLI": ("request_text", "response_text", "function_args", "prompt"),
    "Google ADK": ("gcp.vertex.agent.llm_request", "gcp.vertex.agent.llm_response", "gcp.vertex.agent.tool_call_args"),
    "Langfuse": ("langfuse.observation.input", "langfuse.trace.output", "langfuse.trace.metadata.user", "user.id"),
    "LangSmith": ("gen_ai.prompt", "gen_ai.completion", "langsmith.metadata.user", "langsmith.span.tags"),
    "LiteLLM": ("llm.openai.messages", "metadata.user_api_key_alias", "llm.user"),
    "Logfire": ("request_data", "response_data", "logfire.msg", "events"),
    "Microsoft": ("gen_ai.event.content@gen_ai.user.message", "input", "output"),
    "MLflow": ("mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.chat.messages", "mlflow.traceRequestId"),
    "OpenLIT": ("gen_ai.prompt@gen_ai.content.prompt", "gen_ai.completion@gen_ai.content.completion"),
    "events of OpenTelemetry": ("content@gen_ai.user.message", "content@gen_ai.tool.message", "message@gen_ai.choice"),
    "Pydantic AI": (
        "all_messages_events",
        "pydantic_ai.all_messages",
        "tool_arguments",
        "tool_response",
        "final_result",
    ),
    "Sentry": ("gen_ai.request.messages", "gen_ai.response.text", "gen_ai.tool.input", "ai.input_messages"),
    "Strands": ("content@gen_ai.system.message", "message@gen_ai.choice", "system_prompt", "agent.tools"),
    "Traceloop": ("traceloop.entity.input", "traceloop.entity.output", "traceloop.association.properties.user_id"),
    "Vercel AI SDK": ("ai.prompt.messages", "ai.response.text", "ai.toolCall.args", "ai.telemetry.metadata.user"),
}


def _dialect(keys: tuple[str, ...]) -> Put:
    def put(_: ExportTraceServiceRequest, span: Span) -> None:
        for key in keys:
            name, _, event = key.partition("@")
            holder = span.events.add(name=event) if event else span
            holder.attributes.append(attribute(name, json.dumps([{"content": f"{MAIL} {CARD}"}, {"token": TOKEN}])))

    return put


# Where a canary may stand on a span.
PLACES: dict[str, Put] = {
    "prompt": lambda _, span: span.attributes.append(attribute("gen_ai.input.messages", MESSAGES)),
    "system prompt": lambda _, span: span.attributes.append(
        attribute("gen_ai.system_instructions", json.dumps([{"type": "text", "content": f"serve {MAIL}"}]))
    ),
    "tool arguments": lambda _, span: span.attributes.append(
        attribute("gen_ai.tool.call.arguments", json.dumps({"to": MAIL, "n": 1}))
    ),
    "tool result": lambda _, span: span.attributes.append(attribute("gen_ai.tool.call.result", f"sent to {MAIL}")),
    "tool definitions": lambda _, span: span.attributes.append(
        attribute("gen_ai.tool.definitions", json.dumps([{"type": "function", "description": f"asks {MAIL}"}]))
    ),
    "structured content": lambda _, span: span.attributes.append(
        attribute("gen_ai.output.messages", [{"role": "assistant", "parts": [{"type": "text", "content": MAIL}]}])
    ),
    "MCP payload": lambda _, span: span.attributes.append(
        attribute("mcp.request.params", json.dumps({"arguments": {"query": MAIL}}))
    ),
    "baggage": lambda _, span: span.attributes.append(attribute("baggage.user", MAIL)),
    "array": lambda _, span: span.attributes.append(attribute("app.list", ["fine", MAIL])),
    "map": lambda _, span: span.attributes.append(attribute("app.map", {"a": {"b": [MAIL]}, MAIL: 1})),
    "key": lambda _, span: span.attributes.append(attribute(f"visits.{MAIL}", 3)),
    "bytes": lambda _, span: span.attributes.append(attribute("app.bytes", b"\xff\x00" + MAIL.encode())),
    "integer": lambda _, span: span.attributes.append(attribute("app.card", 4111111111111111)),
    "double": lambda _, span: span.attributes.append(attribute("app.card_double", 4111111111111111.0)),
    "credential by its name": lambda _, span: span.attributes.append(attribute("db.password", "hunter-two-2")),
    "JSON escapes": lambda _, span: span.attributes.append(
        attribute("app.json", '{"a": "' + MAIL.replace("@", "\\u0040") + '", "b": "cut of')
    ),
    "URL query": lambda _, span: span.attributes.append(
        attribute("url.full", f"https://api.example.com/v1?email={MAIL.replace('@', '%40')}&key=hunter-two-2")
    ),
    "every part of a URL": lambda _, span: span.attributes.extend(
        [
            attribute("http.url", f"https://jane:hunter-two-2@x.example/users/{MAIL}/cards#{MAIL}"),
            attribute("http.target", f"/users?token={TOKEN}&mail={MAIL.replace('@', '%2540')}"),
            attribute("url.query", f"api_key=hunter-two-2&u={MAIL}"),
        ]
    ),
    "database": lambda _, span: span.attributes.append(
        attribute("db.query.text", f"CALL find_user('{MAIL}', '{CARD}')")
    ),
    "arrays of other types": lambda _, span: span.attributes.extend(
        [
            attribute("app.cards", [1, 4111111111111111]),
            attribute("app.parts", [MAIL.encode(), b"\xff"]),
            attribute("app.maps", [{"a": [{"b": MAIL.encode()}]}, [[4111111111111111]]]),
        ]
    ),
    "key of a map that names a credential": lambda _, span: span.attributes.append(
        attribute("app.settings", {"db": {"password": "hunter-two-2", "api_key": ["hunter-two-2"]}})
    ),
    "unknown fields": lambda request, span: (
        span.MergeFromString(UNKNOWN),
        span.events.add(name="a").MergeFromString(UNKNOWN),
        span.attributes.add(key="a").MergeFromString(UNKNOWN),
        request.resource_spans[0].resource.MergeFromString(UNKNOWN),
        request.MergeFromString(UNKNOWN),
        setattr(span.status, "message", MAIL),
    ),
    "a value given twice": lambda _, span: span.attributes.append(
        KeyValue.FromString(attribute("a", MAIL).SerializeToString() + KeyValue(value=value(TOKEN)).SerializeToString())
    ),
    "span name": lambda _, span: setattr(span, "name", f"pay {MAIL}"),
    "event name": lambda _, span: span.events.add(name=f"sent {MAIL}"),
    "event attributes of other types": lambda _, span: span.events.add(
        name="gen_ai.choice",
        attributes=[attribute("card", 4111111111111111), attribute("message", {"content": MAIL}), attribute(MAIL, [1])],
    ),
    "exception": lambda _, span: span.events.add(
        name="exception",
        attributes=[attribute("exception.message", f"no {MAIL}"), attribute("exception.stacktrace", STACK)],
    ),
    "status": lambda _, span: setattr(span.status, "message", f"no user {MAIL}"),
    "trace state of a link": lambda _, span: span.links.add(
        trace_id=b"1" * 16, span_id=b"2" * 8, trace_state=f"app={MAIL},other={TOKEN}"
    ),
    "link": lambda _, span: span.links.add(trace_id=b"1" * 16, span_id=b"2" * 8, attributes=[attribute("a", MAIL)]),
    "trace state": lambda _, span: setattr(span, "trace_state", f"app={MAIL}"),
    "resource": lambda request, _: request.resource_spans[0].resource.attributes.append(attribute("owner", MAIL)),
    "scope attribute": lambda request, _: (
        request.resource_spans[0].scope_spans[0].scope.attributes.append(attribute("by", MAIL))
    ),
    "resource, of another type": lambda request, _: request.resource_spans[0].resource.attributes.extend(
        [
            attribute("process.command_args", ["run", f"--owner={MAIL}", f"--token={TOKEN}"]),
            attribute("host.card", 4111111111111111),
            attribute("owner", {"mail": [MAIL]}),
        ]
    ),
    "entity of the resource": lambda request, _: request.resource_spans[0].resource.entity_refs.add(
        schema_url=f"https://x.example/{MAIL}", type=MAIL, id_keys=[MAIL], description_keys=[MAIL]
    ),
    "schema URLs": lambda request, _: (
        setattr(request.resource_spans[0], "schema_url", f"https://x.example/{MAIL}"),
        setattr(request.resource_spans[0].scope_spans[0], "schema_url", f"https://x.example/?u={MAIL}"),
    ),
    "scope name": lambda request, _: setattr(request.resource_spans[0].scope_spans[0].scope, "name", f"app {MAIL}"),
    "scope version": lambda request, _: setattr(request.resource_spans[0].scope_spans[0].scope, "version", MAIL),
    **{name: _dialect(keys) for name, keys in DIALECTS.items()},
    "OpenInference": lambda _, span: span.attributes.extend(
        [
            attribute("openinference.span.kind", "LLM"),
            attribute("llm.input_messages.0.message.role", "user"),
            attribute("llm.input_messages.0.message.content", f"I am {MAIL}"),
            attribute("llm.invocation_parameters", json.dumps({"api_key": "hunter-two-2"})),
        ]
    ),
    "OpenLLMetry": lambda _, span: span.attributes.extend(
        [attribute("gen_ai.prompt.0.role", "user"), attribute("gen_ai.prompt.0.content", f"{TOKEN} {MAIL}")]
    ),
}
SCOPES = ("opentelemetry.instrumentation.genai.openai", "opentelemetry.instrumentation.httpx", "app")


def trace_request(put: Put, scope: str) -> bytes:
    request = ExportTraceServiceRequest()
    holder = request.resource_spans.add()
    holder.resource.attributes.append(attribute("service.name", "shop"))
    group = holder.scope_spans.add()
    group.scope.name = scope
    span = group.spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="chat gpt-4o", start_time_unix_nano=1)
    span.attributes.extend([attribute("gen_ai.operation.name", "chat")] if "genai" in scope else [])
    put(request, span)
    return request.SerializeToString()


def assert_clean(body: bytes) -> None:
    left = [canary for canary in CANARIES if canary.encode() in body]
    assert left == []


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("place", PLACES)
def test_22_a_canary_in_any_place_of_a_span_leaves_in_no_byte(gateway: Redacting, place: str, scope: str) -> None:
    """Given personal data and secrets in any place of a span of any convention, or of none, then no byte of them
    leaves, and the span and what is not personal about it do."""
    came = trace_request(PLACES[place], scope)
    assert any(canary in str(ExportTraceServiceRequest.FromString(came)) for canary in CANARIES)
    body = gateway.send("traces", came)
    assert_clean(body)
    assert_clean(str(ExportTraceServiceRequest.FromString(body)).encode())  # numbers, too
    (holder,) = ExportTraceServiceRequest.FromString(body).resource_spans
    (span,) = holder.scope_spans[0].spans
    assert (span.trace_id, span.span_id, span.start_time_unix_nano) == (b"t" * 16, b"s" * 8, 1)
    assert holder.resource.attributes[0] == attribute("service.name", "shop")


# What a log may say.
BODIES: tuple[AttributeValue, ...] = (
    f"I am {MAIL}",
    {"text": MAIL, MAIL: 1, "deep": [{"password": "hunter-two-2"}]},
    [TOKEN, [CARD]],
    MAIL.encode(),
    4111111111111111,
    4111111111111111.0,
    json.dumps({"inner": json.dumps([MAIL])}),
)


def test_22_log_records_leave_without_canaries(gateway: Redacting) -> None:
    """The same for log bodies of every type, attributes, event names, severity texts, resource and scope, of records
    that are GenAI events and of others."""
    request = ExportLogsServiceRequest()
    holder = request.resource_logs.add(schema_url=f"https://x.example/{MAIL}")
    holder.resource.attributes.append(attribute("owner", MAIL))
    group = holder.scope_logs.add(schema_url=f"https://x.example/{MAIL}")
    group.scope.name, group.scope.version = f"app {MAIL}", MAIL
    group.scope.attributes.append(attribute("by", MAIL))
    for body in BODIES:
        record = group.log_records.add(
            severity_text=f"INFO {MAIL}", body=value(body), event_name=f"a.{MAIL}", trace_id=b"t" * 16
        )
        record.attributes.extend([attribute("gen_ai.input.messages", MESSAGES), attribute("code.text", STACK)])
        record.MergeFromString(UNKNOWN)
    for event in ("gen_ai.client.inference.operation.details", "gen_ai.user.message", "gen_ai.evaluation.result"):
        record = group.log_records.add(event_name=event, body=value({"content": MAIL}), span_id=b"s" * 8)
        record.attributes.extend(
            [attribute("gen_ai.input.messages", MESSAGES), attribute("gen_ai.evaluation.explanation", f"said {MAIL}")]
        )
    group.log_records.add(body=value(f"plain {CARD} text"))
    body = gateway.send("logs", request.SerializeToString())
    assert_clean(body)
    assert_clean(str(ExportLogsServiceRequest.FromString(body)).encode())
    records = ExportLogsServiceRequest.FromString(body).resource_logs[0].scope_logs[0].log_records
    assert len(records) == len(BODIES) + 4
    assert records[0].trace_id == b"t" * 16
    assert records[-1].body.string_value == "plain [CREDIT_CARD] text"


def test_22_metrics_leave_without_canaries(gateway: Redacting) -> None:
    """The same for names, units and descriptions of metrics of every kind, and the attributes of their data points,
    exemplars and metadata."""
    request = ExportMetricsServiceRequest()
    holder = request.resource_metrics.add(schema_url=f"https://x.example/{MAIL}")
    holder.resource.attributes.append(attribute("owner", MAIL))
    group = holder.scope_metrics.add(schema_url=f"https://x.example/{MAIL}")
    group.scope.name, group.scope.version = f"app {MAIL}", MAIL
    for kind in ("sum", "gauge", "histogram", "exponential_histogram", "summary"):
        metric = group.metrics.add(
            name=kind, description=f"of {MAIL}", unit=f"{{{MAIL}}}", metadata=[attribute(MAIL, MAIL)]
        )
        metric.MergeFromString(UNKNOWN)
        point = getattr(metric, kind).data_points.add(
            attributes=[attribute("user", MAIL), attribute("cards", [4111111111111111]), attribute(MAIL, 1)]
        )
        if kind != "summary":
            point.exemplars.add(
                as_int=1, filtered_attributes=[attribute("user", MAIL), attribute(MAIL, TOKEN)], trace_id=b"t" * 16
            )
    group.metrics.add(name=f"of {MAIL}").gauge.data_points.add(as_int=1)
    first = group.metrics[0].sum.data_points[0]
    first.as_int = 7
    histogram = group.metrics[2].histogram.data_points[0]
    histogram.bucket_counts.extend([1, 0])
    histogram.explicit_bounds.append(0.5)
    body = gateway.send("metrics", request.SerializeToString())
    assert_clean(body)
    assert_clean(str(ExportMetricsServiceRequest.FromString(body)).encode())
    left = ExportMetricsServiceRequest.FromString(body).resource_metrics[0].scope_metrics[0].metrics
    assert [one.name for one in left] == [
        *("sum", "gauge", "histogram", "exponential_histogram", "summary"),
        "of [EMAIL_ADDRESS]",
    ]
    assert left[0].sum.data_points[0].as_int == 7
    assert list(left[2].histogram.data_points[0].bucket_counts) == [1, 0]


def test_22_what_comes_as_json_leaves_without_canaries(gateway: Redacting) -> None:
    """The same for OTLP in JSON, with fields that OTLP does not have."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="chat")
    for place in ("prompt", "map", "bytes", "integer", "event attributes of other types", "trace state of a link"):
        PLACES[place](request, span)
    plain = json.loads(to_json("traces", request.SerializeToString()))
    plain["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["userOfTheApp"] = MAIL
    before = len(gateway.redacted.accepted)
    kind = {"content-type": "application/json"}
    assert post(gateway.port, "/v1/traces", json.dumps(plain).encode(), kind)[0] == 200
    gateway.redacted.wait_for(lambda: len(gateway.redacted.accepted) > before)
    body = gateway.redacted.accepted[-1].body
    assert_clean(body)
    assert_clean(str(ExportTraceServiceRequest.FromString(body)).encode())
    assert b"[EMAIL_ADDRESS]" in body


def test_22_an_exporter_that_is_raw_gets_what_came(gateway: Redacting) -> None:
    """Given an exporter that is configured as raw, then it gets the original, and all others get what is left."""
    seen = len(gateway.raw.accepted)
    body = gateway.send("traces", trace_request(PLACES["prompt"], SCOPES[0]))
    gateway.raw.wait_for(lambda: len(gateway.raw.accepted) > seen)
    raw = gateway.raw.accepted[-1].body
    assert_clean(body)
    assert MAIL.encode() in raw
    assert b"otel_llm.redaction" not in raw


def broken_detector(text: str) -> list[tuple[str, int, int]]:
    raise RuntimeError(text)


def test_22_a_detector_that_raises_costs_the_attribute_and_is_counted(tmp_path: Path) -> None:
    """Given a masker that throws, then the attribute does not leave, the span does, and it is counted."""
    config = f"{{detectors: [{{name: own, function: '{__name__}:broken_detector', types: [OWN]}}]}}"
    with redacting(tmp_path, config) as gateway:
        body = gateway.send("traces", trace_request(PLACES["prompt"], SCOPES[0]))
        assert_clean(body)
        assert b"I am" not in body
        (span,) = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
        assert span.name == "redaction_failed"
        assert span.trace_id == b"t" * 16
        _, metrics = get(gateway.admin_port, "/metrics")
        assert 'otel_llm_redaction_detector="own"' in metrics


CREDENTIALS = {
    "OpenAI": "sk-proj-" + "aB3xY9" * 8,
    "OpenAI, old": "sk-" + "aB3xY9Zk" * 6,
    "Anthropic": "sk-ant-api03-" + "aB3xY9" * 10,
    "AWS": "AKIA" + "QWERTYUIOP123456",
    "Google": "AIza" + "SyB3xY9Zk0" * 3 + "aB3xY",
    "GitHub": TOKEN,
    "JWT": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    "PEM": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----",
    "Basic": "Basic dXNlcjpwYXNzd29yZDEyMw==",
}
FORMS: dict[str, Callable[[str], KeyValue]] = {
    "keyword": lambda secret: attribute("llm.request.api_key", secret),
    "header": lambda secret: attribute("http.request.header.authorization", [f"Bearer {secret}"]),
    "URL query": lambda secret: attribute("url.full", f"https://x.example.com/v1?key={secret.split()[-1]}"),
    "environment echo": lambda secret: attribute("process.output", f"export OPENAI_API_KEY='{secret}'"),
    "exception": lambda secret: attribute("exception.message", f"401 for key {secret}."),
    "prompt": lambda secret: attribute(
        "gen_ai.input.messages",
        json.dumps([{"role": "user", "parts": [{"type": "text", "content": f"use {secret}!"}]}]),
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("issuer", CREDENTIALS)
def test_23_no_form_of_a_credential_leaves(gateway: Redacting, issuer: str, form: str) -> None:
    """Given a credential as an argument, header, URL query, environment echo, in an exception or a prompt, then none of
    it leaves."""
    secret = CREDENTIALS[issuer]
    body = gateway.send("traces", trace_request(lambda _, span: span.attributes.append(FORMS[form](secret)), "app"))
    middle = secret.split("\n")[1] if "\n" in secret else secret.split()[-1][8:24]
    assert middle.encode() not in body


def _split(text: str) -> str:
    return "\u200b".join(text)


TRICKS = {
    "zero width": _split(MAIL),
    "look-alike letters": MAIL.replace("a", "а").replace("e", "е"),  # noqa: RUF001 - Cyrillic on purpose
    "full width": "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in MAIL),
    "full-width digits": "card ４１１１ １１１１ １１１１ １１１１ ok",  # noqa: RUF001 - on purpose
    "soft hyphen": "card 4111\u00ad 1111 11\u00ad11 1111 ok",
    "percent codes twice over": MAIL.replace("@", "%2540").replace(".", "%252E"),
    "numbers of HTML": MAIL.replace("@", "&#64;").replace("d", "&#x64;"),
    "mathematical letters": "".join(chr(0x1D41A + ord(c) - 97) if c.islower() else c for c in MAIL),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_24_tricks_of_unicode_hide_nothing(gateway: Redacting, trick: str) -> None:
    """Given personal data split or disguised by tricks of Unicode, then it is replaced all the same."""
    text = TRICKS[trick]
    body = gateway.send(
        "traces", trace_request(lambda _, span: span.attributes.append(attribute("app.text", text)), "app")
    )
    (span,) = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
    left = next(item.value.string_value for item in span.attributes if item.key == "app.text")
    assert left in ("[EMAIL_ADDRESS]", "card [CREDIT_CARD] ok")


def test_24_json_stays_json_of_its_schema(gateway: Redacting) -> None:
    """Given messages with personal data two levels deep in JSON, then what leaves is JSON with the same roles, parts,
    types, names and ids, and its nested JSON is JSON."""
    body = gateway.send("traces", trace_request(PLACES["prompt"], SCOPES[0]))
    (span,) = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
    text = next(item.value.string_value for item in span.attributes if item.key == "gen_ai.input.messages")
    user, assistant = json.loads(text)
    assert user == {
        "role": "user",
        "parts": [
            {"type": "text", "content": "I am [EMAIL_ADDRESS], card [CREDIT_CARD], token [GITHUB_TOKEN]"},
        ],
    }
    call, response = assistant["parts"]
    assert call["arguments"] == {"to": "[EMAIL_ADDRESS]", "password": "[CREDENTIAL]", "card": "[CREDIT_CARD]"}
    assert (call["type"], call["id"], call["name"]) == ("tool_call", "call_1", "pay")
    assert json.loads(json.loads(response["response"])["inner"]) == ["[EMAIL_ADDRESS]"]


def test_what_was_replaced_is_noted_on_the_span_and_a_second_pass_changes_nothing(gateway: Redacting) -> None:
    body = gateway.send("traces", trace_request(PLACES["prompt"], SCOPES[1]))
    (span,) = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
    noted = {item.key: item.value for item in span.attributes if item.key.startswith("otel_llm.redaction")}
    assert [one.string_value for one in noted["otel_llm.redaction.types"].array_value.values] == [
        "CREDENTIAL",
        "CREDIT_CARD",
        "EMAIL_ADDRESS",
        "GITHUB_TOKEN",
    ]
    assert noted["otel_llm.redaction.count"].int_value == 7
    assert gateway.send("traces", body) == body


def test_a_request_without_anything_to_redact_leaves_byte_for_byte(gateway: Redacting) -> None:
    body = trace_request(lambda _, span: span.attributes.append(attribute("http.request.method", "GET")), SCOPES[1])
    assert gateway.send("traces", body) == body
