"""Detector for texts: whether today's questions can be told from those of the beginning."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Self, cast
from zlib import crc32

from otel_llm.quality.drift.shift import Shift, State

_FEATURES: Final = 4096
_MOST_WORDS: Final = 64
_MOST_CHARACTERS: Final = 2000
_WORD: Final = re.compile(r"\w+")
# No stake is larger than this, so that one surprise never costs everything.
_LARGEST_STAKE: Final = 0.9
_STAKES: Final = (1.0, 0.5, 0.2)
_STEP: Final = 0.5

Features = tuple[int, ...]


def features_of(text: str) -> Features:
    """The words of a text as numbers; the text cannot be had back from them.

    Only the beginning of a long text counts.
    """
    words = (match[0].casefold() for match in _WORD.finditer(text[:_MOST_CHARACTERS]))
    return tuple(sorted({crc32(word.encode("utf-8", "replace")) % _FEATURES for word in islice(words, _MOST_WORDS)}))


class TextDetector:
    """Alarms when a classifier can tell today's texts from those of the baseline.

    Each text is put beside one of the baseline that was never used before, and the classifier bets which of the two is
    the newer one; then it learns from them. As long as both come from the same source, nobody can win. A text of the
    baseline is used once only: a classifier that met it again would remember it, and win without any change. When the
    baseline is used up, a new one is collected, from the texts that come then.

    Source: the classifier two-sample test by betting, Podkopaev and Ramdas, "Sequential predictive two-sample and
    independence testing" (2023).

    Args:
        random: numbers from 0 to 1.
        reference: how many texts make a baseline, at least 1.

    Attributes:
        evidence, observations: see Detector.
    """

    __slots__ = (
        "_evidence",
        "_random",
        "_reference",
        "_size",
        "_start_unix_nano",
        "_weights",
        "evidence",
        "observations",
    )

    def __init__(self, random: Callable[[], float], reference: int = 1000) -> None:
        self._random = random
        self._size = reference
        self._begin()

    def _begin(self) -> None:
        self.evidence = 0.0
        self.observations = 0
        self._evidence = [0.0] * len(_STAKES)
        self._reference: list[Features] = []
        self._weights: dict[int, float] = {}
        self._start_unix_nano = 0

    @property
    def baseline(self) -> None:
        """A text has no level."""
        return

    def update(self, features: Features, weight: float, now_unix_nano: int = 0) -> Shift | None:
        """Take the features of one text; arguments as for RateDetector."""
        self.observations += 1
        if self.observations <= self._size:
            self._reference.append(features)
            self._start_unix_nano = now_unix_nano
            return None
        other = self._reference.pop(int(self._random() * len(self._reference)))
        self._bet(features, other, weight)
        if self.evidence >= 1.0:
            shift = Shift("different", None, None, None, self._start_unix_nano, self.observations - self._size)
            self._begin()
            return shift
        self._learn(features, 1.0)
        self._learn(other, -1.0)
        if not self._reference:
            kept = self._evidence
            self._begin()
            self._evidence, self.evidence = kept, sum(kept)
        return None

    def _bet(self, new: Features, old: Features, weight: float) -> None:
        # How much more the classifier takes the new one for new than the old one: odd in the two, so fair.
        told = math.tanh((self._score(new) - self._score(old)) / 2) * _LARGEST_STAKE
        weight /= len(_STAKES)
        self._evidence = [
            (before + weight) * (1.0 + stake * told) for before, stake in zip(self._evidence, _STAKES, strict=True)
        ]
        self.evidence = sum(self._evidence)

    def _score(self, features: Sequence[int]) -> float:
        weights = self._weights
        return sum(weights.get(feature, 0.0) for feature in features) / math.sqrt(len(features) or 1)

    def _learn(self, features: Features, label: float) -> None:
        """One step of logistic regression."""
        scale = math.sqrt(len(features) or 1)
        step = _STEP * label / (1.0 + math.exp(min(50.0, label * self._score(features)))) / scale
        weights = self._weights
        for feature in features:
            weights[feature] = weights.get(feature, 0.0) + step

    def merge(self, other: Self) -> None:
        """Take over the evidence of another worker's detector; its texts stay with it."""
        self._evidence = [a + b for a, b in zip(self._evidence, other._evidence, strict=True)]
        self.evidence = sum(self._evidence)

    def state(self) -> State:
        """See Detector."""
        return {
            "kind": "text",
            "observations": self.observations,
            "reference": [list(features) for features in self._reference],
            "weights": [[feature, weight] for feature, weight in self._weights.items()],
            "evidence": list(self._evidence),
            "start_unix_nano": self._start_unix_nano,
        }

    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises:
            KeyError, TypeError, ValueError: it is not one of this detector.
        """
        self.observations = int(cast("int", state["observations"]))
        self._reference = [tuple(map(int, one)) for one in cast("list[list[int]]", state["reference"])]
        self._weights = {int(key): float(value) for key, value in cast("list[tuple[int, float]]", state["weights"])}
        self._evidence = [float(one) for one in cast("list[float]", state["evidence"])]
        self._start_unix_nano = int(cast("int", state["start_unix_nano"]))
        self.evidence = sum(self._evidence)
        waiting = min(self.observations, 2 * self._size - self.observations)
        if len(self._evidence) != len(_STAKES) or len(self._reference) != waiting:
            raise ValueError("the state does not fit together")
