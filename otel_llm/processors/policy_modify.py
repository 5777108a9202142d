"""The action `modify`: findings of some types taken out of the content of an operation, wherever they stand in it.

JSON stays JSON: values are replaced within the structure, and keys stay. What cannot be read as a structure is a text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from otel_llm._generated import attributes as names
from otel_llm.operation import AttributeValue, Operation
from otel_llm.policy.findings import Finding
from otel_llm.policy.sets import Detection
from otel_llm.policy.sets.decision import RULE_FAILURES
from otel_llm.policy.sets.model import Action, Stage

_INPUT: Final = (
    names.GEN_AI_SYSTEM_INSTRUCTIONS,
    names.GEN_AI_INPUT_MESSAGES,
    names.GEN_AI_TOOL_DEFINITIONS,
    names.GEN_AI_TOOL_CALL_ARGUMENTS,
    names.GEN_AI_RETRIEVAL_QUERY_TEXT,
)
_OUTPUT: Final = (
    names.GEN_AI_OUTPUT_MESSAGES,
    names.GEN_AI_TOOL_CALL_RESULT,
    names.GEN_AI_RETRIEVAL_DOCUMENTS,
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

Find = Callable[[str], list[Finding]]


def modify(operation: Operation, stage: Stage, action: Action, detection: Detection) -> bool:
    """Take out what an action names; whether anything was there.

    An attribute that a detector fails on goes whole: nobody knows what is in it.
    """
    finders = [detection.select(name) for name in action.redact]
    replace = _marker if action.operator == "mask" else _nothing
    changed = False
    for key in _KEYS[stage]:
        before = operation.get(key)
        if before is None:
            continue
        try:
            after = _attribute(before, lambda text: _redacted(text, finders, replace))
        except RULE_FAILURES:
            operation.remove(key)
            changed = True
            continue
        if after is not before:
            operation.set(key, after)
            changed = True
    return changed


def _marker(finding: Finding) -> str:
    return f"[{finding.type}]"


def _nothing(_: Finding) -> str:
    return ""


def _redacted(text: str, finders: Sequence[Find], replace: Callable[[Finding], str]) -> str:
    findings = sorted((one for find in finders for one in find(text)), key=lambda one: (one.start, -one.end))
    if not findings:
        return text
    pieces: list[str] = []
    position = 0
    for finding in findings:
        if finding.start >= position:
            pieces += (text[position : finding.start], replace(finding))
        # Of overlapping ones the first gives the marker, and all of their characters go.
        position = max(position, finding.end)
    return "".join((*pieces, text[position:]))


def _attribute(value: AttributeValue, rewrite: Callable[[str], str]) -> AttributeValue:
    if not isinstance(value, str):
        return _structure(value, rewrite)
    if value[:1] in ("[", "{"):
        try:
            structure = msgspec.json.decode(value)
        except (msgspec.MsgspecError, RecursionError):
            return rewrite(value)
        after = _structure(structure, rewrite)
        return value if after is structure else msgspec.json.encode(after).decode()
    return rewrite(value)


def _structure(value: AttributeValue, rewrite: Callable[[str], str]) -> AttributeValue:
    """The same object when nothing in it changed."""
    if isinstance(value, str):
        return _attribute(value, rewrite) if value[:1] in ("[", "{") else rewrite(value)
    if isinstance(value, Mapping):
        members = {key: _structure(one, rewrite) for key, one in value.items()}
        return value if all(members[key] is one for key, one in value.items()) else members
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        items = [_structure(one, rewrite) for one in value]
        return value if all(map(_is, items, value)) else items
    return value


def _is(one: object, other: object) -> bool:
    return one is other
