"""Policies through a running gateway: OTLP in over a socket, verdicts out over another."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from otel_llm.cli.main import main
from otel_llm.errors import ConfigError
from otel_llm.testing import OtlpHttpSink
from tests.acceptance.through import Attributes, Through
from tests.hosts.running import running, settings
from tests.policy.subjects import rules, write
from tests.spans import SpanSpec, chat, request, spans_of

CONFIG = """
receivers:
  otlp:
    protocols:
      http: {{endpoint: "127.0.0.1:0"}}
processors:
  normalize:
  cost:
  policy: {policy}
exporters:
  otlp_http:
    endpoint: {sink}
    compression: none
    sending_queue: {{batch: {{flush_timeout_seconds: 0}}}}
service:
  admin: {{endpoint: "127.0.0.1:0"}}
  shutdown_timeout_seconds: 5
  pipelines:
    traces: {{receivers: [otlp], processors: [normalize, cost, policy], exporters: [otlp_http]}}
"""


@contextmanager
def started(folder: Path, policy: str) -> Iterator[Through]:
    with OtlpHttpSink() as sink, running(CONFIG.format(policy=policy, sink=sink.endpoint), folder) as gateway:
        yield Through(gateway, sink.destination, sink.port)


def messages(text: str) -> str:
    return json.dumps([{"role": "user", "parts": [{"type": "text", "content": text}]}])


def verdict(attributes: Attributes) -> tuple[object, object, object]:
    return tuple(attributes.get(f"otel_llm.policy.{key}") for key in ("verdict.type", "action.type", "rule.id"))  # type: ignore[return-value] # three keys


MIXED = rules(
    "id: blocked, stage: request, when: 'gen_ai.request.model == \"gpt-4\"', verdict: deny",
    "id: masked, stage: request, when: 'has(input.text) && finds(\"EMAIL_ADDRESS\", input.text)', verdict: modify, "
    "action: {redact: [EMAIL_ADDRESS]}",
    "id: flagged, stage: response, when: gen_ai.usage.output_tokens > 1000, verdict: warn",
)


def test_27_each_of_a_thousand_calls_carries_rule_version_target_action_and_time(tmp_path: Path) -> None:
    path = write(tmp_path, MIXED)
    kinds: list[Attributes] = [
        chat(),
        chat(gen_ai__request__model="gpt-4"),
        chat(gen_ai__input__messages=messages("write to ada@example.com")),
        chat(gen_ai__usage__output_tokens=2000),
    ]
    with started(tmp_path, f"{{paths: [{path}]}}") as through:
        found = through.calls([SpanSpec(kinds[number % 4], scope="app") for number in range(1000)])
        own = through.own_metric("otel_llm_policy_verdicts_total", otel_llm_policy_rule_id="blocked")
    expected = [
        ("allow", "allow", None),
        ("deny", "audit", "blocked"),
        ("modify", "modify", "masked"),
        ("warn", "audit", "flagged"),
    ]
    assert [verdict(one) for one in found] == [expected[number % 4] for number in range(1000)]
    for one in found:
        assert re.fullmatch("sha256:[0-9a-f]{16}", str(one["otel_llm.policy.bundle.id"]))
        assert isinstance(one["otel_llm.policy.evaluation.seconds"], float)
        if one["otel_llm.policy.verdict.type"] != "allow":
            target = "output" if one["otel_llm.policy.rule.id"] == "flagged" else "input"
            assert one["otel_llm.policy.target.type"] == target
            assert one["otel_llm.policy.set.version"] == "7"
    assert "ada@example.com" not in repr(found)
    assert own == 250


def test_23_a_request_with_a_credential_has_a_verdict_that_does_not_show_it(tmp_path: Path) -> None:
    secret = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
    with started(tmp_path, "{packs: [starter]}") as through:
        found = through.call(chat(gen_ai__input__messages=messages(f"use {secret}")))
    assert verdict(found) == ("deny", "allow", "secret-in-request")
    assert found["otel_llm.policy.verdict.reason"] == "secret_in_request: GITHUB_TOKEN"
    policy = {key: value for key, value in found.items() if key.startswith("otel_llm.policy.")}
    assert secret not in repr(policy)


def test_rules_read_cost_and_all_source_conventions_alike(tmp_path: Path) -> None:
    path = write(tmp_path, rules("id: dear, stage: response, when: otel_llm.cost.total > 0.001, verdict: warn"))
    old = {
        "llm.request.type": "chat",
        "gen_ai.system": "OpenAI",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o",
        "gen_ai.usage.prompt_tokens": 1000,
        "gen_ai.usage.completion_tokens": 100,
    }
    with started(tmp_path, f"{{paths: [{path}]}}") as through:
        assert verdict(through.call(chat())) == ("warn", "audit", "dear")
        assert verdict(through.call(old, scope="opentelemetry.instrumentation.openai.v1"))[0] == "warn"
        assert (
            verdict(through.call(chat(gen_ai__response__model="nobody-knows", gen_ai__request__model="x")))[0]
            == "error"
        )


def test_a_span_that_may_not_leave_does_not_and_is_counted(tmp_path: Path) -> None:
    path = write(tmp_path, rules("id: keep, stage: export, when: 'gen_ai.request.model == \"gpt-4\"', verdict: deny"))
    with started(tmp_path, f"{{paths: [{path}]}}") as through:
        body = request([SpanSpec(chat(gen_ai__request__model="gpt-4")), SpanSpec(chat(), span=2, trace=2)])
        assert through.post(body)[0] == 200
        through.destination.wait_for(lambda: through.destination.items == 1)
        assert through.own_metric("otel_llm_pipeline_items_dropped_total", otel_llm_drop_reason="policy") == 1


def test_a_reload_that_cannot_be_used_leaves_the_rules_in_force(tmp_path: Path) -> None:
    path = write(tmp_path, MIXED)
    policy = f"{{paths: [{path}], check_interval_seconds: 0}}"
    with OtlpHttpSink() as sink:
        text = CONFIG.format(policy=policy, sink=sink.endpoint)
        with running(text, tmp_path) as gateway:
            through = Through(gateway, sink.destination, sink.port)
            before = through.call(chat(gen_ai__request__model="gpt-4"))
            write(tmp_path, MIXED.replace("gpt-4", "gpt-4o").replace("verdict: deny", "verdict: forbid"))
            with pytest.raises(ConfigError, match="expected allow or audit or"):
                gateway.reload(settings(text, tmp_path))
            assert verdict(through.call(chat(gen_ai__request__model="gpt-4"))) == verdict(before)
            write(tmp_path, MIXED.replace('"gpt-4"', '"gpt-4o"'))
            os.utime(path)
            gateway.reload(settings(text, tmp_path))
            after = through.call(chat())
            assert verdict(after) == ("deny", "audit", "blocked")
            assert after["otel_llm.policy.bundle.id"] != before["otel_llm.policy.bundle.id"]


def test_25_a_rule_that_would_run_away_is_an_error_within_bounds(tmp_path: Path) -> None:
    runaway = (
        "id: slow, stage: request, verdict: deny, when: 'input.messages.all(a, input.messages.all(b, "
        "input.messages.all(c, input.messages.all(d, a == b && c == d || a != b || c != d))))'"
    )
    path = write(tmp_path, rules(runaway))
    long = json.dumps([{"role": "user", "parts": [{"type": "text", "content": str(n)}]} for n in range(500)])
    with started(tmp_path, f"{{paths: [{path}]}}") as through:
        assert verdict(through.call(chat(gen_ai__input__messages=long))) == ("error", "allow", "slow")


def test_27_verdicts_are_in_an_audit_log_that_proves_itself_and_holds_no_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, MIXED)
    key = tmp_path / "key"
    key.write_bytes(b"0123456789abcdef")
    audit = f"{{path: {tmp_path}/audit, key_file: {key}}}"
    with started(tmp_path, f"{{paths: [{path}], audit: {audit}}}") as through:
        found = through.calls(
            [
                SpanSpec(chat(gen_ai__request__model="gpt-4")),
                SpanSpec(chat(gen_ai__input__messages=messages("write to ada@example.com"))),
                SpanSpec(chat()),
            ]
        )
    assert main(["audit", "verify", str(tmp_path / "audit"), "--key-file", str(key)]) == 0
    assert capsys.readouterr().out.startswith("whole: ")
    (log,) = (tmp_path / "audit").glob("audit-*.jsonl")
    text = log.read_text()
    verdicts = [one for one in map(json.loads, text.splitlines()) if one.get("kind") == "verdict"]
    assert [(one["rule_id"], one["verdict"], one["action"]) for one in verdicts] == [
        ("blocked", "deny", "audit"),
        ("masked", "modify", "modify"),
    ]
    assert {one["bundle_id"] for one in verdicts} == {found[0]["otel_llm.policy.bundle.id"]}
    assert "ada@example.com" not in text
    log.write_text(text.replace('"deny"', '"warn"'))
    assert main(["audit", "verify", str(tmp_path / "audit"), "--key-file", str(key)]) == 1


def test_24_no_label_of_the_gateways_own_metrics_holds_content(tmp_path: Path) -> None:
    """Given content, findings and verdicts about it, then labels at `/metrics` are names, and none of it."""
    path = write(tmp_path, MIXED)
    with started(tmp_path, f"{{paths: [{path}], finding_events: true}}") as through:
        through.call(
            {
                **chat(gen_ai__request__model="gpt-4", gen_ai__input__messages=messages("canary-7 ada@example.com")),
                "gen_ai.tool.call.arguments": "canary-7",
                "gen_ai.output.messages": messages("canary-7"),
                "exception.message": "canary-7",
            }
        )
        text = through.own_metrics()
    assert "otel_llm_policy_verdicts_total" in text
    assert "canary-7" not in text
    assert "ada@example.com" not in text


FINDINGS = """
receivers:
  otlp:
    protocols:
      http: {{endpoint: "127.0.0.1:0"}}
