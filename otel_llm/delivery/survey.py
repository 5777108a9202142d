"""What lies in queues on disk, seen from outside: changes nothing, and works while a process uses them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from otel_llm.delivery.cursor import read_place
from otel_llm.delivery.dead_letters import FOLDER
from otel_llm.delivery.folder_lock import is_locked
from otel_llm.delivery.quarantine import QUARANTINE
from otel_llm.delivery.records import Record
from otel_llm.delivery.segment import HEADER_BYTES, Segment, segment_files
from otel_llm.signals import SIGNALS

LOGS: Final = (*SIGNALS, FOLDER)


@dataclass(frozen=True, slots=True)
class LogSurvey:
    """One log of an exporter.

    Attributes:
        exporter: its name in the configuration.
        name: the signal, or `dead_letters`.
        items: what waits, as far as it can be read.
        disk_bytes: what its files take.
        segments: how many files.
        damaged_bytes: bytes between records that hold none.
        quarantined: damaged files that were kept.
        oldest_unix_nano: when the first that waits was accepted, by the wall clock; None when nothing waits.
        is_in_use: whether a process uses it now.
    """

    exporter: str
    name: str
    items: int
    disk_bytes: int
    segments: int
    damaged_bytes: int
    quarantined: int
    oldest_unix_nano: int | None
    is_in_use: bool


def exporters_in(directory: Path) -> list[str]:
    """The exporters that have a queue below a directory, by their names in the configuration."""
    if not directory.is_dir():
        return []
    return sorted(unquote(f.name) for f in directory.iterdir() if any((f / log).is_dir() for log in LOGS))


def survey(folder: Path, exporter: str) -> list[LogSurvey]:
    """The logs of an exporter's folder; those that were never used left out."""
    in_use = is_locked(folder)
    return [_survey_log(folder / name, exporter, name, in_use=in_use) for name in LOGS if (folder / name).is_dir()]


def _survey_log(folder: Path, exporter: str, name: str, *, in_use: bool) -> LogSurvey:
    items = size = damaged = segments = 0
    oldest: int | None = None
    for segment, records in _waiting(folder):
        segments += 1
        size += segment.allocated
        damaged += segment.damaged_bytes
        for record in records:
            items += record.payload.items
            oldest = record.accepted_unix_nano if oldest is None else oldest
    quarantined = len(segment_files(folder / QUARANTINE))
    return LogSurvey(exporter, name, items, size, segments, damaged, quarantined, oldest, in_use)


def dead_letters(folder: Path) -> Iterator[Record]:
    """The dead letters of an exporter's folder, oldest first."""
    for _, records in _waiting(folder / FOLDER):
        yield from records


def _waiting(folder: Path) -> Iterator[tuple[Segment, Iterator[Record]]]:
    """Each segment with its records that are not settled."""
    place = read_place(folder / "cursor")
    for path in segment_files(folder):
        try:
            segment = Segment.open(path, read_only=True)
        except (OSError, ValueError):  # gone by now, or what a start would put into quarantine
            continue
        try:
            found = segment.walk(HEADER_BYTES, segment.end)
            yield segment, (record for _, record in found if record.sequence >= place.next_sequence)
        finally:
            segment.close()
