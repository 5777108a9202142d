"""Reads what the quality signals look at from an operation; what recurs is read once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

import msgspec

from otel_llm._generated import attributes as names
from otel_llm.operation import AttributeValue, Operation, parse_messages
from otel_llm.quality.signals import leakage, retrieval
from otel_llm.quality.signals.exchange import text_of
from otel_llm.quality.signals.support import Documents
from otel_llm.quality.signals.tool_calls import Tools, read_tools

SkipReason = Literal["too_large", "not_messages"]

_REMEMBERED: Final = 64
_REMEMBERED_CHARACTERS: Final = 4 * 1024 * 1024
_MAX_JSON: Final = 512 * 1024
_Value = TypeVar("_Value")


class _Remembered(Generic[_Value]):
    """What texts that recur in every call mean: instructions, tool definitions. By hash, not to keep the texts."""

    __slots__ = ("_characters", "_known", "_read")

    def __init__(self, read: Callable[[AttributeValue], _Value]) -> None:
        self._read = read
        self._known: dict[int, _Value] = {}
        self._characters = 0

    def get(self, value: AttributeValue) -> _Value:
        if not isinstance(value, str):
            return self._read(value)
        key = hash(value)
        known = self._known.get(key)
        if known is None:
            known = self._read(value)
            self._characters += len(value)
            if len(self._known) >= _REMEMBERED or self._characters > _REMEMBERED_CHARACTERS:
                self._known, self._characters = {}, len(value)
            self._known[key] = known
        return known


@dataclass(frozen=True, slots=True)
class Instructions:
    """System instructions, as far as signals need them.

    Attributes:
        pieces: to find again in an answer.
        wants_citations: whether they ask for sources.
    """

    pieces: frozenset[str] = frozenset()
    wants_citations: bool = False


@dataclass(frozen=True, slots=True)
class _Offered:
    """Tools; a class of its own, for None is a value here too."""

    tools: Tools | None


class Reader:
    """Reads operations.

    Args:
        max_characters: of the largest attribute that is read.
    """

    __slots__ = ("_instructions", "_max", "_schemas", "_tools")

    def __init__(self, max_characters: int) -> None:
        self._max = max_characters
        self._instructions = _Remembered(_read_instructions)
        self._tools = _Remembered(_read_offered)
        self._schemas = _Remembered(decoded)

    def skips(self, operation: Operation, key: str) -> SkipReason | None:
        """Why the messages of an attribute cannot be looked at; None when they can, or there are none."""
        value = operation.get(key)
        if value is None:
            return None
        if isinstance(value, str):
            if len(value) > self._max:
                return "too_large"
            return None if value.lstrip().startswith("[") else "not_messages"
        return "not_messages" if isinstance(value, bytes) or not isinstance(value, Sequence) else None

    def instructions(self, operation: Operation) -> Instructions:
        """The system instructions."""
        value = operation.get(names.GEN_AI_SYSTEM_INSTRUCTIONS)
        return Instructions() if value is None else self._instructions.get(value)

    def tools(self, operation: Operation) -> Tools | None:
        """The tools that were offered; None when that is not known."""
        value = operation.get(names.GEN_AI_TOOL_DEFINITIONS)
        return None if value is None else self._tools.get(value).tools

    def schema(self, operation: Operation) -> object:
        """The schema that the span declares for the answer; None when it declares none."""
        value = operation.get(names.OTEL_LLM_REQUEST_OUTPUT_SCHEMA)
        return None if value is None else self._schemas.get(value)


def _read_instructions(value: AttributeValue) -> Instructions:
    text = text_of(parse_messages(value))
    if not text and isinstance(value, str) and not value.startswith("["):
        text = value
    return Instructions(leakage.pieces_of(text), retrieval.wants_citations(text))


def _read_offered(value: AttributeValue) -> _Offered:
    return _Offered(read_tools(decoded(value)))


def decoded(value: AttributeValue) -> object:
    """A JSON text's value, up to 512 Ki characters, or what is structured already; None when it is neither."""
    if not isinstance(value, str):
        return value
    if len(value) > _MAX_JSON:
        return None
    try:
        result: object = msgspec.json.decode(value.encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError):
        return None
    return result


def documents_of(operation: Operation) -> tuple[Documents, list[Mapping[str, object]]] | None:
    """The documents of a retrieval and their metadata; None when the operation has no list of them."""
    found = decoded(operation.get(names.GEN_AI_RETRIEVAL_DOCUMENTS))
    if not isinstance(found, Sequence) or isinstance(found, str | bytes):
        return None
    documents = [item for item in found if isinstance(item, Mapping)]
    texts = [content for item in documents if isinstance(content := item.get("content"), str)]
    metadata = [data for item in documents if isinstance(data := item.get("metadata"), Mapping)]
    return Documents.of(texts), [*documents, *metadata]


def failed_result(operation: Operation) -> bool | None:
    """Whether a tool says in its result that it failed; None when there is no result."""
    value = operation.get(names.GEN_AI_TOOL_CALL_RESULT)
    if value is None:
        return None
    if isinstance(value, str) and value[:1] != "{":
        return (
            value[:64].lstrip("[( ").lower().startswith(("error:", "error -", "exception:", "traceback (most recent"))
        )
    result = decoded(value)
    if not isinstance(result, Mapping):
        return False
    return bool(result.get("error")) or result.get("isError") is True or result.get("is_error") is True
