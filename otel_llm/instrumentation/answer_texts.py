"""Where texts stand in an answer or a chunk of one, whatever the SDK: every string but names, ids and the like.

A text that nobody knows of would pass unseen, so this is no table of the places that count but of those that do not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Final

# Strings under these are the provider's words, not the model's. Of log probabilities the tokens are the model's, and go
# with the text they are of.
_FIXED: Final = frozenset(
    {
        *("type", "role", "id", "object", "model", "name", "mime_type", "status", "service_tier", "system_fingerprint"),
        *(
            "finish_reason",
            "stop_reason",
            "stop_sequence",
            "tool_call_id",
            "call_id",
            "item_id",
            "event_id",
            "response_id",
        ),
        *("tool_use_id", "previous_response_id", "signature", "encrypted_content", "obfuscation", "logprobs", "usage"),
        *("finishReason", "responseId", "modelVersion", "created_at", "instructions", "tools", "tool_choice"),
        *("stopReason", "completionReason", "toolUseId"),
    }
)
# What stands below these is the app's own data, where a `name` may be a person's.
_FREE: Final = frozenset({"input", "arguments", "parameters", "args", "response"})
_TOKENS: Final = "logprobs"
# What tells which of several texts a piece is of.
_POSITIONS: Final = ("index", "output_index", "content_index", "summary_index", "contentBlockIndex")
_DELTA: Final = "delta"
_ENDS: Final = ("_stop", ".done", ".completed", ".incomplete", ".failed")
_DEEPEST: Final = 16
_NONE: Final[frozenset[str]] = frozenset()
Position = tuple[Hashable, ...]


class Piece:
    """A text in a chunk.

    Attributes:
        key: of the text that it continues; None for one that is complete.
        position: of what the text belongs to.
        text: as it came.
    """

    __slots__ = ("_name", "_owners", "key", "position", "text")

    def __init__(self, owners: tuple[Any, ...], name: Any, position: Position, key: Hashable, text: str) -> None:  # noqa: ANN401 - of any SDK
        self._owners = owners
        self._name = name
        self.position = position
        self.key = key
        self.text = text

    def replace(self, text: str) -> None:
        """Put another text in its place, in the chunk itself. What tells its tokens goes."""
        _put(self._owners[-1], self._name, text)
        for owner in self._owners:
            tokens = _fields(owner).get(_TOKENS)
            if tokens is not None:
                _put(owner, _TOKENS, [] if isinstance(tokens, list) else None)


def pieces(chunk: Any) -> list[Piece]:  # noqa: ANN401 - a chunk of any SDK
    """The texts of a chunk, in order.

    Raises:
        TypeError: nobody can look into it.
    """
    kind = _seen(chunk).get("type")
    is_delta = not isinstance(kind, str) or kind.endswith(_DELTA)
    found = _walk((chunk,), (), ())
    if is_delta:
        return [Piece(owners, name, at, (kind, at, path), text) for owners, name, at, path, text in found]
    return [Piece(owners, name, at, None, text) for owners, name, at, _, text in found]


def texts(answer: Any) -> list[Piece]:  # noqa: ANN401 - an answer of any SDK
    """The texts of a whole answer, in order; all of them complete.

    Raises:
        TypeError: nobody can look into it.
    """
    _seen(answer)
    return [Piece(owners, name, at, None, text) for owners, name, at, _, text in _walk((answer,), (), ())]


def ended(chunk: Any) -> list[Position]:  # noqa: ANN401 - a chunk of any SDK
    """The positions at and below which no text goes on after this chunk."""
    fields = _fields(chunk)
    kind = fields.get("type")
    if isinstance(kind, str):
        return [_position(fields)] if kind.endswith(_ENDS) else []
    if "contentBlockStop" in fields:
        return [_position(_fields(fields["contentBlockStop"]))]
    choices = fields.get("choices")
    if not isinstance(choices, list):
        return []
    return [_position(one) for one in map(_fields, choices) if one.get("finish_reason")]


def _position(fields: Mapping[str, Any]) -> Position:
    return tuple((name, fields[name]) for name in _POSITIONS if isinstance(fields.get(name), int))


_Found = tuple[tuple[Any, ...], Any, Position, tuple[Hashable, ...], str]


def _walk(owners: tuple[Any, ...], at: Position, path: tuple[Hashable, ...]) -> Iterator[_Found]:
    owner = owners[-1]
    if isinstance(owner, list):
        items: list[tuple[Any, Any]] = list(enumerate(owner))
    else:
        fields = _fields(owner)
        at = (*at, *_position(fields))
        fixed = _NONE if not _FREE.isdisjoint(path) else _FIXED
        items = [(name, value) for name, value in fields.items() if name not in fixed]
    for name, value in items:
        if isinstance(value, str):
            if value:
                yield owners, name, at, (*path, name), value
        elif isinstance(value, list) or _fields(value):
            if len(path) > _DEEPEST:
                raise ValueError("the answer is nested too deeply to be looked at")
            yield from _walk((*owners, value), at, (*path, "" if isinstance(owner, list) else name))


def _fields(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - anything
    """What a mapping, an SDK's model or a dataclass holds; nothing of anything else."""
    if isinstance(value, Mapping):
        return value
    if hasattr(type(value), "model_fields"):
        return {**vars(value), **(getattr(value, "__pydantic_extra__", None) or {})}
    return vars(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else {}


def _seen(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - anything
    found = _fields(value)
    if not found and not isinstance(value, Mapping | list):
        raise TypeError(f"there is no looking into {type(value).__name__}")
    return found


def _put(owner: Any, name: Any, value: object) -> None:  # noqa: ANN401 - of any SDK
    if isinstance(owner, list | dict):
        owner[name] = value
    else:
        setattr(owner, name, value)
