"""What a detector is and what it finds: the seam between rules and detectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a detector found in a text. It says where, never what stood there.

    Attributes:
        type: what was found, e.g. `email`.
        start: offset of the first character.
        end: offset behind the last character.
        detector: the name of the detector that found it, e.g. `pii`.
        confidence: from 0 to 1; 1 when a checksum or an exact form confirms it.
    """

    type: str
    start: int
    end: int
    detector: str
    confidence: float


class Detector(Protocol):
    """Something that finds things of certain types in a text.

    Attributes:
        name: how rules refer to it, e.g. `pii`.
        types: every type it can find.
    """

    name: str
    types: frozenset[str]

    def find(self, text: str) -> tuple[Finding, ...]:
        """Everything it finds in a text, by position; thread-safe."""
        ...
