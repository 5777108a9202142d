from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from otel_llm._generated import attributes as names
from otel_llm.cli.main import main
from otel_llm.codecs.json import to_json
from tests.spans import SpanSpec, chat, request

HERE = "tests.cli.test_eval"
CAPITALS = {
    "France": "Paris",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Peru": "Lima",
    "Chad": "N'Djamena",
    "Oman": "Muscat",
}


def knows(country: object) -> str:
    return f"It is {CAPITALS[str(country)]}."


def guesses(_: object) -> str:
    return "It is Paris."


def strict(case: object, answer: object) -> float:
    del case
    return float(answer == "It is Paris.")


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    path = tmp_path / "capitals.jsonl"
    rows = [{"id": where, "input": where, "checks": {"contains": city}} for where, city in CAPITALS.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_results_are_compared_with_a_stored_baseline(
    dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline, xml, report = (str(tmp_path / name) for name in ("baseline.json", "eval.xml", "eval.md"))
    run = ["eval", "run", dataset, "--repetitions", "2", "--concurrency", "4", "--baseline", baseline]
    assert main([*run[:3], f"{HERE}:knows", *run[3:], "--update-baseline"]) == 0
    assert main([*run[:3], f"{HERE}:knows", *run[3:]]) == 0
    assert "6 of 6 cases always succeed\nnot proven to differ" in capsys.readouterr().out
    assert main([*run[:3], f"{HERE}:guesses", *run[3:], "--junit", xml, "--markdown", report]) == 1
    shown = capsys.readouterr().out
    assert "1 of 6 cases always succeed\nworse than the baseline: mean score 1.000 -> 0.167 (p = 0.0312)" in shown
    (suite,) = ET.parse(xml).getroot()  # noqa: S314 - our own file
    assert suite.attrib["failures"] == "6"  # five cases that are broken, and the verdict
    assert "| Italy | 1.00 | 0.00 |" in Path(report).read_text()


def test_without_a_baseline_every_case_has_to_succeed(dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "run", dataset, f"{HERE}:knows"]) == 0
    assert main(["eval", "run", dataset, f"{HERE}:guesses"]) == 1
    assert "no baseline to compare with" in capsys.readouterr().out
    assert main(["eval", "run", dataset, f"{HERE}:guesses", "--evaluator", f"{HERE}:strict"]) == 0


def test_a_broken_case_fails_the_strict_only(dataset: str, tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    main(["eval", "run", dataset, f"{HERE}:knows", "--baseline", str(baseline), "--update-baseline"])
    rows = Path(dataset).read_text().replace("Lima", "Cusco")
    Path(dataset).write_text(rows)
    arguments = ["eval", "run", dataset, f"{HERE}:knows", "--baseline", str(baseline)]
    assert main(arguments) == 0
    assert main([*arguments, "--strict"]) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["{dataset}", "no.such:thing"], "expected MODULE:FUNCTION that can be imported"),
        (["{dataset}", f"{HERE}:CAPITALS"], "expected a function, got a dict"),
        (["/none.jsonl", f"{HERE}:knows"], "/none.jsonl: cannot be read"),
        (["{dataset}", f"{HERE}:knows", "--baseline", "/none.json"], "/none.json: cannot be read"),
        (["{dataset}", f"{HERE}:knows", "--update-baseline"], "needs --baseline"),
        (["{dataset}", f"{HERE}:knows", "--junit", "/none/x.xml"], "cannot be written"),
    ],
)
def test_what_cannot_be_used_is_said(
    arguments: list[str], problem: str, dataset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "run", *(one.format(dataset=dataset) for one in arguments)]) == 1
    assert problem in capsys.readouterr().err


def test_a_data_set_is_made_from_telemetry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messages = [{"role": "user", "parts": [{"type": "text", "content": "Où est l'hôtel ?"}]}]
    spans = [
        SpanSpec({**chat(), names.GEN_AI_INPUT_MESSAGES: json.dumps(messages)}, trace=1, span=1),
        SpanSpec(
            {**chat(), names.GEN_AI_INPUT_MESSAGES: json.dumps(messages), names.OTEL_LLM_QUALITY_FLAGS: ["refusal"]},
            trace=2,
            span=2,
        ),
        SpanSpec(chat(), trace=3, span=3),
    ]
    file = tmp_path / "traces.jsonl"
    line = to_json("traces", request(spans)).decode().replace("\n", "")
    file.write_text(f"{line}\n{line}\n")
    assert main(["eval", "cases", str(file)]) == 0
    cases = [json.loads(one) for one in capsys.readouterr().out.splitlines()]
    assert [case["id"] for case in cases] == [f"{n:032x}:{n:016x}" for n in (1, 2)]
    assert cases[0]["input"] == messages
    assert main(["eval", "cases", "--flagged", str(file)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
