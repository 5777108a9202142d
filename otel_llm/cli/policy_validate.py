"""`otel-llm policy validate`: check policies, and show rules, modes, and what to look at."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Final

from otel_llm.cli.policy_options import CaseSource, add_policy_options, bundle_of
from otel_llm.cli.tables import Column, is_rich, render_table
from otel_llm.clock import SystemClock
from otel_llm.operation import Operation
from otel_llm.policy.cel import CelError
from otel_llm.policy.sets import Bundle, CompiledRule
from otel_llm.policy.sets.decision import RULE_FAILURES
from otel_llm.policy.sets.suite import SpanCase

_COLUMNS: Final = (
    *(Column("set"), Column("rule"), Column("stage"), Column("verdict"), Column("action"), Column("mode")),
    *(Column("severity"), Column("where")),
)
_NOTHING: Final[Mapping[str, object]] = {}
_EMPTY: Final = SpanCase("", _NOTHING, _NOTHING, "unset", 0.0, None, None)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_policy_options(parser)


def run(options: argparse.Namespace) -> int:
    """Print the rules, and notes.

    Raises:
        ConfigError: with every problem.
    """
    bundle = bundle_of(options)
    number = len(bundle.documents.sets)
    print(f"ok: {bundle.id}, {number} {'set' if number == 1 else 'sets'}")
    print()
    print(render_table(_COLUMNS, [_row(bundle, rule) for rule in bundle.rules], bold=is_rich()), end="")
    notes = [*bundle.warnings(SystemClock().unix_nano()), *_absences(bundle)]
    if notes:
        print()
    for note in notes:
        print(f"note: {note}")
    return 0


def _row(bundle: Bundle, rule: CompiledRule) -> list[str]:
    bound = next(one for one in bundle.sets if any(other is rule for other in one.rules))
    where = bound.binding.name if bound.binding is not None else "everywhere"
    written = rule.rule
    return [
        *(rule.policy_set.name, written.id, written.stage, written.verdict, written.action.type, rule.mode),
        *(written.severity, where),
    ]


def _absences(bundle: Bundle) -> Iterator[str]:
    """Rules that are an error for operations without some attribute, as they do not ask with has()."""
    seen: set[tuple[str, str]] = set()
    for rule in bundle.rules:
        variables = bundle.variables(Operation(CaseSource(_EMPTY, 0)))
        key = (rule.policy_set.name, rule.rule.id)
        try:
            rule.applies(variables)
        except CelError as error:
            if key not in seen and str(error).endswith(" is absent"):
                seen.add(key)
                name = str(error).removesuffix(" is absent")
                yield (
                    f"rule {rule.rule.id}: its verdict is error where {name} is absent; "
                    f"ask has({name}) first, if that is no error"
                )
        except RULE_FAILURES:
            continue
