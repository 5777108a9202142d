"""`otel-llm policy replay`: what policies would have said about recorded telemetry, if each call could be stopped."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, get_args

from otel_llm.cli.policy_options import add_policy_options, bundle_of, recorded
from otel_llm.cli.tables import Column, is_rich, render_table
from otel_llm.operation import Operation
from otel_llm.policy.sets import Bundle, Decision, decide
from otel_llm.policy.sets.model import Stage
from otel_llm.policy.sets.suite import is_looking, plan_of

EVERY_STAGE: Final[frozenset[Stage]] = frozenset(get_args(Stage))
_EXAMPLES: Final = 3
_PERCENT: Final = 100.0
_COLUMNS: Final = (
    *(Column("rule"), Column("mode"), Column("verdict"), Column("looked at", "right"), Column("objected", "right")),
    *(Column("share", "right"), Column("exempt", "right"), Column("errors", "right"), Column("traces, e.g.", width=40)),
)


@dataclass(slots=True)
class Tally:
    """What a rule said about a recording."""

    looked: int = 0
    objected: int = 0
    exempt: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    traces: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Replay:
    """What all rules said about a recording.

    Attributes:
        operations: how many there were.
        verdicts: by the most restrictive one.
        rules: by id.
    """

    operations: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    rules: dict[str, Tally] = field(default_factory=dict)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_policy_options(parser)
    parser.add_argument(
        "recordings", metavar="FILE", nargs="+", help="OTLP JSON lines, as file exporters write them, or *.pb"
    )


def run(options: argparse.Namespace) -> int:
    """Print what each rule would have said; 1 when a rule could not be evaluated.

    Raises:
        ConfigError: policies or recordings have problems.
    """
    bundle = bundle_of(options)
    replay = replayed(bundle, recorded(options.recordings))
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in replay.verdicts.most_common())
    print(f"{bundle.id}: {replay.operations} operations: {verdicts or 'none'}")
    print()
    rows = [_row(name, *_words(bundle, name), tally) for name, tally in replay.rules.items()]
    print(render_table(_COLUMNS, rows, bold=is_rich()), end="")
    errors = [(name, why, count) for name, tally in replay.rules.items() for why, count in tally.errors.most_common(3)]
    for name, why, count in errors:
        print(f"error: rule {name}: {count} times: {why}")
    return 1 if errors else 0


def replayed(bundle: Bundle, operations: Iterable[Operation]) -> Replay:
    """What the rules say about operations; exemptions count by the time of the operation."""
    replay = Replay(rules={rule.rule.id: Tally() for rule in bundle.rules})
    for operation in operations:
        replay.operations += 1
        decision = decided(bundle, operation, replay)
        replay.verdicts[decision.verdict] += 1
        for result in decision.results:
            tally = replay.rules[result.rule.rule.id]
            if result.error is not None:
                tally.errors[result.error] += 1
            elif result.exemption_id is not None:
                tally.exempt += 1
            else:
                tally.objected += 1
                if len(tally.traces) < _EXAMPLES:
                    tally.traces.append(operation.trace_id.hex()[:8])
    return replay


def decided(bundle: Bundle, operation: Operation, replay: Replay | None = None) -> Decision:
    """The decision about one operation."""
    rules = plan_of(bundle, operation).of(operation)
    variables = bundle.variables(operation)
    if replay is not None:
        for rule in rules:
            replay.rules[rule.rule.id].looked += is_looking(rule.match, variables)
    return decide(rules, variables, operation.end_unix_nano, EVERY_STAGE)


def _words(bundle: Bundle, name: str) -> tuple[str, str]:
    """The modes of a rule, which bindings may set differently, and its verdict."""
    found = [rule for rule in bundle.rules if rule.rule.id == name]
    return "/".join(dict.fromkeys(rule.mode for rule in found)), found[0].rule.verdict


def _row(name: str, mode: str, verdict: str, tally: Tally) -> list[str]:
    share = f"{_PERCENT * tally.objected / tally.looked:.1f} %" if tally.looked else "-"
    numbers = (tally.looked, tally.objected)
    rest = (tally.exempt, sum(tally.errors.values()))
    return [name, mode, verdict, *map(str, numbers), share, *map(str, rest), " ".join(tally.traces) or "-"]
