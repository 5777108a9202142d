# ruff: noqa: T201 - a command that says what it does
"""Runs these tests under the SDKs of environments.toml: `python -m tests.sdks.run [ENVIRONMENT] [pytest options]`."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COMMON = ("pytest>=8.3", "pytest-timeout>=2.3", "pytest-randomly>=3.16", "numpy")


def prepare(name: str, requirements: list[str]) -> Path:
    """The Python of an environment, made when it is new or its list has changed."""
    folder = ROOT / ".sdks" / name
    python, stamp = folder / "bin" / "python", folder / ".installed"
    wanted = "\n".join(requirements)
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"setting up {folder.relative_to(ROOT)}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--editable", str(ROOT), *COMMON, *requirements], check=True)
        stamp.write_text(wanted)
    return python


def main(arguments: list[str]) -> int:
    environments = tomllib.loads((HERE / "environments.toml").read_text())
    chosen = [name for name in environments if arguments[:1] == [name]] or list(environments)
    rest = arguments[1:] if arguments[:1] == chosen else arguments
    failed = 0
    for name in chosen:
        python = prepare(name, environments[name]["requirements"])
        print(f"== {name}", file=sys.stderr, flush=True)
        # SDKs warn about each other's and their own future; conftest.py above needs what only `dev` has.
        options = ["-m", "", "-W", "ignore", f"--confcutdir={HERE}", "-p", "no:cacheprovider", *rest]
        failed |= subprocess.run([python, "-m", "pytest", str(HERE), *options], cwd=ROOT, check=False).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
