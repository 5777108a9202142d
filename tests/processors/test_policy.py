from __future__ import annotations

import gc
import json
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from otel_llm.admission import ALLOW
from otel_llm.audit import AuditConfig
from otel_llm.audit.config import open_logs
from otel_llm.clock import SystemClock
from otel_llm.codecs.sdk import decode_span, encode_span
from otel_llm.components import Context
from otel_llm.errors import AuditError, ConfigError, PipelineOrderError
from otel_llm.operation import AttributeValue, Operation
from otel_llm.pipeline import Pipeline
from otel_llm.policy.audit_sink import AuditRecord, AuditSink
from otel_llm.policy.redaction import reveal
from otel_llm.policy.streaming import StreamGuard
from otel_llm.processors import cost, normalize
from otel_llm.processors.policy import Config, Policy, create
from otel_llm.processors.policy_admission import PolicyAdmission, create_admission
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.golden.as_sdk import sdk_spans
from tests.policy.subjects import asked, call, rules, write
from tests.receivers.recording import eventually
from tests.spans import SpanSpec, chat, operations, request

DENY = "id: no-gpt-4o, stage: request, when: 'gen_ai.request.model == \"gpt-4o\"', verdict: deny, severity: high"
PREFIX = "otel_llm.policy."


class Sink:
    """Keeps audit records."""

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []

    def record(self, record: AuditRecord) -> None:
        self.records.append(record)


class Full:
    """Takes no record."""

    def record(self, _: AuditRecord) -> None:
        raise AuditError("no space left on device")


Make = Callable[..., Policy]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock, metrics: Metrics) -> Make:
    def made(text: str, sink: AuditSink | None = None, **settings: object) -> Policy:
        path = write(tmp_path, text)
        return create(Config(paths=(str(path),), **settings), Context("policy", metrics, clock), sink)  # type: ignore[arg-type] # fields of Config

    return made


def verdict(operation: Operation) -> dict[str, AttributeValue]:
    return {key.removeprefix(PREFIX): operation.get(key) for key in sorted(operation.keys()) if key.startswith(PREFIX)}


def metric(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}
    for family in metrics.collect():
        if family.definition.name == f"{PREFIX}{name}":
            for series in family.series:
                assert isinstance(series.value, int | float)
                found[tuple(value for _, value in series.attributes)] = series.value
    return found


def test_an_operation_carries_everything_about_its_verdict(make: Make) -> None:
    policy = make(rules(DENY + ", risk: supply_chain, reason: '\"model_not_approved\"'"))
    operation = call()
    policy.process([operation])
    found = verdict(operation)
    assert isinstance(found.pop("evaluation.seconds"), float)
    assert str(found.pop("bundle.id")).startswith("sha256:")
    assert found == {
        "verdict.type": "deny",
        "verdict.reason": "model_not_approved",
        "action.type": "audit",
        "mode": "enforce",
        "rule.id": "no-gpt-4o",
        "rule.ids": ("no-gpt-4o",),
        "set.name": "test",
        "set.version": "7",
        "severity": "high",
        "risk.category": "supply_chain",
        "target.type": "input",
    }


def test_an_operation_that_nobody_objects_to_says_that_it_was_looked_at(make: Make) -> None:
    policy = make(rules(DENY))
    operation = call(gen_ai__request__model="gpt-5")
    policy.process([operation])
    assert {
        key: value for key, value in verdict(operation).items() if key not in ("bundle.id", "evaluation.seconds")
    } == {
        "verdict.type": "allow",
        "action.type": "allow",
    }


def test_an_operation_that_no_rule_is_about_carries_nothing(make: Make) -> None:
    operation = call(gen_ai__operation__name="invoke_agent")
    make(rules(DENY)).process([operation])
    assert not operation.is_changed


def test_a_second_pass_changes_nothing(make: Make) -> None:
    policy = make(rules(DENY))
    operation = call()
    policy.process([operation])
    once = dict(operation.overlay)
    policy.process([operation])
    assert dict(operation.overlay) == once


def test_what_the_app_has_blocked_stays_blocked_and_rules_of_both_are_named(make: Make) -> None:
    policy = make(rules("id: other, stage: export, when: 'true', verdict: warn"))
    operation = call()
    operation.update(
        {f"{PREFIX}verdict.type": "deny", f"{PREFIX}action.type": "block", f"{PREFIX}rule.ids": ["of-the-app"]}
    )
    policy.process([operation])
    found = verdict(operation)
    assert (found["verdict.type"], found["action.type"]) == ("deny", "block")
    assert found["rule.ids"] == ("of-the-app", "other")


