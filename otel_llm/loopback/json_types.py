"""JSON as the loopback provider reads it: typed access to a request whose shape nobody has promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Union

Json = Union[None, bool, int, float, str, Sequence["Json"], Mapping[str, "Json"]]  # noqa: UP007 - a recursive alias cannot use |
JsonObject = Mapping[str, Json]


def object_at(value: JsonObject, key: str) -> JsonObject:
    """The object under `key`, empty when it is absent or something else."""
    found = value.get(key)
    return found if isinstance(found, Mapping) else {}


def objects_at(value: JsonObject, key: str) -> tuple[JsonObject, ...]:
    """The objects of the array under `key`; other elements are left out."""
    return objects_in(value.get(key))


def objects_in(value: Json) -> tuple[JsonObject, ...]:
    """The objects of an array, empty for anything that is not an array."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        return ()
    return tuple(item for item in value if isinstance(item, Mapping))


def string_at(value: JsonObject, key: str) -> str:
    """The string under `key`, empty when it is absent or something else."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def count_at(value: JsonObject, key: str, default: int) -> int:
    """The integer of at least 1 under `key`, `default` for anything else."""
    found = value.get(key)
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 1 else default


def text_of(content: Json) -> str:
    """All text of a message's content: a string, or parts with `text`, `thinking` or `content` of their own."""
    if isinstance(content, str):
        return content
    parts = (
        string_at(part, "text") or string_at(part, "thinking") or text_of(part.get("content"))
        for part in objects_in(content)
    )
    return "\n".join(part for part in parts if part)
