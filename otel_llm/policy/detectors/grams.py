"""Which of many keywords occur in a text, with the standard library alone.

A search for each keyword reads the text some four hundred times. Here the letters of the text alone are read, four times,
and each four of them are one number: a keyword is searched for only where a number occurs that its letters have.
"""

from __future__ import annotations

import string
from collections.abc import Iterable
from struct import unpack_from
from typing import Final

_SIZE: Final = 4
# With any letter behind it, or none at the end of a text, a keyword of three letters has a number, too.
_FEWEST_LETTERS: Final = 3
_LETTERS: Final = string.ascii_lowercase.encode()
_BEHIND: Final = b" "
_OTHERS: Final = bytes(byte for byte in range(256) if byte not in _LETTERS)
# What most texts have most of.
_COMMON: Final = "etaoinsrhldcumfpgwybvkxjqz"
# A long text is read in pieces, so that its numbers take little memory. A multiple of the size.
_PIECE: Final = 1 << 16


class Grams:
    """Looks for keywords.

    Args:
        keywords: in lower case and ASCII.
    """

    __slots__ = ("_all_grams", "_by_gram", "_short")

    def __init__(self, keywords: Iterable[str]) -> None:
        self._by_gram: dict[int, list[str]] = {}
        self._all_grams: dict[str, frozenset[int]] = {}
        self._short: list[tuple[str, str]] = []
        for keyword in dict.fromkeys(keywords):
            letters = keyword.encode().translate(None, _OTHERS)
            if len(letters) < _FEWEST_LETTERS:
                self._short.append((_rare(keyword), keyword))
                continue
            self._all_grams[keyword] = frozenset(_grams(letters, 0))
            for gram in _rarest(letters):
                self._by_gram.setdefault(gram, []).append(keyword)

    def find(self, text: str) -> set[str]:
        """Those that occur in a text in lower case."""
        found = {keyword for rare, keyword in self._short if rare in text and keyword in text}
        letters = text.encode("ascii", "replace").translate(None, _OTHERS) + _BEHIND
        is_one_piece = len(letters) <= _PIECE
        for start in range(0, len(letters), _PIECE):
            grams = _grams(letters, start)
            for gram in self._by_gram.keys() & grams:
                for keyword in self._by_gram[gram]:
                    # A keyword that two pieces share has some of its numbers in each.
                    may_be_in = not is_one_piece or self._all_grams[keyword] <= grams
                    if may_be_in and keyword not in found and keyword[0] in text and keyword in text:
                        found.add(keyword)
        return found


def _rare(keyword: str) -> str:
    """A character of it that few texts have: to search for one takes no time."""
    return next((character for character in keyword if character not in string.ascii_lowercase), keyword[0])


def _grams(letters: bytes, start: int) -> set[int]:
    """Each four letters in a row, as a number, of the piece that begins here."""
    grams: set[int] = set()
    for shift in range(start, start + _SIZE):
        grams.update(_numbers(letters[shift : shift + _PIECE]))
    return grams


def _rarest(letters: bytes) -> Iterable[int]:
    """Numbers one of which a text has that has these letters in a row."""
    if len(letters) < _SIZE:
        return _numbers(b"".join(letters + bytes([behind]) for behind in _LETTERS + _BEHIND))
    parts = (letters[at : at + _SIZE] for at in range(len(letters) - _SIZE + 1))
    return _numbers(max(parts, key=lambda part: sum(map(_COMMON.find, part.decode()))))


def _numbers(letters: bytes) -> tuple[int, ...]:
    """Each fourth four letters as a number; what is left at the end is left out."""
    return unpack_from(f"{len(letters) // _SIZE}I", letters)
