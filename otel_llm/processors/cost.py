"""The cost processor: what each model call cost, or why that is not known.

Adds `otel_llm.cost.*` to the spans of billed calls: inference and embeddings, once per call over the wire. Spans that
only repeat the usage of calls below them say so (`not_billable`) and never carry an amount.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, cast, get_args

import msgspec

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm._generated.attributes import OtelLlmCostMeter
from otel_llm.clock import Clock
from otel_llm.components import Context
from otel_llm.cost import Catalogue, OverlayError, Quote, Usage, estimate_tokens
from otel_llm.cost.money import ATTO
from otel_llm.cost.quote import Basis
from otel_llm.cost.wire_calls import UNIQUE_ID_LENGTH, Report, WireCalls
from otel_llm.errors import ConfigError
from otel_llm.operation import AttributeValue, Message, Operation

_logger = logging.getLogger(__name__)

# Operations whose usage is billed: each is one model call. The rest repeat their children's usage, or have none.
BILLED_OPERATIONS: Final = frozenset(
    {
        "chat",
        "generate_content",
        "text_completion",
        "embeddings",
        "rerank",
        "image_generation",
        "speech",
        "transcription",
    }
)
_ERROR_STATUS: Final = 2
_MOST_CONSTANTS: Final = 4096
# Model names come from traffic; a metric is no place for a long one.
_MODEL_LENGTH_LIMIT: Final = 128

# Quantities that few calls have, and the field of Usage each one is.
_RARE_USAGE: Final = {
    names.OTEL_LLM_USAGE_WEB_SEARCHES: "web_searches",
    names.OTEL_LLM_USAGE_AUDIO_SECONDS: "audio_seconds",
    names.OTEL_LLM_USAGE_IMAGES: "images",
    names.GEN_AI_USAGE_AUDIO_INPUT_TOKENS: "input_audio",
    names.GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS: "output_audio",
    names.GEN_AI_USAGE_AUDIO_CACHE_READ_INPUT_TOKENS: "cache_read_audio",
    names.GEN_AI_USAGE_IMAGE_INPUT_TOKENS: "input_image",
    names.GEN_AI_USAGE_IMAGE_OUTPUT_TOKENS: "output_image",
    names.GEN_AI_USAGE_IMAGE_CACHE_READ_INPUT_TOKENS: "cache_read_image",
}
_RARE_KEYS: Final = frozenset(_RARE_USAGE)
# In the order of `Usage.text`.
_ESTIMATE_KEYS: Final = (names.OTEL_LLM_USAGE_ESTIMATED_INPUT_TOKENS, names.OTEL_LLM_USAGE_ESTIMATED_OUTPUT_TOKENS)
_ESTIMATES: Final = frozenset(_ESTIMATE_KEYS)
_PROVIDER_AMOUNT: Final = "gen_ai.usage.cost.amount"
_PROVIDER_SOURCE: Final = "gen_ai.usage.cost.source"
_PROVIDER_CURRENCY: Final = "gen_ai.usage.cost.currency"

_COST_KEYS: Final[Mapping[str, str]] = {meter: f"otel_llm.cost.{meter}" for meter in get_args(OtelLlmCostMeter)}


# A call with its usage, and whether that is an estimate of ours.
_Call = tuple[Operation, Usage | None, bool]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices every model call by its date."""

    prices: tuple[str, ...] = ()
    """Paths of YAML files with the user's own prices: aliases of deployments, negotiated rates, discounts, self-hosted
    models, currency. Later files win. See docs/prices.md."""

    estimate_missing_usage: bool = True
    """Whether to estimate the tokens of a call that reports none from its messages, when content is captured. Estimates
    are marked and never put in place of `gen_ai.usage.*`."""

    existing: Literal["keep", "replace"] = "keep"
    """What to do with a cost that an otel_llm before this one has added: `keep` it, or `replace` it."""

    remembered_calls: Annotated[int, msgspec.Meta(ge=0)] = 50_000
    """How many calls are remembered at least to bill each of them once, twice as many at most; some 400 bytes each."""


