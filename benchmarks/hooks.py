"""What a hook costs: CPU time added to a call, a chunk and a KB of prompt, beside four peers in the same run.

    ./dev bench hooks [--rounds 30] [--processes 4] [--only upstream,openlit]

Each peer gets an environment of its own below `.venv-hooks/`, made at the first run, with the newest release that pip
can install there; openlit pins older SDKs. How one is measured: hooks_worker.py. Every instrumentation is measured in
several processes, in turns with the others: where a process lies in memory moves a call by some percent, and so does
what else the machine does. A figure is the median of all rounds; the range behind it is where the median lies with 95 %
confidence, by order statistics. `none` is nothing against nothing: the error of the method.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parent / ".venv-hooks"
PEERS = {
    "upstream": ["opentelemetry-instrumentation-genai-openai", "opentelemetry-instrumentation-genai-anthropic"],
    "openllmetry": ["opentelemetry-instrumentation-openai", "opentelemetry-instrumentation-anthropic"],
    "openinference": ["openinference-instrumentation-openai", "openinference-instrumentation-anthropic"],
    "openlit": [
        "openai<3",
        "anthropic<1",
        "opentelemetry-instrumentation",
        "opentelemetry-exporter-otlp",
        "openai-agents",
    ],
}
# pip finds no set of releases for these and all they ask for; installed without that, they run.
ALONE = {"openlit": ["openlit==1.45.0", "requests", "schedule", "langdetect", "pyyaml"]}
CHUNKS = 100
KILOBYTES = 100
Rounds = dict[str, list[float]]


def rows(added: Rounds) -> Rounds:
    """Each row's figure in every round: us of a call, of a chunk, of a KB."""
    table = {}
    for sdk in ("openai", "anthropic"):
        for way in ("", ", async"):
            few, many = added[f"{sdk} few{way}"], added[f"{sdk} many{way}"]
            table[f"{sdk}: call{way}"] = added[f"{sdk} call{way}"]
            table[f"{sdk}: stream of two chunks{way}"] = few
            table[f"{sdk}: chunk{way}"] = [(large - small) / CHUNKS for small, large in zip(few, many, strict=True)]
    small, large = added["openai small"], added["openai large"]
    table["openai: KB of prompt"] = [(more - less) / KILOBYTES for less, more in zip(small, large, strict=True)]
    return table


def interval(found: list[float]) -> tuple[float, float]:
    """Where the median lies with 95 % confidence."""
    ordered = sorted(found)
    reach = int(0.98 * len(found) ** 0.5) + 1
    middle = len(found) / 2
    return ordered[max(0, int(middle - reach))], ordered[min(len(found) - 1, int(middle + reach))]


def environment_of(peer: str) -> Path:
    """The peer's Python, in an environment that is made when there is none."""
    python = ENVIRONMENTS / peer / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENTS / peer)], check=True)
        packages = ["opentelemetry-sdk", "openai", "anthropic", *PEERS[peer]]
        install = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, *packages], check=True, timeout=900)
        if peer in ALONE:
            subprocess.run([*install, "--no-deps", *ALONE[peer]], check=True, timeout=900)
    return python


def run(name: str, python: Path | str, mode: str, rounds: int) -> dict[str, Any] | None:
    """What one process found; None when it could not."""
    variables = {**os.environ, "ROUNDS": str(rounds)}
    if name == "ours":
        variables["PYTHONPATH"] = str(HERE.parent)
    # -P: beside it stands a module named `queue`, which is not the one of the standard library.
    command = [str(python), "-P", str(HERE / "hooks_worker.py"), name, mode]
    done = subprocess.run(command, capture_output=True, check=False, text=True, env=variables)
    if done.returncode:
        print(f"{name}, {mode}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def together(pythons: dict[str, Path | str], mode: str, rounds: int, processes: int) -> dict[str, dict[str, Any]]:
    """What all processes of each instrumentation found, one process of each after the other."""
    found: dict[str, dict[str, Any]] = {}
    for _ in range(processes):
        for name, python in pythons.items():
            one = run(name, python, mode, rounds)
            if one is None:
                continue
            known = found.setdefault(name, {**one, "added": {case: [] for case in one["added"]}, "bare": []})
            known["bare"].append(one["bare"]["openai call"])
            for case, differences in one["added"].items():
                known["added"][case] += differences
    return found


def show(title: str, names: list[str], lines: dict[str, list[str]]) -> None:
    print(f"\n| {title} | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for row, cells in lines.items():
        print(f"| {row} | " + " | ".join(cells) + " |")


def said(row: str, found: list[float]) -> str:
    low, high = interval(found)
    digits = 0 if ": call" in row or ": stream" in row else 2
    return f"{statistics.median(found):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--modes", default="none,content")
    parser.add_argument("--only", default=",".join(PEERS))
    options = parser.parse_args()
    pythons: dict[str, Path | str] = {"none": sys.executable, "ours": sys.executable}
    for peer in filter(None, options.only.split(",")):
        try:
            pythons[peer] = environment_of(peer)
        except subprocess.SubprocessError as error:
            print(f"{peer} cannot be installed: {error}", file=sys.stderr)
    for mode in options.modes.split(","):
        found = together(pythons, mode, options.rounds, options.processes)
        names = list(found)
        tables = {name: rows(one["added"]) for name, one in found.items()}
        title = f"us CPU added, content {'captured' if mode == 'content' else 'off'}"
        show(title, names, {row: [said(row, tables[name][row]) for name in names] for row in tables[names[0]]})
        cases = [case for case in found[names[0]]["recorded"] if "small" not in case]
        sizes = {case: [str(found[name]["recorded"][case][1]) for name in names] for case in cases}
        show("characters in attributes of a call's spans", names, sizes)
        for name, one in found.items():
            bare = ", ".join(f"{spent:.0f}" for spent in one["bare"])
            print(f"{name}: {one['versions']}, {one['changed']} attributes changed; bare OpenAI call {bare} us")


if __name__ == "__main__":
    main()
