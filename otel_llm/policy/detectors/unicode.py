"""Text that is not what it looks like: invisible characters that carry a message, letters of two alphabets in a word.

Zero-width joiners belong into emoji, Persian and Indic text, and a byte order mark may begin a file; those are not
findings. Tag characters and runs of invisible ones are how instructions and data are smuggled past a reader.
Source: Unicode Standard Annex 31 and Technical Report 36 (mixed scripts); E0000-E007F (tags).
"""

from __future__ import annotations

import re
import unicodedata
from itertools import chain, islice
from typing import Final

from otel_llm.policy.detectors.patterns import MOST_FINDINGS, in_order
from otel_llm.policy.findings import Finding

INVISIBLE_TEXT: Final = "INVISIBLE_TEXT"
LOOKALIKE_TEXT: Final = "LOOKALIKE_TEXT"
TYPES: Final = frozenset({INVISIBLE_TEXT, LOOKALIKE_TEXT})

# Two zero-width characters in a row, or one between Latin letters or digits; bidirectional overrides; tags, unless they
# follow a black flag (as in the flag of Scotland); variation selectors in a row (they can encode bytes).
_INVISIBLE: Final = re.compile(
    "[\u200b-\u200d\u2060-\u2064\ufeff]{2,}"
    "|(?<=[A-Za-z0-9@.])[\u00ad\u200b-\u200d\u2060-\u2064\ufeff\u180e](?=[A-Za-z0-9@.])"
    "|[\u202d\u202e\u2066-\u2069]+"
    "|(?<![\U0001f3f4\U000e0020-\U000e007e])[\U000e0000-\U000e007f]+"
    "|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{3,}"
)
# A word of Latin letters with Cyrillic or Greek ones in it. Units and formulas (µ, Ω, Δ) have one letter on an edge.
_MIXED: Final = re.compile("[A-Za-z\u0370-\u03ff\u0400-\u04ff]{3,64}")
_LATIN: Final = re.compile("[A-Za-z]")
_OTHER: Final = re.compile("[\u0370-\u03ff\u0400-\u04ff]")
_LOOKS_LATIN: Final = frozenset("аеорсухіјѕԁԛԝһӏАВЕКМНОРСТУХІЈЅαοορυνικΑΒΕΖΗΙΚΜΝΟΡΤΥΧ")


class Unicode:
    """Looks for invisible and for look-alike text. It reads the text as it is, not folded."""

    name = "unicode"
    types = TYPES
    reads_original: Final = True

    __slots__ = ()

    def find(self, text: str) -> tuple[Finding, ...]:
        """Where there is some."""
        if text.isascii():
            return ()
        invisible = (
            Finding(INVISIBLE_TEXT, *match.span(), self.name, 0.9)
            for match in _INVISIBLE.finditer(text)
            if not _is_joining(text, *match.span())
        )
        mixed = (
            Finding(LOOKALIKE_TEXT, *match.span(), self.name, 0.7)
            for match in _MIXED.finditer(text)
            if _is_mixed(match.group())
        )
        return in_order(list(islice(chain(invisible, mixed), MOST_FINDINGS + 1)))


def _is_joining(text: str, start: int, end: int) -> bool:
    """Whether invisible characters stand between two that are joined by them: emoji, and scripts that join."""
    around = (text[start - 1 : start], text[end : end + 1])
    return end - start == 1 and all(
        one and unicodedata.category(one) in ("So", "Lo", "Mn", "Mc", "Sk") for one in around
    )


def _is_mixed(word: str) -> bool:
    others = _OTHER.findall(word)
    return bool(others and _LATIN.search(word)) and all(letter in _LOOKS_LATIN for letter in others)
