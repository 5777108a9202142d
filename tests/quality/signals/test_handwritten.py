"""Signals without labelled data of others keep the figures that docs/quality.md gives, on sentences written by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from otel_llm.quality.signals import friction, refusal, retrieval

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks" / "handwritten" / "held_out"


def cases(name: str, separator: str) -> list[tuple[str, str]]:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    parts = [line.partition(separator) for line in lines if line and not line.startswith("#")]
    return [(label, text.replace("⏎", "\n")) for label, _, text in parts]


@pytest.mark.parametrize(
    ("name", "separator", "label", "is_raised", "precision", "recall"),
    [
        ("friction.txt", " ", "+", friction.is_friction, 0.97, 0.92),
        ("citations.txt", " ", "-", lambda text: not retrieval.has_citation(text), 1.0, 0.88),
        ("answers.txt", "\t", "hedged", lambda text: refusal.classify(text) == "hedged", 1.0, 0.75),
        ("answers.txt", "\t", "clarified", lambda text: refusal.classify(text) == "clarified", 1.0, 0.83),
        ("answers.txt", "\t", "refused", lambda text: refusal.classify(text) == "refused", 0.81, 0.75),
    ],
)
def test_precision_and_recall_are_at_least_what_is_documented(
    name: str, separator: str, label: str, is_raised: Callable[[str], bool], precision: float, recall: float
) -> None:
    items = [(found == label, is_raised(text)) for found, text in cases(name, separator)]
    right = sum(is_bad and raised for is_bad, raised in items)
    assert right / sum(raised for _, raised in items) >= precision
    assert right / sum(is_bad for is_bad, _ in items) >= recall
