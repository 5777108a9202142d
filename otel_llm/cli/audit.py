"""Check an audit log: whether every record is there, in order, as it was written.

    otel-llm audit verify FOLDER --key-file FILE [--anchors FILE]

The key is the one that the log is written with. Anchors are the `otel_llm.audit.anchor` events that left the gateway,
as OTLP JSON (what the file exporter writes) or as lines of {"log": ..., "seq": ..., "mac": ...}; with them, a folder
that was put back to an older state is found as well. The exit code is 1 when anything is wrong.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from otel_llm.audit import Anchor, Report, read_anchors, verify
from otel_llm.audit.config import read_key
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
    anchors = _anchors(options.anchors, options.folder.absolute().name) if options.anchors else ()
    try:
        report = verify(options.folder, key, anchors)
    except OSError as error:
        raise ConfigError([f"{options.folder}: cannot be read: {error.strerror}; give the folder of a log"]) from error
    print("\n".join(_lines(report)))
    return 0 if report.is_whole else 1


def _anchors(path: Path, log: str) -> tuple[Anchor, ...]:
    try:
        return tuple(read_anchors(path.read_text(encoding="utf-8"), log))
    except (OSError, ValueError) as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from error


def _lines(report: Report) -> list[str]:
    compared = f", {report.anchors} anchors compared" if report.anchors else "; no anchors compared"
    records = f"{report.records} records, {report.first_seq} to {report.last_seq}{compared}"
    if report.is_whole:
        return [f"whole: {records}"]
    number = len(report.problems)
    return [f"NOT whole: {records}", *(f"  {problem}" for problem in report.problems), f"{number} problems"]
