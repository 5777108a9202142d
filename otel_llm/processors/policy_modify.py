"""The action `modify`: findings of some types taken out of the content of an operation, wherever they stand in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from otel_llm._generated import attributes as names
from otel_llm.operation import AttributeValue, Operation
from otel_llm.policy.redaction import DROPPED, Redactor, Tally, operator
from otel_llm.policy.sets import Detection
from otel_llm.policy.sets.model import Action, Stage

_INPUT: Final = (
    names.GEN_AI_SYSTEM_INSTRUCTIONS,
    names.GEN_AI_INPUT_MESSAGES,
    names.GEN_AI_TOOL_DEFINITIONS,
    names.GEN_AI_TOOL_CALL_ARGUMENTS,
    names.GEN_AI_RETRIEVAL_QUERY_TEXT,
    names.GEN_AI_MEMORY_QUERY_TEXT,
)
_OUTPUT: Final = (
    names.GEN_AI_OUTPUT_MESSAGES,
    names.GEN_AI_TOOL_CALL_RESULT,
    names.GEN_AI_RETRIEVAL_DOCUMENTS,
    names.GEN_AI_MEMORY_RECORDS,
)
# What a rule of a stage changes: what it looks at.
_KEYS: Final[Mapping[Stage, tuple[str, ...]]] = {
    "request": _INPUT,
    "response": _OUTPUT,
    "tool": (*_INPUT, *_OUTPUT),
    "retrieval": (*_INPUT, *_OUTPUT),
    "export": (*_INPUT, *_OUTPUT),
}
CONTENT_KEYS: Final = frozenset((*_INPUT, *_OUTPUT))


def modify(operation: Operation, stage: Stage, action: Action, detection: Detection, key: bytes | None) -> bool:
    """Take out what an action names.

    Args:
        operation: to be changed.
        stage: of the rule; decides where to look.
        action: what to take out, and what comes in its place.
        detection: finds it.
        key: for operators that need one.

    An attribute that a detector fails on goes whole: nobody knows what is in it.

    Returns:
        Whether every attribute could be looked at.
    """
    is_complete = True
    redactor = Redactor(
        detection.choose(action.redact), operator=operator(action.operator, key), credential_names=False
    )
    for name in _KEYS[stage]:
        before = operation.get(name)
        if before is None:
            continue
        after = redactor.value(before, None, Tally())
        if after is DROPPED:
            operation.remove(name)
            is_complete = False
        elif after != before:
            operation.set(name, cast("AttributeValue", after))
    return is_complete
