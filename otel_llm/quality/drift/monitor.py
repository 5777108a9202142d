"""Detectors for every signal of every segment, under one budget of false alarms for all of them together.

The budget accrues with time: so many false alarms in so long a period. Each detector gets an equal share of it, and
spends at an observation what has accrued for it since the one before. However many segments there are and whatever
their traffic, the expected number of false alarms of all of them is at most what has accrued.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias, cast

from otel_llm.quality.drift.categories import CategoryDetector
from otel_llm.quality.drift.rates import RateDetector, Sides
from otel_llm.quality.drift.scalars import ScalarDetector
from otel_llm.quality.drift.shift import Shift, State
from otel_llm.quality.drift.texts import Features, TextDetector

Segment: TypeAlias = tuple[str, ...]
# A rate, a category, a number, or the features of a text.
Value: TypeAlias = "bool | str | float | Features"
_Detector: TypeAlias = RateDetector | CategoryDetector | ScalarDetector | TextDetector

_VERSION: Final = 1
_NANO: Final = 1_000_000_000
# What accrued in a longer silence is not spent: the first observation after it would carry all of it.
_LONGEST_GAP_NANO: Final = 3600 * _NANO


@dataclass(frozen=True, slots=True)
class Settings:
    """How a monitor watches.

    Attributes:
        false_alarms: at most so many false alarms are expected
        period_seconds: in this time, over all segments and signals.
        most_segments: how many are watched; the one not seen for longest makes room for a new one.
        reference, reference_limit: see RateDetector.
        text_reference: see TextDetector.
        declared: rates that are not to be exceeded, by signal, in place of a learnt baseline.
        sides: which changes of a rate count, by signal; a rise when nothing is said.
    """

    false_alarms: float = 1.0
    period_seconds: float = 30 * 86400.0
    most_segments: int = 2000
    reference: int = 2000
    reference_limit: int = 64_000
    text_reference: int = 1000
    declared: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    sides: Mapping[str, Sides] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Alarm:
    """A change in one signal of one segment.

    Attributes:
        segment: which.
        signal: its name.
        shift: what moved, from what to what, since when.
        unix_nano: when it was noticed.
    """

    segment: Segment
    signal: str
    shift: Shift
    unix_nano: int


@dataclass(frozen=True, slots=True)
class Watched:
    """A detector as it stands.

    Attributes:
        segment, signal: what it watches.
        evidence: from 0; it alarms at 1.
        observations: how many it has seen since it began, or since its last alarm.
        baseline: the level it compares with, None while it has none.
        last_unix_nano: when it saw the last one.
    """

    segment: Segment
    signal: str
    evidence: float
    observations: int
    baseline: float | None
    last_unix_nano: int


@dataclass(slots=True)
class _Entry:
    detector: _Detector
    last_unix_nano: int


class Monitor:
    """Watches; thread-safe.

    Args:
        settings: how.
        random: numbers from 0 to 1.

    Attributes:
        settings: as given.
        evicted: segments that had to make room.
        spent: the false alarms that are to be expected, at most, from all that was seen.
    """

    __slots__ = (
        "_detectors",
        "_lock",
        "_most_detectors",
        "_random",
        "_rate",
        "_segments",
        "evicted",
        "settings",
        "spent",
    )

    def __init__(self, settings: Settings, random: Callable[[], float]) -> None:
        self.settings = settings
        self.evicted = 0
        self.spent = 0.0
        self._random = random
        self._rate = settings.false_alarms / settings.period_seconds / _NANO
        self._lock = threading.Lock()
        self._segments: OrderedDict[Segment, dict[str, _Entry]] = OrderedDict()
        self._detectors = 0
        # Never goes down: shares that were given out hold.
        self._most_detectors = 0

    def observe(self, segment: Segment, values: Mapping[str, Value], now_unix_nano: int) -> list[Alarm]:
        """Take the signals of one operation.

        Args:
            segment: where it belongs.
            values: True or False for what happens or not, text for a category, a finite number, or `features_of` a
                text; a signal that is not known of this operation is left out. A signal always has one kind of value.
            now_unix_nano: when it arrived; by a clock of ours, for time is what the budget accrues with.
        """
        alarms: list[Alarm] = []
        with self._lock:
            entries = self._entries(segment)
            for signal, value in values.items():
                entry = entries.get(signal)
                if entry is None:
                    entry = entries[signal] = _Entry(self._make(signal, value), now_unix_nano)
                    self._detectors += 1
                    self._most_detectors = max(self._most_detectors, self._detectors)
                shift = _update(entry.detector, value, self._weight(entry, now_unix_nano), now_unix_nano)
                if shift is not None:
                    alarms.append(Alarm(segment, signal, shift, now_unix_nano))
        return alarms

    def _entries(self, segment: Segment) -> dict[str, _Entry]:
        entries = self._segments.get(segment)
        if entries is None:
            if len(self._segments) >= self.settings.most_segments:
                _, gone = self._segments.popitem(last=False)
                self._detectors -= len(gone)
                self.evicted += 1
            entries = self._segments[segment] = {}
        else:
            self._segments.move_to_end(segment)
        return entries

    def _count_detectors(self) -> None:
        self._detectors = sum(map(len, self._segments.values()))
        self._most_detectors = max(self._most_detectors, self._detectors)

    def _weight(self, entry: _Entry, now_unix_nano: int) -> float:
        gap = min(max(0, now_unix_nano - entry.last_unix_nano), _LONGEST_GAP_NANO)
        entry.last_unix_nano = max(entry.last_unix_nano, now_unix_nano)
        weight = gap * self._rate / self._most_detectors
        self.spent += weight
        return weight

    def _make(self, signal: str, value: Value) -> _Detector:
        settings = self.settings
        if isinstance(value, bool):
            declared = settings.declared.get(signal)
            return RateDetector(
                settings.reference,
                settings.reference_limit,
                settings.sides.get(signal, "up"),
                declared=None if declared is None else (declared,),
            )
        if isinstance(value, str):
            return CategoryDetector(settings.reference, settings.reference_limit)
        if isinstance(value, tuple):
            return TextDetector(self._random, settings.text_reference)
        return ScalarDetector(self._random)

    @property
    def segments(self) -> int:
        """How many are watched now."""
        return len(self._segments)

    def _snapshot(self) -> list[tuple[Segment, dict[str, _Entry]]]:
        """Which segments there are. Each is read under the lock on its own, so that nobody waits for all of them."""
        with self._lock:
            return list(self._segments.items())

    def watched(self) -> list[Watched]:
        """All detectors as they stand, the one with most evidence first."""
        found: list[Watched] = []
        for segment, entries in self._snapshot():
            with self._lock:
                found += [_watched(segment, signal, entry) for signal, entry in entries.items()]
        return sorted(found, key=lambda one: (-one.evidence, one.segment, one.signal))

    def state(self) -> State:
        """Everything it needs to go on later, as JSON values. Holds no text of anybody's, only hashed words."""
        segments: list[object] = []
        for segment, entries in self._snapshot():
            with self._lock:
                segments.append([list(segment), {signal: _entry_state(entry) for signal, entry in entries.items()}])
        return {
            "version": _VERSION,
            "most_detectors": self._most_detectors,
            "spent": self.spent,
            "segments": segments,
        }

    def restore(self, state: State, *, as_stored: bool = False) -> None:
        """Go on from a state, in place of all that was seen so far.

        Args:
            state: what `state` gave.
            as_stored: with the settings that each detector was made with, in place of ours: to look at it.

        Raises:
            ValueError: it is none, or one of other settings.
        """
        try:
            version = state["version"]
            segments = OrderedDict(
                self._restored(cast("list[tuple[list[str], dict[str, State]]]", state["segments"]), as_stored=as_stored)
            )
            most, spent = int(cast("int", state["most_detectors"])), float(cast("float", state["spent"]))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise ValueError(f"not the state of a monitor: {type(error).__name__}: {error}") from error
        if version != _VERSION:
            raise ValueError(f"not the state of a monitor of version {_VERSION}, but of {version!r}")
        with self._lock:
            self._segments, self._most_detectors, self.spent = segments, most, spent
            self._count_detectors()

    def _restored(
        self, segments: list[tuple[list[str], dict[str, State]]], *, as_stored: bool
    ) -> Iterator[tuple[Segment, dict[str, _Entry]]]:
        for key, signals in segments[-self.settings.most_segments :]:
            entries = {}
            for signal, state in signals.items():
                is_as_stored = as_stored and state["kind"] == "rate"
                detector = _as_stored(state) if is_as_stored else self._make(signal, _EXAMPLES[str(state["kind"])])
                detector.restore(state)
                if not 0.0 <= detector.evidence < 1.0:
                    raise ValueError(f"evidence is from 0 to below 1, got {detector.evidence}")
                entries[str(signal)] = _Entry(detector, int(cast("int", state["last_unix_nano"])))
            yield tuple(map(str, key)), entries

    def merge(self, other: Monitor) -> None:
        """Take over what the monitor of another worker holds. Evidence adds up: the budgets of both were spent.

        What it held is ours afterwards; it must not be used any more.
        """
        with self._lock:
            for segment, theirs in other._segments.items():
                ours = self._entries(segment)
                for signal, entry in theirs.items():
                    if signal not in ours:
                        ours[signal] = entry
                    elif type(ours[signal].detector) is type(entry.detector):
                        ours[signal].detector.merge(entry.detector)  # type: ignore[arg-type] # of the same type
                        ours[signal].last_unix_nano = max(ours[signal].last_unix_nano, entry.last_unix_nano)
            self.spent += other.spent
            self._most_detectors = max(self._most_detectors, other._most_detectors)
            self._count_detectors()


