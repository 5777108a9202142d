"""Checks an audit log: whether every record is there, in order, as it was written.

What is found: an edited record (its code is wrong), a removed, added or moved one (the next is bound to another), a
removed file (numbers are missing and no retention explains them), a cut tail (the head, or an anchor, knows of more).
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from otel_llm.audit.chain import FIRST, Line, head_mac, mac_of, read
from otel_llm.audit.files import lines, read_head, segments
from otel_llm.audit.log import Anchor

# More say nothing new.
_MOST_PROBLEMS: Final = 100


@dataclass(slots=True)
class Report:
    """What was found.

    Attributes:
        problems: one line each, the first ones; none when the log is whole.
        records: how many were read.
        first_seq, last_seq: the numbers of the first and the last record, 0 when there is none.
        anchors: how many anchors were compared.
    """

    problems: list[str] = field(default_factory=list)
    records: int = 0
    first_seq: int = 0
    last_seq: int = 0
    anchors: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass(slots=True)
class _Check:
    key: bytes
    anchors: Mapping[int, Collection[str]]
    report: Report
    previous: bytes | None = None
    first: tuple[str, bytes, Line] | None = None
    explained: dict[int, str] = field(default_factory=dict)

    def problem(self, text: str) -> None:
        if len(self.report.problems) < _MOST_PROBLEMS:
            self.report.problems.append(text)

    def line(self, where: str, raw: bytes) -> None:
        """Check one record against the one before."""
        try:
            record = read(raw)
        except ValueError:
            self.problem(f"{where}: not a record")
            return
        report = self.report
        if self.previous is None:
            report.first_seq = record.seq
            self.first = where, raw, record
        elif record.seq != report.last_seq + 1:
            self.problem(f"{where}: record {record.seq} follows record {report.last_seq}")
        if self.previous is not None and not self._is_bound(self.previous, raw, record):
            self.problem(f"{where}: record {record.seq} was changed, or what stood before it was")
        if any(mac != record.mac for mac in self.anchors.get(record.seq, ())):
            self.problem(f"{where}: record {record.seq} is not the one that an anchor was made of")
        if record.kind == "retention":
            self.explained[_number(record.details.get("removed_to_seq", ""))] = record.details.get("mac", "")
        if record.kind == "recovery":
            self._recovery(where, record)
        report.records += 1
        report.last_seq = record.seq
        self.previous = _bytes(record.mac)

    def _is_bound(self, previous: bytes, raw: bytes, record: Line) -> bool:
        expected = mac_of(self.key, previous, raw)
        return expected is not None and _is_same(expected.hex(), record.mac)

    def _recovery(self, where: str, record: Line) -> None:
        """A log that was opened again knew how far it had come; no killed process was ahead of its file."""
        head_seq = _number(record.details.get("head_seq", ""))
        if head_seq == _NO_NUMBER:
            self.problem(f"{where}: head.json was missing when the log was opened again")
        elif head_seq >= record.seq:
            self.problem(f"{where}: the end was cut off before record {record.seq}: there had been {head_seq}")

    def beginning(self) -> None:
        """Whether the first record is bound to nothing, or to one that retention has removed and noted the code of."""
        if self.first is None:
            return
        where, raw, record = self.first
        before = record.seq - 1
        if before == 0:
            if not self._is_bound(FIRST, raw, record):
                self.problem(f"{where}: record 1 was changed, or the key is another")
        elif before not in self.explained:
            self.problem(f"records 1 to {before} are missing, and no retention has removed them")
        elif not self._is_bound(_bytes(self.explained[before]), raw, record):
            self.problem(f"{where}: record {record.seq} was changed, or does not follow what retention has removed")

    def contradictions(self) -> None:
        """Whether anchors know different records of one number: the log was put back, and went on otherwise."""
        for seq, macs in sorted(self.anchors.items()):
            if len(macs) > 1:
                self.problem(f"anchors know {len(macs)} different records {seq}: the log was put back, and went on")


# Of what stands where a number should.
_NO_NUMBER: Final = -1
_MOST_DIGITS: Final = 18


def _number(text: str) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
    return int(text) if is_number else _NO_NUMBER


def _is_same(code: str, other: str) -> bool:
    """Compare codes, of which one may be any text."""
    return hmac.compare_digest(code.encode(), other.encode("utf-8", "surrogatepass"))


def _bytes(mac: str) -> bytes:
    try:
        return bytes.fromhex(mac)
    except ValueError:
        return b""


def verify(folder: Path, key: bytes, anchors: Iterable[Anchor] = ()) -> Report:
    """Check a log.

    Args:
        folder: of the log.
        key: that it was written with.
        anchors: kept elsewhere.

    Raises:
        OSError: the folder cannot be read.
    """
    known: dict[int, set[str]] = {}
    for anchor in anchors:
        known.setdefault(anchor.seq, set()).add(anchor.mac)
    report = Report(anchors=sum(map(len, known.values())))
    check = _Check(key, known, report)
    found = segments(folder)
    for segment in found:
        _segment(check, segment.path, segment.first_seq, is_last=segment is found[-1])
    check.beginning()
    check.contradictions()
    _tail(check, folder)
    return report


def _segment(check: _Check, path: Path, first_seq: int, *, is_last: bool) -> None:
    number = 0
    for number, (raw, is_whole) in enumerate(lines(path), 1):
        where = f"{path.name}:{number}"
        if not is_whole:
            more = "; the log cuts it off when it is opened next" if is_last else ""
            check.problem(f"{where}: the line is incomplete{more}")
            continue
        before = check.report.records
        check.line(where, raw)
        if number == 1 and check.report.records > before and check.report.last_seq != first_seq:
            check.problem(
                f"{where}: the file is named after record {first_seq} and begins with {check.report.last_seq}"
            )
    if number == 0 and not is_last:
        check.problem(f"{path.name}: the file is empty")


def _tail(check: _Check, folder: Path) -> None:
    last = check.report.last_seq
    head = read_head(folder)
    if head is None:
        check.problem("head.json is missing or unreadable: nobody can say whether the end was cut off")
    elif not _is_same(head_mac(check.key, head.seq, _bytes(head.mac)), head.tag):
        check.problem("head.json was changed, or the key is another")
    elif head.seq > last:
        check.problem(f"the end was cut off: the last record is {last}, and there were {head.seq}")
    elif head.seq == last and check.previous is not None and check.previous.hex() != head.mac:
        check.problem(f"record {last} is not the one that head.json was made of")
    latest = max(check.anchors, default=0)
    if latest > last:
        check.problem(f"the end was cut off: the last record is {last}, and an anchor knows of {latest}")


def read_anchors(text: str, log: str | None = None) -> Iterator[Anchor]:
    """Anchors from lines of OTLP JSON (what the file exporter writes), or of plain objects with log, seq and mac.

    Args:
        text: the lines.
        log: only anchors of this log; all when None.

    Raises:
        ValueError: a line is not JSON, or has an anchor of no record.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            document: object = msgspec.json.decode(line)
            found = list(_anchors_in(document))
        except msgspec.MsgspecError:
            raise ValueError(f"line {number} is not JSON") from None
        except RecursionError:
            raise ValueError(f"line {number} is nested too deeply") from None
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        yield from (anchor for anchor in found if log is None or anchor.log == log)


