"""Microsoft Presidio as a detector: names, addresses and what else needs a language model of its own.

Optional: presidio-analyzer and a spaCy model are installed by who wants them, and cost tens of milliseconds a message
where everything else here costs a tenth of one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, cast

from otel_llm.policy.findings import Finding


class Result(Protocol):
    """What Presidio finds; its RecognizerResult."""

    entity_type: str
    start: int
    end: int
    score: float


class Analyzer(Protocol):
    """Presidio's AnalyzerEngine, as far as it is used."""

    def analyze(
        self, text: str, language: str, entities: list[str] | None = None, score_threshold: float | None = None
    ) -> Sequence[Result]:
        """What is in the text."""
        ...


class Presidio:
    """Asks Presidio.

    Args:
        types: Presidio's names of what to find.
        language: of the texts.
        least_score: findings below it do not count.
        analyzer: the engine; Presidio's own with its default model when there is none.

    Raises:
        ImportError: presidio-analyzer is not installed.
    """

    name = "presidio"

    __slots__ = ("_analyzer", "_language", "_least_score", "types")

    def __init__(
        self,
        types: Collection[str] = ("PERSON", "LOCATION"),
        language: str = "en",
        least_score: float = 0.5,
        analyzer: Analyzer | None = None,
    ) -> None:
        self.types = frozenset(types)
        self._language = language
        self._least_score = least_score
        self._analyzer = analyzer or _own()

    def find(self, text: str) -> tuple[Finding, ...]:
        """What Presidio finds."""
        results = self._analyzer.analyze(
            text, self._language, entities=sorted(self.types), score_threshold=self._least_score
        )
        found = [Finding(one.entity_type, one.start, one.end, self.name, one.score) for one in results]
        return tuple(sorted(found, key=lambda one: (one.start, -one.end)))


def _own() -> Analyzer:
    from presidio_analyzer import AnalyzerEngine  # noqa: PLC0415 - optional, and takes a second to load

    return cast("Analyzer", AnalyzerEngine())
