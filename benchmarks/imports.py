"""What importing and loading cost: `import otel_llm`, the command line's help, the price catalogue.

    python -m benchmarks.imports

Wall time of fresh interpreters, least of several, minus that of an interpreter that imports nothing; the catalogue in
one process.
"""

from __future__ import annotations

import subprocess
import sys
import time

from otel_llm.cost import Catalogue

RUNS = 9


def milliseconds(code: str) -> float:
    least = float("inf")
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        least = min(least, time.perf_counter() - started)
    return least * 1000


def main() -> None:
    nothing = milliseconds("pass")
    for what, code in (
        ("import otel_llm", "import otel_llm"),
        ("otel-llm --version", "import otel_llm.cli.main as m\ntry: m.main(['--version'])\nexcept SystemExit: pass"),
        ("import otel_llm.cost", "import otel_llm.cost"),
    ):
        print(f"{what:22}{milliseconds(code) - nothing:8.1f} ms")
    least = float("inf")
    for _ in range(RUNS):
        started = time.process_time()
        Catalogue.load()
        least = min(least, time.process_time() - started)
    print(f"{'Catalogue.load()':22}{least * 1000:8.1f} ms CPU")


if __name__ == "__main__":
    main()
