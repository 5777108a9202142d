"""The metrics of calls, as the conventions have them, on whatever MeterProvider the app has.

They are recorded for every call, sampled or not. A histogram record of the SDK takes longer than everything else a
hook does for a chunk, so a stream's chunks are measured by a counter and a clock and recorded once, at its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.metrics import Counter, Histogram, Meter

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm._generated.metrics import Metric
from otel_llm.operation import AttributeValue

_INFERENCE: Final = frozenset({"chat", "generate_content", "text_completion"})
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


class Instruments:
    """The instruments of one meter."""

    __slots__ = ("_counters", "_embeddings", "_first_chunk", "_inference", "_other", "_per_chunk", "_retries", "_sizes")

    def __init__(self, meter: Meter) -> None:
        self._inference = _histogram(meter, definitions.GEN_AI_CLIENT_INFERENCE_DURATION)
        self._embeddings = _histogram(meter, definitions.GEN_AI_CLIENT_EMBEDDINGS_DURATION)
        self._other = _histogram(meter, definitions.GEN_AI_CLIENT_OPERATION_DURATION)
        self._first_chunk = _histogram(meter, definitions.GEN_AI_CLIENT_INFERENCE_TIME_TO_FIRST_CHUNK)
        self._per_chunk = _histogram(meter, definitions.GEN_AI_CLIENT_INFERENCE_TIME_PER_OUTPUT_CHUNK)
        self._sizes = tuple((key, _histogram(meter, metric)) for key, metric in _SIZED)
        self._counters = tuple((key, _counter(meter, metric)) for key, metric in _COUNTED)
        self._retries = _counter(meter, definitions.OTEL_LLM_INSTRUMENTATION_RETRIES)

    def record(self, span: Mapping[str, AttributeValue], seconds: float, ambient: Mapping[str, AttributeValue]) -> None:
        """Record a call that has ended.

        Args:
            span: the attributes of its span.
            seconds: how long it took.
            ambient: further dimensions.
        """
        dimensions = {key: span[key] for key in _DIMENSIONS if key in span}
        dimensions.update(ambient)
        operation = span.get(names.GEN_AI_OPERATION_NAME)
        error = span.get(names.ERROR_TYPE)
        timed = dimensions if error is None else {**dimensions, names.ERROR_TYPE: error}
        if operation in _INFERENCE:
            self._inference.record(seconds, timed)
        elif operation == "embeddings":
            self._embeddings.record(seconds, timed)
        else:
            self._other.record(seconds, timed)
            return
        # An estimate is none of the tokens that were billed.
        if span.get(names.OTEL_LLM_USAGE_SOURCE) != "estimated":
            self._count(span, dimensions)

    def _count(self, span: Mapping[str, AttributeValue], dimensions: dict[str, AttributeValue]) -> None:
        counted = {**dimensions, names.GEN_AI_TOKEN_MODALITY: _MODALITY}
        for key, counter in self._counters:
            count = span.get(key)
            if type(count) is int and count > 0:
                counter.add(count, counted)
        for key, histogram in self._sizes:
            count = span.get(key)
            if type(count) is int and count >= 0:
                histogram.record(count, dimensions)

    def record_stream(self, span: Mapping[str, AttributeValue], first_chunk: float, per_chunk: float | None) -> None:
        """Record the pace of a stream.

        Args:
            span: the attributes of its span.
            first_chunk: seconds until its first chunk.
            per_chunk: seconds between two chunks on average, None when there was one.
        """
        dimensions = {key: span[key] for key in _DIMENSIONS if key in span}
        self._first_chunk.record(first_chunk, dimensions)
        if per_chunk is not None:
            self._per_chunk.record(per_chunk, dimensions)

    def record_retries(self, provider: str, retries: int) -> None:
        """Record attempts that an SDK made again."""
        self._retries.add(retries, {names.GEN_AI_PROVIDER_NAME: provider})


def _histogram(meter: Meter, metric: Metric) -> Histogram:
    return meter.create_histogram(
        metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.buckets
    )


def _counter(meter: Meter, metric: Metric) -> Counter:
    return meter.create_counter(metric.name, metric.unit, metric.description)
