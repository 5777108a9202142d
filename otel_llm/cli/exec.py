"""Start a program with its GenAI calls instrumented, for example `otel-llm exec -- python app.py`.

Nothing of the program changes. Every Python it starts is instrumented as well: workers, reloaders, pools.
Where telemetry goes, and what it holds, is up to the OTEL_* variables.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import otel_llm
from otel_llm.errors import ConfigError

_AUTOLOAD: Final = Path(otel_llm.__file__).parent / "instrumentation" / "autoload"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the program and its arguments")


def run(options: argparse.Namespace) -> int:
    """Become the program; returns only when there is none.

    Raises:
        ConfigError: no program was named, or it cannot be found.
    """
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise ConfigError(["exec: name a program, for example: otel-llm exec -- python app.py"])
    program = shutil.which(command[0])
    if program is None:
        raise ConfigError([f"exec: there is no program {command[0]}"])
    os.execve(program, command, environment_for(os.environ))  # noqa: S606 - the user's own command


def environment_for(environment: Mapping[str, str]) -> dict[str, str]:
    """The same environment with our start-up code first on Python's path."""
    path = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    if str(_AUTOLOAD) not in path:
        path.insert(0, str(_AUTOLOAD))
    return {**environment, "PYTHONPATH": os.pathsep.join(path)}