class Cost:
    """Adds cost to operations.

    Args:
        config: the user's settings.
        catalogue: the prices.
        context: name and metrics.
    """

    reads = frozenset(
        {
            *_RARE_USAGE,
            names.OTEL_LLM_USAGE_CACHE_WRITE_1H_INPUT_TOKENS,
            names.GEN_AI_OPERATION_NAME,
            names.GEN_AI_PROVIDER_NAME,
            names.GEN_AI_REQUEST_MODEL,
            names.GEN_AI_RESPONSE_MODEL,
            names.GEN_AI_RESPONSE_ID,
            names.GEN_AI_USAGE_INPUT_TOKENS,
            names.GEN_AI_USAGE_OUTPUT_TOKENS,
            names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
            names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS,
            names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
            names.GEN_AI_INPUT_MESSAGES,
            names.GEN_AI_OUTPUT_MESSAGES,
            names.GEN_AI_SYSTEM_INSTRUCTIONS,
            names.GEN_AI_TOOL_DEFINITIONS,
            names.OPENAI_RESPONSE_SERVICE_TIER,
            names.OTEL_LLM_USAGE_SERVICE_TIER,
            names.OTEL_LLM_USAGE_PROCESSING,
            names.OTEL_LLM_USAGE_SOURCE,
            names.SERVER_ADDRESS,
        }
    )
    writes = frozenset(
        {
            *_COST_KEYS.values(),
            names.OTEL_LLM_COST_TOTAL,
            names.OTEL_LLM_COST_CURRENCY,
            names.OTEL_LLM_COST_STATUS,
            names.OTEL_LLM_COST_REASON,
            names.OTEL_LLM_COST_SOURCE,
            names.OTEL_LLM_COST_MODEL_MATCHED,
            names.OTEL_LLM_COST_MODEL_RULE,
            names.OTEL_LLM_COST_PRICE_VERSION,
            names.OTEL_LLM_COST_ESTIMATED,
            names.OTEL_LLM_USAGE_SOURCE,
            names.OTEL_LLM_USAGE_ESTIMATED_INPUT_TOKENS,
            names.OTEL_LLM_USAGE_ESTIMATED_OUTPUT_TOKENS,
        }
    )

    def __init__(self, config: Config, catalogue: Catalogue, context: Context) -> None:
        self.name = context.name
        self._estimate = config.estimate_missing_usage
        self._replace = config.existing == "replace"
        self._catalogue = catalogue
        self._wire_calls = WireCalls(config.remembered_calls)
        # What calls priced from one basis have in common, by its id; the basis is kept, so that no other gets the id.
        self._constants: dict[int, tuple[Basis, dict[str, AttributeValue]]] = {}
        context.metrics.gauge(
            definitions.OTEL_LLM_COST_CATALOGUE_AGE,
            [names.OTEL_LLM_COST_PRICE_VERSION],
            lambda: {(catalogue.version,): _age_seconds(catalogue.as_of, context.clock)},
            alone=True,
        )
        self._unpriced = context.metrics.counter(
            definitions.OTEL_LLM_COST_UNPRICED_CALLS,
            [
                names.OTEL_LLM_COST_STATUS,
                names.OTEL_LLM_COST_REASON,
                names.GEN_AI_OPERATION_NAME,
                names.GEN_AI_PROVIDER_NAME,
                names.GEN_AI_REQUEST_MODEL,
            ],
        )

    def process(self, operations: Iterable[Operation]) -> None:
        """Price the billed ones, mark the others that report usage."""
        calls: list[_Call] = []
        is_complete = False
        try:
            for operation in operations:
                call = self._usage_to_bill(operation)
                if call is not None:
                    calls.append(call)
            is_complete = True
        finally:
            if not is_complete:  # the pipeline goes on behind the one that failed, and does not come back to these
                for (operation, usage, is_estimated), is_billed in self._settle(calls):
                    self._bill(operation, usage, is_estimated=is_estimated, is_billed=is_billed)
        decisions = iter(self._settle(calls))
        decision = next(decisions, None)
        # Through the operations again and not the calls, for the pipeline to see which one fails.
        for operation in operations:
            if decision is None or decision[0][0] is not operation:
                continue
            (_, usage, is_estimated), is_billed = decision
            decision = next(decisions, None)
            self._bill(operation, usage, is_estimated=is_estimated, is_billed=is_billed)

    def _settle(self, calls: list[_Call]) -> list[tuple[_Call, bool]]:
        """Each call with whether it is the billed report of it."""
        settled = self._wire_calls.settle([_report(operation, usage) for operation, usage, _ in calls])
        return list(zip(calls, settled, strict=True))

    def _bill(self, operation: Operation, usage: Usage | None, *, is_estimated: bool, is_billed: bool) -> None:
        if not is_billed:
            _not_billable(operation, "duplicate")
        elif usage is None:
            self._unpriced_because(operation, "no_usage")
        else:
            self._price(operation, usage, is_estimated=is_estimated)

    def _usage_to_bill(self, operation: Operation) -> _Call | None:
        """The operation with its usage and whether that is an estimate; None, marked, when it is not to be billed."""
        if operation.get(names.OTEL_LLM_COST_STATUS) is not None and not self._clear(operation):
            return None
        usage = read_usage(operation)
        if operation.text(names.GEN_AI_OPERATION_NAME) not in BILLED_OPERATIONS:
            if usage is not None:
                _not_billable(operation, "aggregate")
            return None
        if self._estimate and not _ESTIMATES.isdisjoint(operation.keys()):
            return operation, with_estimates(operation, usage), True
        if usage is not None:
            return operation, usage, False
        if operation.status_code == _ERROR_STATUS:
            _not_billable(operation, "failed")
            return None
        return operation, estimate_usage(operation) if self._estimate else None, True

    def _clear(self, operation: Operation) -> bool:
        """Remove an earlier cost, if that is wanted; whether it was."""
        if self._replace:
            for key in (self.writes - _ESTIMATES) & operation.keys():  # estimates may be the instrumentation's
                operation.remove(key)
        return self._replace

    def _unpriced_because(self, operation: Operation, reason: str) -> None:
        operation.set(names.OTEL_LLM_COST_STATUS, "unpriced")
        operation.set(names.OTEL_LLM_COST_REASON, reason)
        model = (operation.request_model or operation.response_model or "")[:_MODEL_LENGTH_LIMIT]
        self._unpriced.add(1, "unpriced", reason, operation.operation_name or "", operation.provider_name or "", model)

    def _price(self, operation: Operation, usage: Usage, *, is_estimated: bool) -> None:
        quote = quote_of(self._catalogue, operation, usage)
        # Some instrumentations report an estimate of their own as if it were usage; normalising has marked it.
        is_guess = is_estimated or operation.get(names.OTEL_LLM_USAGE_SOURCE) == "estimated"
        if quote.total is None:
            self._unpriced_because(operation, str(quote.reason))
            operation.set(names.OTEL_LLM_USAGE_SOURCE, "estimated" if is_guess else "provider")
        else:
            operation.update(self._priced(quote))
            if is_guess:
                operation.set(names.OTEL_LLM_USAGE_SOURCE, "estimated")
                operation.set(names.OTEL_LLM_COST_ESTIMATED, value=True)
        if is_estimated and _ESTIMATES.isdisjoint(operation.keys()):
            operation.set(names.OTEL_LLM_USAGE_ESTIMATED_INPUT_TOKENS, usage.input_tokens)
            operation.set(names.OTEL_LLM_USAGE_ESTIMATED_OUTPUT_TOKENS, usage.output_tokens)

    def _priced(self, quote: Quote) -> dict[str, AttributeValue]:
        """The attributes of a quote with a total."""
        added = self._constants_of(quote).copy()
        added[names.OTEL_LLM_COST_TOTAL] = quote.total_float
        for meter, attos in quote.amounts.items():
            added[_COST_KEYS[meter]] = attos / ATTO
        return added

    def _constants_of(self, quote: Quote) -> dict[str, AttributeValue]:
        basis = quote.basis
        known = self._constants.get(id(basis))
        if known is not None and quote.reason is None and quote.is_quick:
            return known[1]
        constants: dict[str, AttributeValue] = {
            names.OTEL_LLM_COST_CURRENCY: quote.currency,
            names.OTEL_LLM_COST_STATUS: quote.status,
            names.OTEL_LLM_COST_SOURCE: quote.source,
            names.OTEL_LLM_COST_PRICE_VERSION: quote.price_version,
            names.OTEL_LLM_USAGE_SOURCE: "provider",
        }
        if quote.model_matched is not None:
            constants[names.OTEL_LLM_COST_MODEL_MATCHED] = f"{quote.provider_matched}/{quote.model_matched}"
            constants[names.OTEL_LLM_COST_MODEL_RULE] = quote.rule
        if quote.reason is not None:
            constants[names.OTEL_LLM_COST_REASON] = quote.reason
        elif quote.is_quick:
            if len(self._constants) >= _MOST_CONSTANTS:
                self._constants = {}
            self._constants[id(basis)] = (basis, constants)
        return constants


