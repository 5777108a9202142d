"""The metrics processor: token, duration and cost metrics from the operations that pass, before any sampling.

Each operation is counted once: spans that repeat the usage of another one are left out, and so is a span that comes
again, or that another otel_llm before this one has priced and counted already. Of calls that hooks in an app report
and price, the cost is counted and no more: the hooks have counted the rest. Series are capped; what comes after the cap
goes to the overflow series, so that totals stay exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, get_args

import msgspec

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm._generated.attributes import OtelLlmCostMeter
from otel_llm._generated.metrics import Metric
from otel_llm.components import Context
from otel_llm.cost.usage import MAXIMUM_QUANTITY
from otel_llm.ledger.row import OWNERSHIP_KEYS
from otel_llm.operation import Operation
from otel_llm.processors.seen import SeenSpans
from otel_llm.processors.uncounted import is_left_to, take
from otel_llm.telemetry import Counter, Histogram

_NANO: Final = 1e9
_VALUE_LENGTH_LIMIT: Final = 128
_ERROR_STATUS: Final = 2
# The scope of spans that our hooks make.
_HOOKS: Final = "otel_llm.instrumentation"
_INFERENCE: Final = frozenset({"chat", "generate_content", "text_completion"})
_CLIENT: Final = frozenset(
    {
        "embeddings",
        "retrieval",
        "rerank",
        "fetch_response",
        "create_agent",
        "image_generation",
        "speech",
        "transcription",
    }
)

# The dimensions every derived metric has.
_DIMENSIONS: Final = (
    names.GEN_AI_OPERATION_NAME,
    names.GEN_AI_PROVIDER_NAME,
    names.GEN_AI_REQUEST_MODEL,
    names.GEN_AI_RESPONSE_MODEL,
    names.SERVICE_NAME,
)
_TOKENS: Final = (
    (names.GEN_AI_USAGE_INPUT_TOKENS, definitions.GEN_AI_CLIENT_INFERENCE_USAGE_INPUT_TOKENS),
    (names.GEN_AI_USAGE_OUTPUT_TOKENS, definitions.GEN_AI_CLIENT_INFERENCE_USAGE_OUTPUT_TOKENS),
    (names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, definitions.GEN_AI_CLIENT_INFERENCE_USAGE_CACHE_READ_INPUT_TOKENS),
    (names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS, definitions.GEN_AI_CLIENT_INFERENCE_USAGE_CACHE_WRITE_INPUT_TOKENS),
    (names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS, definitions.GEN_AI_CLIENT_INFERENCE_USAGE_REASONING_OUTPUT_TOKENS),
)
_SIZES: Final = (
    (names.GEN_AI_USAGE_INPUT_TOKENS, definitions.GEN_AI_CLIENT_INFERENCE_OPERATION_INPUT_TOKENS),
    (names.GEN_AI_USAGE_OUTPUT_TOKENS, definitions.GEN_AI_CLIENT_INFERENCE_OPERATION_OUTPUT_TOKENS),
)
# Keys of ownership -> all names that it is looked for by, that key first.
_SYNONYMS: Final = {synonyms[0]: synonyms for synonyms in OWNERSHIP_KEYS.values()}
_METERS: Final[tuple[str, ...]] = get_args(OtelLlmCostMeter)


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Derives token, duration and cost metrics from operations."""

    dimensions: tuple[str, ...] = ()
    """Further attributes of the span or its resource to tell series apart by, e.g. `deployment.environment.name`.
    Each value makes new series: keep ids of users and requests out. `otel_llm.owner.name`, `otel_llm.feature.name` and
    `otel_llm.tenant.id` are read from the other names that the ledger knows for them, too, such as `service.owner`."""

    series_limit: Annotated[int, msgspec.Meta(ge=1)] = 2000
    """How many series one metric may have; the rest is summed up in one series with `otel.metric.overflow`."""

    count_already_priced: bool = False
    """Whether to count spans that came with a cost. Leave it off behind a gateway that derives metrics too. Of those
    that hooks in an app have priced, the cost is counted in any case; with this, tokens and durations as well, which
    the hooks send metrics of themselves."""

    remembered_spans: Annotated[int, msgspec.Meta(ge=0)] = 100_000
    """How many spans are remembered at least to count each of them once when senders retry, twice as many at most;
    some 150 bytes each."""


