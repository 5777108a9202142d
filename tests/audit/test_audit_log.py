"""The audit log finds every change, goes on after every end, and takes nothing that it cannot keep."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.audit import Anchor, AuditConfig, AuditLog, open_log, open_logs, read_anchors, verify
from otel_llm.audit.files import segment_path
from otel_llm.errors import AuditError
from otel_llm.testing import FakeClock
from tests.audit.logs import KEY, opened, record, written


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def _only_file(folder: Path) -> Path:
    (path,) = folder.glob("audit-*.jsonl")
    return path


def test_a_log_that_nobody_touched_is_whole(tmp_path: Path) -> None:
    log = written(tmp_path, 100)
    report = verify(tmp_path, KEY, log.anchors())
    assert report.problems == []
    assert (report.records, report.first_seq, report.last_seq, report.anchors) == (101, 1, 101, 1)


def _edited(lines: list[bytes]) -> list[bytes]:
    return [*lines[:5], lines[5].replace(b"deny", b"warn"), *lines[6:]]


def _recoded(lines: list[bytes]) -> list[bytes]:
    """Edited, and its code taken from another record."""
    other = lines[6][-67:]
    return [*lines[:5], lines[5].replace(b"deny", b"warn")[:-67] + other, *lines[6:]]


SPOILT: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "edited": _edited,
    "edited, with another's code": _recoded,
    "removed": lambda lines: [*lines[:5], *lines[6:]],
    "first removed": lambda lines: lines[1:],
    "reordered": lambda lines: [*lines[:5], lines[6], lines[5], *lines[7:]],
    "doubled": lambda lines: [*lines[:6], *lines[5:]],
    "tail cut": lambda lines: lines[:-1],
    "most cut": lambda lines: lines[:2],
    "all cut": lambda _: [],
    "last line cut in the middle": lambda lines: [*lines[:-1], lines[-1][:40]],
    "garbage added": lambda lines: [*lines, b"{}\n"],
    "spaces added": lambda lines: [*lines[:5], lines[5].replace(b":", b": ", 1), *lines[6:]],
}


@pytest.mark.parametrize("how", SPOILT)
def test_27_every_change_of_the_records_is_found(tmp_path: Path, how: str) -> None:
    """Given a hash-chained audit log, then deleting, editing, reordering or truncating any record, the last ones
    included, is found offline."""
    written(tmp_path, 20)
    path = _only_file(tmp_path)
    path.write_bytes(b"".join(SPOILT[how](_lines(path))))
    assert not verify(tmp_path, KEY).is_whole


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0), byte=st.integers(0, 255))
def test_27_any_changed_byte_is_found(tmp_path_factory: pytest.TempPathFactory, position: int, byte: int) -> None:
    """Given any one byte of the records changed, the same."""
    folder = tmp_path_factory.mktemp("log")
    written(folder, 5)
    path = _only_file(folder)
    data = bytearray(path.read_bytes())
    position %= len(data)
    changed = data[position] != byte
    data[position] = byte
    path.write_bytes(data)
    assert verify(folder, KEY).is_whole != changed


def test_27_a_folder_put_back_to_an_older_state_is_found_by_an_anchor(tmp_path: Path) -> None:
    """Given a whole folder, head included, put back to what it was, then an anchor that was kept elsewhere shows it."""
    folder = tmp_path / "log"
    written(folder, 10)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    log = opened(folder)
    log.record(record(99))
    log.close()
    anchors = log.anchors()
    for path in list(folder.iterdir()):
        path.unlink()
    for name, data in before.items():
        (folder / name).write_bytes(data)
    assert verify(folder, KEY).is_whole
    assert verify(folder, KEY, anchors).problems == [
        "the end was cut off: the last record is 11, and an anchor knows of 12"
    ]


def test_27_a_folder_that_was_put_back_and_went_on_is_found_by_anchors_that_contradict_each_other(
    tmp_path: Path,
) -> None:
    """Given anchors of one record that differ, then it is found also when the log itself fits the later ones."""
    written(tmp_path, 10)
    macs = [json.loads(line)["mac"] for line in _lines(_only_file(tmp_path))]
    anchors = [Anchor("audit", 5, "ab" * 32, 0), Anchor("audit", 5, macs[4], 0)]
    report = verify(tmp_path, KEY, anchors)
    assert "anchors know 2 different records 5: the log was put back, and went on" in report.problems
    assert report.anchors == 2


_ODD = st.sampled_from(["", "²", "-1", "9" * 5000, "é", "none", "\x00", "zz" * 32, "ab" * 32, "1", "5"])
_ODD_NUMBERS = st.sampled_from([-1, 0, 1, 7, 2**63, 2**64 - 1, 2**64, 10**30])


_MADE_UP = {
    "kind": st.sampled_from(["verdict", "retention", "recovery", "start"]),
    "seq": _ODD_NUMBERS,
    "mac": _ODD,
    "details": st.dictionaries(st.sampled_from(["removed_to_seq", "mac", "head_seq"]), _ODD),
}


@settings(max_examples=200, deadline=None)
@given(
    made_up=st.fixed_dictionaries(_MADE_UP),
    position=st.integers(0, 6),
    head=st.fixed_dictionaries({"seq": _ODD_NUMBERS, "mac": _ODD, "tag": _ODD}),
)
def test_27_whatever_stands_in_a_log_is_a_problem_and_no_traceback(
    tmp_path_factory: pytest.TempPathFactory, made_up: dict[str, object], position: int, head: dict[str, object]
) -> None:
    """Given a record and a head that somebody made up, then verifying says so."""
    folder = tmp_path_factory.mktemp("log")
    written(folder, 5)
    path = _only_file(folder)
    lines = _lines(path)
    lines.insert(position, json.dumps(json.loads(lines[0]) | made_up).encode() + b"\n")
    path.write_bytes(b"".join(lines))
    (folder / "head.json").write_text(json.dumps(head))
    (folder / "audit-²²²²²²²²²²²².jsonl").write_text("not ours")
    assert not verify(folder, KEY).is_whole


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"seq": "x", "mac": "ab"}', "line 2: an anchor without a number"),
        ('{"seq": -1, "mac": "ab"}', "line 2: an anchor without a number"),
        ('{"seq": "' + "9" * 5000 + '", "mac": "ab"}', "line 2: an anchor without a number"),
        (
            '{"seq": {}, "mac": "ab"}',
            "line 2: an anchor without a number",
        ),
        ("[" * 100_000, "line 2 is nested too deeply"),
        ("anything", "line 2 is not JSON"),
    ],
)
def test_anchors_that_are_none_are_named_with_their_line(line: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        list(read_anchors('{"log": "audit", "seq": 3, "mac": "cd"}\n' + line))


def test_27_a_tail_that_was_cut_stays_found_when_the_log_goes_on(tmp_path: Path) -> None:
    written(tmp_path, 20)
    path = _only_file(tmp_path)
    path.write_bytes(b"".join(_lines(path)[:-3]))
    log = opened(tmp_path)
    log.record(record(1))
    log.close()
    (problem,) = verify(tmp_path, KEY).problems
    assert "the end was cut off before record 19: there had been 21" in problem


def test_27_a_killed_process_loses_no_record(tmp_path: Path) -> None:
    """Given kill -9 right after a record was taken over, then it is in the log, and the log goes on and is whole."""
    script = f"""
