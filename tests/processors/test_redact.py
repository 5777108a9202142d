"""The redact processor: its settings, and what it does to requests and to operations."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, StatusCode

from otel_llm._generated import metrics as definitions
from otel_llm.components import Context
from otel_llm.errors import AuditError, ConfigError, RefusedError
from otel_llm.hosts.gateway import Gateway
from otel_llm.policy.audit_sink import AuditRecord
from otel_llm.policy.detectors import DetectorSet, built_in
from otel_llm.policy.redaction import Redactor, reveal
from otel_llm.processors.redact import Config, Redact, create
from otel_llm.signals import Payload
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.hosts.running import settings
from tests.spans import SpanSpec, attributes_of, operations, request, spans_of

MAIL = "jane.doe@example.com"
CARD = "4111 1111 1111 1111"
KEY = "0123456789abcdef"


def context() -> Context:
    return Context("redact", Metrics(), FakeClock())


def redact(**options: object) -> Redact:
    return create(msgspec.convert(options, Config), context())


def through(processor: Redact, spec: SpanSpec) -> dict[str, object]:
    """The attributes of a span that went through."""
    body = processor.rewrite(Payload.of("traces", (request([spec]),), 1)).join()
    (span,) = spans_of(body)
    return dict(attributes_of(span))


def text_through(text: str, **options: object) -> object:
    return through(redact(**options), SpanSpec({"app.text": text}))["app.text"]


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({}, "[EMAIL_ADDRESS], [CREDIT_CARD]"),
        ({"types": ["EMAIL_ADDRESS"]}, f"[EMAIL_ADDRESS], {CARD}"),
        ({"except_types": ["EMAIL_ADDRESS"]}, f"{MAIL}, [CREDIT_CARD]"),
        ({"allow": ["Jane.Doe@example.com"]}, f"{MAIL}, [CREDIT_CARD]"),
        ({"operator": "remove"}, ", "),
        ({"operators": {"CREDIT_CARD": "truncate"}}, "[EMAIL_ADDRESS], [CREDIT_CARD:***111]"),
        ({"types": ["secrets"]}, f"{MAIL}, {CARD}"),
        (
            {"types": [], "patterns": [{"type": "NAME", "pattern": "jane", "literal": True}]},
            f"[NAME].doe@example.com, {CARD}",
        ),
    ],
)
def test_the_settings_say_what_goes_and_what_stands_in_its_place(options: dict[str, object], left: str) -> None:
    assert text_through(f"{MAIL}, {CARD}", **options) == left


def test_a_key_from_a_file_makes_tokens_that_it_brings_back(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    left = text_through(f"to {MAIL}", operator="tokenize", key_file=str(tmp_path / "key"))
    assert isinstance(left, str)
    assert reveal(left, KEY.encode()) == f"to {MAIL}"


def test_attributes_can_be_removed_by_name_and_by_beginning() -> None:
    spec = SpanSpec({"gen_ai.input.messages": "hello", "http.request.header.x": ["a"], "http.request.method": "GET"})
    left = through(redact(remove=["gen_ai.input.messages", "http.request.header.*"]), spec)
    assert left == {"http.request.method": "GET"}


def test_a_gitleaks_file_adds_its_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text("[[rules]]\nid = 'acme'\nregex = '''acme-[0-9]{6}'''\nkeywords = ['acme']\n")
    assert text_through("key acme-123456", gitleaks=[str(tmp_path / "rules.toml")]) == "key [acme]"


def find_planets(text: str) -> list[tuple[str, int, int]]:
    place = text.find("Mars")
    return [("PLANET", place, place + 4)] if place >= 0 else []


def test_a_function_of_a_users_own_is_a_detector() -> None:
    own = {"name": "planets", "function": f"{__name__}:find_planets", "types": ["PLANET"]}
    assert text_through("fly to Mars", detectors=[own]) == "fly to [PLANET]"


def test_wrong_settings_are_all_told_at_once(tmp_path: Path) -> None:
    options: dict[str, object] = {
        "types": ["personnal"],
        "except_types": ["EMAIL"],
        "operator": "hash",
        "operators": {"CREDIT_CART": "mask"},
        "key_file": str(tmp_path / "none"),
        "patterns": [{"type": "A B", "pattern": "x"}, {"type": "C", "pattern": "(x"}],
        "gitleaks": [str(tmp_path / "none.toml")],
        "detectors": [{"name": "own", "function": "nowhere_at_all:find", "types": ["D"]}],
        "audit": {"path": str(tmp_path / "audit"), "key": "short"},
    }
    with pytest.raises(ConfigError) as caught:
        redact(**options)
    problems = caught.value.problems
    beginnings = [
        "processors.redact.types.0: no type 'personnal'; did you mean 'personal'?",
        "processors.redact.except_types.0: no type 'EMAIL'",
        "processors.redact.patterns: expected a type of letters",
        "processors.redact.patterns.1 (C): RE2 does not take the pattern",
        "processors.redact.gitleaks.0: cannot be read: No such file",
        "processors.redact.detectors.0.function: cannot be imported",
        "processors.redact.operators.CREDIT_CART: no such type is taken out",
        "processors.redact.key_file: cannot be read: No such file",
        "processors.redact.operator: the operator hash needs a key",
        "processors.redact.audit: expected a key of at least 16 bytes, got 5",
    ]
    assert len(problems) == len(beginnings)
    for problem, beginning in zip(problems, beginnings, strict=True):
        assert problem.startswith(beginning)


def test_a_raw_exporter_that_does_not_exist_is_told_at_start(tmp_path: Path) -> None:
    text = """
