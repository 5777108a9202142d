"""Programs in Go that tests use: built once a machine from the pinned modules in `go/`, and kept in the tool cache.

The cache is that of tests/tool_cache.py; a build has a folder by what it is made of, and a lock, so that several test
runs at once build once. The first build of Prometheus takes ten minutes of two cores.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.tool_cache import tool_cache, why_not_built

# A test that may have to build, or to wait for another one that does.
BUILD_SECONDS = 2400
GO_MARKS = [pytest.mark.slow, pytest.mark.timeout(BUILD_SECONDS)]
_MODULES = Path(__file__).parent / "go"


@functools.cache
def built(name: str) -> Path | str:
    """The folder of the programs of a module in `go/`, or why they cannot be had."""
    if shutil.which("go") is None:
        return "go is not installed: CONTRIBUTING.md says what the slow tests need"
    sources = sorted(path for path in (_MODULES / name).iterdir() if path.is_file())
    version = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    folder = tool_cache() / name / version
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            forbidden = why_not_built(name)
            if forbidden is not None:
                return forbidden
            for path in sources:
                shutil.copy(path, folder / path.name)
            (folder / "bin").mkdir(exist_ok=True)
            targets = ["."] if any(path.suffix == ".go" for path in sources) else ["tool"]
            command = ["go", "build", "-mod=readonly", "-o", "bin/", *targets]
            done = subprocess.run(
                command, cwd=folder, check=False, timeout=BUILD_SECONDS, capture_output=True, text=True
            )
            if done.returncode:
                return f"{name} could not be built: {done.stderr.strip().splitlines()[-1][:200]}"
            (folder / "whole").touch()
    return folder / "bin"


def go_tools(name: str) -> Path:
    """The folder of the programs; skips the test where they cannot be had."""
    found = built(name)
    if isinstance(found, str):
        pytest.skip(found)
    return found
