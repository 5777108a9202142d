"""One GenAI operation as the ledger keeps it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias, get_args

from otel_llm._generated import attributes as keys
from otel_llm._generated.attributes import OtelLlmCostMeter
from otel_llm.cost.money import to_pico
from otel_llm.operation import AttributeValue, Operation

# What no operation uses. Such a number is a mistake or an attack, and would make sums overflow.
_MAX_TOKENS: Final = 10**12
_INT64_MAX: Final = 2**63 - 1

# Names may be absurd; a row stays small.
_TEXT_CHARACTERS: Final = 256

# Who an operation belongs to has no agreed names yet: the first of these keys that is there, on the span or else on its
# resource. A user may set others.
OWNERSHIP_KEYS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "owner": (keys.OTEL_LLM_OWNER_NAME, "service.owner", "team"),
        "tenant": (keys.OTEL_LLM_TENANT_ID, "tenant.id", "tenant"),
        "user": (keys.USER_ID, "enduser.id"),
        "feature": (keys.OTEL_LLM_FEATURE_NAME, "feature.name", "feature"),
    }
)

_STATUSES: Final = {1: "ok", 2: "error"}

_Value: TypeAlias = str | int | float | bytes | None


class Row(NamedTuple):
    """One operation; the fields are the table's columns, in order. None is unknown.

    A tuple, because that is what SQLite takes and gives: making 50 fields one by one would cost more than writing them.

    Attributes:
        trace_id, span_id: what identifies it.
        parent_span_id: None for a root.
        start_unix_nano: 0 when the sender did not say.
        duration_nano: None when start or end is missing or they are the wrong way round.
        service, environment: from the resource.
        owner, tenant, user, feature: see OWNERSHIP_KEYS.
        operation, provider, request_model, response_model, response_id, conversation_id: as the conventions name them.
        input_tokens, output_tokens: all of them; the three that follow are parts of these.
        usage_source: `provider` or `estimated`.
        cost_status, cost_reason: whether it is priced, and why not.
        cost_currency: ISO 4217.
        cost_total: in 1e-12 currency units; the columns that follow are its parts by meter and sum to it.
        cost_source, price_version: where the prices are from.
        is_cost_estimated: 1 when it rests on estimated usage, 0 when not.
        status: `ok` or `error`; None when the span does not say.
        error_type: the error's class.
        time_to_first_chunk_seconds: of a streamed response.
        verdict: of the policy.
        quality_flags: comma-separated.
        prompt_name, prompt_version: of the template used.
        dialect: the convention the span was written in.
    """

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes | None
    start_unix_nano: int
    duration_nano: int | None
    service: str | None
    environment: str | None
    owner: str | None
    tenant: str | None
    user: str | None
    feature: str | None
    operation: str | None
    provider: str | None
    request_model: str | None
    response_model: str | None
    response_id: str | None
    conversation_id: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    usage_source: str | None
    cost_status: str | None
    cost_reason: str | None
    cost_currency: str | None
    cost_total: int | None
    cost_input: int | None
    cost_output: int | None
    cost_cache_read: int | None
    cost_cache_write: int | None
    cost_input_audio: int | None
    cost_output_audio: int | None
    cost_input_image: int | None
    cost_output_image: int | None
    cost_web_search: int | None
    cost_request: int | None
    cost_other: int | None
    cost_source: str | None
    price_version: str | None
    is_cost_estimated: int | None
    status: str | None
    error_type: str | None
    time_to_first_chunk_seconds: float | None
    verdict: str | None
    quality_flags: str | None
    prompt_name: str | None
    prompt_version: str | None
    dialect: str | None

    @property
    def model(self) -> str | None:
        """The model that answered, or else the one that was asked for."""
        return self.response_model or self.request_model

    @property
    def cost(self) -> Decimal | None:
        """The total in currency units, exact; None when unknown."""
        return None if self.cost_total is None else to_units(self.cost_total)


COLUMNS: Final = Row._fields


def to_units(pico: int) -> Decimal:
    """An amount of 1e-12 units in units, exact."""
    return Decimal(pico).scaleb(-12)


def row_of(operation: Operation, ownership: Mapping[str, Sequence[str]] = OWNERSHIP_KEYS) -> Row | None:
    """The row of an operation; None when it has no ids to know it by.

    Args:
        operation: after all processors.
        ownership: keys for owner, tenant, user and feature.
    """
    if not operation.trace_id or not operation.span_id:
        return None
    values: list[_Value] = [None] * len(COLUMNS)
    get, resource, present = operation.get, operation.resource, operation.keys()
    for key in present & _READERS.keys():
        column, read = _READERS[key]
        values[column] = read(get(key))
    for name, names in ownership.items():
        values[_INDEX[name]] = _first(operation, present, names)
    values[:5] = (
        operation.trace_id,
        operation.span_id,
        operation.parent_span_id or None,
        min(operation.start_unix_nano, _INT64_MAX),
        _duration(operation),
    )
    values[_SERVICE] = _text(resource.get(keys.SERVICE_NAME))
    environment = resource.get(keys.DEPLOYMENT_ENVIRONMENT_NAME) or resource.get("deployment.environment")
    values[_ENVIRONMENT] = _text(environment)
    values[_STATUS] = _STATUSES.get(operation.status_code)
    return Row._make(values)


def _first(operation: Operation, present: frozenset[str], names: Sequence[str]) -> str | None:
    """The first of these attributes that is a name, on the span or else on its resource."""
    resource = operation.resource
    for name in names:
        if name in present and (text := _text(operation.get(name))) is not None:
            return text
    for name in names:
        if name in resource and (text := _text(resource[name])) is not None:
            return text
    return None


def _text(value: AttributeValue) -> str | None:
    """A name; numbers are names too, nothing and empty are none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        return None
    text = value[:_TEXT_CHARACTERS]
    # SQLite takes only what UTF-8 can hold.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _list(value: AttributeValue) -> str | None:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return _text(value)
    return _text(",".join(item for item in value if isinstance(item, str)))