processors:
  normalize:
  policy: {{paths: [{path}], finding_events: true}}
exporters:
  otlp_http:
    endpoint: {sink}
    compression: none
    sending_queue: {{batch: {{flush_timeout_seconds: 0}}}}
service:
  admin: {{endpoint: "127.0.0.1:0"}}
  shutdown_timeout_seconds: 5
  pipelines:
    traces: {{receivers: [otlp], processors: [normalize, policy], exporters: [otlp_http]}}
    logs: {{receivers: [otlp], exporters: [otlp_http]}}
"""


def test_27_a_finding_leaves_as_a_log_record_in_its_spans_context(tmp_path: Path) -> None:
    path = write(tmp_path, MIXED)
    sent = request([SpanSpec(chat(gen_ai__request__model="gpt-4"), scope="app")])
    with OtlpHttpSink() as sink:
        with running(FINDINGS.format(path=path, sink=sink.endpoint), tmp_path) as gateway:
            assert Through(gateway, sink.destination, sink.port).post(sent) == (200, b"")
        received = [one.body for one in sink.destination.accepted if one.signal == "logs"]
    groups = [group for body in received for group in ExportLogsServiceRequest.FromString(body).resource_logs]
    records = [one for group in groups for scope in group.scope_logs for one in scope.log_records]
    [record] = records
    assert record.event_name == "otel_llm.policy.finding"
    [span] = spans_of(sent)
    assert (record.trace_id, record.span_id) == (span.trace_id, span.span_id)
    found = {one.key: one.value.string_value for one in record.attributes}
    assert found["otel_llm.policy.rule.id"] == "blocked"