def test_of_two_verdicts_the_more_restrictive_action_and_an_exemption_stay_whichever_verdict_does(make: Make) -> None:
    policy = make(rules(DENY, head="mode: shadow"))
    operation = call()
    operation.update(
        {
            f"{PREFIX}verdict.type": "modify",
            f"{PREFIX}action.type": "modify",
            f"{PREFIX}rule.ids": ["of-the-app"],
            f"{PREFIX}exemption.id": "E",
        }
    )
    policy.process([operation])
    found = verdict(operation)
    assert (found["verdict.type"], found["action.type"], found["rule.id"]) == ("deny", "modify", "no-gpt-4o")
    assert (found["exemption.id"], found["rule.ids"]) == ("E", ("no-gpt-4o", "of-the-app"))


def test_a_new_verdict_replaces_an_old_one_where_that_is_wanted(make: Make) -> None:
    policy = make(rules("id: other, stage: export, when: 'true', verdict: warn"), existing="replace")
    operation = call(otel_llm__policy__verdict__type="deny", otel_llm__policy__exemption__id="E")
    policy.process([operation])
    found = verdict(operation)
    assert (found["verdict.type"], found["rule.ids"]) == ("warn", ("other",))
    assert "exemption.id" not in found


def test_a_rule_of_the_stage_export_keeps_a_span_from_leaving(make: Make) -> None:
    operation = call()
    make(rules("id: secret, stage: export, when: 'true', verdict: deny")).process([operation])
    assert operation.dropped == "policy"
    operation = call()
    make(rules("id: secret, stage: export, when: 'true', verdict: deny", head="mode: warn")).process([operation])
    assert operation.dropped is None


def test_a_rule_that_fails_closed_at_export_keeps_a_span_it_cannot_judge_from_leaving(make: Make) -> None:
    failing = "id: a, stage: export, when: 'gen_ai.request.seed == 1', verdict: warn"
    operation = call()
    make(rules(failing, head="mode: enforce\nfailurePolicy: {export: fail}")).process([operation])
    assert (operation.dropped, verdict(operation)["verdict.type"]) == ("policy", "error")


MODIFY = "id: mail, stage: request, when: 'finds(\"EMAIL_ADDRESS\", input.text)', verdict: modify, "


def test_modify_takes_what_it_names_out_of_the_messages_and_leaves_the_rest(make: Make) -> None:
    policy = make(rules(MODIFY + "action: {redact: [EMAIL_ADDRESS]}"))
    operation = asked("write to ada@example.com, please")
    policy.process([operation])
    (message,) = json.loads(str(operation.get("gen_ai.input.messages")))
    assert message == {"role": "user", "parts": [{"type": "text", "content": "write to [EMAIL_ADDRESS], please"}]}
    assert (verdict(operation)["verdict.type"], verdict(operation)["action.type"]) == ("modify", "modify")
    untouched = asked("write to nobody")
    policy.process([untouched])
    assert not untouched.was_set("gen_ai.input.messages")


