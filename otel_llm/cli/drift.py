"""Show which segments the drift processor watches, and how much evidence of a change it holds.

FILE is the processor's state_file, which is written every minute or as configured. Several files are those of several
workers, and are shown as one: their evidence adds up. An alarm is raised when evidence reaches 1. The exit code is 0
whatever is shown.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Final, cast

import msgspec

from otel_llm.cli.tables import Column, is_rich, render_table
from otel_llm.errors import ConfigError
from otel_llm.processors.alarms import iso
from otel_llm.quality.drift import Monitor, Settings, Watched

_COLUMNS: Final = (
    Column("segment", width=60),
    Column("signal", width=24),
    Column("level", "right"),
    Column("operations", "right"),
    Column("evidence", "right"),
    Column("last seen"),
)
_ROWS: Final = 30
_EVERYTHING: Final = 10**9


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("files", metavar="FILE", nargs="+", help="a state_file of the drift processor")
    parser.add_argument("--rows", type=int, default=_ROWS, metavar="N", help=f"show so many (default: {_ROWS})")
    parser.add_argument("--signal", metavar="NAME", help="show this signal only")
    parser.add_argument("--json", action="store_true", help="print everything, one JSON object a line")


def run(options: argparse.Namespace) -> int:
    """Print the table.

    Raises:
        ConfigError: a file cannot be read.
    """
    states = [_read(path) for path in options.files]
    segment_by = states[0][0]
    monitor = states[0][1]
    for path, (others, other) in zip(options.files[1:], states[1:], strict=True):
        if others != segment_by:
            raise ConfigError([f"{path}: tells segments apart by other attributes than {options.files[0]}"])
        monitor.merge(other)
    found = [one for one in monitor.watched() if options.signal in (None, one.signal)]
    if options.json:
        for one in found:
            print(json.dumps({**msgspec.to_builtins(one), "segment": dict(zip(segment_by, one.segment, strict=True))}))
        return 0
    rows = [_row(one) for one in found[: max(0, options.rows)]]
    sys.stdout.write(render_table(_COLUMNS, rows, bold=is_rich()))
    print(f"\n{len(found)} detectors in {monitor.segments} segments; an alarm is raised at evidence 1")
    print(f"false alarms to be expected from all that was seen: at most {monitor.spent:.2g}")
    return 0


def _read(path: str) -> tuple[list[str], Monitor]:
    monitor = Monitor(Settings(most_segments=_EVERYTHING), random.random)
    try:
        state = msgspec.json.decode(Path(path).expanduser().read_bytes(), type=dict[str, object])
        segment_by = cast("list[str]", state["segment_by"])
        monitor.restore(cast("dict[str, object]", state["monitor"]), as_stored=True)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    except (KeyError, ValueError, msgspec.MsgspecError) as error:
        raise ConfigError([f"{path}: is not the state of a drift processor: {error}"]) from error
    return segment_by, monitor


def _row(one: Watched) -> list[str]:
    segment = " ".join(value for value in one.segment if value) or "-"
    level = "learning" if one.baseline is None else f"{one.baseline:.4g}"
    if one.signal == "input_text":
        level = "-"
    return [segment, one.signal, level, str(one.observations), f"{one.evidence:.2g}", iso(one.last_unix_nano)]
