"""What people would say about all answers, from a judge on many of them and people's labels on a few.

FILE is JSON lines, one judged answer each, as results of a judge and human review give them:

    {"name": "helpfulness", "version": "1", "judge": "fail", "probability": 0.01, "stratum": "flagged",
     "human": "pass", "human_probability": 0.1}

`judge` and `human` are labels; `human` is left out where nobody looked. `probability` is that with which the answer was
sampled to be judged (otel_llm.judge.sampling_probability), `human_probability` that with which a person was to see it.
For each rubric it prints the share of bad answers with its interval, and whether the judge may be listened to. The exit
code is 1 when labels are too few for any estimate.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Annotated, Final

import msgspec

from otel_llm.cli.tables import Column, is_rich, render_table
from otel_llm.errors import ConfigError
from otel_llm.quality.judges import CANNOT_TELL, Case, agreement, estimate
from otel_llm.quality.judges.agreement import BAR, LEAST_LABELS
from otel_llm.quality.judges.estimate import Method

_COLUMNS: Final = (
    Column("rubric", width=40),
    Column("judged", "right"),
    Column("labels", "right"),
    Column("bad answers", "right"),
    Column("95 % interval", "right"),
    Column("worth", "right"),
    Column("kappa", "right"),
    Column("judge"),
)
_METHODS: Final[tuple[Method, ...]] = ("stratified", "ppi", "labels")

Probability = Annotated[float, msgspec.Meta(gt=0, le=1)]


class _Row(msgspec.Struct):
    name: str
    judge: str
    version: str = ""
    human: str | None = None
    probability: Probability = 1.0
    human_probability: Probability = 1.0
    stratum: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", metavar="FILE", help="judged answers, JSON lines")
    parser.add_argument("--bad", action="append", metavar="LABEL", help="a label of bad answers (default: fail)")
    parser.add_argument("--method", choices=_METHODS, default="stratified", help="see docs/evaluation.md")


def run(options: argparse.Namespace) -> int:
    """Print the table.

    Raises:
        ConfigError: the file cannot be read.
    """
    bad = frozenset(options.bad or ["fail"])
    rubrics: dict[str, list[_Row]] = {}
    for row in _read(options.file):
        rubrics.setdefault(f"{row.name}@{row.version}" if row.version else row.name, []).append(row)
    shown = [_shown(name, found, bad, options.method) for name, found in sorted(rubrics.items())]
    print(render_table(_COLUMNS, shown, bold=is_rich()), end="")
    print("\nworth: how many labels of people alone would give as narrow an interval")
    return int(all(row[3] == "unknown" for row in shown))


def _shown(name: str, rows: list[_Row], bad: frozenset[str], method: Method) -> list[str]:
    found = estimate([_case(row, bad) for row in rows], method)
    kappa = agreement([(row.judge, row.human) for row in rows if row.human is not None])
    verdict = "calibrated" if kappa.is_calibrated(BAR, LEAST_LABELS) else "uncalibrated"
    agreed = "unknown" if kappa.kappa is None else f"{kappa.kappa:.2f} ({kappa.low:.2f} to {kappa.high:.2f})"
    if found is None:
        return [name, str(len(rows)), str(kappa.labels), "unknown", "-", "-", agreed, verdict]
    interval = f"{found.low:.1%} to {found.high:.1%}"
    counts = [str(found.judged), str(found.labels)]
    return [name, *counts, f"{found.value:.1%}", interval, f"{found.worth:.0f}", agreed, verdict]


def _case(row: _Row, bad: frozenset[str]) -> Case:
    judge = 0.5 if row.judge == CANNOT_TELL else float(row.judge in bad)
    human = None if row.human in (None, CANNOT_TELL) else float(row.human in bad)
    return Case(judge, human, row.probability, row.human_probability, row.stratum)


def _read(path: str) -> list[_Row]:
    try:
        lines = Path(path).expanduser().read_bytes().splitlines()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    rows = []
    problems = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                rows.append(msgspec.json.decode(line, type=_Row))
            except (msgspec.MsgspecError, RecursionError) as error:
                problems.append(f"{path}, line {number}: {error}")
    if problems:
        raise ConfigError(problems)
    return rows
