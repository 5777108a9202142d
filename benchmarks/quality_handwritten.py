"""Signals for which there is no labelled data of others, on sentences written by hand for this project.

Run: python -m benchmarks.quality_handwritten [held_out | tuning]. The sentences are in benchmarks/handwritten. The
rules were mended on the part `tuning`; `held_out` was written before that and looked at afterwards, once. They are few
and tidy, and of one author: a figure from them says what the rules do on plain cases and not how often they are right
in your traffic.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from otel_llm.quality.intervals import lower_bound, upper_bound
from otel_llm.quality.signals import friction, refusal, retrieval

FOLDER = Path(__file__).resolve().parent / "handwritten"


def cases(part: str, name: str, separator: str) -> Iterator[tuple[str, str]]:
    """Label and text of each line."""
    for line in (FOLDER / part / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            label, _, text = line.partition(separator)
            yield label, text.replace("⏎", "\n")


def _share(part: int, whole: int) -> str:
    if not whole:
        return "none"
    low, high = lower_bound(part, whole, 0.025), upper_bound(part, whole, 0.025)
    return f"{part / whole:.3f} ({part} of {whole}; {low:.2f} to {high:.2f})"


def measure(name: str, items: list[tuple[bool, str]], is_raised: Callable[[str], bool]) -> None:
    """Print precision, recall and what it got wrong."""
    raised = [(is_bad, text) for is_bad, text in items if is_raised(text)]
    right = sum(is_bad for is_bad, _ in raised)
    bad = sum(is_bad for is_bad, _ in items)
    false = len(raised) - right
    print(f"{name}: n={len(items)}")
    print(f"  precision {_share(right, len(raised))}")
    print(f"  recall    {_share(right, bad)}")
    print(f"  false     {_share(false, len(items) - bad)}")
    for is_bad, text in items:
        if is_raised(text) != is_bad:
            print(f"    {'missed' if is_bad else 'false'}: {text[:90]!r}")


def main() -> None:
    """Measure each of them, on one part."""
    part = sys.argv[1] if len(sys.argv) > 1 else "held_out"
    complaints = [(mark == "+", text) for mark, text in cases(part, "friction.txt", " ")]
    measure("user_friction", complaints, friction.is_friction)
    answers = [(mark == "-", text) for mark, text in cases(part, "citations.txt", " ")]
    measure("missing_citation", answers, lambda text: not retrieval.has_citation(text))
    beginnings = list(cases(part, "answers.txt", "\t"))
    for kind in ("refused", "hedged", "clarified"):
        labelled = [(label == kind, text) for label, text in beginnings]
        measure(kind, labelled, lambda text, kind=kind: refusal.classify(text) == kind)  # type: ignore[misc] # a default


if __name__ == "__main__":
    main()