receivers: {otlp: {protocols: {http: {endpoint: "127.0.0.1:0"}}}}
processors: {redact: {raw_exporters: [debug/valt]}}
exporters: {debug/vault: }
service:
  admin: {endpoint: null}
  pipelines: {traces: {receivers: [otlp], processors: [redact], exporters: [debug/vault]}}
"""
    told = "raw_exporters: no exporter 'debug/valt' in a pipeline; did you mean 'debug/vault'"
    with pytest.raises(ConfigError, match=told):
        Gateway(settings(text, tmp_path))


def test_checking_settings_touches_no_audit_log_and_starting_opens_it(tmp_path: Path) -> None:
    text = f"""
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:0"}}}}}}}}
processors: {{redact: {{audit: {{path: {tmp_path / "audit"}, key: "${{env:KEY}}"}}}}}}
exporters: {{debug: }}
service:
  admin: {{endpoint: null}}
  pipelines: {{traces: {{receivers: [otlp], processors: [redact], exporters: [debug]}}}}
"""
    gateway = Gateway(settings(text, tmp_path, {"KEY": KEY}))
    assert not (tmp_path / "audit").exists()
    gateway.start()
    gateway.shutdown(1)
    assert (tmp_path / "audit" / "head.json").exists()


def test_an_audit_log_that_cannot_be_opened_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("a file, where a folder is wanted")
    text = f"""
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:0"}}}}}}}}
processors: {{redact: {{audit: {{path: {tmp_path / "audit"}, key: "${{env:KEY}}"}}}}}}
exporters: {{debug: }}
service:
  admin: {{endpoint: null}}
  pipelines: {{traces: {{receivers: [otlp], processors: [redact], exporters: [debug]}}}}
