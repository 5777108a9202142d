"""The metrics of calls, as the conventions have them, on whatever MeterProvider the app has.

They are recorded for every call, sampled or not. A histogram record of the SDK takes longer than everything else a
hook does for a chunk, so a stream's chunks are measured by a counter and a clock and recorded once, at its end.

A call that has ended is held, and recorded with a few others: in the middle of an app's work the SDK's records find
cold caches, and several in a row take less. Whoever collects metrics gets all: what is held is recorded first, in the
callback of our own counters.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from opentelemetry.context import Context, get_current
from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm._generated.metrics import Metric
from otel_llm.instrumentation.provider import Attributes
from otel_llm.operation import AttributeValue
from otel_llm.telemetry import DEFAULT_SERIES_LIMIT, OVERFLOW_KEY

INFERENCE: Final = frozenset({"chat", "generate_content", "text_completion"})
"""The operations that are inference."""
_DIMENSIONS: Final = (
    names.GEN_AI_OPERATION_NAME,
    names.GEN_AI_PROVIDER_NAME,
    names.GEN_AI_REQUEST_MODEL,
    names.GEN_AI_RESPONSE_MODEL,
    names.SERVER_ADDRESS,
    names.SERVER_PORT,
)
_COUNTED: Final = (
    (names.GEN_AI_USAGE_INPUT_TOKENS, definitions.GEN_AI_CLIENT_INFERENCE_USAGE_INPUT_TOKENS),
    (names.GEN_AI_USAGE_OUTPUT_TOKENS, definitions.GEN_AI_CLIENT_INFERENCE_USAGE_OUTPUT_TOKENS),
    (names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, definitions.GEN_AI_CLIENT_INFERENCE_USAGE_CACHE_READ_INPUT_TOKENS),
    (names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS, definitions.GEN_AI_CLIENT_INFERENCE_USAGE_CACHE_WRITE_INPUT_TOKENS),
    (names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS, definitions.GEN_AI_CLIENT_INFERENCE_USAGE_REASONING_OUTPUT_TOKENS),
)
_SIZED: Final = (
    (names.GEN_AI_USAGE_INPUT_TOKENS, definitions.GEN_AI_CLIENT_INFERENCE_OPERATION_INPUT_TOKENS),
    (names.GEN_AI_USAGE_OUTPUT_TOKENS, definitions.GEN_AI_CLIENT_INFERENCE_OPERATION_OUTPUT_TOKENS),
)
# No provider splits every count by modality, and the conventions require one.
_MODALITY: Final = "unknown"
# How many calls are held at most: the one that records them all takes a quarter of a millisecond longer.
_HELD: Final = 8
# How long a collection waits for another thread that is recording.
_WAIT_SECONDS: Final = 1.0


class _Ended(NamedTuple):
    """A call that has ended, to be recorded.

    Attributes:
        span: the attributes of its span.
        seconds: how long it took.
        ambient: further dimensions.
        pace: seconds until its first chunk, and between two on average; None for what is no stream.
        at: the context that it ended in, for exemplars.
    """

    span: Mapping[str, AttributeValue]
    seconds: float
    ambient: Mapping[str, AttributeValue]
    pace: tuple[float, float | None] | None
    at: Context


class _Series:
    """The calls that have the same dimensions.

    Attributes:
        dimensions: what they have in common.
        tokens: what was counted of them, in the order of `_COUNTED`; written by whoever records.
    """

    __slots__ = ("dimensions", "tokens")

    def __init__(self, dimensions: Attributes) -> None:
        self.dimensions = dimensions
        self.tokens = [0] * len(_COUNTED)


class Instruments:
    """The instruments of one meter. Thread-safe.

    Tokens are summed up here and observed when metrics are collected: an addition of the SDK's costs as much as all of
    a hook's reading. Series are capped; what comes after the cap is one series, so that sums stay exact.

    Args:
        meter: the app's.
        series_limit: how many combinations of dimensions there may be.
    """

    __slots__ = (
        "_embeddings",
        "_first_chunk",
        "_held",
        "_inference",
        "_other",
        "_overflow",
        "_per_chunk",
        "_recording",
        "_retries",
        "_series",
        "_series_limit",
        "_sizes",
    )

    def __init__(self, meter: Meter, series_limit: int = DEFAULT_SERIES_LIMIT) -> None:
        self._held: deque[_Ended] = deque()
        self._recording = threading.Lock()
        self._series: dict[tuple[object, ...], _Series] = {}
        self._series_limit = series_limit
        self._overflow = _Series({OVERFLOW_KEY: True})
        self._inference = histogram_of(meter, definitions.GEN_AI_CLIENT_INFERENCE_DURATION)
        self._embeddings = histogram_of(meter, definitions.GEN_AI_CLIENT_EMBEDDINGS_DURATION)
        self._other = histogram_of(meter, definitions.GEN_AI_CLIENT_OPERATION_DURATION)
        self._first_chunk = histogram_of(meter, definitions.GEN_AI_CLIENT_INFERENCE_TIME_TO_FIRST_CHUNK)
        self._per_chunk = histogram_of(meter, definitions.GEN_AI_CLIENT_INFERENCE_TIME_PER_OUTPUT_CHUNK)
        self._sizes = tuple((key, histogram_of(meter, metric)) for key, metric in _SIZED)
        for position, (_, metric) in enumerate(_COUNTED):
            observe = functools.partial(self._observe, position)
            meter.create_observable_counter(metric.name, [observe], metric.unit, metric.description)
        retries = definitions.OTEL_LLM_INSTRUMENTATION_RETRIES
        self._retries = meter.create_counter(retries.name, retries.unit, retries.description)

    def record(
        self,
        span: Mapping[str, AttributeValue],
        seconds: float,
        ambient: Mapping[str, AttributeValue],
        pace: tuple[float, float | None] | None = None,
    ) -> None:
        """Record a call that has ended, now or with those that end soon.

        Args:
            span: the attributes of its span, which no one changes any more.
            seconds: how long it took.
            ambient: further dimensions.
            pace: of a stream, seconds until its first chunk, and between two chunks on average, None when there was
                one.
        """
        self._held.append(_Ended(span, seconds, ambient, pace, get_current()))
        if len(self._held) >= _HELD:
            self.settle(wait_seconds=0)

    def settle(self, wait_seconds: float = _WAIT_SECONDS) -> None:
        """Record what is held.

        Args:
            wait_seconds: how long to wait for another thread that does. 0 where the caller may be a finalizer that
                runs within a record, on the same thread.
        """
        held = self._held
        if not self._recording.acquire(timeout=wait_seconds):
            return
        try:
            for _ in range(len(held)):  # not what other threads add meanwhile: one of them would record for all
                self._record(held.popleft())
        finally:
            self._recording.release()

    def _record(self, ended: _Ended) -> None:
        span, at = ended.span, ended.at
        series = self._series_of(span, ended.ambient)
        operation = span.get(names.GEN_AI_OPERATION_NAME)
        error = span.get(names.ERROR_TYPE)
        timed = series.dimensions if error is None else {**series.dimensions, names.ERROR_TYPE: error}
        if operation in INFERENCE:
            self._inference.record(ended.seconds, timed, at)
            self._count(span, series, at)
        elif operation == "embeddings":
            self._embeddings.record(ended.seconds, timed, at)
            self._count(span, series, at)
        else:
            self._other.record(ended.seconds, timed, at)
        if ended.pace is not None:
            first_chunk, per_chunk = ended.pace
            self._first_chunk.record(first_chunk, series.dimensions, at)
            if per_chunk is not None:
                self._per_chunk.record(per_chunk, series.dimensions, at)

    def _series_of(self, span: Mapping[str, AttributeValue], ambient: Mapping[str, AttributeValue]) -> _Series:
        key = (*map(span.get, _DIMENSIONS), *ambient.items())
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= self._series_limit:
                return self._overflow
            dimensions = {key: span[key] for key in _DIMENSIONS if key in span}
            series = self._series[key] = _Series({**dimensions, **ambient})
        return series

    def _count(self, span: Mapping[str, AttributeValue], series: _Series, at: Context) -> None:
        for position, (key, _) in enumerate(_COUNTED):
            count = span.get(key)
            if type(count) is int and count > 0:
                series.tokens[position] += count
        for key, histogram in self._sizes:
            count = span.get(key)
            if type(count) is int and count >= 0:
                histogram.record(count, series.dimensions, at)

    def _observe(self, position: int, _: CallbackOptions) -> list[Observation]:
        """The tokens of one counter, for every series that has any."""
        self.settle()
        return [
            Observation(series.tokens[position], {**series.dimensions, names.GEN_AI_TOKEN_MODALITY: _MODALITY})
            for series in (*self._series.copy().values(), self._overflow)
            if series.tokens[position]
        ]

    def forked(self) -> None:
        """This is a forked child: its parent's calls and tokens are its parent's."""
        self._recording = threading.Lock()
        self._held.clear()
        for series in (*self._series.values(), self._overflow):
            series.tokens = [0] * len(_COUNTED)

    def record_retries(self, provider: str, retries: int) -> None:
        """Record attempts that an SDK made again."""
        self._retries.add(retries, {names.GEN_AI_PROVIDER_NAME: provider})


def histogram_of(meter: Meter, metric: Metric) -> Histogram:
    """The instrument of a metric, with the buckets that the conventions give it."""
    return meter.create_histogram(
        metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.buckets
    )
