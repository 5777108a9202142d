from __future__ import annotations

import json
from pathlib import Path

import pytest

from otel_llm.cli.main import main
from otel_llm.codecs.json import to_json
from tests.policy.subjects import rules, write
from tests.spans import SpanSpec, chat, request

PACKS = Path(__file__).parents[1] / "policy" / "packs"
RULE = "id: no-gpt-4o, stage: request, when: 'gen_ai.request.model == \"gpt-4o\"', verdict: deny"
CAPTURED = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "what about ada@example.com"}]}])

SUITE = """
apiVersion: otel-llm/v1
kind: PolicySuite
policies: [rules.yaml]
tests:
- name: the old model is denied
  span: {attributes: {gen_ai.operation.name: chat, gen_ai.request.model: gpt-4o}}
  expect: {verdict: deny, action: block, rules: [no-gpt-4o], reason: "^no-"}
- name: another is not
  span: {attributes: {gen_ai.operation.name: chat, gen_ai.request.model: gpt-5}}
  expect: {verdict: allow, rules: []}
"""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return write(tmp_path, rules(RULE))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two calls and one of them with content, as a file exporter writes them."""
    path = tmp_path / "traces.jsonl"
    specs = [
        SpanSpec(chat(gen_ai__input__messages=CAPTURED), trace=0xA1),
        SpanSpec(chat(gen_ai__request__model="gpt-5", gen_ai__response__model="gpt-5"), trace=0xB2),
    ]
    lines = [to_json("traces", request([spec])) for spec in specs]
    path.write_bytes(b"\n".join([*lines, b'{"resourceMetrics": []}']) + b"\n")
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = main(["policy", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_validate_shows_the_rules_and_what_to_look_at(policies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "validate", "--policies", policies)
    assert code == 0
    assert out.startswith("ok: sha256:")
    assert "test  no-gpt-4o  request  deny     block   enforce  medium    everywhere" in out
    assert "note: rule no-gpt-4o: its verdict is error where gen_ai.request.model is absent" in out


def test_validate_names_every_problem_and_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, rules(RULE.replace("model ==", "modle =="), RULE.replace("deny", "forbid")))
    code, _, err = run(capsys, "validate", "--policies", path)
    assert code == 1
    assert f"{path}: two rules with the id no-gpt-4o" in err
    assert f"{path}: spec.rules[1] (no-gpt-4o).verdict: expected allow or" in err
    code, _, err = run(capsys, "validate", "--policies", write(tmp_path, rules(RULE.replace("model ==", "modle =="))))
    assert (
        code,
        f"{path}: rule no-gpt-4o: when: column 1: unknown name gen_ai.request.modle; did you mean" in err,
    ) == (1, True)


def test_without_policies_a_command_says_how_to_name_them(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "validate")
    assert (code, "name them with --policies PATH or --pack NAME" in err) == (1, True)


def test_a_suite_passes_when_every_rule_was_hit_and_missed(policies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = policies.with_name("rules.test.yaml")
    suite.write_text(SUITE)
    code, out, _ = run(capsys, "test", policies.parent)
    assert (code, out.splitlines()[-1]) == (0, "2 passed, 0 failed")
    suite.write_text(SUITE[: SUITE.index("- name: another")])
    code, out, _ = run(capsys, "test", suite)
    assert code == 1
    assert "LACK rule no-gpt-4o: no test has it look and not object" in out
    assert run(capsys, "test", suite, "--no-coverage")[0] == 0


def test_a_test_that_fails_says_what_was_expected_and_what_came(
    policies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = policies.with_name("rules.test.yaml")
    suite.write_text(SUITE.replace("gpt-5", "gpt-4o").replace("^no-", "^yes-"))
    code, out, _ = run(capsys, "test", suite)
    assert code == 1
    assert "FAIL another is not" in out
    assert "verdict: expected allow, got deny" in out
    assert "rules: expected none, got no-gpt-4o" in out
    assert "reason: expected '^yes-', got 'no-gpt-4o'" in out


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        (("verdict: deny", "verdict: forbid"), "expect.verdict: expected allow or"),
        (("policies: [rules.yaml]", "policies: [gone.yaml]"), "no file of policies here"),
        (("policies: [rules.yaml]", "rules: []"), "expected policies (paths beside this file) or packs"),
        (('reason: "^no-"', 'reason: "("'), "is no regular expression"),
        (("- name: another is not", "- nam: x"), "nam: unknown; did you mean name?"),
    ],
)
def test_a_broken_suite_is_refused(
    policies: Path, wrong: tuple[str, str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = policies.with_name("rules.test.yaml")
    suite.write_text(SUITE.replace(*wrong))
    code, _, err = run(capsys, "test", suite)
    assert code == 1
    assert part in err


def test_every_rule_of_the_starter_pack_is_hit_and_missed_by_its_suite(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "test", PACKS)
    assert code == 0, out
    assert out.splitlines()[-1] == "19 passed, 0 failed"


def test_replay_says_what_the_rules_would_have_said(
    policies: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "replay", "--policies", policies, recording)
    assert code == 0
    assert "2 operations: 1 deny, 1 allow" in out
    (row,) = [line.split() for line in out.splitlines() if line.startswith("no-gpt-4o")]
    assert row[1:8] == ["enforce", "deny", "2", "1", "50.0", "%", "0"]
    assert row[-1] == "00000000"


def test_replay_reads_cost_and_names_rules_that_cannot_be_evaluated(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dear = "id: dear, stage: response, when: otel_llm.cost.total > 0.001, verdict: warn"
    path = write(tmp_path, rules(dear, "id: seed, stage: request, when: gen_ai.request.seed == 1, verdict: warn"))
    code, out, _ = run(capsys, "replay", "--policies", path, recording)
    assert code == 1
    assert "error: rule seed: 2 times: gen_ai.request.seed is absent" in out


def test_replay_of_what_is_no_recording_says_so(
    policies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"resourceSpans": [')
    code, _, err = run(capsys, "replay", "--policies", policies, broken)
    assert (code, f"{broken}: line 1: no OTLP JSON" in err) == (1, True)
    code, _, err = run(capsys, "replay", "--policies", policies, tmp_path / "gone")
    assert (code, "cannot be read" in err) == (1, True)


def test_diff_names_what_changed_and_for_which_calls(
    policies: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = RULE.replace("deny", "warn") + ", severity: high"
    new = write(policies.parent, rules(changed, "id: b, stage: export, when: 'true', verdict: audit"), "new.yaml")
    code, out, _ = run(capsys, "diff", policies, new, "--traces", recording)
    assert code == 0
    lines = out.splitlines()
    assert "  + rule test/b" in lines
    assert "  ~ rule test/no-gpt-4o: verdict: deny -> warn" in lines
    assert "  ~ rule test/no-gpt-4o: severity: medium -> high" in lines
    assert "of 2 recorded operations, 2 have another verdict" in lines
    assert f"  1 deny -> warn, e.g. {0xA1:032x}" in lines
    code, out, _ = run(capsys, "diff", policies, policies)
    assert out.splitlines()[0].endswith(": nothing differs")


def test_explain_shows_each_rule_its_inputs_and_its_outcome_and_no_content(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mail = "id: mail, stage: request, when: 'finds(\"EMAIL_ADDRESS\", input.text)', verdict: warn"
    path = write(tmp_path, rules(RULE, mail, "id: tool, stage: tool, when: 'true', verdict: deny"))
    code, out, _ = run(capsys, "explain", "--policies", path, recording)
    assert code == 0
    assert "rule test/no-gpt-4o (request, enforce): deny, action block, reason no-gpt-4o" in out
    assert "    gen_ai.request.model = 'gpt-4o'" in out
    assert "    when  true: gen_ai.request.model ==" in out
    assert "    input.text = (26 characters)" in out
    assert "not for this operation, service or mode: tool" in out
    assert "ada@example.com" not in out
    _, out, _ = run(capsys, "explain", "--policies", path, recording, "--show-content")
    assert "ada@example.com" in out


def test_explain_finds_a_span_by_its_trace(policies: Path, recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "explain", "--policies", policies, recording, "--trace", f"{0xB2:032x}")
    assert "gen_ai.request.model = 'gpt-5'" in out
    code, _, err = run(capsys, "explain", "--policies", policies, recording, "--trace", "ff")
    assert (code, "no GenAI span with such ids" in err) == (1, True)
