"""docs/policy-guide.md, followed as a new user would: every file in it is written, every command in it is run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from otel_llm.cli.main import main
from otel_llm.codecs.json import to_json
from otel_llm.policy.packs import pack_path
from otel_llm.policy.sets.files import read_text
from tests.spans import SpanSpec, chat, request

GUIDE = (Path(__file__).parents[2] / "docs" / "policy-guide.md").read_text()
STEP = re.compile(
    r"^```yaml\n# file: (?P<file>\S+)\n(?P<text>.*?)^```|^    (?P<command>otel-llm [^\n]*)$", re.MULTILINE | re.DOTALL
)


def steps() -> list[tuple[str, str]]:
    """File and text, or nothing and a command, in the order in which they stand in the guide."""
    return [(match["file"] or "", match["text"] or match["command"]) for match in STEP.finditer(GUIDE)]


def test_every_step_of_the_guide_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    resource = {"service.name": "shop", "deployment.environment.name": "production"}
    Path("traces.jsonl").write_bytes(to_json("traces", request([SpanSpec(chat())], resource)))
    commands = 0
    for file, text in steps():
        if file:
            Path(file).write_text(text)
            continue
        commands += 1
        assert main(text.split()[1:]) == 0, (text, capsys.readouterr())
    assert commands >= 6
    out = capsys.readouterr().out
    assert "3 passed, 0 failed" in out
    assert "rule baseline/approved-models (request, shadow): deny, action allow" in out
    assert re.search(r"baseline\s+approved-models\s+request\s+deny\s+block\s+enforce\s+high\s+production", out)
    assert re.search(r"starter\s+model-not-listed\s+request\s+deny\s+block\s+warn\s+high\s+everywhere", out)


def test_the_misspelt_name_of_the_guide_gets_the_message_of_the_guide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rules.yaml").write_text(
        dict(steps())["rules.yaml"].replace("!(gen_ai.request.model", "!(gen_ai.request.modle")
    )
    assert main(["policy", "validate", "--policies", "rules.yaml"]) == 1
    (message,) = re.findall(r"`(rules\.yaml: rule\s[^`]*)`", GUIDE)
    assert " ".join(message.split()) in " ".join(capsys.readouterr().err.split())


def test_the_guide_names_every_rule_of_the_starter_pack() -> None:
    (pack,) = read_text(pack_path("starter").read_text(), "starter.yaml")
    rules = json.loads(json.dumps(pack))["spec"]["rules"]
    section = GUIDE[GUIDE.index("## The starter pack") :]
    missing = [one["id"] for one in rules if f"`{one['id']}`" not in section and f"`{one['id'][:3]}" not in section]
    assert missing == []


@pytest.mark.parametrize(("model", "verdict"), [("homegrown", "error"), ("gpt-5", "allow")])
def test_where_no_environment_is_named_the_guides_rule_says_what_the_guide_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    model: str,
    verdict: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rules.yaml").write_text(dict(steps())["rules.yaml"])
    sent = request([SpanSpec(chat(gen_ai__request__model=model))], {"service.name": "shop"})
    Path("traces.jsonl").write_bytes(to_json("traces", sent))
    assert main(["policy", "explain", "--policies", "rules.yaml", "traces.jsonl"]) == 0
    assert f": verdict {verdict}, action allow" in capsys.readouterr().out
