# ruff: noqa: T201 - a command that says what it does
"""Tests with real backends: `python -m tests.backends_real.run [BACKEND ...] [pytest options]`; all if none is named."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.backends_real.programs import BACKENDS, prepare

HERE = Path(__file__).resolve().parent


def main(arguments: list[str]) -> int:
    chosen = [name for name in BACKENDS if name in arguments] or list(BACKENDS)
    options = [one for one in arguments if one not in BACKENDS]
    for name in chosen:
        began = time.monotonic()
        prepare(name)
        print(f"{name}: installed, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    files = [str(HERE / f"test_{name}.py") for name in chosen]
    command = [sys.executable, "-m", "pytest", "-m", "", "-rs", "-p", "no:cacheprovider", *files, *options]
    return subprocess.run(command, cwd=HERE.parents[1], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
