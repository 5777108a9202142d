"""Forms of fixed places: a number of a state with letters in it, an address of four parts, the head of an account.

They are searched for all at once, where that is compiled (_compiled.pyx); each has a pattern that finds the same
where it is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_ASCII: Final = "".join(map(chr, range(128)))
_PIECE: Final = re.compile(
    r"\(\?:(?P<group>[^)]*)\)\{(?P<times>\d+)\}"
    r"|(?P<set>\[[^\]]+\]|\\.|[^\\\[()?{}*+|])(?:(?P<maybe>\?)|\{(?P<least>\d+)(?:,(?P<most>\d+))?\})?"
)


@dataclass(frozen=True, slots=True)
class Form:
    """What stands at each place. It begins where no word does, nor one that a dash joins.

    Attributes:
        steps: sets of characters, each with how many of them at least and at most; as many as there are, so what a step
            of no fixed length takes, the next must not begin with.
        open_end: whether anything may follow; else no word and no dash.
        dot_joins: whether a dot before it, or one with a digit after it, makes it part of something else.
    """

    steps: tuple[tuple[str, int, int], ...]
    open_end: bool = False
    dot_joins: bool = False


def form(pattern: str, *, open_end: bool = False, dot_joins: bool = False) -> Form:
    """The form that an expression of sets, counts and repeated groups describes."""
    return Form(tuple(_steps(pattern)), open_end, dot_joins)


def _steps(pattern: str) -> Iterator[tuple[str, int, int]]:
    position = 0
    while position < len(pattern):
        piece = _PIECE.match(pattern, position)
        if piece is None:
            raise ValueError(f"not a form: {pattern[position:]!r} in {pattern!r}")
        position = piece.end()
        if piece["times"]:
            yield from tuple(_steps(piece["group"])) * int(piece["times"])
            continue
        one = re.compile(piece["set"], re.ASCII)
        characters = "".join(filter(one.fullmatch, _ASCII))
        least = 0 if piece["maybe"] else int(piece["least"] or 1)
        yield characters, least, int(piece["most"] or least or 1)