def quote_of(catalogue: Catalogue, operation: Operation, usage: Usage) -> Quote:
    """What an operation costs that has used this."""
    text = operation.text
    model = text(names.GEN_AI_RESPONSE_MODEL)
    keys = operation.keys()
    return catalogue.quote(
        text(names.GEN_AI_PROVIDER_NAME),
        model,
        usage,
        operation.start_unix_nano,
        text(names.OTEL_LLM_USAGE_PROCESSING) if names.OTEL_LLM_USAGE_PROCESSING in keys else None,
        text(names.OPENAI_RESPONSE_SERVICE_TIER) or text(names.OTEL_LLM_USAGE_SERVICE_TIER),
        text(names.SERVER_ADDRESS),
        text(names.GEN_AI_REQUEST_MODEL) if model is None else None,
    )


def _age_seconds(as_of: str, clock: Clock) -> float:
    """The time since the end of the day (UTC) of the newest price; not below 0."""
    compiled = datetime.fromisoformat(as_of).replace(tzinfo=UTC) + timedelta(days=1)
    return max(0.0, clock.unix_nano() / 1e9 - compiled.timestamp())


def _not_billable(operation: Operation, reason: str) -> None:
    operation.set(names.OTEL_LLM_COST_STATUS, "not_billable")
    operation.set(names.OTEL_LLM_COST_REASON, reason)


