"""The program in Go that reads files of collector-config as those would that they are for."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.collector_config.go_tools import go_tools


def configcheck(what: str, *paths: Path) -> str:
    """What it prints; fails the test with what it finds wrong, and skips it where it cannot be built."""
    command = [str(go_tools("configcheck") / "configcheck"), what, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