def test_modify_reaches_json_within_arguments_and_removes_without_a_trace(make: Make) -> None:
    policy = make(rules(MODIFY + "action: {redact: [personal], operator: remove}"))
    inner = json.dumps({"to": ["ada@example.com"], "n": 1})
    messages = [{"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "t", "arguments": inner}]}]
    operation = call(gen_ai__input__messages=json.dumps(messages))
    policy.process([operation])
    (message,) = json.loads(str(operation.get("gen_ai.input.messages")))
    assert json.loads(message["parts"][0]["arguments"]) == {"to": [""], "n": 1}


def test_in_shadow_mode_nothing_is_modified(make: Make) -> None:
    operation = asked("write to ada@example.com, please")
    make(rules(MODIFY + "action: {redact: [EMAIL_ADDRESS]}", head="mode: shadow")).process([operation])
    assert "ada@example.com" in str(operation.get("gen_ai.input.messages"))
    assert (verdict(operation)["verdict.type"], verdict(operation)["action.type"]) == ("modify", "allow")


def test_verdicts_are_counted_by_rule_and_an_allow_once_for_an_operation(make: Make, metrics: Metrics) -> None:
    policy = make(rules(DENY, "id: b, stage: export, when: 'gen_ai.request.seed == 1', verdict: warn"))
    policy.process([call(), call(gen_ai__request__seed=2, gen_ai__request__model="gpt-5")])
    assert metric(metrics, "verdicts") == {
        ("deny", "audit", "enforce", "no-gpt-4o"): 1,
        ("error", "allow", "enforce", "b"): 1,
        ("allow", "allow"): 1,
    }


def test_a_rule_of_mode_warn_and_one_that_fails_are_logged_once_a_minute_without_content(
    make: Make, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    failing = "id: b, stage: request, when: 'gen_ai.request.seed == 1', verdict: warn"
    policy = make(rules(DENY, failing, head="mode: warn"))
    policy.process([asked("ada@example.com"), asked("ada@example.com")])
    assert [record.getMessage() for record in caplog.records] == [
        "rule test/no-gpt-4o would deny: no-gpt-4o",
        "rule test/b cannot be evaluated: gen_ai.request.seed is absent",
    ]
    clock.advance(61)
    policy.process([call()])
    assert len(caplog.records) == 4


def test_audit_records_say_what_and_where_and_never_content(make: Make) -> None:
    sink = Sink()
    exempt = "mode: enforce\nexemptions: [{id: E, rules: [b], reason: r, owner: o, expires: 2027-01-31}]"
    policy = make(rules(DENY, "id: b, stage: request, when: 'true', verdict: deny", head=exempt), sink)
    policy.process([asked("ada@example.com"), call(gen_ai__operation__name="invoke_agent")])
    first, second = sink.records
    assert (first.kind, first.rule_id, first.verdict, first.action, first.service) == (
        *("verdict", "no-gpt-4o", "deny", "audit", "shop"),
    )
    assert first.trace_id == "0" * 31 + "1"
    assert (second.kind, second.rule_id, second.verdict, second.details["exemption"]) == (
        "exemption",
        "b",
        "allow",
        "E",
    )
    assert "ada@example.com" not in repr(sink.records)


def replace(path: Path, text: str) -> None:
    """Another text in a file whose time is another, however coarse the clock of the file system is."""
    before = path.stat().st_mtime_ns
    write(path.parent, text, path.name)
    os.utime(path, ns=(before + 1_000_000_000, before + 1_000_000_000))


def pass_through(policy: Policy, clock: FakeClock) -> str:
    """The verdict of a call after the files were looked at."""
    clock.advance(16)
    policy.process([call()])
    policy._source.wait(10)
    operation = call()
    policy.process([operation])
    return str(verdict(operation)["verdict.type"])


def test_changed_files_come_into_force_and_broken_ones_do_not(
    make: Make, metrics: Metrics, clock: FakeClock, tmp_path: Path
) -> None:
    sink = Sink()
    policy = make(rules(DENY), sink)
    policy.start()
    policy.start()
    first = next(iter(metric(metrics, "bundle.info")))[1]
    assert pass_through(policy, clock) == "deny"
    replace(tmp_path / "rules.yaml", rules(DENY.replace("deny", "warn")))
    assert pass_through(policy, clock) == "warn"
    second = next(iter(metric(metrics, "bundle.info")))[1]
    assert first != second
    replace(tmp_path / "rules.yaml", rules(DENY.replace("gpt-4o", "gpt-4o' ' broken")))
    assert pass_through(policy, clock) == "warn"
    (tmp_path / "rules.yaml").unlink()
    assert pass_through(policy, clock) == "warn"
    assert next(iter(metric(metrics, "bundle.info")))[1] == second
    assert metric(metrics, "reloads") == {("policy", "success"): 1, ("policy", "failure"): 2}
    reloads = [record for record in sink.records if record.kind == "reload"]
    assert [(one.details["outcome"], one.bundle_id) for one in reloads] == [
        ("success", second),
        ("failure", None),
        ("failure", None),
    ]


def test_files_that_could_not_be_read_are_tried_again_and_told_of_once(
    make: Make, metrics: Metrics, clock: FakeClock, tmp_path: Path
) -> None:
    policy = make(rules(DENY))
    policy.start()
    away, link = tmp_path / "away.txt", tmp_path / "rules.yaml"
    away.write_text(link.read_text().replace("deny", "warn"))
    link.unlink()
    link.symlink_to(tmp_path / "mounted" / "rules.txt")
    for _ in range(3):
        assert pass_through(policy, clock) == "deny"
    assert metric(metrics, "reloads") == {("policy", "failure"): 1}
    (tmp_path / "mounted").mkdir()
    away.rename(tmp_path / "mounted" / "rules.txt")
    assert pass_through(policy, clock) == "warn"
    assert metric(metrics, "reloads") == {("policy", "failure"): 1, ("policy", "success"): 1}


def test_a_file_that_is_empty_for_a_moment_switches_no_rule_off(make: Make, clock: FakeClock, tmp_path: Path) -> None:
    policy = make(rules(DENY))
    (tmp_path / "rules.yaml").write_text("")
    assert pass_through(policy, clock) == "deny"


def test_changed_files_come_into_force_also_while_nothing_is_processed(metrics: Metrics, tmp_path: Path) -> None:
    sink = Sink()
    config = Config(paths=(str(write(tmp_path, rules(DENY))),), check_interval_seconds=0.01)
    policy = create(config, Context("policy", metrics, SystemClock()), sink)
    policy.start()
    first = next(iter(metric(metrics, "bundle.info")))[1]
    replace(tmp_path / "rules.yaml", rules(DENY.replace("deny", "warn")))
    eventually(lambda: next(iter(metric(metrics, "bundle.info")))[1] != first)
    operation = call()
    policy.process([operation])
    assert verdict(operation)["verdict.type"] == "warn"
    assert [record.kind for record in sink.records] == ["reload", "verdict"]


def test_the_thread_that_looks_after_files_ends_with_its_policies(tmp_path: Path) -> None:
    config = Config(paths=(str(write(tmp_path, rules(DENY))),), check_interval_seconds=0.01)
    before = set(threading.enumerate())
    policy = create(config, Context("policy", Metrics(), SystemClock()))
    policy.start()
    (watching,) = set(threading.enumerate()) - before
    del policy
    gc.collect()
    watching.join(10)
    assert not watching.is_alive()


def test_policies_that_were_shut_down_look_after_no_files_and_show_no_bundle(metrics: Metrics, tmp_path: Path) -> None:
    config = Config(paths=(str(write(tmp_path, rules(DENY))),), check_interval_seconds=0.01)
    before = set(threading.enumerate())
    policy = create(config, Context("policy", metrics, SystemClock()))
    policy.shutdown(0)  # that were never started too
    policy = create(config, Context("policy", metrics, SystemClock()))
    policy.start()
    (watching,) = set(threading.enumerate()) - before
    policy.shutdown(1)
    policy.shutdown(1)
    watching.join(10)
    assert not watching.is_alive()
    assert metric(metrics, "bundle.info") == {}
    operation = call()
    policy.process([operation])
    assert verdict(operation)["verdict.type"] == "deny"


def test_a_process_that_runs_for_long_warns_once_a_day_of_an_exemption_that_ends_meanwhile(
    make: Make, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    ends = datetime.fromtimestamp(clock.unix_nano() / 1e9, UTC).date() + timedelta(days=20)
    exempt = f"mode: enforce\nexemptions: [{{id: E, rules: [no-gpt-4o], reason: r, owner: ada, expires: {ends}}}]"
    policy = make(rules(DENY, head=exempt))
    policy.start()
    pass_through(policy, clock)
    assert "exemption E" not in caplog.text
    for days in (8, 1):
        clock.advance(days * 86_400)
        for _ in range(3):
            pass_through(policy, clock)
    assert caplog.text.count(f"exemption E of test (owner ada) expires on {ends}") == 2


def test_files_are_not_looked_at_between_two_checks(make: Make, clock: FakeClock, tmp_path: Path) -> None:
    policy = make(rules(DENY))
    replace(tmp_path / "rules.yaml", rules(DENY.replace("deny", "warn")))
    clock.advance(14)
    operation = call()
    policy.process([operation])
    policy._source.wait(10)
    policy.process([operation])
    assert verdict(operation)["verdict.type"] == "deny"


def test_a_span_of_the_sdk_gets_the_verdict_that_it_gets_in_the_gateway(make: Make) -> None:
    policy = make(
        rules(DENY, MODIFY + "action: {redact: [EMAIL_ADDRESS]}", "id: c, stage: export, when: 'true', verdict: audit")
    )
    messages = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "write to ada@example.com"}]}])
    spec = SpanSpec(chat(gen_ai__input__messages=messages, gen_ai__response__finish_reasons=["stop"]))
    (span,) = sdk_spans(request([spec]))
    in_app = decode_span(span)
    (in_gateway,) = operations(spec)
    assert in_app is not None
    policy.process([in_app])
    policy.process([in_gateway])
    seconds = f"{PREFIX}evaluation.seconds"
    assert {**in_app.changes.set, seconds: 0} == {**in_gateway.changes.set, seconds: 0}
    exported = encode_span(span, in_app)
    assert exported is not None
    assert exported.attributes is not None
    assert exported.attributes[f"{PREFIX}rule.ids"] == ("c", "mail", "no-gpt-4o")
    assert "ada@example.com" not in repr(dict(exported.attributes))