"""
    with pytest.raises(ConfigError, match=r"processors.redact.audit.path: audit log .*: File exists"):
        Gateway(settings(text, tmp_path, {"KEY": KEY})).start()


def test_what_is_done_is_counted_by_type() -> None:
    where = context()
    processor = create(Config(), where)
    through(processor, SpanSpec({"a": f"{MAIL} {MAIL}", "b": CARD}))
    found = where.metrics.counter(
        definitions.OTEL_LLM_REDACTION_FINDINGS,
        ("otel_llm.component.name", "otel_llm.signal", "otel_llm.redaction.type"),
    )
    assert found.value("redact", "traces", "EMAIL_ADDRESS") == 2
    assert found.value("redact", "traces", "CREDIT_CARD") == 1


def test_where_there_is_no_request_the_attributes_of_operations_are_redacted() -> None:
    spec = SpanSpec({"gen_ai.operation.name": "chat", "gen_ai.prompt": f"I am {MAIL}", "password": "tulip", MAIL: 1})
    (operation,) = operations(spec)
    redact(remove=["gen_ai.operation.name"]).process([operation])
    assert operation.get("gen_ai.prompt") == "I am [EMAIL_ADDRESS]"
    assert operation.get("password") == "[CREDENTIAL]"
    assert operation.get("[EMAIL_ADDRESS]") == 1
    assert MAIL not in operation.keys()  # noqa: SIM118 - no mapping
    assert operation.get("gen_ai.operation.name") is None
    assert operation.get("otel_llm.redaction.count") == 3


class FullLog:
    """An audit log whose disk is full."""

    def record(self, record: AuditRecord) -> None:  # noqa: ARG002 - the protocol's
        raise AuditError("audit log: No space left on device")


@pytest.mark.parametrize("required", [False, True])
def test_a_full_disk_under_the_audit_log_is_counted_and_refuses_where_it_is_required(*, required: bool) -> None:
    where = context()
    processor = Redact(Config(audit_required=required), Redactor(DetectorSet(built_in())), where, FullLog())
    payload = Payload.of("traces", (request([SpanSpec({"a": MAIL})]),), 1)
    if required:
        with pytest.raises(RefusedError):
            processor.rewrite(payload)
    else:
        assert MAIL.encode() not in processor.rewrite(payload).join()
    failures = where.metrics.counter(definitions.OTEL_LLM_AUDIT_FAILURES, ("otel_llm.component.name",))
    assert failures.value("redact") == 1


def test_messages_keep_their_schema_whatever_the_operator() -> None:
    messages = [{"role": "user", "parts": [{"type": "text", "content": MAIL}], "finish_reason": "stop"}]
    for name in ("mask", "remove", "hash", "tokenize", "truncate"):
        spec = SpanSpec({"gen_ai.input.messages": json.dumps(messages)})
        left = json.loads(str(through(redact(operator=name, key=KEY), spec)["gen_ai.input.messages"]))
        assert [set(message) for message in left] == [{"role", "parts", "finish_reason"}]
        assert left[0]["role"] == "user"
        assert isinstance(left[0]["parts"][0]["content"], str)


def test_metrics_that_are_not_about_anybody_pass_as_they_came() -> None:
    body = ExportTraceServiceRequest().SerializeToString()
    assert redact().rewrite(Payload.of("metrics", (body,), 0)).join() == body


def test_a_span_of_the_sdk_leaves_without_what_was_in_it_wherever_it_stood() -> None:
    exported = InMemorySpanExporter()
    resource = Resource({"service.name": "shop", "owner": MAIL})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    tracer = provider.get_tracer("httpx", MAIL, attributes={"by": MAIL})
    with tracer.start_as_current_span("first") as first:
        pass
    with tracer.start_as_current_span(
        f"pay {MAIL}",
        attributes={"a": MAIL, "n": [4111111111111111, 2], MAIL: True},
        links=[Link(first.context, {"l": MAIL})],
    ) as span:
        span.add_event(f"sent {MAIL}", {"e": MAIL})
        span.record_exception(ValueError(MAIL))
        span.set_status(StatusCode.ERROR, f"no {MAIL}")
    came = exported.get_finished_spans()[-1]
    left = redact().rewrite_span(came)
    assert MAIL in came.to_json()
    assert "jane" not in left.to_json()
    assert "4111" not in left.to_json()
    assert left.name == "pay [EMAIL_ADDRESS]"
    assert left.attributes is not None
    assert left.attributes["n"] == ("[CREDIT_CARD]", "2")
    assert left.attributes["otel_llm.redaction.types"] == ("CREDIT_CARD", "EMAIL_ADDRESS")
    assert left.resource.attributes["service.name"] == "shop"
    assert (left.context, left.start_time, left.end_time) == (came.context, came.start_time, came.end_time)
    assert redact().rewrite_span(left).to_json() == left.to_json()


def test_in_an_app_redaction_needs_neither_protobuf_nor_yaml() -> None:
    script = """
import sys
from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.processors.redact import Config, create
from otel_llm.telemetry import Metrics
create(Config(), Context("redact", Metrics(), SystemClock()))
print(sorted({"google.protobuf", "yaml", "grpc"} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout == "[]\n"


class Taken:
    """An audit log that keeps what it takes."""

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []

    def record(self, record: AuditRecord) -> None:
        self.records.append(record)


def test_what_is_redacted_inside_an_app_is_in_the_audit_log_too() -> None:
    sink = Taken()
    processor = Redact(Config(), Redactor(DetectorSet(built_in())), context(), sink)
    (operation, clean) = (*operations(SpanSpec({"gen_ai.prompt": MAIL})), *operations(SpanSpec({"gen_ai.prompt": "a"})))
    processor.process([operation, clean])
    provider = TracerProvider()
    with provider.get_tracer("app").start_as_current_span("chat", attributes={"gen_ai.prompt": MAIL}) as span:
        pass
    assert isinstance(span, ReadableSpan)
    assert MAIL not in processor.rewrite_span(span).to_json()
    assert [one.details for one in sink.records] == [{"types": "EMAIL_ADDRESS", "count": "1"}] * 2
    found = [(one.trace_id, one.span_id) for one in sink.records]
    where = span.get_span_context()
    assert where is not None
    assert found == [
        (operation.trace_id.hex(), operation.span_id.hex()),
        (f"{where.trace_id:032x}", f"{where.span_id:016x}"),
    ]
    assert MAIL not in repr(sink.records)
