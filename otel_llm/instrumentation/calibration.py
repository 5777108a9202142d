"""What an estimate is worth: the ratio of what a provider counted to what we would have estimated, by model.

A rule of thumb for tokens is off by what a model's tokenizer, its message framing and the app's language make of it,
and that is much the same from one call to the next. So calls whose usage comes teach the estimates for those whose does
not.
"""

from __future__ import annotations

import threading
from typing import Final

_MOST_KEYS: Final = 500
# How much the last call counts against those before it.
_WEIGHT: Final = 0.3
# Reading a whole request costs more than all else a hook does; so one call in so many is compared, and only once an
# estimate was wanted at all.
_EVERY: Final = 64
# A ratio beyond these says that something else was counted: images, hidden reasoning, a prompt stored elsewhere.
_SMALLEST: Final = 0.3
_LARGEST: Final = 3.0


class Calibration:
    """Ratios by key. Thread-safe, bounded."""

    __slots__ = ("_lock", "_ratios", "_wanted")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ratios: dict[str, float] = {}
        # How many calls came since an estimate was first wanted.
        self._wanted: dict[str, int] = {}

    @property
    def is_wanted(self) -> bool:
        """Whether any estimate was wanted so far."""
        return bool(self._wanted)

    def is_due(self, key: str) -> bool:
        """Whether this call is to be compared: the first after an estimate was wanted, and one in some after it."""
        seen = self._wanted.get(key)
        if seen is None:
            return False
        self._wanted[key] = seen + 1  # a count lost between threads is no harm
        return seen % _EVERY == 0

    def learn(self, key: str, estimated: int, counted: int) -> None:
        """A call was estimated at one number and counted at another."""
        if estimated <= 0 or not _SMALLEST <= counted / estimated <= _LARGEST:
            return
        with self._lock:
            if key not in self._ratios and len(self._ratios) >= _MOST_KEYS:
                return
            known = self._ratios.get(key)
            ratio = counted / estimated
            self._ratios[key] = ratio if known is None else known + _WEIGHT * (ratio - known)

    def corrected(self, key: str, estimated: int) -> int:
        """An estimate, by what was learnt; from now on calls of the key teach."""
        if len(self._wanted) < _MOST_KEYS:
            self._wanted.setdefault(key, 0)
        return round(estimated * self._ratios.get(key, 1.0))