def test_without_policies_or_with_broken_ones_there_is_no_processor(tmp_path: Path) -> None:
    context = Context("policy/x", Metrics(), FakeClock())
    with pytest.raises(ConfigError, match=r"processors.policy/x: no policies; expected paths of files"):
        create(Config(), context)
    with pytest.raises(ConfigError, match="there is no pack 'startr'; did you mean starter"):
        create(Config(packs=("startr",)), context)
    path = write(tmp_path, rules(DENY + ", colour: red"))
    with pytest.raises(ConfigError, match=r"processors.policy/x: .*colour: unknown"):
        create(Config(paths=(str(path),)), context)


def test_a_rule_about_cost_wants_its_processor_after_cost(make: Make, metrics: Metrics, clock: FakeClock) -> None:
    policy = make(rules("id: a, stage: response, when: otel_llm.cost.total > 1, verdict: warn"))
    before = normalize.create(normalize.Config(), Context("normalize", metrics, clock))
    priced = cost.create(cost.Config(), Context("cost", metrics, clock))
    Pipeline([before, priced, policy], metrics, clock)
    with pytest.raises(PipelineOrderError, match=r"policy reads otel_llm.cost.total"):
        Pipeline([before, policy, priced], metrics, clock)


# Before a call.


def admission(folder: Path, text: str, sink: AuditSink | None = None, **resource: AttributeValue) -> PolicyAdmission:
    path = write(folder, text)
    attributes = {key.replace("__", "."): value for key, value in resource.items()}
    return create_admission(Config(paths=(str(path),)), Context("policy", Metrics(), FakeClock()), attributes, sink)


