"""What is watched of an operation, by name: its quality signals, failure, duration, cost and a few more.

A name that is not known of an operation is left out; it is never taken for "did not happen".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.operation import AttributeValue, Operation
from otel_llm.quality.signals.exchange import last_question
from otel_llm.quality.signals.friction import is_friction

_ERROR_STATUS: Final = 2
_NANO: Final = 1e9
_QUALITY: Final = "otel_llm.quality."
# What could be told of the operation; whatever is named here and has no flag did not happen.
_CHECKS: Final = f"{_QUALITY}checks"
# It is on no span, being right one time in five: whoever wants its rate reads it from the messages.
FRICTION: Final = "user_friction"
_INFERENCE: Final = frozenset({"chat", "generate_content", "text_completion"})
_LONGEST_MESSAGES: Final = 1024 * 1024
_NUMBERS: Final[Mapping[str, str]] = {
    names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: "time_to_first_chunk",
    names.OTEL_LLM_COST_TOTAL: "cost",
    names.GEN_AI_USAGE_INPUT_TOKENS: "input_tokens",
    names.GEN_AI_USAGE_OUTPUT_TOKENS: "output_tokens",
}

READS: Final = frozenset(
    {
        *_NUMBERS,
        _CHECKS,
        names.ERROR_TYPE,
        names.GEN_AI_RESPONSE_MODEL,
        names.GEN_AI_RESPONSE_FINISH_REASONS,
        names.OTEL_LLM_COST_STATUS,
        names.OTEL_LLM_COST_REASON,
        *(key for key in names.ATTRIBUTE_TYPES if key.startswith(_QUALITY)),
    }
)


def is_repeated(operation: Operation) -> bool:
    """Whether another span reports the same call, and is the one that counts."""
    return (
        operation.get(names.OTEL_LLM_COST_STATUS) == "not_billable"
        and operation.get(names.OTEL_LLM_COST_REASON) == "duplicate"
    )


def read_signals(operation: Operation) -> dict[str, bool | float | str]:
    """Everything that is known: True or False, a finite number, or a category."""
    is_error = operation.status_code == _ERROR_STATUS or operation.text(names.ERROR_TYPE) is not None
    found: dict[str, bool | float | str] = {"error": is_error}
    _read_quality(operation, found)
    for key, name in _NUMBERS.items():
        value = _number(operation.get(key))
        if value is not None:
            found[name] = value
    if is_error:  # what failed says nothing about how long, how much or how it ends when it works
        return found
    seconds = (operation.end_unix_nano - operation.start_unix_nano) / _NANO
    if operation.start_unix_nano and seconds >= 0:
        found["duration"] = seconds
    model = operation.response_model
    if model is not None:
        found["response_model"] = model
    reasons = operation.finish_reasons
    if reasons:
        found["finish_reason"] = ",".join(sorted(set(reasons)))
    return found


def friction(operation: Operation) -> bool | None:
    """Whether the user's last message sounds like trouble; None when there is none that can be read."""
    value = operation.get(names.GEN_AI_INPUT_MESSAGES)
    if operation.operation_name not in _INFERENCE or value is None:
        return None
    if isinstance(value, str) and len(value) > _LONGEST_MESSAGES:
        return None
    question = last_question(operation.input_messages)
    return is_friction(question) if question else None


def _read_quality(operation: Operation, found: dict[str, bool | float | str]) -> None:
    flags = _texts(operation.get(names.OTEL_LLM_QUALITY_FLAGS))
    for name in _texts(operation.get(_CHECKS)):
        found[name] = name in flags
    for key in operation.keys():  # noqa: SIM118 - an operation is no mapping
        if not key.startswith(_QUALITY):
            continue
        value = operation.get(key)
        if isinstance(value, bool) or (isinstance(value, float) and math.isfinite(value)):
            found[key.removeprefix(_QUALITY)] = value


def _texts(value: AttributeValue) -> frozenset[str]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return frozenset()
    return frozenset(one for one in value if isinstance(one, str))


def _number(value: AttributeValue) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def value_of(operation: Operation, key: str, most_characters: int = 128) -> str:
    """An attribute of the span, or else of its resource, as short text; empty when neither has it."""
    value = operation.get(key)
    if value is None:
        value = operation.resource.get(key)
    return "" if value is None else str(value)[:most_characters]