def _tokens(value: AttributeValue) -> int | None:
    return value if type(value) is int and 0 <= value <= _MAX_TOKENS else None


def _flag(value: AttributeValue) -> int | None:
    return int(value) if isinstance(value, bool) else None


def _seconds(value: AttributeValue) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return float(value)


def _duration(operation: Operation) -> int | None:
    start, end = operation.start_unix_nano, operation.end_unix_nano
    return min(end - start, _INT64_MAX) if 0 < start <= end else None


_INDEX: Final = {name: index for index, name in enumerate(COLUMNS)}
_SERVICE: Final = _INDEX["service"]
_ENVIRONMENT: Final = _INDEX["environment"]
_STATUS: Final = _INDEX["status"]

_AMOUNTS: Final = ("total", *get_args(OtelLlmCostMeter))
_COLUMN_OF_KEY: Final[Mapping[str, tuple[str, Callable[[AttributeValue], _Value]]]] = {
    keys.GEN_AI_OPERATION_NAME: ("operation", _text),
    keys.GEN_AI_PROVIDER_NAME: ("provider", _text),
    keys.GEN_AI_REQUEST_MODEL: ("request_model", _text),
    keys.GEN_AI_RESPONSE_MODEL: ("response_model", _text),
    keys.GEN_AI_RESPONSE_ID: ("response_id", _text),
    keys.GEN_AI_CONVERSATION_ID: ("conversation_id", _text),
    keys.GEN_AI_USAGE_INPUT_TOKENS: ("input_tokens", _tokens),
    keys.GEN_AI_USAGE_OUTPUT_TOKENS: ("output_tokens", _tokens),
    keys.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: ("cache_read_tokens", _tokens),
    keys.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS: ("cache_write_tokens", _tokens),
    keys.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: ("reasoning_tokens", _tokens),
    keys.OTEL_LLM_USAGE_SOURCE: ("usage_source", _text),
    keys.OTEL_LLM_COST_STATUS: ("cost_status", _text),
    keys.OTEL_LLM_COST_REASON: ("cost_reason", _text),
    keys.OTEL_LLM_COST_CURRENCY: ("cost_currency", _text),
    **{f"otel_llm.cost.{name}": (f"cost_{name}", to_pico) for name in _AMOUNTS},
    keys.OTEL_LLM_COST_SOURCE: ("cost_source", _text),
    keys.OTEL_LLM_COST_PRICE_VERSION: ("price_version", _text),
    keys.OTEL_LLM_COST_ESTIMATED: ("is_cost_estimated", _flag),
    keys.ERROR_TYPE: ("error_type", _text),
    keys.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: ("time_to_first_chunk_seconds", _seconds),
    keys.OTEL_LLM_POLICY_VERDICT_TYPE: ("verdict", _text),
    keys.OTEL_LLM_QUALITY_FLAGS: ("quality_flags", _list),
    keys.GEN_AI_PROMPT_NAME: ("prompt_name", _text),
    keys.GEN_AI_PROMPT_VERSION: ("prompt_version", _text),
    keys.OTEL_LLM_DIALECT: ("dialect", _text),
}
# Only what a span has is read: reading each column's key from each span would take three times as long.
_READERS: Final = {key: (_INDEX[column], read) for key, (column, read) in _COLUMN_OF_KEY.items()}
