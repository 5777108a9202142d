from __future__ import annotations

import json
from pathlib import Path

import pytest

from otel_llm.cli.main import main
from otel_llm.components import Context
from otel_llm.processors import drift
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.spans import SpanSpec, chat, operations


def state_of(path: Path, number: int, **config: object) -> str:
    """The state file of a worker that has seen so many operations, half of them failed."""
    config = {"baselines": {"error": 0.4}, **config}
    processor = drift.create(
        drift.Config(state_file=str(path), **config),  # type: ignore[arg-type] # its fields
        Context("drift", Metrics(), clock := FakeClock()),
    )
    processor.start()
    for span in range(1, number + 1):
        clock.advance(60)
        processor.process(operations(SpanSpec(chat(), trace=span, span=span, status=span % 2 * 2)))
    processor.shutdown(1)
    return str(path)


def test_segments_are_shown_with_their_evidence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drift", state_of(tmp_path / "a.json", 10)]) == 0
    shown = capsys.readouterr().out
    (line,) = [line for line in shown.splitlines() if " error " in line]
    assert "shop chat gpt-4o" in line
    assert line.split()[-4:-2] == ["0.4", "10"]
    assert "2026-11-18T12:10:00Z" in line
    assert "in 1 segments; an alarm is raised at evidence 1" in shown
    assert "at most" in shown


def test_states_of_several_workers_are_shown_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [state_of(tmp_path / "a.json", 10), state_of(tmp_path / "b.json", 16)]
    found = []
    for arguments in ([files[0]], [files[1]], files):
        assert main(["drift", "--json", "--signal", "error", *arguments]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        found.append(json.loads(line))
    assert found[2]["evidence"] == pytest.approx(found[0]["evidence"] + found[1]["evidence"])
    assert found[2]["segment"]["service.name"] == "shop"


def test_rows_are_limited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drift", "--rows", "1", state_of(tmp_path / "a.json", 3)]) == 0
    assert len([line for line in capsys.readouterr().out.splitlines() if "shop" in line]) == 1


@pytest.mark.parametrize("content", [None, "", "{}", "[1]", '{"segment_by": [], "monitor": {"version": 1}}'])
def test_a_file_that_is_no_state_is_a_problem(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.json"
    if content is not None:
        file.write_text(content)
    assert main(["drift", str(file)]) == 1
    assert str(file) in capsys.readouterr().err


def test_workers_that_tell_segments_apart_otherwise_are_not_added_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [state_of(tmp_path / "a.json", 3), state_of(tmp_path / "b.json", 3, segment_by=("service.name",))]
    assert main(["drift", *files]) == 1
    assert "other attributes" in capsys.readouterr().err
