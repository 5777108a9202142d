"""Show what is spent of each budget, as the store that gateways and apps count into knows it.

Budgets and store are those of the `budget` processors in the configuration, or of a file that apps use (--file, with
the settings of such a processor). Nothing is counted or changed. The exit code is 1 when a store cannot be asked; what
it would have said is shown as unknown, never as 0.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from otel_llm.budget.model import BudgetStatus
from otel_llm.budget.money import to_units
from otel_llm.cli.options import add_config_options, load_settings
from otel_llm.cli.tables import Column, is_rich, render_table
from otel_llm.clock import Clock, SystemClock
from otel_llm.components import Context
from otel_llm.errors import ConfigError, StoreError
from otel_llm.processors.budget_config import Config, read_budgets
from otel_llm.processors.budget_counting import iso, look
from otel_llm.telemetry import Metrics

_COLUMNS: Final = (
    Column("budget", width=40),
    Column("owner", width=24),
    Column("spent", "right"),
    Column("limit", "right"),
    Column("currency"),
    Column("share", "right"),
    Column("calls", "right"),
    Column("unpriced", "right"),
    Column("until"),
    Column("at limit"),
    Column("from"),
    Column("age", "right"),
)
_UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class _Line:
    """One budget.

    Attributes:
        status: what is known.
        source: where from.
    """

    status: BudgetStatus
    source: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_options(parser)
    parser.add_argument("--file", metavar="FILE", type=Path, help="the settings of a budget processor alone, in YAML")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def run(options: argparse.Namespace) -> int:
    """Print the budgets.

    Raises:
        ConfigError: the configuration is wrong, or has no budgets.
    """
    clock = SystemClock()
    lines: list[_Line] = []
    problems: list[str] = []
    for setting, config in _configs(options):
        lines += _look(setting, config, clock, problems)
    if options.json:
        for line in lines:
            print(json.dumps(_as_json(line)))
    else:
        sys.stdout.write(render_table(_COLUMNS, [_cells(line) for line in lines], bold=is_rich()))
    for problem in problems:
        sys.stderr.write(f"otel-llm: {problem}\n")
    return 1 if problems else 0


def _configs(options: argparse.Namespace) -> Sequence[tuple[str, Config]]:
    if options.file is not None:
        try:
            return [(str(options.file), msgspec.yaml.decode(options.file.read_bytes(), type=Config))]
        except OSError as error:
            raise ConfigError([f"{options.file}: cannot be read: {error.strerror or error}"]) from error
        except msgspec.MsgspecError as error:
            raise ConfigError([f"{options.file}: {error}"]) from error
    settings = load_settings(options)
    found = [(one.path, one.config) for one in settings.processors if isinstance(one.config, Config)]
    if not found:
        raise ConfigError([f"{settings.source}: no budget processor; expected one under processors, or --file"])
    return found


def _look(setting: str, config: Config, clock: Clock, problems: list[str]) -> list[_Line]:
    source = f"Redis {config.redis.url}" if config.redis is not None else config.path
    context = Context(setting, Metrics(), clock)
    try:
        if config.redis is not None or Path(config.path).expanduser().exists():  # to look makes no file
            return [_Line(status, source) for status in look(config, context, setting)]
        problem = f"the file {config.path}: there is none yet"
    except StoreError as error:
        problem = str(error)
    problems.append(f"{setting}.{'path' if config.redis is None else 'redis.url'}: {problem}")
    now = clock.unix_nano()
    return [
        _Line(BudgetStatus(one, one.period.current(now), None, None, None, "unknown", None), source)
        for one in read_budgets(config, setting)
    ]


def _cells(line: _Line) -> list[str]:
    one, budget = line.status, line.status.budget
    period = budget.period
    return [
        budget.name,
        budget.owner or "-",
        _UNKNOWN if one.spent_nano is None else f"{to_units(one.spent_nano):,.4f}",
        f"{to_units(budget.limit_nano):,.2f}",
        budget.currency,
        _UNKNOWN if one.utilization is None else f"{one.utilization:.1%}",
        _UNKNOWN if one.calls is None else f"{one.calls:,}",
        _UNKNOWN if one.unpriced_calls is None else f"{one.unpriced_calls:,}",
        f"last {period.hours} h" if period.type == "rolling" else iso(one.window.end_unix_nano),
        budget.at_limit,
        line.source,
        "-" if one.age_seconds is None else f"{one.age_seconds:.1f} s",
    ]


def _as_json(line: _Line) -> dict[str, object]:
    one, budget = line.status, line.status.budget
    return {
        "name": budget.name,
        "owner": budget.owner,
        "match": {key: sorted(values) for key, values in budget.match.items()},
        # Texts: a reader of JSON would make doubles of numbers.
        "spent": None if one.spent_nano is None else f"{to_units(one.spent_nano):f}",
        "limit": f"{to_units(budget.limit_nano):f}",
        "currency": budget.currency,
        "utilization": one.utilization,
        "calls": one.calls,
        "unpriced_calls": one.unpriced_calls,
        "period": budget.period.type,
        "period_start": iso(one.window.start_unix_nano),
        "period_end": iso(one.window.end_unix_nano),
        "at_limit": budget.at_limit,
        "status": one.status,
        "source": line.source,
        "age_seconds": one.age_seconds,
    }
