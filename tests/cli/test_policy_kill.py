"""`otel-llm policy kill`: what it stops, how soon, and what is left of it in the audit log."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_llm.cli.main import main
from otel_llm.components import Context
from otel_llm.operation import Operation
from otel_llm.policy.audit_sink import AuditRecord
from otel_llm.processors.policy import Config
from otel_llm.processors.policy_admission import PolicyAdmission, create_admission
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.policy.subjects import rules, write
from tests.spans import SpanSpec, chat, operations

OFF = "id: none-of-it, stage: request, when: 'true', verdict: deny"


class Records:
    def __init__(self) -> None:
        self.taken: list[AuditRecord] = []

    def record(self, record: AuditRecord) -> None:
        self.taken.append(record)


def calls(attributes: dict[str, str]) -> Operation:
    (found,) = operations(SpanSpec({**chat(), **attributes}))
    return found


def admission(paths: list[Path], clock: FakeClock, sink: Records) -> PolicyAdmission:
    config = Config(paths=tuple(map(str, paths)), check_interval_seconds=1)
    return create_admission(config, Context("policy", Metrics(), clock), {"service.name": "shop"}, sink)


def test_a_model_is_stopped_with_the_next_look_at_the_files_and_revived_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    switches = tmp_path / "kill-switches.yaml"
    assert main(["policy", "kill", str(switches), "--provider", "none", "--owner", "ada"]) == 0
    clock, sink = FakeClock(), Records()
    policy = admission([switches], clock, sink)
    call = {"gen_ai.request.model": "gpt-4o", "gen_ai.provider.name": "openai"}
    assert policy.admit(calls(call)).action == "allow"

    turn = ["policy", "kill", str(switches), "--model", "gpt-4o"]
    assert main([*turn, "--owner", "ada", "--reason", "leaks"]) == 0
    assert "model gpt-4o: stopped by ada: leaks" in capsys.readouterr().out
    clock.advance(2)
    policy.admit(calls({}))
    policy._source.wait(10)
    stopped = policy.admit(calls(call))
    assert (stopped.action, stopped.rule_id, stopped.reason) == ("deny", "kill-model-gpt-4o", "kill_switch")
    assert stopped.message == "model gpt-4o is switched off by ada: leaks"
    assert policy.admit(calls({**call, "gen_ai.request.model": "gpt-4o-mini"})).action == "allow"
    assert policy.on_error == "deny"

    assert main([*turn, "--revive"]) == 0
    clock.advance(2)
    policy.admit(calls({}))
    policy._source.wait(10)
    assert policy.admit(calls(call)).action == "allow"
    found = [dict(one.details) for one in sink.taken if one.kind == "kill_switch"]
    assert [(one["turned"], one.get("model") or one.get("provider"), one["owner"]) for one in found] == [
        ("on", "none", "ada"),
        ("on", "gpt-4o", "ada"),
        ("off", "gpt-4o", "ada"),
    ]


def test_a_set_is_switched_off_and_everything_else_stays(tmp_path: Path) -> None:
    path = write(tmp_path, rules(OFF))
    switches = tmp_path / "kill-switches.yaml"
    assert main(["policy", "kill", str(switches), "--set", "test", "--owner", "ada"]) == 0
    assert main(["policy", "validate", "--policies", str(switches), "--policies", str(path)]) == 0
    sink = Records()
    assert admission([switches, path], FakeClock(), sink).admit(calls({})).action == "allow"
    [record] = [one for one in sink.taken if one.kind == "kill_switch"]
    assert record.details["set"] == "test"
    assert main(["policy", "kill", str(switches), "--set", "test", "--revive"]) == 0
    assert admission([switches, path], FakeClock(), Records()).admit(calls({})).action == "deny"


def test_what_is_missing_or_of_others_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    switches = tmp_path / "kill-switches.yaml"
    assert main(["policy", "kill", str(switches), "--model", "m"]) != 0
    assert main(["policy", "kill", str(switches), "--model", "m", "--revive"]) != 0
    assert not switches.exists()
    own = write(tmp_path, rules(OFF))
    assert main(["policy", "kill", str(own), "--model", "m", "--owner", "ada"]) != 0
    assert "expected a file that this command wrote" in capsys.readouterr().err
    assert main(["policy", "kill", str(switches)]) == 0


def test_names_are_no_expressions(tmp_path: Path) -> None:
    """A name with quotes in it stops the model of that name, and no other."""
    switches = tmp_path / "kill-switches.yaml"
    name = 'a" || true || "b'
    assert main(["policy", "kill", str(switches), "--model", name, "--owner", "ada"]) == 0
    policy = admission([switches], FakeClock(), Records())
    assert policy.admit(calls({"gen_ai.request.model": "gpt-4o"})).action == "allow"
    assert policy.admit(calls({"gen_ai.request.model": name})).action == "deny"