def _report(operation: Operation, usage: Usage | None) -> Report:
    response_id = operation.text(names.GEN_AI_RESPONSE_ID)
    return Report(
        *operation.identity,
        response_id,
        operation.start_unix_nano,
        operation.end_unix_nano,
        -1 if usage is None else 6 - usage.text.count(None) + (usage.other is not None),
        # Only times beside a response id that is not unique are compared.
        _clock_of(operation) if response_id is not None and len(response_id) < UNIQUE_ID_LENGTH else None,
    )


def _clock_of(operation: Operation) -> tuple[AttributeValue, ...] | None:
    """What tells the process that made the span from others: all reports of one call by one process have it."""
    get = operation.resource.get
    process = (get("service.name"), get("service.instance.id"), get("host.name"), get("process.pid"))
    return None if process.count(None) == len(process) else process


def read_usage(operation: Operation) -> Usage | None:
    """What an operation reports to have used; None when it reports nothing.

    Values that are not counts are passed on as they are: the catalogue refuses them by name (`invalid_usage`), where
    leaving them out would make the call look cheaper.
    """
    get = operation.get
    text = (
        get(names.GEN_AI_USAGE_INPUT_TOKENS),
        get(names.GEN_AI_USAGE_OUTPUT_TOKENS),
        get(names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS),
        get(names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS),
        get(names.OTEL_LLM_USAGE_CACHE_WRITE_1H_INPUT_TOKENS),
        get(names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS),
    )
    keys = operation.keys()
    rare: dict[str, AttributeValue] = {}
    if not _RARE_KEYS.isdisjoint(keys):
        rare = {field: get(key) for key, field in _RARE_USAGE.items() if key in keys}
    if _PROVIDER_AMOUNT in keys and get(_PROVIDER_SOURCE) == "provider" and get(_PROVIDER_CURRENCY) in ("USD", None):
        rare["provider_cost"] = get(_PROVIDER_AMOUNT)
    if not rare and text.count(None) == len(text):
        return None
    # Whatever these are, the catalogue checks them.
    return Usage(*cast("tuple[int, ...]", text), **cast("dict[str, int]", rare))


