"""Generates otel_llm/_generated/*.py and docs/attributes.md from the vocabulary.

    python -m semconv.generate           write what has changed
    python -m semconv.generate --check   write nothing; exit 1 and name every file that is stale

Files it does not know (other generators write into the same folder) are left alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from semconv.render_docs import render_docs
from semconv.render_python import render_attributes, render_events, render_metrics, render_package
from semconv.vocabulary import ROOT, Registry, Upstream, load_registry, load_upstream

PROJECT = ROOT.parent


def outputs(registry: Registry, upstream: Upstream) -> dict[str, str]:
    """Path below the project root -> text. The same vocabulary always gives the same text."""
    return {
        "otel_llm/_generated/__init__.py": render_package(),
        "otel_llm/_generated/attributes.py": render_attributes(registry, upstream),
        "otel_llm/_generated/events.py": render_events(registry, upstream),
        "otel_llm/_generated/metrics.py": render_metrics(registry, upstream),
        "docs/attributes.md": render_docs(registry, upstream),
    }


def stale(texts: dict[str, str], project: Path) -> list[str]:
    """Paths whose file is missing or differs."""
    return [path for path, text in texts.items() if _current(project / path) != text]


def _current(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def main(arguments: Sequence[str] | None = None, *, project: Path = PROJECT) -> int:
    """Run the command line; `project` is where the outputs go. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m semconv.generate", description="Generate code and docs from semconv/."
    )
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 when a generated file is stale")
    check: bool = parser.parse_args(arguments).check
    texts = outputs(load_registry(), load_upstream())
    behind = stale(texts, project)
    for path in behind:
        if check:
            print(f"{path} is stale: run `python -m semconv.generate` and commit the result", file=sys.stderr)
            continue
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(texts[path], encoding="utf-8")
        print(f"wrote {path}")
    return 1 if check and behind else 0


if __name__ == "__main__":
    raise SystemExit(main())