def test_a_call_that_a_rule_denies_is_stopped_with_its_reason(tmp_path: Path) -> None:
    sink = Sink()
    policy = admission(tmp_path, rules(DENY), sink, service__name="shop")
    operation = call()
    answer = policy.admit(operation)
    assert (answer.action, answer.reason, answer.rule_id) == ("deny", "no-gpt-4o", "no-gpt-4o")
    assert verdict(operation)["action.type"] == "block"
    assert [(one.action, one.service) for one in sink.records] == [("block", "shop")]


@pytest.mark.parametrize("mode", ["off", "shadow", "warn"])
def test_a_call_is_stopped_only_where_rules_are_enforced(tmp_path: Path, mode: str) -> None:
    assert admission(tmp_path, rules(DENY, head=f"mode: {mode}")).admit(call()) is ALLOW


def test_escalate_stops_a_call_until_somebody_grants_an_exemption(tmp_path: Path) -> None:
    rule = "id: a, stage: request, when: 'true', verdict: escalate"
    assert admission(tmp_path, rules(rule)).admit(call()).action == "deny"
    exempt = "mode: enforce\nexemptions: [{id: E, rules: [a], reason: r, owner: o, expires: 2027-01-31}]"
    assert admission(tmp_path, rules(rule, head=exempt)).admit(call()) is ALLOW


def test_a_request_is_redacted_before_it_leaves(tmp_path: Path) -> None:
    operation = asked("write to ada@example.com, please")
    answer = admission(tmp_path, rules(MODIFY + "action: {redact: [EMAIL_ADDRESS]}")).admit(operation)
    assert answer is ALLOW
    assert "ada@example.com" not in str(operation.input_messages)


def test_a_request_that_one_rule_stops_and_another_redacts_is_redacted_for_its_span(tmp_path: Path) -> None:
    operation = asked("write to ada@example.com, please")
    policy = admission(tmp_path, rules(DENY, MODIFY + "action: {redact: [EMAIL_ADDRESS]}"))
    answer = policy.admit(operation)
    assert (answer.action, answer.rule_id) == ("deny", "no-gpt-4o")
    assert "ada@example.com" not in str(operation.input_messages)


@pytest.mark.parametrize("somebody", ["ada@example.com", "4111 1111 1111 1111", "AKIA" + "Z7QK4M2NRT5WXYB3"])
def test_no_reason_says_what_somebody_wrote_for_a_model_if_that_is_private(
    make: Make, tmp_path: Path, somebody: str
) -> None:
    text = rules("id: a, stage: request, when: 'true', verdict: deny, reason: '\"model \" + gen_ai.request.model'")
    sink = Sink()
    operation = call(gen_ai__request__model=somebody)
    answer = admission(tmp_path, text, sink).admit(operation)
    make(text, sink).process([operation])
    told = [answer.reason, verdict(operation)["verdict.reason"], *(record.reason for record in sink.records)]
    assert not [one for one in told if one is None or somebody in one or not one.startswith("model [")]


def test_an_app_is_told_of_the_rule_that_decided_and_not_of_the_first_that_objected(tmp_path: Path) -> None:
    escalate = "id: first, stage: request, when: 'true', verdict: escalate"
    operation = call()
    answer = admission(tmp_path, rules(escalate, DENY)).admit(operation)
    assert (answer.rule_id, verdict(operation)["rule.id"]) == ("no-gpt-4o", "no-gpt-4o")


