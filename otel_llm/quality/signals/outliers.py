"""Whether a duration or a rate is far from what its kind has been lately."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

_FEWEST: Final = 50
_WEIGHT: Final = 0.02
_SIGMAS: Final = 4.0
# Of the logarithm: what varies less than this is not told apart more finely.
_LEAST_SPREAD: Final = 0.1
_LEVELS: Final = 2000
# An outlier moves the mean by no more than a value at this distance.
_CLIP: Final = 3.0


@dataclass(slots=True)
class Level:
    """Mean and spread of the logarithm of positive values, older ones weighing less. Not thread-safe.

    Attributes:
        number: values so far.
        mean, variance: of the logarithm.
    """

    number: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def update(self, value: float) -> float | None:
        """Take a value in; how many standard deviations it lay above the mean, None while there are too few."""
        x = math.log(value)
        self.number += 1
        if self.number == 1:
            self.mean = x
            return None
        spread = max(math.sqrt(self.variance), _LEAST_SPREAD)
        distance = (x - self.mean) / spread
        warm = self.number > _FEWEST
        step = (max(-_CLIP, min(_CLIP, distance)) if warm else distance) * spread
        weight = max(_WEIGHT, 1 / self.number)
        self.mean += weight * step
        self.variance = (1 - weight) * (self.variance + weight * step * step)
        return distance if warm else None


class Levels:
    """Levels by kind of value, the last 2000 kinds. Thread-safe."""

    __slots__ = ("_levels", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._levels: OrderedDict[tuple[str, ...], Level] = OrderedDict()

    def update(self, kind: tuple[str, ...], value: float) -> float | None:
        """As Level.update, for the level of that kind."""
        with self._lock:
            level = self._levels.get(kind)
            if level is None:
                level = self._levels[kind] = Level()
                if len(self._levels) > _LEVELS:
                    self._levels.popitem(last=False)
            else:
                self._levels.move_to_end(kind)
            return level.update(value)


def is_slow(distance: float | None) -> bool | None:
    """Whether a duration at that distance is an outlier; None when it is not known."""
    return None if distance is None else distance > _SIGMAS


def is_low(distance: float | None) -> bool | None:
    """Whether a rate at that distance is an outlier; None when it is not known."""
    return None if distance is None else distance < -_SIGMAS