class DerivedMetrics:
    """Counts operations.

    Args:
        config: the user's settings.
        context: name and the store for the metrics.
    """

    reads = frozenset(
        {
            *_DIMENSIONS[:-1],
            *(key for key, _ in _TOKENS),
            *(f"otel_llm.cost.{meter}" for meter in _METERS),
            names.OTEL_LLM_COST_STATUS,
            names.OTEL_LLM_COST_CURRENCY,
            names.ERROR_TYPE,
            names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK,
        }
    )
    writes: frozenset[str] = frozenset({names.OTEL_LLM_COST_UNCOUNTED})

    def __init__(self, config: Config, context: Context) -> None:
        self.name = context.name
        self._config = config
        self._context = context
        self._keys = (*_DIMENSIONS, *config.dimensions)
        self._dimension_keys = tuple(_SYNONYMS.get(key, (key,)) for key in config.dimensions)
        self._seen = SeenSpans(config.remembered_spans)
        self._inference = self._histogram(definitions.GEN_AI_CLIENT_INFERENCE_DURATION, names.ERROR_TYPE)
        self._other = self._histogram(definitions.GEN_AI_CLIENT_OPERATION_DURATION, names.ERROR_TYPE)
        self._first_chunk = self._histogram(definitions.GEN_AI_CLIENT_INFERENCE_TIME_TO_FIRST_CHUNK)
        self._tokens = [(key, self._counter(metric, names.GEN_AI_TOKEN_MODALITY)) for key, metric in _TOKENS]
        self._sizes = [(key, self._histogram(metric)) for key, metric in _SIZES]
        self._cost = self._counter(
            definitions.OTEL_LLM_COST_USAGE, names.OTEL_LLM_COST_CURRENCY, names.OTEL_LLM_COST_METER
        )

    def _counter(self, metric: Metric, *keys: str) -> Counter:
        return self._context.metrics.counter(metric, (*self._keys, *keys), self._config.series_limit)

    def _histogram(self, metric: Metric, *keys: str) -> Histogram:
        return self._context.metrics.histogram(metric, (*self._keys, *keys), self._config.series_limit)

    def process(self, operations: Iterable[Operation]) -> None:
        """Count what is to be counted."""
        for operation in operations:
            if self._counts(operation):
                if is_left_to(operation, "metrics"):
                    take(operation, "metrics")
                    counts_all = self._config.count_already_priced or operation.scope_name != _HOOKS
                    self._count(operation, only_cost=not counts_all)
                else:
                    self._count(operation)

    def _counts(self, operation: Operation) -> bool:
        name = operation.operation_name
        if name not in _INFERENCE and name not in _CLIENT:
            return False
        status = operation.get(names.OTEL_LLM_COST_STATUS)
        if status == "not_billable" and operation.get(names.OTEL_LLM_COST_REASON) == "duplicate":
            return False
        if status is not None and not operation.was_set(names.OTEL_LLM_COST_STATUS):
            is_left = is_left_to(operation, "metrics") or self._config.count_already_priced
            return is_left and self._seen.is_new(operation)
        return self._seen.is_new(operation)

    def _count(self, operation: Operation, *, only_cost: bool = False) -> None:
        dimensions = self._dimensions(operation)
        if not only_cost:
            self._time(operation, dimensions)
            if operation.operation_name in _INFERENCE or operation.operation_name == "embeddings":
                self._count_tokens(operation, dimensions)
        currency = operation.text(names.OTEL_LLM_COST_CURRENCY)
        if currency is not None:
            for meter in _METERS:
                amount = operation.get(f"otel_llm.cost.{meter}")
                if type(amount) is float and amount > 0:
                    self._cost.add(amount, *dimensions, currency, meter)

    def _count_tokens(self, operation: Operation, dimensions: tuple[str, ...]) -> None:
        for key, counter in self._tokens:
            count = operation.get(key)
            if type(count) is int and 0 < count <= MAXIMUM_QUANTITY:
                counter.add(count, *dimensions, "unknown")
        for key, histogram in self._sizes:
            count = operation.get(key)
            if type(count) is int and 0 <= count <= MAXIMUM_QUANTITY:
                histogram.record(count, *dimensions)

    def _time(self, operation: Operation, dimensions: tuple[str, ...]) -> None:
        seconds = (operation.end_unix_nano - operation.start_unix_nano) / _NANO
        if operation.start_unix_nano and seconds >= 0:  # a skewed clock is no duration
            error = operation.text(names.ERROR_TYPE) or ("_OTHER" if operation.status_code == _ERROR_STATUS else "")
            histogram = self._inference if operation.operation_name in _INFERENCE else self._other
            histogram.record(seconds, *dimensions, error)
        first = operation.get(names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK)
        if type(first) is float and first >= 0:
            self._first_chunk.record(first, *dimensions)

    def _dimensions(self, operation: Operation) -> tuple[str, ...]:
        service = operation.resource.get(names.SERVICE_NAME)
        values: list[object] = [operation.text(key) for key in _DIMENSIONS[:-1]]
        values.append(service)
        values.extend(_first(operation, synonyms) for synonyms in self._dimension_keys)
        return tuple("" if value is None else str(value)[:_VALUE_LENGTH_LIMIT] for value in values)


def _first(operation: Operation, keys: tuple[str, ...]) -> object:
    """The first of these attributes that is there, on the span or else on its resource."""
    for source in (operation.get, operation.resource.get):
        for key in keys:
            value = source(key)
            if value is not None and value != "":
                return value
    return None


def create(config: Config, context: Context) -> DerivedMetrics:
    """The processor."""
    return DerivedMetrics(config, context)