def test_what_is_to_be_taken_out_goes_also_where_the_record_of_it_cannot_be_written(make: Make, tmp_path: Path) -> None:
    text = rules(MODIFY + "action: {redact: [EMAIL_ADDRESS]}", head=AUDITED)
    operation = asked("write to ada@example.com")
    make(text, Full()).process([operation])
    assert (verdict(operation)["verdict.type"], verdict(operation)["action.type"]) == ("error", "modify")
    assert "ada@example.com" not in str(operation.input_messages)
    operation = asked("write to ada@example.com")
    answer = admission(tmp_path, text, Full()).admit(operation)
    assert (answer.action, answer.reason) == ("deny", "audit_failed")
    assert "ada@example.com" not in str(operation.input_messages)


def test_a_rule_that_modifies_and_fails_closed_modifies_what_cannot_be_stopped_any_more(
    make: Make, tmp_path: Path
) -> None:
    rule = "id: mail, stage: request, when: 'gen_ai.request.seed == 1', verdict: modify, "
    text = rules(rule + "action: {redact: [EMAIL_ADDRESS]}", head="mode: enforce\nfailurePolicy: {request: fail}")
    operation = asked("write to ada@example.com")
    make(text).process([operation])
    assert (verdict(operation)["verdict.type"], verdict(operation)["action.type"]) == ("error", "modify")
    assert "ada@example.com" not in str(operation.input_messages)
    operation = asked("write to ada@example.com")
    assert admission(tmp_path, text).admit(operation).reason == "evaluation_failed"
    assert "ada@example.com" not in str(operation.input_messages)


def test_what_a_memory_is_asked_and_says_is_redacted(make: Make) -> None:
    operation = call(
        gen_ai__operation__name="search_memory",
        gen_ai__memory__query__text="where is ada@example.com",
        gen_ai__memory__records=json.dumps([{"id": "1", "content": "bob@example.com is in"}]),
    )
    rule = "id: mail, stage: retrieval, when: 'finds(\"EMAIL_ADDRESS\", input.text)', verdict: modify, "
    make(rules(rule + "action: {redact: [EMAIL_ADDRESS]}")).process([operation])
    assert operation.get("gen_ai.memory.query.text") == "where is [EMAIL_ADDRESS]"
    assert "bob@" not in str(operation.get("gen_ai.memory.records"))


def test_a_request_that_cannot_be_redacted_is_not_made(tmp_path: Path) -> None:
    sink = Sink()
    policy = admission(
        tmp_path, rules("id: a, stage: request, when: 'true', verdict: modify, action: {redact: [secrets]}"), sink
    )
    deep = json.dumps([{"role": "user", "parts": [{"type": "text", "content": nested(12)}]}])
    operation = call(gen_ai__input__messages=deep)
    answer = policy.admit(operation)
    assert (answer.action, answer.reason, answer.rule_id) == ("deny", "redaction_failed", "a")
    assert [(one.verdict, one.action) for one in sink.records] == [("modify", "modify"), ("error", "block")]
    assert (verdict(operation)["verdict.reason"], verdict(operation)["action.type"]) == ("redaction_failed", "block")


def nested(depth: int) -> str:
    """JSON in a string in JSON in a string, deeper than anybody looks."""
    text = "tulip"
    for _ in range(depth):
        text = json.dumps([text])
    return text


def test_a_reload_decides_anew_whether_an_admission_fails_closed(tmp_path: Path, clock: FakeClock) -> None:
    path = write(tmp_path, rules(DENY))
    config = Config(paths=(str(path),))
    policy = create_admission(config, Context("policy", Metrics(), clock), {})
    assert policy.on_error == "allow"
    replace(path, rules(DENY, head="mode: enforce\nfailurePolicy: {request: fail}"))
    clock.advance(16)
    policy.admit(call())
    policy._source.wait(10)
    policy.admit(call())
    assert policy.on_error == "deny"


@pytest.mark.parametrize(
    ("mode", "failure", "expected"),
    [("enforce", "fail", "deny"), ("enforce", "ignore", "allow"), ("shadow", "fail", "allow")],
)
def test_a_rule_that_cannot_be_evaluated_stops_a_call_where_it_fails_closed(
    tmp_path: Path, mode: str, failure: str, expected: str
) -> None:
    failing = "id: a, stage: request, when: 'gen_ai.request.seed == 1', verdict: deny"
    policy = admission(tmp_path, rules(failing, head=f"mode: {mode}\nfailurePolicy: {{request: {failure}}}"))
    assert (policy.on_error, policy.admit(call()).action) == (expected, expected)


def test_only_rules_of_the_stage_request_are_asked_before_a_call(tmp_path: Path) -> None:
    later = [f"id: {stage}, stage: {stage}, when: 'true', verdict: deny" for stage in ("response", "tool", "export")]
    assert admission(tmp_path, rules(*later)).admit(call()) is ALLOW


