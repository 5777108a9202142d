"""Estimates how many tokens a text is, when a provider did not report it.

No tokenizer and no vocabulary: every byte is replaced by the class it belongs to (lower case, digit, Cyrillic, ...) and
short patterns of classes are counted, each weighing what it contributes on average. `bytes.translate` and
`bytes.count` do all of it, so a thousand characters take some 20 µs.

The weights are fitted to o200k_base by tools/prices/fit_tokens.py; docs/prices.md has the measured error. Other
tokenizers differ from that one by more than the estimate does. An estimate must be marked as one.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Of longer texts this many characters are looked at, in windows of so many.
SAMPLED_CHARACTERS = 1 << 16
WINDOW_CHARACTERS = 1 << 12

#: Kinds of parts, and keys of messages, that hold no text that is read.
_MEDIA = frozenset({"blob", "uri", "file"})
_NAMES = frozenset({"type", "role", "id"})


def _class_of(byte: int) -> bytes:
    """The class of a byte of UTF-8: what it is in ASCII, else which scripts its lead byte begins."""
    character = chr(byte)
    if character.isascii():
        if character.islower():
            return b"a"
        if character.isupper():
            return b"A"
        if character.isdigit():
            return b"0"
        return {" ": b" ", "\t": b" ", "\n": b"n", "\r": b"n"}.get(character, b"p")
    for limit, name in _LEAD_BYTES:
        if byte < limit:
            return name
    return b"m"


#: First byte that no longer belongs to the class; see https://www.unicode.org/versions/Unicode16.0.0/core-spec/chapter-3/
_LEAD_BYTES = (
    (0xC0, b"x"),  # continuation bytes
    (0xC6, b"l"),  # Latin letters with accents
    (0xCD, b"o"),
    (0xD0, b"g"),  # Greek
    (0xD4, b"y"),  # Cyrillic
    (0xD6, b"o"),  # Armenian
    (0xD8, b"h"),  # Hebrew
    (0xDC, b"r"),  # Arabic
    (0xE0, b"o"),
    (0xE1, b"i"),  # Indic scripts, Thai
    (0xE2, b"v"),  # Vietnamese accents, Georgian, Khmer
    (0xE3, b"u"),  # punctuation, symbols
    (0xE4, b"j"),  # kana, CJK punctuation
    (0xEA, b"c"),  # Han
    (0xEE, b"k"),  # Hangul
    (0xF0, b"o"),
)
_CLASSES = b"".join(_class_of(byte) for byte in range(256))

#: Tokens an occurrence of each pattern of classes is worth (occurrences do not overlap).
WEIGHTS: dict[bytes, float] = {
    b" a": 0.6812,
    b" A": 0.6254,
    b"na": 1.2467,
    b"nA": 1.7224,
    b"pa": 0.9415,
    b"pA": 1.1144,
    b"aA": 0.6258,
    b"AA": 0.2008,
    b"0a": 0.2154,
    b"0A": 1.2709,
    b"a0": 0.6201,
    b"0": 0.3539,
    b"p": 0.2639,
    b"n": 0.8055,
    b"n ": 0.8365,
    b"a": 0.0577,
    b"l": 1.2682,
    b"g": 0.4549,
    b"h": 0.4934,
    b"r": 0.2947,
    b"i": 0.3909,
    b"u": 1.1907,
    b"c": 0.8157,
    b"m": 1.901,
    b"o": 0.3223,
    b" i": 0.3308,
    b"aaaaaaaa": 0.117,
    b"aaaaaaaaaaaaa": 0.3911,
    b"a0a": 2.1877,
    b"A0": 2.4743,
    b"p0": 1.7157,
    b"aaaa": 0.0741,
    b"AAAA": 0.0737,
    b" p": 0.6834,
    b"yxyxyxyx": 1.8573,
    b"rxrxrxrx": 0.5733,
    b"kxxkxx": 1.6786,
    b"jxxjxx": 1.3218,
}


def estimate_tokens(text: str) -> int:
    """The number of tokens of the text, roughly: 0 for none, else at least 1.

    Bounded work: of a text longer than SAMPLED_CHARACTERS that many are looked at, in windows spread evenly over it.
    """
    if not text:
        return 0
    if len(text) <= SAMPLED_CHARACTERS:
        return max(1, round(_weigh(text)))
    windows = SAMPLED_CHARACTERS // WINDOW_CHARACTERS
    step = (len(text) - WINDOW_CHARACTERS) / (windows - 1)
    starts = (round(number * step) for number in range(windows))
    sampled = sum(_weigh(text[start : start + WINDOW_CHARACTERS]) for start in starts)
    return round(sampled * len(text) / SAMPLED_CHARACTERS)


def _weigh(text: str) -> float:
    count = byte_classes(text).count
    return sum(count(pattern) * weight for pattern, weight in WEIGHTS.items())


def byte_classes(text: str) -> bytes:
    """The class of every byte of the text's UTF-8 form; lone surrogates count as the three bytes they would be."""
    return text.encode("utf-8", "surrogatepass").translate(_CLASSES)


def texts_of(value: object) -> list[str]:
    """Every text that a model reads in messages or definitions; media are left out: nobody can tell their tokens.

    Args:
        value: what was said, as plain data; anything else has no texts.
    """
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        if value.get("type") in _MEDIA:
            return []
        return [text for key, item in value.items() if key not in _NAMES for text in texts_of(item)]
    return [text for item in value for text in texts_of(item)] if isinstance(value, list | tuple) else []