def _anchors_in(document: object) -> Iterator[Anchor]:
    if isinstance(document, list):
        for item in document:
            yield from _anchors_in(item)
    elif isinstance(document, dict):
        fields = _flat(document)
        if {"seq", "mac"} <= fields.keys():
            yield _anchor(fields)
        else:
            for item in document.values():
                yield from _anchors_in(item)


def _anchor(fields: Mapping[str, object]) -> Anchor:
    seq, time = (_number(str(fields.get(name, 0))) for name in ("seq", "time"))
    if seq == _NO_NUMBER:
        raise ValueError("an anchor without a number of its record; `seq` was expected to be 1 or more")
    return Anchor(str(fields.get("log", "")), seq, str(fields["mac"]), max(time, 0))


_ATTRIBUTES: Final = {"otel_llm.audit.log": "log", "otel_llm.audit.sequence": "seq", "otel_llm.audit.mac": "mac"}


def _flat(document: Mapping[str, object]) -> Mapping[str, object]:
    """The fields of an anchor, whether they are fields or attributes."""
    attributes = document.get("attributes")
    if not isinstance(attributes, list):
        return document
    found: dict[str, object] = {}
    for item in attributes:
        if isinstance(item, dict) and item.get("key") in _ATTRIBUTES and isinstance(item.get("value"), dict):
            found[_ATTRIBUTES[item["key"]]] = next(iter(item["value"].values()), "")
    return found
