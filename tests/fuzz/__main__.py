"""`./dev fuzz parsers|servers [ARGUMENTS]`."""

from __future__ import annotations

import runpy
import sys

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("parsers", "servers"):
        sys.exit("usage: ./dev fuzz parsers|servers [--seconds N]")
    runpy.run_module(f"tests.fuzz.{sys.argv.pop(1)}", run_name="__main__", alter_sys=True)
