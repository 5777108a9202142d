"""What the type of a setting says to a person: "an integer of at least 1", "one of grpc, http/protobuf"."""

from __future__ import annotations

import enum
import types
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated, Literal, Union, get_args, get_origin

import msgspec

_SEQUENCES = (list, tuple, set, frozenset, Sequence, AbstractSet)
_SCALARS: Mapping[object, str] = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    bytes: "base64 text",
    type(None): "nothing",
}


def members(wanted: object) -> Iterator[tuple[object, tuple[msgspec.Meta, ...]]]:
    """The alternatives of a type, unions and annotations taken apart; UNSET, which nobody can write, left out."""
    origin = get_origin(wanted)
    if origin is Annotated:
        inner, *extras = get_args(wanted)
        metas = tuple(extra for extra in extras if isinstance(extra, msgspec.Meta))
        for member, inner_metas in members(inner):
            yield member, (*metas, *inner_metas)
    elif origin in (Union, types.UnionType):
        for argument in get_args(wanted):
            yield from members(argument)
    elif wanted is not msgspec.UnsetType:
        yield wanted, ()


def struct_member(wanted: object) -> type[msgspec.Struct] | None:
    """The struct among the alternatives, when there is exactly one."""
    found = [one for one, _ in members(wanted) if isinstance(one, type) and issubclass(one, msgspec.Struct)]
    return found[0] if len(found) == 1 else None


def item_type(wanted: object) -> tuple[object, object] | None:
    """For the list among the alternatives, its own type and that of its items."""
    for member, _ in members(wanted):
        origin = get_origin(member)
        if origin not in _SEQUENCES:
            continue
        arguments = get_args(member)
        if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):  # noqa: PLR2004 - tuple[X, ...]
            continue  # a tuple of fixed shape is taken as a whole
        return member, arguments[0]
    return None


def entry_type(wanted: object) -> tuple[object, object] | None:
    """For the mapping with string keys among the alternatives, its own type and that of its values."""
    for member, _ in members(wanted):
        if get_origin(member) in (dict, Mapping) and get_args(member)[0] is str:
            return member, get_args(member)[1]
    return None


def choices(wanted: object) -> list[str]:
    """The words that a closed set allows."""
    words: list[str] = []
    for member, _ in members(wanted):
        if get_origin(member) is Literal:
            words += [str(word) for word in get_args(member)]
        elif isinstance(member, type) and issubclass(member, enum.Enum):
            words += [str(word.value) for word in member]
    return words


def is_scalar(wanted: object) -> bool:
    """Whether every alternative is a number, a truth value or of a closed set: nothing that could be a secret."""
    open_set = {int, float, bool, type(None)}
    return all(
        member in open_set
        or get_origin(member) is Literal
        or (isinstance(member, type) and issubclass(member, enum.Enum))
        for member, _ in members(wanted)
    )


def is_secret(wanted: object) -> bool:
    """Whether the setting holds a secret: `otel_llm.credentials.Secret`."""
    return any((meta.extra or {}).get("secret") for _, metas in members(wanted) for meta in metas)


def describe(wanted: object) -> str:
    """The type in words, for "expected ..."."""
    words = choices(wanted)
    said = [f"one of {', '.join(words)}"] if len(words) > 1 else words[:]
    for member, metas in members(wanted):
        text = _member(member)
        if text is not None and text not in said:
            said.append(text + "".join(map(_limits, metas)))
    # "or nothing" last: it is the least likely remedy
    said.sort(key=lambda text: text == "nothing")
    return " or ".join(said)


def _member(member: object) -> str | None:
    if get_origin(member) is Literal or (isinstance(member, type) and issubclass(member, enum.Enum)):
        return None  # in choices
    if get_origin(member) in _SEQUENCES or member in _SEQUENCES:
        return "a list"
    if get_origin(member) in (dict, Mapping) or struct_member(member) is not None:
        return "a section"
    return _SCALARS.get(member, getattr(member, "__name__", str(member)))


def _limits(meta: msgspec.Meta) -> str:
    limits = [
        f"{word} {bound}"
        for word, bound in (
            ("of at least", meta.ge),
            ("greater than", meta.gt),
            ("of at most", meta.le),
            ("less than", meta.lt),
            ("of a length of at least", meta.min_length),
            ("of a length of at most", meta.max_length),
            ("that matches", meta.pattern),
        )
        if bound is not None
    ]
    return " " + " and ".join(limits) if limits else ""
