from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from otel_llm.cli.main import main


def rows(number: int, labels: int, seed: int = 1) -> list[dict[str, object]]:
    """Judged answers, three in ten of them bad; the judge is right nine times in ten."""
    draw = random.Random(seed).random
    found = []
    for place in range(number):
        is_bad = draw() < 0.3
        says_bad = is_bad if draw() < 0.9 else not is_bad
        row: dict[str, object] = {"name": "helpfulness", "version": "1", "judge": "fail" if says_bad else "pass"}
        if place < labels:
            row["human"] = "fail" if is_bad else "pass"
        found.append({**row, "human_probability": labels / number})
    return found


def written(folder: Path, found: list[dict[str, object]]) -> str:
    path = folder / "judged.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return str(path)


def test_the_share_of_bad_answers_is_shown_with_its_interval(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["estimate", written(tmp_path, rows(1000, 150))]) == 0
    line = capsys.readouterr().out.splitlines()[1].split()
    assert line[:3] == ["helpfulness@1", "1000", "150"]
    assert 25 < float(line[3].rstrip("%")) < 35
    assert float(line[4].rstrip("%")) < 30 < float(line[6].rstrip("%"))
    assert int(line[7]) > 200
    assert line[-1] == "calibrated"


def test_too_few_labels_say_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", written(tmp_path, rows(100, 5))]) == 1
    shown = capsys.readouterr().out
    assert "unknown" in shown
    assert "uncalibrated" in shown


def test_labels_of_bad_answers_may_have_other_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [{"name": "x", "judge": "cannot_tell", "human": "wrong"}] * 20 + [
        {"name": "x", "judge": "right", "human": "right"}
    ] * 20
    for method in ("stratified", "ppi", "labels"):
        assert main(["estimate", written(tmp_path, found), "--bad", "wrong", "--method", method]) == 0
        assert "50.0%" in capsys.readouterr().out


def test_every_line_that_is_wrong_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [{"name": "x"}, {"name": "x", "judge": "pass", "probability": 0}, {"name": "x", "judge": "pass"}]
    path = written(tmp_path, found)
    assert main(["estimate", path]) == 1
    said = capsys.readouterr().err
    assert f"{path}, line 1: " in said
    assert f"{path}, line 2: " in said
    assert "line 3" not in said
    assert main(["estimate", "/none"]) == 1