def test_rules_read_the_resource_of_the_app(tmp_path: Path) -> None:
    rule = 'id: a, stage: request, when: \'resource["deployment.environment.name"] == "production"\', verdict: deny'
    production = admission(tmp_path, rules(rule), deployment__environment__name="production")
    assert production.admit(call()).action == "deny"
    assert admission(tmp_path, rules(rule), deployment__environment__name="test").admit(call()) is ALLOW


SECRET = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
ANSWER = f"Of course. The token is {SECRET} and that is all. " + "More words follow here. " * 40


def received(guard: StreamGuard, answer: str) -> str:
    return "".join([*map(guard.push, answer), guard.finish()])


def test_26_an_answer_that_a_rule_denies_is_stopped_before_what_it_objects_to(tmp_path: Path) -> None:
    rule = "id: leak, stage: response, when: 'finds(\"secrets\", output.text)', verdict: deny, reason: '\"secret\"'"
    guard = admission(tmp_path, rules(rule)).guard(call())
    assert guard is not None
    got = received(guard.text(), ANSWER)
    assert "ghp_" not in got
    assert ANSWER.startswith(got)
    assert guard.denied is not None
    assert (guard.denied.reason, guard.denied.rule_id) == ("secret", "leak")


def test_26_an_answer_that_a_rule_modifies_arrives_without_what_it_names(tmp_path: Path) -> None:
    rule = (
        "id: leak, stage: response, when: 'finds(\"secrets\", output.text)', verdict: modify, "
        "action: {redact: [secrets]}"
    )
    guard = admission(tmp_path, rules(rule)).guard(call())
    assert guard is not None
    got = received(guard.text(), ANSWER)
    assert got == ANSWER.replace(SECRET, "[GITHUB_TOKEN]")
    assert guard.denied is None


@pytest.mark.parametrize(
    "text",
    [
        rules("id: a, stage: response, when: 'finds(\"secrets\", output.text)', verdict: deny", head="mode: shadow"),
        rules("id: a, stage: response, when: 'finds(\"secrets\", output.text)', verdict: warn"),
        rules("id: a, stage: response, when: gen_ai.usage.output_tokens > 5, verdict: deny"),
        rules("id: a, stage: request, when: 'finds(\"secrets\", input.text)', verdict: deny"),
    ],
)
def test_26_without_a_rule_that_acts_on_answers_nothing_is_held_back(tmp_path: Path, text: str) -> None:
    assert admission(tmp_path, text).guard(call()) is None


def test_a_rule_about_the_whole_answer_is_asked_about_it_and_not_about_its_texts_one_by_one(tmp_path: Path) -> None:
    text = "I write to ada@example.com, as you have asked."
    parts = [{"type": "text", "content": text}, {"type": "tool_call", "id": "1", "name": "mail", "arguments": {}}]
    modify = (
        "id: mail, stage: response, when: '\"mail\" in output.tool_calls', verdict: modify, "
        "action: {redact: [EMAIL_ADDRESS]}"
    )
    deny = "id: other, stage: response, when: '!(\"mail\" in output.tool_calls)', verdict: deny"
    guard = admission(tmp_path, rules(modify, deny)).guard(call())
    assert guard is not None
    guard.whole([{"role": "assistant", "parts": parts}])
    assert guard.denied is None
    assert received(guard.text(), text) == text.replace("ada@example.com", "[EMAIL_ADDRESS]")
    guard = admission(tmp_path, rules(modify, deny)).guard(call())
    assert guard is not None
    guard.whole([{"role": "assistant", "parts": parts[:1]}])
    assert guard.denied is not None


def test_an_answer_stops_where_a_rule_fails_closed_and_cannot_be_evaluated(tmp_path: Path) -> None:
    failing = "id: a, stage: response, when: 'output.text.size() > gen_ai.request.seed', verdict: deny"
    guard = admission(tmp_path, rules(failing, head="mode: enforce\nfailurePolicy: {response: fail}")).guard(call())
    assert guard is not None
    assert received(guard.text(), ANSWER) == ""
    assert guard.denied is not None


KEYED = MODIFY + "action: {redact: [EMAIL_ADDRESS], operator: tokenize}"
KEY = "a key of more than sixteen bytes"


