"""`otel-llm policy explain`: for one recorded span every rule, what it read, and what came of it.

Content is shown by its length; --show-content shows it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import Final

from otel_llm.cli.policy_options import add_policy_options, bundle_of, recorded
from otel_llm.cli.policy_replay import EVERY_STAGE
from otel_llm.errors import ConfigError
from otel_llm.operation import Operation
from otel_llm.policy.cel import CelError, Variables
from otel_llm.policy.sets import Bundle, CompiledRule, decide
from otel_llm.policy.sets.decision import RULE_FAILURES
from otel_llm.policy.sets.rules import Evaluate
from otel_llm.policy.sets.suite import plan_of
from otel_llm.policy.sets.vocabulary import is_content

_MOST_SHOWN: Final = 200


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_policy_options(parser)
    parser.add_argument("recording", metavar="FILE", help="OTLP JSON lines, as file exporters write them, or *.pb")
    parser.add_argument(
        "--trace", metavar="ID", default="", help="the trace, or the beginning of its id (default: any)"
    )
    parser.add_argument(
        "--span", metavar="ID", default="", help="the span, or the beginning of its id (default: the first)"
    )
    parser.add_argument(
        "--show-content", action="store_true", help="show texts of the conversation, and not only lengths"
    )


def run(options: argparse.Namespace) -> int:
    """Print the explanation; 1 when there is no such span.

    Raises:
        ConfigError: policies or the recording have problems.
    """
    bundle = bundle_of(options)
    operation = _find(recorded([options.recording]), options.trace, options.span)
    if operation is None:
        raise ConfigError([f"{options.recording}: no GenAI span with such ids"])
    for line in explained(bundle, operation, shows_content=options.show_content):
        sys.stdout.write(f"{line}\n")
    return 0


def _find(operations: Iterable[Operation], trace: str, span: str) -> Operation | None:
    for operation in operations:
        if operation.trace_id.hex().startswith(trace.lower()) and operation.span_id.hex().startswith(span.lower()):
            return operation
    return None


def explained(bundle: Bundle, operation: Operation, *, shows_content: bool) -> Iterator[str]:
    """Every rule, its inputs and its outcome, and the decision."""
    rules = plan_of(bundle, operation).of(operation)
    variables = bundle.variables(operation)
    decision = decide(rules, variables, operation.end_unix_nano, EVERY_STAGE)
    yield f"span {operation.span_id.hex()} of trace {operation.trace_id.hex()}: {operation.name}"
    yield f"policies {bundle.id}: verdict {decision.verdict}, action {decision.action}"
    results = {id(result.rule): result for result in decision.results}
    for rule in rules:
        result = results.get(id(rule))
        outcome = "allow" if result is None else f"{result.verdict}, action {result.action}, reason {result.reason}"
        if result is not None and result.exemption_id is not None:
            outcome += f", lifted by exemption {result.exemption_id}"
        yield ""
        yield f"rule {rule.policy_set.name}/{rule.rule.id} ({rule.rule.stage}, {rule.mode}): {outcome}"
        yield from _steps(rule, variables)
        for name in sorted(rule.reads):
            yield f"    {_name(name)} = {_value(name, variables, shows_content=shows_content)}"
    asked = {id(rule) for rule in rules}
    others = sorted({rule.rule.id for rule in bundle.rules if id(rule) not in asked})
    if others:
        yield ""
        yield f"not for this operation, service or mode: {', '.join(others)}"


def _steps(rule: CompiledRule, variables: Variables) -> Iterator[str]:
    if rule.match is not None:
        yield f"    match {_outcome(rule.match, variables)}: {' '.join((rule.rule.match or '').split())}"
    yield f"    when  {_outcome(rule.when, variables)}: {' '.join(rule.rule.when.split())}"


def _outcome(evaluate: Evaluate, variables: Variables) -> str:
    try:
        return "true" if evaluate(variables) is True else "false"
    except CelError as error:
        return f"error ({error})"
    except RULE_FAILURES as error:
        return f"error ({type(error).__name__})"


def _name(name: str) -> str:
    """Without the namespace of its set."""
    return name[name.index(".") + 1 :] if name.startswith("set") and ".variables." in name else name


def _value(name: str, variables: Variables, *, shows_content: bool) -> str:
    try:
        value = variables[name]
    except CelError as error:
        return f"({error})"
    except RULE_FAILURES as error:
        return f"({type(error).__name__})"
    hidden = is_content(name) or ".variables." in name
    if hidden and not shows_content and isinstance(value, str | list | dict):
        unit = "characters" if isinstance(value, str) else "items"
        return f"({len(value)} {unit})"
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
