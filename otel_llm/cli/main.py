"""`otel-llm COMMAND`: finds the command, runs it, and turns what is wrong into text and an exit code.

    0    done
    1    what was asked about is wrong: a configuration, a call without a price
    2    the command line is wrong
    130  interrupted

Only the module of the command that was asked for is imported, so that help is quick and nothing needs gRPC that does
not use it.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final, Protocol, cast

from otel_llm import __version__
from otel_llm.errors import ConfigError

_COMMANDS: Final = {
    "run": ("otel_llm.cli.run", "take telemetry in, normalise and price it, send it on"),
    "exec": ("otel_llm.cli.exec", "start a program with its GenAI calls instrumented"),
    "doctor": ("otel_llm.cli.doctor", "send one synthetic call and name what is wrong on its way"),
    "validate": ("otel_llm.cli.validate", "check a configuration and show what it would run"),
    "status": ("otel_llm.cli.status", "show what a running gateway takes in, sends, holds and drops"),
    "queue": ("otel_llm.cli.queue", "look into queues on disk, and at what destinations refused"),
    "price": ("otel_llm.cli.price", "explain what a call costs, line by line"),
    "policy": ("otel_llm.cli.policy", "check, test and try policies"),
    "budget": ("otel_llm.cli.budget", "show what is spent of each budget"),
    "review": ("otel_llm.cli.review", "have people look at answers, and keep what they say"),
    "drift": ("otel_llm.cli.drift", "show what is watched for drift, and with how much evidence"),
    "eval": ("otel_llm.cli.eval", "run a data set and compare it with a baseline, for CI"),
    "estimate": ("otel_llm.cli.estimate", "the share of bad answers, from a judge and a few labels of people"),
    "demo": ("otel_llm.cli.demo", "see all of it work, without an account and without a network"),
    "audit": ("otel_llm.cli.audit", "check that an audit log is whole"),
    "reveal": ("otel_llm.cli.reveal", "bring back what redaction has tokenized"),
    "history": ("otel_llm.cli.history", "put back what references to other spans stand for, in recorded telemetry"),
    "config-schema": ("otel_llm.cli.config_schema", "print the JSON schema of the configuration, for editors"),
    "version": ("otel_llm.cli.version", "print the versions of otel-llm and of what it stands on"),
}
_FAILED: Final = 1
_WRONG_USAGE: Final = 2
_INTERRUPTED: Final = 130
_EPILOG: Final = """\
otel-llm COMMAND --help says more about a command.

exit codes: 0 done; 1 what was asked about is wrong (a configuration, a call without a price);
2 the command line is wrong; 130 interrupted
"""


class Command(Protocol):
    """The module of a command."""

    __doc__: str | None

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        ...

    def run(self, options: argparse.Namespace) -> int:
        """Do it; returns the exit code.

        Raises:
            ConfigError: the configuration is wrong.
        """
        ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    Args:
        arguments: without the program's name; those of the process by default.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given and given[0] in _COMMANDS:
            return _run(given[0], given[1:])
        return _no_command(given)
    except ConfigError as error:
        _complain(error)
        return _FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # `otel-llm config-schema | head`: the reader has seen enough
        # Python flushes standard output at exit, and would fail there again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED


def _run(name: str, arguments: list[str]) -> int:
    command = cast("Command", importlib.import_module(_COMMANDS[name][0]))
    parser = argparse.ArgumentParser(
        prog=f"otel-llm {name}",
        description=command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.configure(parser)
    code = command.run(parser.parse_args(arguments))
    sys.stdout.flush()  # here, where a closed pipe is still caught
    return code


def _no_command(arguments: list[str]) -> int:
    """What is left: --help, --version, nothing, or a command that does not exist."""
    parser = _top_parser()
    if not arguments:
        parser.print_help()
        return _WRONG_USAGE
    parser.parse_args(arguments)  # ends the process for --help, --version and everything unknown
    return _WRONG_USAGE


def _top_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="otel-llm",
        description="The operating layer for LLM applications, on OpenTelemetry.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"otel-llm {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (_, purpose) in _COMMANDS.items():
        commands.add_parser(name, help=purpose, add_help=False)
    return parser


def _complain(error: ConfigError) -> None:
    number = len(error.problems)
    sys.stderr.write("otel-llm: a problem:\n" if number == 1 else f"otel-llm: {number} problems:\n")
    for problem in error.problems:
        sys.stderr.write(f"  {problem}\n")


if __name__ == "__main__":
    sys.exit(main())
