"""Rules that get in each other's way, long texts, and audit logs that are not there yet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_llm.audit import AuditConfig, verify
from otel_llm.audit.config import open_logs
from otel_llm.cli.main import main
from otel_llm.components import Context
from otel_llm.hosts.sdk import Enriching
from otel_llm.operation import Operation
from otel_llm.pipeline import Pipeline
from otel_llm.processors.policy import Config, Policy, create
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.policy.subjects import asked, call, rules, write

KEY = "a key of more than sixteen bytes"
MAIL = "ada@example.com"
CARD = "4111 1111 1111 1111"
NOTED = "id: noted, stage: request, when: 'true', verdict: audit"


def modifying(id_: str, types: str, operator: str = "mask", when: str = "true") -> str:
    action = f"action: {{redact: [{types}], operator: {operator}}}"
    return f"id: {id_}, stage: request, when: '{when}', verdict: modify, {action}"


def policy(folder: Path, text: str, metrics: Metrics | None = None, **settings: object) -> Policy:
    config = Config(paths=(str(write(folder, text)),), **settings)  # type: ignore[arg-type] # fields of Config
    return create(config, Context("policy", metrics or Metrics(), FakeClock()))


def question(operation: Operation) -> str:
    ((message,),) = [json.loads(str(operation.get("gen_ai.input.messages")))]
    return str(message["parts"][0]["content"])


def test_two_rules_that_modify_one_field_both_do_and_a_second_pass_changes_nothing(tmp_path: Path) -> None:
    both = policy(tmp_path, rules(modifying("mail", "EMAIL_ADDRESS"), modifying("card", "CREDIT_CARD", "remove")))
    operation = asked(f"I am {MAIL}, card {CARD}.")
    both.process([operation])
    assert question(operation) == "I am [EMAIL_ADDRESS], card ."
    assert operation.get("otel_llm.policy.rule.ids") == ("card", "mail")
    both.process([operation])
    assert question(operation) == "I am [EMAIL_ADDRESS], card ."


@pytest.mark.parametrize(("first", "left"), [("mask", "I am [EMAIL_ADDRESS]"), ("remove", "I am ")])
def test_of_two_rules_that_take_out_the_same_the_first_says_how(tmp_path: Path, first: str, left: str) -> None:
    second = {"mask": "remove", "remove": "mask"}[first]
    one, other = modifying("a", "EMAIL_ADDRESS", first), modifying("b", "EMAIL_ADDRESS", second)
    operation = asked(f"I am {MAIL}")
    policy(tmp_path, rules(one, other)).process([operation])
    assert question(operation) == left
    assert operation.get("otel_llm.policy.rule.ids") == ("a", "b")


def test_a_rule_sees_what_another_takes_out(tmp_path: Path) -> None:
    """Else the order of rules would decide whether personal data is found at all."""
    takes = modifying("takes", "EMAIL_ADDRESS", "remove")
    looks = "id: looks, stage: request, verdict: deny, when: 'finds(\"EMAIL_ADDRESS\", input.text)'"
    for rows in ((takes, looks), (looks, takes)):
        operation = asked(f"I am {MAIL}")
        policy(tmp_path, rules(*rows)).process([operation])
        assert operation.get("otel_llm.policy.verdict.type") == "deny"
        assert set(operation.get("otel_llm.policy.rule.ids") or ()) == {"takes", "looks"}  # type: ignore[arg-type]
        assert question(operation) == "I am "


def test_an_attribute_of_a_megabyte_is_read_to_its_end(tmp_path: Path) -> None:
    text = "all is well; " * 80_000 + f"write to {MAIL}"
    assert len(text) > 1_000_000
    rows = (
        modifying("found", "EMAIL_ADDRESS", when='finds("EMAIL_ADDRESS", input.text)'),
        "id: matched, stage: request, verdict: audit, when: 'input.text.matches(\"(all|is|well|; )+write to a\")'",
        "id: counted, stage: request, verdict: audit, when: 'input.text.size() > 1000000'",
    )
    operation = asked(text)
    policy(tmp_path, rules(*rows)).process([operation])
    assert operation.get("otel_llm.policy.rule.ids") == ("counted", "found", "matched")
    assert question(operation) == text.replace(MAIL, "[EMAIL_ADDRESS]")


def test_a_rule_that_works_too_long_on_a_megabyte_is_an_error_and_no_allow(tmp_path: Path) -> None:
    when = 'input.text.split("a").all(one, input.text.split("b").all(other, one != other || true))'
    row = f"id: endless, stage: export, verdict: deny, when: '{when}'"
    operation = asked("ab" * 500_000)
    policy(tmp_path, rules(row, head="mode: enforce\nfailurePolicy: {export: fail}")).process([operation])
    assert operation.get("otel_llm.policy.verdict.type") == "error"
    assert operation.dropped == "policy"


def test_what_is_not_started_does_not_pass_its_audit_by(tmp_path: Path) -> None:
    metrics = Metrics()
    audit = AuditConfig(path=str(tmp_path / "audit"), key=KEY)
    head = "mode: enforce\nfailurePolicy: {audit: fail}"
    noted = policy(tmp_path, rules(NOTED, head=head), metrics, audit=audit)
    operation = call()
    noted.process([operation])
    assert operation.get("otel_llm.policy.verdict.reason") == "audit_failed"
    assert not (tmp_path / "audit").exists()


GATEWAY = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:0"}}}}}}}}
processors: {{policy: {{paths: ["{rules}"], audit: {{path: "{folder}", key_file: "{key}"}}}}}}
exporters: {{debug: }}
service:
  admin: {{endpoint: null}}
  pipelines: {{traces: {{receivers: [otlp], processors: [policy], exporters: [debug]}}}}
"""


def test_settings_are_checked_beside_a_gateway_that_writes_its_audit_log(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    paths = {"rules": write(tmp_path, rules(NOTED)), "folder": tmp_path / "audit", "key": tmp_path / "key"}
    (tmp_path / "gateway.yaml").write_text(GATEWAY.format(**paths))
    assert main(["validate", "--config", str(tmp_path / "gateway.yaml")]) == 0
    assert not (tmp_path / "audit").exists()


def test_in_an_app_a_pipeline_opens_the_audit_log_of_its_rules(tmp_path: Path) -> None:
    metrics, clock = Metrics(), FakeClock()
    noted = policy(tmp_path, rules(NOTED), metrics, audit=AuditConfig(path=str(tmp_path / "audit"), key=KEY))
    exported = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Enriching(exported, Pipeline([noted], metrics, clock))))
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5"}
    provider.get_tracer("app").start_span("chat", attributes=attributes).end()
    (log,) = [one for one in open_logs() if one.folder == tmp_path / "audit"]
    log.close()
    (span,) = exported.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["otel_llm.policy.rule.id"] == "noted"
    report = verify(tmp_path / "audit", KEY.encode())
    assert (report.problems, report.records) == ([], 2)  # that it was begun, and the verdict
