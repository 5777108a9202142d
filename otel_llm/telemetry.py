"""Counts and durations: the store behind self-telemetry and behind the metrics derived from operations.

The law of this module: totals are exact. A metric has a fixed list of attribute keys and at most `limit` series;
whatever comes after goes to one overflow series, as OpenTelemetry's metrics SDK specification has it, so that a sum
over all series never loses anything. All methods are thread-safe; recording takes one lock and one dictionary look-up.
"""

from __future__ import annotations

import logging
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from otel_llm._generated.metrics import Metric

# The series of all recordings whose attributes came too late to get a series of their own.
OVERFLOW_KEY = "otel.metric.overflow"
DEFAULT_SERIES_LIMIT = 2000


@dataclass(slots=True)
class Distribution:
    """A histogram's state: counts per bucket (one more than bounds), number and sum of the values."""

    counts: list[int]
    count: int = 0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Series:
    """One time series at the time of collection.

    Attributes:
        attributes: key and value pairs; those of the overflow series are (OVERFLOW_KEY, "true").
        value: the sum or level, or the distribution of a histogram.
    """

    attributes: tuple[tuple[str, str], ...]
    value: float | Distribution


@dataclass(frozen=True, slots=True)
class Family:
    """A metric and its series at the time of collection."""

    definition: Metric
    series: tuple[Series, ...]


class Counter:
    """A sum per combination of attribute values.

    Args:
        definition: what it counts.
        keys: attribute keys, in the order in which `add` takes their values.
        limit: how many series it may have before the overflow series takes the rest.
    """

    __slots__ = ("_keys", "_limit", "_lock", "_overflow", "_values", "definition")

    def __init__(self, definition: Metric, keys: Sequence[str], limit: int = DEFAULT_SERIES_LIMIT) -> None:
        self.definition = definition
        self._keys = tuple(keys)
        self._limit = limit
        self._lock = threading.Lock()
        self._values: dict[tuple[str, ...], float] = {}
        self._overflow: float | None = None

    def add(self, value: float, *attributes: str) -> None:
        """Add a value of at least 0 to the series of these attribute values."""
        with self._lock:
            values = self._values
            if attributes in values:
                values[attributes] += value
            elif len(values) < self._limit:
                values[attributes] = value
            else:
                self._overflow = (self._overflow or 0) + value

    def value(self, *attributes: str) -> float:
        """The sum of one series, 0 when nothing was added to it."""
        with self._lock:
            return self._values.get(attributes, 0)

    def total(self) -> float:
        """The sum over all series, the overflow included."""
        with self._lock:
            return sum(self._values.values()) + (self._overflow or 0)

    def after_fork_in_child(self) -> None:
        """Begin at zero: what was counted before the fork is counted by the parent. For the only thread there is."""
        self._lock = threading.Lock()
        self._values.clear()
        self._overflow = None

    def collect(self) -> Family:
        """All series as they are now."""
        with self._lock:
            values, overflow = dict(self._values), self._overflow
        series = [Series(tuple(zip(self._keys, key, strict=True)), value) for key, value in values.items()]
        if overflow is not None:
            series.append(Series(((OVERFLOW_KEY, "true"),), overflow))
        return Family(self.definition, tuple(series))


class Histogram:
    """A distribution per combination of attribute values; arguments as for Counter."""

    __slots__ = ("_keys", "_limit", "_lock", "_overflow", "_values", "definition")

    def __init__(self, definition: Metric, keys: Sequence[str], limit: int = DEFAULT_SERIES_LIMIT) -> None:
        self.definition = definition
        self._keys = tuple(keys)
        self._limit = limit
        self._lock = threading.Lock()
        self._values: dict[tuple[str, ...], Distribution] = {}
        self._overflow: Distribution | None = None

    def _new(self) -> Distribution:
        return Distribution([0] * (len(self.definition.buckets) + 1))

    def _distribution(self, attributes: tuple[str, ...]) -> Distribution:
        found = self._values.get(attributes)
        if found is not None:
            return found
        if len(self._values) < self._limit:
            return self._values.setdefault(attributes, self._new())
        if self._overflow is None:
            self._overflow = self._new()
        return self._overflow

    def record(self, value: float, *attributes: str) -> None:
        """Record a finite value in the series of these attribute values."""
        bucket = bisect_left(self.definition.buckets, value)
        with self._lock:
            distribution = self._distribution(attributes)
            distribution.counts[bucket] += 1
            distribution.count += 1
            distribution.total += value

    def after_fork_in_child(self) -> None:
        """As that of a Counter."""
        self._lock = threading.Lock()
        self._values.clear()
        self._overflow = None

    def collect(self) -> Family:
        """All series as they are now."""
        with self._lock:
            pairs = [(tuple(zip(self._keys, key, strict=True)), d) for key, d in self._values.items()]
            if self._overflow is not None:
                pairs.append((((OVERFLOW_KEY, "true"),), self._overflow))
            series = tuple(Series(key, Distribution(list(d.counts), d.count, d.total)) for key, d in pairs)
        return Family(self.definition, series)


