"""What rules read of a conversation: its texts, and the tools it offers, calls, and has answers from.

A text is what a reader would read, in order, pieces apart by line feeds; media are left out. Where content was not
captured there is no text, which is an error and not an empty one: nobody knows what was said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from otel_llm.policy.cel import ABSENT

if TYPE_CHECKING:
    from otel_llm.policy.sets.vocabulary import Subject

Message = Mapping[str, object]

_QUERIES: Final = ("gen_ai.retrieval.query.text", "gen_ai.memory.query.text")
_FOUND: Final = ("gen_ai.retrieval.documents", "gen_ai.memory.records")
_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
_RESULT: Final = "gen_ai.tool.call.result"
_SYSTEM: Final = "gen_ai.system_instructions"
_DEFINITIONS: Final = "gen_ai.tool.definitions"
_INPUT_MESSAGES: Final = "gen_ai.input.messages"
_OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
_DEEPEST: Final = 32
# Keys of a part whose values say what it is, and not what somebody said.
_LABELS: Final = frozenset({"type", "role", "id", "mime_type", "modality", "finish_reason"})
# Those whose values an app has made, of whatever shape.
_DATA: Final = frozenset({"arguments", "response", "result"})
_MEDIA: Final = frozenset({"blob", "file", "uri"})


def input_text(subject: Subject) -> object:
    """Everything that went in: system instructions, definitions of tools, messages, arguments, a query."""
    get = subject.get
    said = [get(_SYSTEM), get(_DEFINITIONS), get(_INPUT_MESSAGES), *map(get, _QUERIES)]
    return _joined(said, [get(_ARGUMENTS)])


def output_text(subject: Subject) -> object:
    """Everything that came out: messages, a tool's result, documents."""
    get = subject.get
    return _joined([get(_OUTPUT_MESSAGES), *map(get, _FOUND)], [get(_RESULT)])


def _joined(said: Iterable[object], data: Iterable[object]) -> object:
    """The texts of messages and the like, and of data of an app's own, as one; ABSENT when there is neither."""
    texts = [_texts(_decoded(value), 0, is_data=False) for value in said if value is not None]
    texts += [_texts(_decoded(value), 0, is_data=True) for value in data if value is not None]
    return "\n".join(text for one in texts for text in one) if texts else ABSENT


def _decoded(value: object) -> object:
    """JSON in a string as what it says."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return msgspec.json.decode(value)
        except (msgspec.MsgspecError, RecursionError):
            return value
    return value


def _texts(value: object, depth: int, *, is_data: bool) -> Iterator[str]:
    """Every text in a value; of data of an app's own also keys, and what is under those that are labels elsewhere."""
    if isinstance(value, str):
        yield value
        if "\\" in value and depth < _DEEPEST:  # JSON in it may say in escapes what nobody would find
            inner = _decoded(value)
            if inner is not value:
                yield from _texts(inner, depth + 1, is_data=True)
    elif depth > _DEEPEST:
        # Not left out: what hides down there is looked at as it is written.
        yield str(value)
    elif isinstance(value, Mapping):
        if value.get("type") in _MEDIA and not is_data:
            return
        for key, one in value.items():
            if is_data:
                yield str(key)
            if is_data or key not in _LABELS:
                yield from _texts(one, depth + 1, is_data=is_data or key in _DATA)
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        for one in value:
            yield from _texts(one, depth + 1, is_data=is_data)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _parts(messages: Iterable[Message]) -> Iterator[Mapping[str, object]]:
    for message in messages:
        parts = message.get("parts")
        for part in parts if isinstance(parts, Sequence) and not isinstance(parts, str) else ():
            if isinstance(part, Mapping):
                yield part


def _calls(messages: Iterable[Message]) -> Iterator[tuple[str, str]]:
    """Id and name of each call of a tool."""
    for part in _parts(messages):
        if part.get("type") == "tool_call":
            yield str(part.get("id") or ""), str(part.get("name") or "")


def called_tools(subject: Subject) -> object:
    """Names of the tools that the model wants called, each once, in order."""
    if subject.get(_OUTPUT_MESSAGES) is None:
        return ABSENT
    return list(dict.fromkeys(name for _, name in _calls(subject.output_messages) if name))


def answered_tools(subject: Subject) -> object:
    """Names of the tools whose answers are in the input, each once, in order; `unknown` when no call says which."""
    if subject.get(_INPUT_MESSAGES) is None:
        return ABSENT
    messages = subject.input_messages
    names = dict(_calls(messages))
    answers = [part for part in _parts(messages) if part.get("type") == "tool_call_response"]
    return list(dict.fromkeys(names.get(str(part.get("id") or "")) or "unknown" for part in answers))


def offered_tools(subject: Subject) -> object:
    """Names of the tools the model was offered, each once, in order."""
    value = subject.get(_DEFINITIONS)
    if value is None:
        return ABSENT
    definitions = _decoded(value)
    if not isinstance(definitions, Sequence) or isinstance(definitions, str | bytes):
        return []
    named = [one.get("name") for one in definitions if isinstance(one, Mapping)]
    return list(dict.fromkeys(name for name in named if isinstance(name, str)))
