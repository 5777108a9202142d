"""Check digits. Each function takes digits (or letters and digits) without separators and says whether they agree.

Sources: ISO/IEC 7812-1 (Luhn), ISO 13616 and ISO/IEC 7064 (mod 97-10, mod 11-10, mod 11-2), Verhoeff 1969, and for the
numbers of states the descriptions their authorities publish.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def luhn(digits: str) -> bool:
    """Whether the digits' Luhn sum is a multiple of ten."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        number = ord(digit) - 48
        total += _DOUBLED[number] if position & 1 else number
    return total % 10 == 0


def weighted(digits: str, weights: Sequence[int]) -> int:
    """The sum of the digits, each times its weight; digits without a weight are left out."""
    return sum((ord(digit) - 48) * weight for digit, weight in zip(digits, weights, strict=False))


def mod_97(text: str) -> bool:
    """ISO 13616: whether letters and digits, the first four moved to the end, leave 1 when divided by 97."""
    moved = text[4:] + text[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def mod_11_10(digits: str) -> bool:
    """ISO/IEC 7064, mod 11-10, as in Germany's tax number."""
    rest = 10
    for digit in digits[:-1]:
        total = (rest + ord(digit) - 48) % 10 or 10
        rest = total * 2 % 11
    return (11 - rest) % 10 == ord(digits[-1]) - 48


def mod_11_2(text: str) -> bool:
    """ISO/IEC 7064, mod 11-2, whose last character may be X, as in China's identity number."""
    rest = 0
    for digit in text[:-1]:
        rest = (rest + ord(digit) - 48) * 2 % 11
    return "0123456789X"[(12 - rest) % 11] == text[-1].upper()


_PRODUCT: Final = (
    "0123456789",
    "1234067895",
    "2340178956",
    "3401289567",
    "4012395678",
    "5987604321",
    "6598710432",
    "7659821043",
    "8765932104",
    "9876543210",
)
_PERMUTATION: Final = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)


def verhoeff(digits: str) -> bool:
    """Whether the digits' Verhoeff check comes to zero."""
    check = 0
    for position, digit in enumerate(reversed(digits)):
        permuted = _PERMUTATION[position % 8][ord(digit) - 48]
        check = ord(_PRODUCT[check][ord(permuted) - 48]) - 48
    return check == 0
