# ruff: noqa: T201 - a command that says what it does
"""Runs these tests under the SDKs of environments.toml: `python -m tests.sdks.run [ENVIRONMENT] [pytest options]`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import tomllib
import venv
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# What the tests themselves need: those that start an app read the OTLP that it sends.
COMMON = (
    "numpy",
    "opentelemetry-exporter-otlp-proto-http",
    "pytest-randomly>=3.16",
    "pytest-timeout>=2.3",
    "pytest>=8.3",
)


def log(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def prepare(name: str, requirements: Sequence[str]) -> Path:
    """The Python of an environment, made when it is new, or what is to be in it has changed.

    Raises:
        subprocess.CalledProcessError: what it needs cannot be installed; the next run tries again.
    """
    folder = ROOT / ".sdks" / name
    python, stamp = folder / "bin" / "python", folder / ".installed"
    wanted = [*COMMON, *requirements]
    made_of = "\n".join([sys.version, *project_requirements(), *wanted])
    if not stamp.exists() or stamp.read_text() != made_of:
        started = time.monotonic()
        uv = shutil.which("uv")
        log(f"setting up {folder.relative_to(ROOT)} with {'uv' if uv else 'pip'}: {' '.join(requirements)}")
        venv.create(folder, with_pip=uv is None, clear=True)
        install = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
        quietly = [] if uv else ["--disable-pip-version-check", "--progress-bar", "off"]
        subprocess.run([*install, *quietly, "--editable", str(ROOT), *wanted], stdout=sys.stderr, check=True)
        stamp.write_text(made_of)
        log(f"set up {folder.relative_to(ROOT)} in {time.monotonic() - started:.0f} s")
    return python


def project_requirements() -> list[str]:
    found: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return found


def main(arguments: list[str]) -> int:
    environments = tomllib.loads((HERE / "environments.toml").read_text())
    chosen = [name for name in environments if arguments[:1] == [name]] or list(environments)
    rest = arguments[1:] if arguments[:1] == chosen else arguments
    failed = []
    for number, name in enumerate(chosen, 1):
        log(f"== {name} ({number} of {len(chosen)})")
        try:
            python = prepare(name, environments[name]["requirements"])
        except subprocess.CalledProcessError:
            log(f"{name}: cannot be set up")
            failed.append(name)
            continue
        # SDKs warn about each other's and their own future; conftest.py above needs what only `dev` has.
        options = ["-m", "", "-W", "ignore", f"--confcutdir={HERE}", "-p", "no:cacheprovider", *rest]
        if subprocess.run([python, "-m", "pytest", str(HERE), *options], cwd=ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        log(f"failed: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