import os, signal
from pathlib import Path
from tests.audit.logs import opened, record
log = opened(Path({str(tmp_path)!r}))
for number in range(50):
    log.record(record(number))
os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", script], cwd=root, timeout=60, check=False)
    log = opened(tmp_path)
    log.record(record(50))
    log.close()
    report = verify(tmp_path, KEY)
    assert report.problems == []
    assert report.records == 53  # start, 51, and that it was opened again


def test_27_no_record_holds_more_than_names(tmp_path: Path) -> None:
    """Given reasons and details that are far too long to be any, then they are cut: the log is no place for content."""
    log = opened(tmp_path)
    long = record()
    long.details.update({"text": "x" * 10_000})  # type: ignore[attr-defined] # a dictionary here
    log.record(long)
    log.close()
    assert max(map(len, _lines(_only_file(tmp_path)))) < 1000
    assert verify(tmp_path, KEY).is_whole


def test_half_of_a_surrogate_pair_costs_no_record(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.record(replace(record(), reason="model g\ud83d not approved", details={"error": "\udc00"}))
    log.close()
    assert json.loads(_lines(_only_file(tmp_path))[-1])["reason"] == "model g? not approved"
    assert verify(tmp_path, KEY).is_whole


def test_files_follow_each_other_and_old_ones_go_with_a_record_of_it(tmp_path: Path) -> None:
    clock = FakeClock()
    log = opened(tmp_path, clock, segment_bytes=4096, retention_days=1)
    for number in range(60):
        log.record(record(number, clock.unix_nano()))
        clock.advance(3600)
    log.close()
    files = sorted(tmp_path.glob("audit-*.jsonl"))
    assert len(files) > 2
    assert files[0].name != "audit-000000000001.jsonl"
    report = verify(tmp_path, KEY)
    assert report.problems == []
    assert report.first_seq > 1


@pytest.mark.parametrize("position", [0, 1, -1])
def test_27_a_removed_file_is_found(tmp_path: Path, position: int) -> None:
    written(tmp_path, 60, segment_bytes=4096)
    files = sorted(tmp_path.glob("audit-*.jsonl"))
    assert len(files) > 3
    files[position].unlink()
    assert not verify(tmp_path, KEY).is_whole


def test_27_an_edited_first_record_after_retention_is_found(tmp_path: Path) -> None:
    clock = FakeClock()
    log = opened(tmp_path, clock, segment_bytes=4096, retention_days=1)
    for number in range(60):
        log.record(record(number, clock.unix_nano()))
        clock.advance(3600)
    log.close()
    first = min(tmp_path.glob("audit-*.jsonl"))
    lines = _lines(first)
    first.write_bytes(b"".join([lines[0].replace(b"first_seq", b"first-seq"), *lines[1:]]))
    assert not verify(tmp_path, KEY).is_whole


def test_another_key_neither_verifies_nor_goes_on(tmp_path: Path) -> None:
    written(tmp_path, 3)
    assert not verify(tmp_path, b"another key, as long").is_whole
    with pytest.raises(AuditError, match="does not fit the key"):
        AuditLog(tmp_path, b"another key, as long")


def test_a_line_that_a_power_cut_left_incomplete_goes_and_the_chain_says_so(tmp_path: Path) -> None:
    written(tmp_path, 5)
    path = _only_file(tmp_path)
    with path.open("ab") as file:
        file.write(b'{"v":1,"seq":7,"ti')
    log = opened(tmp_path)
    log.close()
    assert json.loads(_lines(path)[-1])["details"] == {"head_seq": "6", "torn_bytes": "18"}
    assert verify(tmp_path, KEY).is_whole


def test_two_processes_do_not_write_one_log(tmp_path: Path) -> None:
    log = opened(tmp_path)
    with pytest.raises(AuditError, match="another process writes it"):
        opened(tmp_path)
    log.close()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Lets no file of this process become larger: what a full disk does to a write, half a line included."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_an_error_and_the_chain_goes_on_when_there_is_room(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.record(record(1))
    with largest_file(_only_file(tmp_path).stat().st_size + 100), pytest.raises(AuditError, match="File too large"):
        log.record(record(2))
    log.record(record(3))
    log.close()
    assert verify(tmp_path, KEY).problems == []
    assert [json.loads(line)["rule_id"] for line in _lines(_only_file(tmp_path))] == [None, "rule-1", "rule-3"]


def test_where_no_new_file_can_be_begun_the_chain_goes_on_in_the_one_before_and_says_so_until_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = opened(tmp_path, segment_bytes=4096)
    while _only_file(tmp_path).stat().st_size < 4096:
        log.record(record(log.seq))
    before = log.seq
    in_the_way = segment_path(tmp_path, before + 1)
    in_the_way.mkdir()
    log.record(record(before))
    assert "no new file can be begun" in caplog.text
    log.record(record(before + 1))
    assert segment_path(tmp_path, before + 2).is_file()
    in_the_way.rmdir()
    log.close()
    report = verify(tmp_path, KEY)
    assert (report.problems, report.last_seq) == ([], before + 3)  # with the one that begins the second file


def spoilt(file: Path) -> None:
    """A file whose last line somebody has changed."""
    file.write_bytes(b"".join([*_lines(file)[:-1], b"not a record\n"]))


def test_an_old_file_that_somebody_has_changed_stays_and_costs_no_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    log = opened(tmp_path, clock, segment_bytes=2000, retention_days=1)
    for number in range(6):
        log.record(record(number, clock.unix_nano()))
    first = min(tmp_path.glob("audit-*.jsonl"))
    spoilt(first)
    clock.advance(3 * 86_400)
    for number in range(6):
        log.record(record(number, clock.unix_nano()))
    log.close()
    assert first.exists()
    assert "old files cannot be removed: the line is not a record" in caplog.text


def test_a_log_whose_last_record_is_none_is_refused_by_name(tmp_path: Path) -> None:
    written(tmp_path, 3)
    spoilt(_only_file(tmp_path))
    with pytest.raises(AuditError, match="its last record is none; run otel-llm audit verify"):
        opened(tmp_path)


def test_records_of_many_threads_make_one_chain(tmp_path: Path) -> None:
    log = opened(tmp_path)
    threads = [threading.Thread(target=lambda: [log.record(record(n)) for n in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    report = verify(tmp_path, KEY)
    assert (report.problems, report.records) == ([], 401)


def test_anchors_come_after_so_many_records_and_so_long(tmp_path: Path) -> None:
    clock = FakeClock()
    log = opened(tmp_path, clock, anchor_records=10, anchor_seconds=60.0)
    for number in range(25):
        log.record(record(number))
    assert [anchor.seq for anchor in log.anchors()] == [10, 20]
    clock.advance(61)
    log.keep_up()
    assert [anchor.seq for anchor in log.anchors()] == [10, 20, 26]
    log.keep_anchors(2)
    assert [anchor.seq for anchor in log.anchors()] == [26]
    log.close()


def test_anchors_are_read_from_otlp_json_and_from_plain_lines() -> None:
    attributes = [
        {"key": "otel_llm.audit.log", "value": {"stringValue": "audit"}},
        {"key": "otel_llm.audit.sequence", "value": {"intValue": "12"}},
        {"key": "otel_llm.audit.mac", "value": {"stringValue": "ab"}},
    ]
    otlp = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"attributes": attributes}, {"attributes": []}]}]}]}
    text = json.dumps(otlp) + '\n\n{"log": "other", "seq": 3, "mac": "cd"}\n'
    assert list(read_anchors(text)) == [Anchor("audit", 12, "ab", 0), Anchor("other", 3, "cd", 0)]
    assert list(read_anchors(text, "audit")) == [Anchor("audit", 12, "ab", 0)]


