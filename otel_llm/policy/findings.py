"""What a detector finds in a text, and what a detector is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Finding:
    """A place in a text, without the text itself.

    Attributes:
        type: what it is, e.g. `EMAIL_ADDRESS`.
        start, end: where, in characters; `end` is behind it.
        detector: the name of the detector that found it.
        confidence: from 0 to 1.
    """

    type: str
    start: int
    end: int
    detector: str
    confidence: float


class Detector(Protocol):
    """Finds things of some types in a text.

    Attributes:
        name: for configuration, counts and messages, e.g. `pii`.
        types: the types of finding it may return.
    """

    name: str
    types: frozenset[str]

    def find(self, text: str) -> tuple[Finding, ...]:
        """What is in the text, in order of its start; thread-safe."""
        ...