class Gauge:
    """A level that is asked for at collection.

    Args:
        definition: what it shows.
        keys: attribute keys.
        read: returns the level per combination of attribute values; called on the collecting thread.
    """

    __slots__ = ("_keys", "_read", "definition")

    def __init__(
        self, definition: Metric, keys: Sequence[str], read: Callable[[], dict[tuple[str, ...], float]]
    ) -> None:
        self.definition = definition
        self._keys = tuple(keys)
        self._read = read

    def collect(self) -> Family:
        """All series as they are now."""
        series = (Series(tuple(zip(self._keys, key, strict=True)), value) for key, value in self._read().items())
        return Family(self.definition, tuple(series))


class Metrics:
    """The metrics of one process, collected together.

    Several may be registered of one definition: with other keys, or the gauges of several components. They are
    collected as one family in which each series stands once. Equal series are added up, which is what they mean while a
    reload has two components of one name: the old one that still delivers, and the new one.
    """

    __slots__ = ("_lock", "_metrics")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._metrics: list[Counter | Histogram | Gauge] = []

    def counter(self, definition: Metric, keys: Sequence[str], limit: int = DEFAULT_SERIES_LIMIT) -> Counter:
        """A registered counter; the one registered before when definition and keys are the same."""
        with self._lock:
            for metric in self._metrics:
                if isinstance(metric, Counter) and metric.definition == definition and metric._keys == tuple(keys):  # noqa: SLF001 - same module
                    return metric
            counter = Counter(definition, keys, limit)
            self._metrics.append(counter)
        return counter

    def histogram(self, definition: Metric, keys: Sequence[str], limit: int = DEFAULT_SERIES_LIMIT) -> Histogram:
        """A registered histogram; the one registered before when definition and keys are the same."""
        with self._lock:
            for metric in self._metrics:
                if isinstance(metric, Histogram) and metric.definition == definition and metric._keys == tuple(keys):  # noqa: SLF001 - same module
                    return metric
            histogram = Histogram(definition, keys, limit)
            self._metrics.append(histogram)
        return histogram

    def gauge(
        self,
        definition: Metric,
        keys: Sequence[str],
        read: Callable[[], dict[tuple[str, ...], float]],
        *,
        alone: bool = False,
    ) -> Gauge:
        """A registered gauge, for as long as whoever it reads from lives: see `remove`.

        Args:
            definition: what it shows.
            keys: attribute keys.
            read: returns the level per combination of attribute values.
            alone: it takes the place of all others of this definition.
        """
        gauge = Gauge(definition, keys, read)
        with self._lock:
            if alone:
                self._metrics = [one for one in self._metrics if one.definition != definition]
            self._metrics.append(gauge)
        return gauge

    def remove(self, gauge: Gauge) -> None:
        """Show a gauge no more. Nothing happens when it was removed before."""
        with self._lock:
            if gauge in self._metrics:
                self._metrics.remove(gauge)

    def after_fork_in_child(self) -> None:
        """Begin at zero in a child process, so that nothing is counted by two; gauges stay. Takes no lock.

        Sums of parent and children are exact when each exports as a process of its own (`service.instance.id`).
        """
        self._lock = threading.Lock()
        for metric in self._metrics:
            if not isinstance(metric, Gauge):
                metric.after_fork_in_child()

    def collect(self) -> Iterator[Family]:
        """Every metric as it is now, one family for each definition; attributes without a value are left out."""
        with self._lock:
            metrics = list(self._metrics)
        families: dict[Metric, dict[tuple[tuple[str, str], ...], float | Distribution]] = {}
        for metric in metrics:
            series = families.setdefault(metric.definition, {})
            for one in metric.collect().series:
                key = tuple((name, value) for name, value in one.attributes if value)
                series[key] = _add(series[key], one.value) if key in series else one.value
        for definition, values in families.items():
            yield Family(definition, tuple(Series(key, value) for key, value in values.items()))


def _add(one: float | Distribution, other: float | Distribution) -> float | Distribution:
    """The sum of two values of the same metric."""
    if isinstance(one, Distribution) and isinstance(other, Distribution):
        counts = [a + b for a, b in zip(one.counts, other.counts, strict=True)]
        return Distribution(counts, one.count + other.count, one.total + other.total)
    if isinstance(one, Distribution) or isinstance(other, Distribution):
        raise TypeError("a distribution and a number have no sum")
    return one + other


class LogLimiter:
    """Lets one log line per key through in each interval, and tells how many it kept back.

    Args:
        logger: where the lines go.
        interval_seconds: the shortest time between two lines of one key.
        monotonic: the clock.
        limit: how many keys it remembers; further keys share one.
    """

    __slots__ = ("_interval", "_last", "_limit", "_lock", "_logger", "_monotonic")

    def __init__(
        self, logger: logging.Logger, monotonic: Callable[[], float], interval_seconds: float = 60.0, limit: int = 1000
    ) -> None:
        self._logger = logger
        self._interval = interval_seconds
        self._monotonic = monotonic
        self._limit = limit
        self._lock = threading.Lock()
        self._last: dict[str, tuple[float, int]] = {}

    def warning(self, key: str, message: str, *args: object) -> None:
        """Log a warning unless one of the same key was logged within the interval."""
        now = self._monotonic()
        with self._lock:
            if key not in self._last and len(self._last) >= self._limit:
                key = ""
            last, kept_back = self._last.get(key, (float("-inf"), 0))
            if now - last < self._interval:
                self._last[key] = (last, kept_back + 1)
                return
            self._last[key] = (now, 0)
        if kept_back:
            message = f"{message} ({kept_back} more like this since the last line)"
        self._logger.warning(message, *args)
