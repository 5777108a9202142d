"""The presets processor: our results once more under the names that particular backends read.

Our own names stay; a preset adds copies, and `phoenix` completes messages, last in the pipeline of the exporter that
needs them. Amounts are in the currency of the span; the backends below take them as US dollars, so none is copied for
any other.
Source of the names: facts about each backend's reader, listed in docs/backends.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal

import msgspec

from otel_llm._generated import attributes as names
from otel_llm.components import Context
from otel_llm.operation import Operation

Preset = Literal[
    "langfuse", "logfire", "mlflow", "openinference", "openlit", "phoenix", "semconv_draft", "sentry", "signoz"
]

_TAKEN_FOR: Final = "USD"
_CACHE_CREATION: Final = "gen_ai.usage.cache_creation.input_tokens"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Copies cost and usage to the names that backends read."""

    presets: tuple[Preset, ...]
    """Which backends to please: `langfuse`, `logfire`, `mlflow`, `openinference` (also read by Arize), `openlit`,
    `phoenix`, `sentry`, `signoz`, and `semconv_draft`, the names proposed for the conventions themselves. The draft
    names disturb Langfuse, which takes each `gen_ai.usage.*` for a token count."""


def _amount(operation: Operation, *meters: str) -> float | None:
    """The sum of these parts of the cost; None when the span has none of them, or has them in another currency."""
    if operation.get(names.OTEL_LLM_COST_CURRENCY) != _TAKEN_FOR:
        return None
    parts = [operation.get(f"otel_llm.cost.{meter}") for meter in meters]
    amounts = [part for part in parts if isinstance(part, float)]
    return sum(amounts) if amounts else None


def _total(operation: Operation) -> float | None:
    return _amount(operation, "total")


def _all_input(operation: Operation) -> float | None:
    return _amount(operation, "input", "cache_read", "cache_write", "input_audio", "input_image")


def _all_output(operation: Operation) -> float | None:
    return _amount(operation, "output", "output_audio", "output_image")


def _as_json(amounts: dict[str, float | None]) -> str | None:
    """Those that there are; None when there are none."""
    known = {name: amount for name, amount in amounts.items() if amount is not None}
    return msgspec.json.encode(known).decode() if known else None


def _langfuse_details(operation: Operation) -> str | None:
    return _as_json(
        {
            "input": _amount(operation, "input"),
            "input_cached_tokens": _amount(operation, "cache_read"),
            "input_cache_creation": _amount(operation, "cache_write"),
            "output": _amount(operation, "output"),
            "total": _total(operation),
        }
    )


def _mlflow_cost(operation: Operation) -> str | None:
    return _as_json(
        {
            "input_cost": _all_input(operation),
            "output_cost": _all_output(operation),
            "total_cost": _total(operation),
        }
    )


def _cache_write(operation: Operation) -> int | None:
    return operation.cache_write_input_tokens


def _part(meter: str) -> Callable[[Operation], float | None]:
    return lambda operation: _amount(operation, meter)


def _currency(operation: Operation) -> str | None:
    return None if _total(operation) is None else _TAKEN_FOR


def _draft_source(operation: Operation) -> str | None:
    source = operation.text(names.OTEL_LLM_COST_SOURCE)
    return None if source is None or _total(operation) is None else "provider" if source == "provider" else "local"


def _finished_messages(operation: Operation) -> str | None:
    """The answers with their finish reasons, without which Phoenix 20 does not show them; None when nothing is to add.

    The reasons are those of the response, one for each message; nothing is made up where they are not known.
    """
    reasons, text = operation.get(names.GEN_AI_RESPONSE_FINISH_REASONS), operation.text(names.GEN_AI_OUTPUT_MESSAGES)
    if text is None or not isinstance(reasons, list | tuple):
        return None
    try:
        messages = msgspec.json.decode(text, type=list[dict[str, msgspec.Raw]])
    except (msgspec.DecodeError, RecursionError):
        return None
    if len(messages) != len(reasons) or all("finish_reason" in message for message in messages):
        return None
    return msgspec.json.encode(
        [{"finish_reason": reason, **message} for message, reason in zip(messages, reasons, strict=True)]
    ).decode()


_Copy = Callable[[Operation], "float | int | str | None"]

_PRESETS: Final[dict[Preset, dict[str, _Copy]]] = {
    "langfuse": {"langfuse.observation.cost_details": _langfuse_details, _CACHE_CREATION: _cache_write},
    "logfire": {"operation.cost": _total},
    "mlflow": {"mlflow.llm.cost": _mlflow_cost},
    "openinference": {
        "llm.cost.total": _total,
        "llm.cost.prompt": _all_input,
        "llm.cost.completion": _all_output,
        "llm.cost.prompt_details.cache_read": _part("cache_read"),
        "llm.cost.prompt_details.cache_write": _part("cache_write"),
        _CACHE_CREATION: _cache_write,
    },
    "openlit": {"gen_ai.usage.cost": _total},
    "phoenix": {names.GEN_AI_OUTPUT_MESSAGES: _finished_messages},
    "semconv_draft": {
        "gen_ai.usage.cost.amount": _total,
        "gen_ai.usage.cost.currency": _currency,
        "gen_ai.usage.cost.source": _draft_source,
    },
    "sentry": {
        "gen_ai.cost.total_tokens": _total,
        "gen_ai.cost.input_tokens": _all_input,
        "gen_ai.cost.output_tokens": _all_output,
        "gen_ai.cost.cache_read.input_tokens": _part("cache_read"),
        "gen_ai.cost.cache_creation.input_tokens": _part("cache_write"),
    },
    "signoz": {
        "_signoz.gen_ai.total_cost": _total,
        "_signoz.gen_ai.cost_input": _part("input"),
        "_signoz.gen_ai.cost_output": _part("output"),
        "_signoz.gen_ai.cost_cache_read": _part("cache_read"),
        "_signoz.gen_ai.cost_cache_write": _part("cache_write"),
    },
}


class Presets:
    """Adds the copies; arguments as for the other processors."""

    reads = frozenset(
        {
            names.OTEL_LLM_COST_TOTAL,
            names.OTEL_LLM_COST_CURRENCY,
            names.OTEL_LLM_COST_SOURCE,
            names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS,
            names.GEN_AI_RESPONSE_FINISH_REASONS,
            names.GEN_AI_OUTPUT_MESSAGES,
        }
    )

    def __init__(self, config: Config, context: Context) -> None:
        self.name = context.name
        self._copies = {key: copy for preset in config.presets for key, copy in _PRESETS[preset].items()}
        self.writes = frozenset(self._copies)

    def process(self, operations: Iterable[Operation]) -> None:
        """Copy what there is."""
        for operation in operations:
            for key, copy in self._copies.items():
                value = copy(operation)
                if value is not None:
                    operation.set(key, value)


def create(config: Config, context: Context) -> Presets:
    """The processor."""
    return Presets(config, context)
