# ruff: noqa: T201 - a command that says what it does
"""Tests of real backends: `python -m tests.backends_real.run [BACKEND ...] [pytest options]`; all without a name."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.backends_real.programs import BACKENDS, prepare

HERE = Path(__file__).resolve().parent


def main(arguments: list[str]) -> int:
    tested = {path.stem.removeprefix("test_"): path for path in sorted(HERE.glob("test_*.py"))}
    chosen = [name for name in tested if name in arguments] or list(tested)
    options = [one for one in arguments if one not in tested]
    for name in (name for name in chosen if name in BACKENDS):
        began = time.monotonic()
        prepare(name)
        print(f"{name}: installed, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    files = [str(tested[name]) for name in chosen]
    command = [sys.executable, "-m", "pytest", "-m", "", "-rs", "-p", "no:cacheprovider", *files, *options]
    return subprocess.run(command, cwd=HERE.parents[1], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
