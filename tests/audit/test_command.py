"""`otel-llm audit verify`, and redaction that is recorded, through a running gateway."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from otel_llm.audit import verify
from otel_llm.cli.main import main
from tests.acceptance.test_privacy import MAIL, PLACES, redacting, trace_request
from tests.audit.logs import KEY, opened, record, written


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_bytes(KEY + b"\n")
    return path


def test_a_whole_log_is_told_with_its_numbers(
    tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path / "audit", 9)
    assert main(["audit", "verify", str(tmp_path / "audit"), "--key-file", str(key_file)]) == 0
    assert capsys.readouterr().out == "whole: 10 records, 1 to 10; no anchors compared\n"


def test_a_spoilt_log_is_told_with_every_problem(
    tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path / "audit", 9)
    (path,) = (tmp_path / "audit").glob("audit-*.jsonl")
    path.write_bytes(path.read_bytes().replace(b"rule-4", b"rule-5"))
    assert main(["audit", "verify", str(tmp_path / "audit"), "--key-file", str(key_file)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("NOT whole: 10 records, 1 to 10")
    assert "audit-000000000001.jsonl:6: record 6 was changed" in out


def test_the_logs_of_all_processes_are_checked_and_one_that_is_gone_is_missed(
    tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "audit"
    logs = [opened(folder, processes=2) for _ in range(2)]
    for log in logs:
        log.record(record(1))
        log.close()
    anchors = tmp_path / "anchors"
    known = [{"log": one.log, "seq": one.seq, "mac": one.mac} for log in logs for one in log.anchors()]
    anchors.write_text("\n".join(map(json.dumps, known)))
    verifying = ["audit", "verify", str(folder), "--key-file", str(key_file), "--anchors", str(anchors)]
    assert main(verifying) == 0
    whole = "whole: 2 records, 1 to 2, 1 anchors compared\n"
    assert capsys.readouterr().out == f"audit: {whole}audit/@2: {whole}"
    (path,) = (folder / "@2").glob("audit-*.jsonl")
    path.write_bytes(path.read_bytes().replace(b"rule-1", b"rule-2"))
    assert main(verifying) == 1
    assert "audit/@2: NOT whole: 2 records" in capsys.readouterr().out
    shutil.rmtree(folder / "@2")
    assert main(verifying) == 1
    assert "NOT whole: audit/@2: there are anchors of it, and its folder is missing" in capsys.readouterr().out


def test_what_cannot_be_read_is_a_problem_in_words(
    tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "verify", str(tmp_path / "none"), "--key-file", str(key_file)]) == 1
    assert "none: cannot be read: No such file or directory" in capsys.readouterr().err
    assert main(["audit", "verify", str(tmp_path), "--key-file", str(tmp_path / "no-key")]) == 1
    assert "key_file: cannot be read" in capsys.readouterr().err


def test_27_what_was_redacted_is_recorded_without_it_and_anchored(tmp_path: Path, key_file: Path) -> None:
    """Given calls with personal data through a gateway that records what it does, then each has a record with its ids
    and types, the chain is whole, an anchor has left for the logs' destination, and no record holds what was found."""
    folder = tmp_path / "audit"
    with redacting(tmp_path, f"{{audit: {{path: {folder}, key_file: {key_file}}}}}") as gateway:
        for _ in range(3):
            gateway.send("traces", trace_request(PLACES["prompt"], "app"))
        destination = gateway.redacted
    (path,) = folder.glob("audit-*.jsonl")
    text = path.read_text()
    records = [json.loads(line) for line in text.splitlines()]
    assert [record["kind"] for record in records] == ["start", "action", "action", "action"]
    assert records[1]["trace_id"] == (b"t" * 16).hex()
    assert records[1]["details"]["types"] == "CREDENTIAL,CREDIT_CARD,EMAIL_ADDRESS,GITHUB_TOKEN"
    assert MAIL not in text
    assert verify(folder, KEY).is_whole
    anchors = [received.body for received in destination.accepted if received.signal == "logs"]
    assert any(records[-1]["mac"].encode() in body for body in anchors)