def with_estimates(operation: Operation, usage: Usage | None) -> Usage:
    """Usage completed with the tokens that the instrumentation estimated: of a stream that nobody read to its end, say.

    The provider's own counts stay where they are larger. What else was reported is left out: it is of no use without
    whole counts.
    """
    sent, received = (operation.get(key) for key in _ESTIMATE_KEYS)
    reported = usage.text if usage is not None else (None,) * 6
    return Usage(_larger(reported[0], sent), _larger(reported[1], received), *reported[2:])


def _larger(reported: int | None, estimated: AttributeValue) -> int | None:
    if type(estimated) is not int or estimated < 0:
        return reported
    return estimated if type(reported) is not int or reported < estimated else reported


def estimate_usage(operation: Operation) -> Usage | None:
    """Tokens counted from the messages by a rule of thumb; None when no content was captured."""
    sent = _texts(operation.input_messages)
    received = _texts(operation.output_messages)
    if not sent and not received:
        return None
    for key in (names.GEN_AI_SYSTEM_INSTRUCTIONS, names.GEN_AI_TOOL_DEFINITIONS):
        value = operation.get(key)
        if isinstance(value, str):
            sent.append(value)
    return Usage(sum(map(estimate_tokens, sent)), sum(map(estimate_tokens, received)))


def _texts(messages: Iterable[Message]) -> list[str]:
    """The texts of messages that a model reads or writes: media are left out, as nobody can tell their tokens."""
    texts = []
    for message in messages:
        parts = message.get("parts")
        for part in parts if isinstance(parts, Sequence) else ():
            if isinstance(part, Mapping):
                texts += [
                    _as_text(part[key]) for key in ("content", "name", "arguments", "response") if _is_read(part, key)
                ]
    return texts


def _is_read(part: Mapping[str, object], key: str) -> bool:
    return key in part and part.get("type") not in ("blob", "file", "uri")


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def create(config: Config, context: Context) -> Cost:
    """The processor with the prices that its configuration names.

    Raises:
        ConfigError: a price file cannot be read, or has problems.
    """
    return Cost(config, load_catalogue(config.prices, f"processors.{context.name}.prices"), context)


def load_catalogue(prices: Sequence[str], setting: str) -> Catalogue:
    """The price list with the user's own prices.

    Args:
        prices: paths of price files.
        setting: where they stand in the configuration, for messages.

    Raises:
        ConfigError: a file cannot be read, or has problems.
    """
    user: dict[str, object] = {}
    problems: list[str] = []
    for number, path in enumerate(prices):
        try:
            user |= msgspec.yaml.decode(Path(path).read_bytes(), type=dict[str, object])
        except (OSError, msgspec.MsgspecError) as error:
            problems.append(f"{setting}[{number}]: cannot read {path}: {error}")
    if problems:
        raise ConfigError(problems)
    try:
        catalogue = Catalogue.load(user=user or None)
    except OverlayError as error:
        raise ConfigError([f"{setting}: {problem}" for problem in str(error).splitlines()]) from None
    for sentence in catalogue.unmatched():
        _logger.warning("%s: %s", setting, sentence)
    return catalogue