def test_a_forked_process_adds_nothing_to_the_chain_of_its_parent(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.record(record(1))
    child = os.fork()
    if child == 0:
        try:
            log.record(record(4))
        except AuditError as error:
            is_told = "a forked process" in str(error) and log.is_closed
            log.close()
            os._exit(7 if is_told else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    log.record(record(4))
    log.close()
    assert verify(tmp_path, KEY).problems == []


def in_child(step: Callable[[], object]) -> int:
    """What became of a step in a forked process: 0 when it was true."""
    child = os.fork()
    if child == 0:
        code = 3
        try:
            code = 0 if step() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_forked_processes_each_write_a_chain_of_their_own_where_several_may(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    log = opened(folder, processes=3)
    log.record(record(1))

    def in_a_grandchild() -> bool:
        log.record(record(3))
        log.close()
        return log.name == "audit/@2"

    def in_a_worker() -> bool:
        log.record(record(2))
        is_mine = not log.is_closed and log.name == "audit/@2"
        log.close()
        return is_mine and {one.log for one in log.anchors()} == {"audit/@2"}

    log.anchor()
    assert in_child(in_a_worker) == 0
    assert in_child(lambda: in_child(in_a_grandchild) == 0 and log.is_closed) == 0
    log.record(record(4))
    log.close()
    first, second = verify(folder, KEY), verify(folder / "@2", KEY)
    assert (first.problems, first.records) == ([], 3)
    assert (second.problems, second.records) == ([], 3)
    assert in_child(in_a_grandchild) != 0  # it was closed before the fork, and stays so


def test_settings_give_a_forked_process_the_log_it_has_at_a_place_of_its_own(tmp_path: Path) -> None:
    config = AuditConfig(path=str(tmp_path / "audit"), key=KEY.decode(), processes=2)
    log = open_log(config, FakeClock(), "audit")

    def opens_again() -> bool:
        return open_log(config, FakeClock(), "audit") is log and log.name == "audit/@2" and log in open_logs()

    try:
        assert in_child(opens_again) == 0
        assert log.name == "audit"
    finally:
        log.close()


def test_more_processes_than_may_write_are_refused_and_a_place_is_free_when_its_process_has_ended(
    tmp_path: Path,
) -> None:
    first = opened(tmp_path, processes=2)
    second = opened(tmp_path, processes=2)
    with pytest.raises(AuditError, match="2 processes write it already; set processes to more"):
        opened(tmp_path, processes=2)
    with pytest.raises(AuditError, match="another process writes it; give each its own folder, or set processes"):
        opened(tmp_path)
    first.close()
    third = opened(tmp_path, processes=2)
    assert (third.folder, second.folder) == (tmp_path, tmp_path / "@2")
    second.close()
    third.close()


def test_a_forked_process_does_not_keep_its_parents_place(tmp_path: Path) -> None:
    log = opened(tmp_path)
    (begun, begins), (ended, ends) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ends)
        os.write(begins, b"1")
        os.read(ended, 1)  # until the parent is done
        os._exit(0)
    os.read(begun, 1)
    log.close()
    opened(tmp_path).close()
    os.close(ends)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for descriptor in (begun, begins, ended):
        os.close(descriptor)


def test_a_log_closes_when_the_last_of_those_who_hold_it_lets_go(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.hold("first")
    log.hold("second")
    log.let_go("first")
    assert not log.is_closed
    log.let_go("second")
    assert log.is_closed
