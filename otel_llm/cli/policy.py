"""Check, test and try policies: validate, test, replay, diff, explain; and stop something at once: kill.

    validate   check policies and show what they hold
    test       run suites of spans and expected verdicts; every rule has to be hit and missed once
    replay     what the policies would have said about recorded telemetry
    diff       what changes from one version to another, and with recorded telemetry, for which calls
    explain    every rule, its inputs and its outcome, for one span
    kill       stop calls of a model, a provider or a service at once, or switch a set off

docs/policy-guide.md is the guide. The exit code is 1 when something is wrong: a policy, a test, or a rule without one.
"""

from __future__ import annotations

import argparse
import importlib
from typing import Final, cast

from otel_llm.cli.main import Command

_COMMANDS: Final = {
    "validate": ("otel_llm.cli.policy_validate", "check policies and show what they hold"),
    "test": ("otel_llm.cli.policy_test", "run suites of spans and expected verdicts"),
    "replay": ("otel_llm.cli.policy_replay", "what policies would have said about recorded telemetry"),
    "diff": ("otel_llm.cli.policy_diff", "what changes from one version to another"),
    "kill": ("otel_llm.cli.policy_kill", "stop calls of a model, a provider or a service, or switch a set off"),
    "explain": ("otel_llm.cli.policy_explain", "every rule, its inputs and its outcome, for one span"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the commands below this one."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="policy_command")
    for name, (module, purpose) in _COMMANDS.items():
        below = commands.add_parser(name, help=purpose, description=purpose, allow_abbrev=False)
        _command(module).configure(below)


def run(options: argparse.Namespace) -> int:
    """Run the one that was asked for."""
    return _command(_COMMANDS[options.policy_command][0]).run(options)


def _command(module: str) -> Command:
    return cast("Command", importlib.import_module(module))
