"""Metrics of several processes in one answer for Prometheus: each series with the worker it is from.

Nothing is added up. A sum falls whenever a worker starts again, and `rate()` would take that for a counter that began
anew, and report everything the others have counted as if it had just happened. Prometheus sums: `sum by (...)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from otel_llm._generated import attributes as names

_LABEL: Final = names.OTEL_LLM_WORKER_ID.replace(".", "_")


def merged_text(own: str, of_workers: Mapping[str, str]) -> str:
    """One text in the Prometheus format, every family once.

    Args:
        own: of the supervisor, which stays as it is.
        of_workers: what each worker says, by its id.
    """
    families: dict[str, list[str]] = {}
    heads: dict[str, list[str]] = {}
    for worker, text in (("", own), *of_workers.items()):
        for family, head, samples in _families(text):
            heads.setdefault(family, head)
            families.setdefault(family, []).extend(_labelled(line, worker) if worker else line for line in samples)
    return "".join(f"{line}\n" for family, samples in families.items() for line in (*heads[family], *samples))


def _families(text: str) -> Iterable[tuple[str, list[str], list[str]]]:
    """Name, comment lines and samples of each family."""
    name, head, samples = "", list[str](), list[str]()
    for line in text.splitlines():
        if not line.startswith("#"):
            samples.append(line)
            continue
        words = line.split(" ", 3)
        if len(words) > 2 and words[2] != name:  # noqa: PLR2004 - "#", "HELP" or "TYPE", the name
            if head or samples:
                yield name, head, samples
            name, head, samples = words[2], [], []
        head.append(line)
    if head or samples:
        yield name, head, samples


def _labelled(line: str, worker: str) -> str:
    # A metric's name has no brace, so the first one begins the labels.
    name, brace, rest = line.partition("{")
    if brace:
        return f'{name}{{{_LABEL}="{worker}",{rest}'
    name, _, value = line.partition(" ")
    return f'{name}{{{_LABEL}="{worker}"}} {value}'
