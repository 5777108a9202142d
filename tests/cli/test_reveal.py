from __future__ import annotations

import io
from pathlib import Path

import pytest

from otel_llm.cli.main import main
from otel_llm.policy.redaction import operator

KEY = b"0123456789abcdef"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_bytes(KEY + b"\n")
    return path


def test_tokens_are_brought_back_line_by_line(
    key_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token = operator("tokenize", KEY)("EMAIL_ADDRESS", "jane@example.com")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"to {token}\nnothing here\n"))
    assert main(["reveal", "--key-file", str(key_file)]) == 0
    assert capsys.readouterr().out == "to jane@example.com\nnothing here\n"


def test_a_key_that_is_not_there_is_a_problem_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reveal", "--key-file", str(tmp_path / "none")]) == 1
    assert "reveal.key_file: cannot be read: No such file or directory" in capsys.readouterr().err
