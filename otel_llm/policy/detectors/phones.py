"""Telephone numbers: what a run of digits must look like, and which words must stand near, to be one.

With a country code, or in North America's form, a number speaks for itself. In most countries' own forms it looks like
any other number, and counts only where the text speaks of calling, or in a form that little else has.
Source: ITU-T E.164 (country codes, at most 15 digits); NANP (area and exchange begin with 2 to 9).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from otel_llm.policy.detectors.gate import Cue
from otel_llm.policy.detectors.patterns import CONTEXT_AFTER, CONTEXT_BEFORE, has_context, words

PHONE_NUMBER: Final = "PHONE_NUMBER"

_FEWEST_DIGITS: Final = 7
_MOST_DIGITS: Final = 15
_MOST_BARE: Final = 12
_MOST_GROUPS: Final = 8

_EXTENSION: Final = r"(?: ?(?:x|ext\.?) ?\d{1,6})?"
_SEPARATED: Final = r"(?:[ ()./\-]{0,3}\d)"
# With a country code: the code has to be one that is given out.
_COUNTRY: Final = r"(?:1|7|20|27|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|2[1-69]\d|3[578]\d|42\d|5[09]\d|6[789]\d|8[058]\d|9[679]\d)"
_INTERNATIONAL: Final = rf"(?:\(?\+ ?|\(?00(?: ?|-)(?=[1-9]\d*[ ()./\-])){_COUNTRY}\)?{_SEPARATED}{{6,13}}"
_NORTH_AMERICAN: Final = r"(?:1[-. ])?(?:\([2-9]\d\d\) ?|[2-9]\d\d-|[2-9]\d\d\.)[2-9]\d\d[-. ]\d{4}"
# 01.84.17.61.18, 0496 46 46 70; 083 564 9312, 0393 1144137: nine to eleven digits after all.
_PAIRS: Final = r"0[1-9]\d{0,2}(?:([ .\-])\d\d)(?:\1\d\d){2,3}"
_NATIONAL: Final = r"\(?0[1-9]\d{1,3}\)?[ \-/]\d{2,4}(?:[ \-]?\d{2,4}){1,3}"
# Digits of other scripts were folded; what is left of them ends a number, like letters.
_SPEAKING: Final = re.compile(rf"(?a:(?:{_INTERNATIONAL}|{_NORTH_AMERICAN}|{_PAIRS}|{_NATIONAL}){_EXTENSION})(?!\w)")
_MAY_SPEAK: Final = re.compile(r"\+|(?<!\d)0|[2-9]\d\d\)? ?[-.]?[2-9]\d\d[-. ]\d{4}", re.ASCII)
# The same forms where every digit is a 9: with 00 and a country, of North America, in pairs, in other groups.
_SHAPES: Final = re.compile(
    r"(?<!9)(?:99(?: ?|-)9+[ ()./\-]|999{0,2}[ .\-]99[ .\-]99[ .\-]99"
    r"|9999?9?\)?[ \-/]9{2,4}[ \-]?9{2,4})"
)
_NORTH_AMERICAN_SHAPE: Final = re.compile(r"999\)? ?[-.]?999[-. ]9999")
_ZERO: Final = re.compile(r"0(?<!\d0)\d", re.ASCII)
_FEWEST_NATIONAL, _MOST_NATIONAL = 9, 11

# In any other form, where the text speaks of calling.
_GROUPED: Final = re.compile(rf"\(?\+?\d{{1,5}}\)?(?:[ .\-/]{{1,2}}\(?\d{{2,7}}\)?){{1,5}}{_EXTENSION}", re.ASCII)
_CALLING_WORDS: Final = (
    "phone", "telephone", "tel.", "tel:", "tel ", "mobile", "mob", "cell", "call", "fax", "desk:", "office:", "-office", "office phone",
    "whatsapp", "sms", "text me", "text us", "texting", "messages to", "dial", "reach me", "reach us", "reach him",
    "reach her", "contact", "hotline", "answering", "handy", "telefon", "téléphone", "teléfono", "telefono", "móvil",
    "landline", "pager",
)  # fmt: skip
# One for each word: which of them there are, the gate tells.
CALLING_CUES: Final = tuple(Cue((word,) if word.isascii() else ()) for word in _CALLING_WORDS)
_STRONG: Final = words(
    "phone", "telephone", "tel.", "tel:", "tel ", "mobile", "cell", "fax", "whatsapp", "call me", "call us", "call him", "call her",
    "dial", "telefon", "téléphone", "teléfono", "telefono", "handy", "desk:", "office:", "sms",
)  # fmt: skip
_BEFORE: Final = frozenset("/=#&_$€£%")
# A date (with an hour, perhaps) is no number of a person.
_DATE: Final = re.compile(
    r"(?:19|20)\d\d[\-/.](?:0?[1-9]|1[0-2])[\-/.][0-3]?\d(?:\D|$)|[0-3]?\d[\-/.][0-3]?\d[\-/.](?:19|20)\d\d(?:\D|$)",
    re.ASCII,
)


def may_be_phone(text: str, start: int, end: int) -> bool:
    """Whether there can be a telephone number that speaks for itself in a run of digits; never wrong when it says no."""
    return _MAY_SPEAK.search(text, max(0, start - 2), end) is not None


def may_have_phone_shape(shape: str) -> bool:
    """The same for the shape of a run that no plus or bracket stands before: every digit is a 9."""
    return _SHAPES.search(shape) is not None or may_be_north_american(shape)


def may_be_north_american(shape: str) -> bool:
    """The same for the one form that need not begin with a zero."""
    return _NORTH_AMERICAN_SHAPE.search(shape) is not None


def begins_with_zero(text: str, start: int, end: int) -> bool:
    """Whether a group of digits in a run does."""
    return _ZERO.search(text, start, end) is not None


def calling_places(text: str, cues: Iterable[int]) -> list[int]:
    """Where the words stand that speak of calling, ascending.

    Args:
        text: the text.
        cues: positions in CALLING_CUES of the words that may be in it.
    """
    words_there = [_CALLING_WORDS[cue] for cue in cues]
    if text.isascii():  # words with accents always pass the gate, and are in no such text
        words_there = [word for word in words_there if word.isascii()]
    if not words_there:
        return []
    lower = text.lower()
    if len(lower) != len(text):  # some letters are longer in lower case, and places would not fit
        lower = text
    places = []
    for word in words_there:
        place = lower.find(word)
        while place >= 0:
            if not lower[place - 1 : place].isalnum():
                places.append(place)
            place = lower.find(word, place + 1)
    places.sort()
    return places


def phone_at(
    text: str, groups: Sequence[tuple[int, int]], position: int, calling: Sequence[int]
) -> tuple[int, int] | None:
    """Where the telephone number is that begins with this group of digits; None when none does.

    Args:
        text: the text.
        groups: where the groups of digits are that may be one number.
        position: of the first group.
        calling: where the words stand that speak of calling.
    """
    start = groups[position][0]
    while start and text[start - 1] in "+(":
        start -= 1
    is_called = is_near(calling, start, groups[position][1])
    is_joined = text[start - 1 : start] in _BEFORE and text[start] != "+"  # `?to=+44…` has its own mark
    if is_inside(text, start) or _DATE.match(text, start) or (is_joined and not is_called):
        return None
    speaking = _SPEAKING.match(text, start)
    if speaking is not None and not goes_on(text, speaking.end()) and _has_its_length(speaking.group()):
        return start, speaking.end()
    if not is_called:
        return None
    for after in range(_last_group(groups, position), position, -1):
        end = groups[after - 1][1]
        if not goes_on(text, end) and _is_called(text, start, end):
            return start, end
    return None


def is_near(calling: Sequence[int], start: int, end: int) -> bool:
    """Whether one of the words that speak of calling stands near this part of the text."""
    position = bisect_left(calling, start - CONTEXT_BEFORE)
    return position < len(calling) and calling[position] < end + CONTEXT_AFTER


# What joins groups of one number, and of a fraction or a code: a number neither begins nor ends there.
_JOINS: Final = (".", "-")
_IS_HEX: Final = re.compile(r"[0-9A-Fa-f]{2}-")


def is_inside(text: str, start: int) -> bool:
    """Whether the number that begins here is the rest of a fraction, of a UUID, or of a longer number."""
    before = text[start - 1 : start]
    if before == ".":
        return text[start - 2 : start - 1].isdigit()
    return before == "-" and (text[start - 2 : start - 1].isdigit() or _IS_HEX.match(text, start - 3) is not None)


def goes_on(text: str, end: int) -> bool:
    """Whether the number that ends here has further digits behind a dot or a dash."""
    return text[end : end + 1] in _JOINS and text[end + 1 : end + 2].isdigit()


def _has_its_length(number: str) -> bool:
    """Whether a number of a national form has as many digits as those have."""
    if (number[0] == "0" and not number.startswith("00")) or number.startswith("(0"):
        return _FEWEST_NATIONAL <= sum(map(str.isdigit, number)) <= _MOST_NATIONAL
    return True


def _is_called(text: str, start: int, end: int) -> bool:
    """Whether a part of a text that speaks of calling has the form of a number; bare digits need a stronger word."""
    number = text[start:end]
    digits = sum(map(str.isdigit, number))
    if number.isdigit():
        return _FEWEST_DIGITS <= digits <= _MOST_BARE and has_context(text, start, end, _STRONG)
    return _FEWEST_DIGITS <= digits <= _MOST_DIGITS + 6 and _GROUPED.fullmatch(number) is not None


def _last_group(groups: Sequence[tuple[int, int]], position: int) -> int:
    """The position after the last group that a number may have which begins with this one."""
    digits = 0
    for after in range(position, min(len(groups), position + _MOST_GROUPS)):
        digits += groups[after][1] - groups[after][0]
        if digits > _MOST_DIGITS + 6:  # with an extension
            return after
    return min(len(groups), position + _MOST_GROUPS)
