"""The plugin in sessions of its own, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TEST = """
import pytest
from app import answer

@pytest.mark.otel_llm(dataset="cases.jsonl", repetitions=2)
def test_capitals(case):
    assert case.checks["contains"] in answer(case.input)

def test_something_else():
    assert True
"""
GOOD = "def answer(asked): return asked.upper()"
BAD = "def answer(asked): return asked"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "test_it.py").write_text(TEST)
    (tmp_path / "app.py").write_text(GOOD)
    rows = [{"id": f"c{n}", "input": f"x{n}", "checks": {"contains": f"X{n}"}} for n in range(6)]
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def session(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=50)


def test_each_case_is_a_test_and_without_a_baseline_a_failure_is_one(project: Path) -> None:
    good = session(project)
    assert "13 passed" in good.stdout, good.stdout + good.stderr
    (project / "app.py").write_text(BAD)
    bad = session(project)
    assert bad.returncode == 1
    assert "12 failed, 1 passed" in bad.stdout


def test_with_a_baseline_all_cases_together_decide(project: Path) -> None:
    baseline = ["--otel-llm-baseline", "baseline.json"]
    written = session(project, *baseline, "--otel-llm-update-baseline")
    assert written.returncode == 0, written.stdout + written.stderr
    assert "baseline written to baseline.json: 6 cases" in written.stdout
    same = session(project, *baseline)
    assert same.returncode == 0
    assert "not proven to differ from the baseline" in same.stdout
    (project / "app.py").write_text(BAD)
    worse = session(project, *baseline, "--otel-llm-report", "report.md")
    assert worse.returncode == 1
    assert "worse than the baseline: mean score 1.000 -> 0.000" in worse.stdout
    assert "12 xfailed" in worse.stdout
    assert "test_it.py::test_capitals[c3]" in (project / "report.md").read_text()


def test_one_bad_case_fails_no_session_that_has_a_baseline(project: Path) -> None:
    baseline = ["--otel-llm-baseline", "baseline.json"]
    session(project, *baseline, "--otel-llm-update-baseline")
    (project / "app.py").write_text('def answer(asked): return asked.upper() if asked != "x3" else "?"')
    one = session(project, *baseline)
    assert one.returncode == 0
    assert "broken: test_it.py::test_capitals[c3]" in one.stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--otel-llm-update-baseline"], "needs --otel-llm-baseline"),
        (["--otel-llm-baseline", "test_it.py"], "it is no baseline"),
    ],
)
def test_what_is_wrong_is_said(project: Path, arguments: list[str], problem: str) -> None:
    ended = session(project, *arguments)
    assert ended.returncode == 4
    assert problem in ended.stdout + ended.stderr


def test_a_data_set_that_is_wrong_is_said_with_its_line(project: Path) -> None:
    (project / "cases.jsonl").write_text('{"id": "a"}\n')
    ended = session(project)
    assert ended.returncode != 0
    assert "cases.jsonl, line 1: expected an id, which is text, and an input" in ended.stdout + ended.stderr
