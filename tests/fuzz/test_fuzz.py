"""A little of what `./dev fuzz` does for as long as it is told."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.servers import fuzz

SECONDS = int(os.environ.get("OTEL_LLM_FUZZ_SECONDS", "15"))


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed; it has Linux wheels")
def test_no_input_makes_a_parser_fail_in_any_way_but_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.parsers", "--seconds", str(SECONDS), "--corpus", str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 100, cwd=root, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
def test_no_bytes_on_the_ports_harm_a_gateway(tmp_path: Path) -> None:
    assert "all well" in fuzz(SECONDS, seed=int.from_bytes(os.urandom(3), "big"), folder=tmp_path)
