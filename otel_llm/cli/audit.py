"""Check an audit log: whether every record is there, in order, as it was written.

    otel-llm audit verify FOLDER --key-file FILE [--anchors FILE]

The key is the one that the log is written with. Anchors are the `otel_llm.audit.anchor` events that left the gateway,
as OTLP JSON (what the file exporter writes) or as lines of {"log": ..., "seq": ..., "mac": ...}; with them, a folder
that was put back to an older state is found as well. Where several processes have written, each has a log in a folder
of its own, and all of them are checked. The exit code is 1 when anything is wrong.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from otel_llm.audit import Anchor, Report, read_anchors, verify
from otel_llm.audit.config import read_key
from otel_llm.audit.places import further, log_name
from otel_llm.errors import ConfigError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    command = commands.add_parser("verify", help="check a log")
    command.add_argument("folder", metavar="FOLDER", type=Path, help="the log's folder, as in its configuration")
    command.add_argument("--key-file", metavar="FILE", required=True, help="the file that the key is in")
    command.add_argument("--anchors", metavar="FILE", type=Path, help="anchors that were kept elsewhere")


def run(options: argparse.Namespace) -> int:
    """Print what was found; 1 when anything is wrong.

    Raises:
        ConfigError: the key, the folder or the anchors cannot be read.
    """
    key = read_key(None, options.key_file, "audit verify")
    anchors = _anchors(options.anchors) if options.anchors else ()
    logs = {log_name(place): place for place in (options.folder, *further(options.folder))}
    is_whole = True
    for name, place in logs.items():
        report = _verified(place, key, [one for one in anchors if one.log == name])
        is_whole = is_whole and report.is_whole
        print("\n".join(_lines(report, "" if len(logs) == 1 else f"{name}: ")))
    first = log_name(options.folder)
    missing = sorted({one.log for one in anchors if one.log.startswith(f"{first}/")} - logs.keys())
    for name in missing:
        print(f"NOT whole: {name}: there are anchors of it, and its folder is missing")
    return 0 if is_whole and not missing else 1


def _verified(place: Path, key: bytes, anchors: Sequence[Anchor]) -> Report:
    try:
        return verify(place, key, anchors)
    except OSError as error:
        raise ConfigError([f"{place}: cannot be read: {error.strerror}; give the folder of a log"]) from error


def _anchors(path: Path) -> tuple[Anchor, ...]:
    try:
        return tuple(read_anchors(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from error


def _lines(report: Report, name: str) -> list[str]:
    compared = f", {report.anchors} anchors compared" if report.anchors else "; no anchors compared"
    records = f"{report.records} records, {report.first_seq} to {report.last_seq}{compared}"
    if report.is_whole:
        return [f"{name}whole: {records}"]
    number = len(report.problems)
    return [f"{name}NOT whole: {records}", *(f"  {problem}" for problem in report.problems), f"{number} problems"]
