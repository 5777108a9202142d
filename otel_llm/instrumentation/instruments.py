"""The metrics of calls, as the conventions have them, on whatever MeterProvider the app has.

They are recorded for every call, sampled or not. A histogram record of the SDK takes longer than everything else a
hook does for a chunk, so a stream's chunks are measured by a counter and a clock and recorded once, at its end.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping
from typing import Final

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


class _Series:
    """The calls that have the same dimensions.

    Attributes:
        dimensions: what they have in common.
        tokens: what was counted of them, in the order of `_COUNTED`; guarded by the lock of Instruments.
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
        "_inference",
        "_lock",
        "_other",
        "_overflow",
        "_per_chunk",
        "_retries",
        "_series",
        "_series_limit",
        "_sizes",
    )

    def __init__(self, meter: Meter, series_limit: int = DEFAULT_SERIES_LIMIT) -> None:
        self._lock = threading.Lock()
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

    def record(self, span: Mapping[str, AttributeValue], seconds: float, ambient: Mapping[str, AttributeValue]) -> None:
        """Record a call that has ended.

        Args:
            span: the attributes of its span.
            seconds: how long it took.
            ambient: further dimensions.
        """
        series = self._series_of(span, ambient)
        operation = span.get(names.GEN_AI_OPERATION_NAME)
        error = span.get(names.ERROR_TYPE)
        timed = series.dimensions if error is None else {**series.dimensions, names.ERROR_TYPE: error}
        if operation in INFERENCE:
            self._inference.record(seconds, timed)
        elif operation == "embeddings":
            self._embeddings.record(seconds, timed)
        else:
            self._other.record(seconds, timed)
            return
        self._count(span, series)

    def _series_of(self, span: Mapping[str, AttributeValue], ambient: Mapping[str, AttributeValue]) -> _Series:
        key = (*map(span.get, _DIMENSIONS), *ambient.items())
        series = self._series.get(key)
        if series is None:
            with self._lock:
                if len(self._series) >= self._series_limit:
                    return self._overflow
                dimensions = {key: span[key] for key in _DIMENSIONS if key in span}
                series = self._series.setdefault(key, _Series({**dimensions, **ambient}))
        return series

    def _count(self, span: Mapping[str, AttributeValue], series: _Series) -> None:
        with self._lock:
            for position, (key, _) in enumerate(_COUNTED):
                count = span.get(key)
                if type(count) is int and count > 0:
                    series.tokens[position] += count
        for key, histogram in self._sizes:
            count = span.get(key)
            if type(count) is int and count >= 0:
                histogram.record(count, series.dimensions)

    def _observe(self, position: int, _: CallbackOptions) -> list[Observation]:
        """The tokens of one counter, for every series that has any."""
        with self._lock:
            found = [(one.dimensions, one.tokens[position]) for one in (*self._series.values(), self._overflow)]
        return [
            Observation(tokens, {**dimensions, names.GEN_AI_TOKEN_MODALITY: _MODALITY})
            for dimensions, tokens in found
            if tokens
        ]

    def forked(self) -> None:
        """This is a forked child: its parent's tokens are its parent's."""
        self._lock = threading.Lock()
        for series in (*self._series.values(), self._overflow):
            series.tokens = [0] * len(_COUNTED)

    def record_stream(
        self,
        span: Mapping[str, AttributeValue],
        first_chunk: float,
        per_chunk: float | None,
        ambient: Mapping[str, AttributeValue],
    ) -> None:
        """Record the pace of a stream.

        Args:
            span: the attributes of its span.
            first_chunk: seconds until its first chunk.
            per_chunk: seconds between two chunks on average, None when there was one.
            ambient: further dimensions.
        """
        dimensions = self._series_of(span, ambient).dimensions
        self._first_chunk.record(first_chunk, dimensions)
        if per_chunk is not None:
            self._per_chunk.record(per_chunk, dimensions)

    def record_retries(self, provider: str, retries: int) -> None:
        """Record attempts that an SDK made again."""
        self._retries.add(retries, {names.GEN_AI_PROVIDER_NAME: provider})


def histogram_of(meter: Meter, metric: Metric) -> Histogram:
    """The instrument of a metric, with the buckets that the conventions give it."""
    return meter.create_histogram(
        metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.buckets
    )