def test_an_operator_with_a_key_has_it_from_the_settings_and_the_key_brings_the_text_back(
    make: Make, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    for settings in ({"key": KEY}, {"key_file": str(tmp_path / "key")}):
        operation = asked("write to ada@example.com")
        make(rules(KEYED), **settings).process([operation])
        text = str(operation.get("gen_ai.input.messages"))
        assert "ada@example.com" not in text
        assert "write to ada@example.com" in reveal(text, KEY.encode())


@pytest.mark.parametrize(("key", "problem"), [(None, "needs a key"), ("short", "at least 16 bytes")])
def test_an_operator_without_a_usable_key_is_refused_at_load(make: Make, key: str | None, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        make(rules(KEYED), key=key)


AUDITED = "mode: enforce\nfailurePolicy: {audit: fail}"
NOTED = "id: noted, stage: request, when: 'true', verdict: audit"


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process becomes larger: what a full disk does to a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("head", "action"), [(AUDITED, "deny"), ("mode: enforce", "allow")])
def test_a_call_whose_record_a_full_disk_cannot_take_is_stopped_where_the_set_says_so(
    tmp_path: Path, head: str, action: str
) -> None:
    path = write(tmp_path, rules(NOTED, head=head))
    audit = AuditConfig(path=str(tmp_path / "audit"), key=KEY)
    context = Context("policy", Metrics(), FakeClock())
    policy = create_admission(Config(paths=(str(path),), audit=audit), context, {})
    assert policy.admit(call()) is ALLOW
    operation = call()
    size = sum(file.stat().st_size for file in (tmp_path / "audit").iterdir())
    with full_disk(size):
        answer = policy.admit(operation)
    assert answer.action == action
    if action == "deny":
        assert (answer.reason, answer.rule_id) == ("audit_failed", "noted")
        assert (verdict(operation)["verdict.type"], verdict(operation)["action.type"]) == ("error", "block")
    assert policy.admit(call()) is ALLOW  # there is room again
    [log] = [one for one in open_logs() if one.folder == tmp_path / "audit"]
    log.close()


def test_a_span_that_cannot_be_audited_is_an_error_and_at_export_does_not_leave(make: Make) -> None:
    for stage, dropped in (("request", None), ("export", "policy")):
        rule = f"id: noted, stage: {stage}, when: 'true', verdict: audit"
        operation = call()
        make(rules(rule, head=AUDITED), Full()).process([operation])
        assert (verdict(operation)["verdict.type"], operation.dropped) == ("error", dropped)


def test_a_set_that_demands_an_audit_is_refused_without_one(make: Make) -> None:
    with pytest.raises(ConfigError, match=r"failurePolicy\.audit: expected an audit log"):
        make(rules(NOTED, head=AUDITED))


def test_each_finding_is_a_log_record_in_its_spans_context_when_that_is_wanted(tmp_path: Path) -> None:
    path = write(tmp_path, rules(DENY))
    for is_wanted in (True, False):
        context = Context("policy", Metrics(), FakeClock())
        policy = create(Config(paths=(str(path),), finding_events=is_wanted), context)
        operation = call()
        for _ in range(2):  # a second pass says nothing new
            policy.process([operation, call(gen_ai__request__model="gpt-5")])
        records = context.records.take()
        assert len(records) == is_wanted
        for record in records:
            assert record.event_name == "otel_llm.policy.finding"
            assert (record.trace_id, record.span_id) == (operation.trace_id, operation.span_id)
            found = {key.removeprefix(PREFIX): value for key, value in record.attributes.items()}
            assert found.pop("bundle.id") == verdict(operation)["bundle.id"]
            assert found == {
                "verdict.type": "deny",
                "verdict.reason": "no-gpt-4o",
                "rule.id": "no-gpt-4o",
                "action.type": "audit",
                "mode": "enforce",
                "target.type": "input",
            }


def test_the_message_of_a_rule_goes_with_its_denial(tmp_path: Path) -> None:
    answer = admission(tmp_path, rules(DENY + ", action: {message: Ask for gpt-5.}")).admit(call())
    assert (answer.action, answer.message) == ("deny", "Ask for gpt-5.")


@pytest.mark.parametrize("turned", [False, True])
def test_two_rules_that_modify_the_same_text_both_have_their_way_in_whatever_order(make: Make, *, turned: bool) -> None:
    """Rules are asked before any of them acts, so none loses sight of what another takes out."""
    both = [
        (
            "id: mail, stage: request, when: 'finds(\"EMAIL_ADDRESS\", input.text)', verdict: modify, "
            "action: {redact: [EMAIL_ADDRESS]}"
        ),
        (
            "id: all, stage: request, when: 'finds(\"personal\", input.text)', verdict: modify, "
            "action: {redact: [EMAIL_ADDRESS, CREDIT_CARD], operator: remove}"
        ),
    ]
    operation = asked("I am ada@example.com, card 4111 1111 1111 1111.")
    make(rules(*(reversed(both) if turned else both))).process([operation])
    text = str(operation.get("gen_ai.input.messages"))
    assert "ada@example.com" not in text
    assert "4111" not in text
    assert ("[EMAIL_ADDRESS]" in text) is not turned
    assert verdict(operation)["rule.ids"] == ("all", "mail")
    again = text
    make(rules(*both)).process([operation])
    assert str(operation.get("gen_ai.input.messages")) == again
