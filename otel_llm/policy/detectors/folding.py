r"""Texts as detectors read them: without tricks that hide something from a pattern and not from a reader.

Zero-width and other invisible characters go, full-width and mathematical letters and the digits of all scripts become
ASCII, Cyrillic and Greek letters that look Latin become Latin, and `%40`, `%2540`, `\u0040` and `&#64;` become what
they stand for.
Places in the folded text are mapped back, so that what is found is replaced where it really stands.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from functools import cache
from itertools import accumulate
from typing import Final

# Where letters that fold to one ASCII character are: Latin-1 to Greek letters, letter-like symbols, enclosed ones,
# full-width forms, mathematical alphanumerics.
_COMPATIBILITY: Final = (
    range(0xAA, 0x250), range(0x2070, 0x20A0), range(0x2100, 0x2150), range(0x2460, 0x2500), range(0xFE50, 0xFE70),
    range(0xFF01, 0xFF5F), range(0x1D400, 0x1D800), range(0x1F100, 0x1F190), range(0x1FBF0, 0x1FBFA),
)  # fmt: skip
_LOOKALIKES: Final = dict(
    zip(
        "аеорсухіјѕԁԛԝһӏАВЕКМНОРСТУХІЈЅοανρικυΑΒΕΖΗΙΚΜΝΟΡΤΥΧ․‐‑‒–—−∙",
        "aeopcyxijsdqwhlABEKMHOPCTYXIJSoavpikuABEZHIKMNOPTYX.------.",
        strict=True,
    )
)
_INVISIBLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\udc80-\udcff\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Characters that no reader sees; line breaks and tabs separate, and stay.
_CONTROLS: Final = "".join(chr(code) for code in (*range(9), 11, 12, *range(14, 32), 127))
# Percent-encoded, however often; escapes of JSON; numeric entities of HTML.
_ENTITY: Final = r"#(?:3[2-9]|[4-9]\d|1[01]\d|12[0-6]|[xX][2-7][0-9A-Fa-f]);"
_CODES: Final = rf"%(?:25){{0,8}}[2-7][0-9A-Fa-f]|\\u00[2-7][0-9A-Fa-f]|&{_ENTITY}"
_ENCODED: Final = re.compile(rf"([\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+|{_CODES})")
# The same, to search a text of ASCII with: for each code its first character, which is looked for first, and fast.
_CODE_SEARCHES: Final = (
    ("%", re.compile(r"%[2-7][0-9A-Fa-f]")),
    ("\\", re.compile(r"\\u00[2-7][0-9A-Fa-f]")),
    ("&", re.compile(rf"&{_ENTITY}")),
)
_CONTROL_BYTES: Final = _CONTROLS.encode()
_SHORTENS: Final = re.compile(rf"([{_INVISIBLE}\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+|{_CODES})")


@cache
def _table() -> dict[int, str]:
    """Characters that fold to one of ASCII."""
    table = {}
    for codes in _COMPATIBILITY:
        for code in codes:
            folded = unicodedata.normalize("NFKC", chr(code))
            if len(folded) == 1 and folded.isascii() and folded != chr(code):
                table[code] = folded
    for code in (*range(0x660, 0x1CDA), *range(0xA620, 0xAC00), *range(0x104A0, 0x11E00)):
        digit = unicodedata.decimal(chr(code), None)
        if digit is not None:
            table[code] = str(digit)
    table.update({ord(odd): plain for odd, plain in _LOOKALIKES.items()})
    table.update(dict.fromkeys((0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000), " "))
    return table


class Folded:
    """A text and what detectors read in its place.

    Args:
        source: as it is.

    Attributes:
        text: folded; the same object when there was nothing to fold.
    """

    __slots__ = ("_folded_starts", "_source_starts", "source", "text")

    def __init__(self, source: str) -> None:
        self.source = source
        # Where each piece begins: pieces that stay alternate with those that go or become one character.
        self._folded_starts: list[int] = []
        self._source_starts: list[int] = []
        text = source if source.isascii() else source.translate(_table())
        # Most texts are ASCII, and then only what is encoded can be in them: a quicker search.
        if text.isascii():
            if _has_codes(text):
                text = self._shortened(text, _ENCODED)
        elif _SHORTENS.search(text):
            text = self._shortened(text, _SHORTENS)
        self.text = text

    def _shortened(self, text: str, shortens: re.Pattern[str]) -> str:
        """The text without what is invisible and with what is encoded."""
        pieces = shortens.split(text)
        self._source_starts = list(accumulate(map(len, pieces), initial=0))
        pieces[1::2] = map(_decoded, pieces[1::2])
        self._folded_starts = list(accumulate(map(len, pieces), initial=0))
        return "".join(pieces)

    def to_source(self, start: int, end: int) -> tuple[int, int]:
        """Where a part of the folded text stands in the source, with everything invisible inside of it."""
        if not self._folded_starts:
            return start, end
        first, last = self._piece(start), self._piece(end - 1)
        source_start = self._source_starts[first] + start - self._folded_starts[first]
        if last % 2:  # one character that was encoded: all of its code
            return source_start, self._source_starts[last + 1]
        return source_start, self._source_starts[last] + end - self._folded_starts[last]

    def _piece(self, index: int) -> int:
        return bisect_right(self._folded_starts, index) - 1


def _has_codes(text: str) -> bool:
    """Whether a text of ASCII has control characters, or one that is encoded."""
    data = text.encode()
    if len(data.translate(None, _CONTROL_BYTES)) < len(data):
        return True
    return any(first in text and pattern.search(text) for first, pattern in _CODE_SEARCHES)


def _decoded(piece: str) -> str:
    if piece[0] == "&":
        number = piece[2:-1]
        return chr(int(number[1:], 16) if number[0] in "xX" else int(number))
    return chr(int(piece[-2:], 16)) if piece[0] in "%\\" else ""
