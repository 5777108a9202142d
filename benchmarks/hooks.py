"""What a hook costs: CPU time added to a call, a chunk and a KB of prompt, beside four peers in the same run.

    ./dev bench hooks [--rounds 150] [--only upstream,openlit]

Each peer gets an environment of its own below `.venv-hooks/`, made at the first run, with the newest release that pip
can install there; openlit pins older SDKs. Every row is the difference of one process with and without it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

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


def rows(found: dict[str, dict[str, float]]) -> dict[str, float]:
    added = {name: found["with"][name] - found["bare"][name] for name in found["bare"]}
    table = {}
    for sdk in ("openai", "anthropic"):
        for way in ("", ", async"):
            table[f"{sdk}: call{way}"] = added[f"{sdk} call{way}"]
            table[f"{sdk}: chunk{way}"] = (added[f"{sdk} many{way}"] - added[f"{sdk} few{way}"]) / CHUNKS
    table["openai: KB of prompt"] = (added["openai large"] - added["openai small"]) / KILOBYTES
    return table


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


def run(name: str, python: Path | str, mode: str, rounds: int) -> dict[str, dict[str, float]] | None:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--only", default=",".join(PEERS))
    options = parser.parse_args()
    pythons: dict[str, Path | str] = {"ours": sys.executable}
    for peer in filter(None, options.only.split(",")):
        try:
            pythons[peer] = environment_of(peer)
        except subprocess.SubprocessError as error:
            print(f"{peer} cannot be installed: {error}", file=sys.stderr)
    for mode in ("none", "content"):
        found = {name: run(name, python, mode, options.rounds) for name, python in pythons.items()}
        print(f"\ncontent {'captured' if mode == 'content' else 'off'}: us CPU added")
        names = [name for name, one in found.items() if one is not None]
        print("| row | " + " | ".join(names) + " |")
        print("|---" * (len(names) + 1) + "|")
        tables = {name: rows(found[name]) for name in names}
        for row in tables[names[0]]:
            digits = 1 if row.endswith(("call", "call, async")) else 2
            print(f"| {row} | " + " | ".join(f"{tables[name][row]:.{digits}f}" for name in names) + " |")
        for name in names:
            bare = found[name]["bare"]
            print(f"{name}: {found[name]['versions']}, bare openai call {bare['openai call']:.0f} us")


if __name__ == "__main__":
    main()