_EXAMPLES: Final[Mapping[str, Value]] = MappingProxyType({"rate": True, "category": "", "scalar": 0.0, "text": ()})


def _as_stored(state: State) -> RateDetector:
    declared = cast("list[float] | None", state["declared"])
    return RateDetector(sides=cast("Sides", state["sides"]), declared=declared)


def _update(detector: _Detector, value: Value, weight: float, now_unix_nano: int) -> Shift | None:
    """Hand a value to a detector; one of another kind than the signal has says nothing."""
    if isinstance(detector, RateDetector):
        return detector.update(0 if value else -1, weight, now_unix_nano) if isinstance(value, bool) else None
    if isinstance(detector, ScalarDetector):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return detector.update(float(cast("float", value)), weight, now_unix_nano) if is_number else None
    if isinstance(detector, CategoryDetector):
        return detector.update(value, weight, now_unix_nano) if isinstance(value, str) else None
    return detector.update(value, weight, now_unix_nano) if isinstance(value, tuple) else None


def _watched(segment: Segment, signal: str, entry: _Entry) -> Watched:
    detector = entry.detector
    return Watched(segment, signal, detector.evidence, detector.observations, detector.baseline, entry.last_unix_nano)


def _entry_state(entry: _Entry) -> State:
    return {**entry.detector.state(), "last_unix_nano": entry.last_unix_nano}
