"""Telephone numbers: what a run of digits must look like, and which words must stand near, to be one.

With a country code, or in North America's form, a number speaks for itself. In most countries' own forms it looks like
any other number, and counts only where the text speaks of calling, or in a form that little else has.
Source: ITU-T E.164 (country codes, at most 15 digits); NANP (area and exchange begin with 2 to 9).
"""

from __future__ import annotations

import re
from typing import Final

from otel_llm.policy.detectors.patterns import has_context, words

PHONE_NUMBER: Final = "PHONE_NUMBER"

_FEWEST_DIGITS: Final = 7
_FEWEST_INTERNATIONAL: Final = 8
_MOST_DIGITS: Final = 15
_MOST_BARE: Final = 12

_COUNTRY: Final = re.compile(
    r"(?:1|7|20|27|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|2[1-69]\d|3[578]\d|42\d|5[09]\d|6[789]\d|8[058]\d|9[679]\d)"
)
_EXTENSION: Final = re.compile(r" ?(?:x|ext\.?) ?\d{1,6}$")
_NORTH_AMERICAN: Final = re.compile(r"(?:1[-. ])?(?:\([2-9]\d\d\) ?|[2-9]\d\d-|[2-9]\d\d\.)[2-9]\d\d[-. ]\d{4}")
# 01.84.17.61.18, 0496 46 46 70, 083 564 9312, 0393 1144137
_NATIONAL: Final = re.compile(
    r"0[1-9](?:([ .\-])\d\d)(?:\1\d\d){3}|\(?0[1-9]\d{1,3}\)?[ \-/]\d{2,4}(?:[ \-]?\d{2,4}){1,3}"
)
_GROUPED: Final = re.compile(r"\(?\+?\d{1,5}\)?(?:[ .\-/]{1,2}\(?\d{2,7}\)?){1,5}")

_CALLING: Final = words(
    "phone", "telephone", "tel", "mobile", "mob", "cell", "call", "fax", "desk", "office:", "-office", "office phone", "whatsapp", "sms", "text me",
    "text us", "texting", "messages to", "dial", "reach me", "reach us", "reach him", "reach her", "contact", "hotline",
    "answering", "handy", "telefon", "téléphone", "teléfono", "telefono", "móvil", "portable", "landline", "pager",
)  # fmt: skip
_STRONG: Final = words(
    "phone", "telephone", "tel", "mobile", "cell", "fax", "whatsapp", "call me", "call us", "call him", "call her",
    "dial", "telefon", "téléphone", "teléfono", "telefono", "handy", "desk:", "office:", "sms",
)  # fmt: skip
_BEFORE: Final = frozenset("/=#&_$€£%")


_MAY_BE: Final = re.compile(
    rf"\+|(?<!\d)00 ?[1-9]|{_NORTH_AMERICAN.pattern}|(?<!\d)0[1-9](?:[ .\-]\d\d){{4}}|(?<!\d)\(?0[1-9]\d{{1,3}}\)?[ \-/]\d{{2}}"
)


def may_be_phone(text: str, start: int, end: int) -> bool:
    """Whether there can be a telephone number in a run of digits at all; quick, and never wrong when it says no."""
    return bool(_MAY_BE.search(text, max(0, start - 2), end)) or has_context(text, start, end, _CALLING)


def is_phone(text: str, start: int, end: int) -> bool:
    """Whether this part of a text, which begins and ends with the number, is a telephone number."""
    number = _EXTENSION.sub("", text[start:end])
    digits = re.sub(r"\D", "", number)
    if not _FEWEST_DIGITS <= len(digits) <= _MOST_DIGITS or (start and text[start - 1] in _BEFORE):
        return False
    if number[0] == "+" or number.startswith("(+"):
        return len(digits) >= _FEWEST_INTERNATIONAL and _COUNTRY.match(digits) is not None
    if number.startswith("00") and not number.isdigit():
        return len(digits) > _FEWEST_INTERNATIONAL + 2 and _COUNTRY.match(digits, 2) is not None
    if _NORTH_AMERICAN.fullmatch(number):
        return True
    if number.isdigit():
        return len(number) <= _MOST_BARE and has_context(text, start, end, _STRONG)
    if 9 <= len(digits) <= 11 and _NATIONAL.fullmatch(number):
        return True
    return _GROUPED.fullmatch(number) is not None and has_context(text, start, end, _CALLING)
