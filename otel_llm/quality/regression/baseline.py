"""The scores that others are compared with: a JSON file that is kept beside the code, in an order that diffs well."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final

from otel_llm.quality.regression.run import CaseResult

_VERSION: Final = 1


class BaselineError(ValueError):
    """A file is no baseline."""


def write_baseline(results: Iterable[CaseResult]) -> str:
    """The text of a baseline."""
    scores = {one.id: list(one.scores) for one in sorted(results, key=lambda one: one.id)}
    lines = ",\n".join(f"  {json.dumps(id_)}: {json.dumps(values)}" for id_, values in scores.items())
    return f'{{"version": {_VERSION}, "scores": {{\n{lines}\n}}}}\n'


def read_baseline(text: str) -> Mapping[str, CaseResult]:
    """The results in a baseline, by case.

    Raises:
        BaselineError: it is none.
    """
    try:
        values = json.loads(text)
        version = values["version"]
        found = {str(id_): CaseResult(str(id_), tuple(map(float, scores))) for id_, scores in values["scores"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BaselineError(f"it is no baseline: {type(error).__name__}") from None
    if version != _VERSION:
        raise BaselineError(f"expected a baseline of version {_VERSION}, got {version!r}")
    if not all(one.scores and all(0.0 <= score <= 1.0 for score in one.scores) for one in found.values()):
        raise BaselineError("it is no baseline: scores are from 0 to 1, and each case has one at least")
    return found
