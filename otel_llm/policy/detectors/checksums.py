"""Check digits. Each function takes digits (or letters and digits) without separators and says whether they agree.

Sources: ISO/IEC 7812-1 (Luhn), ISO 13616 and ISO/IEC 7064 (mod 97-10, mod 11-10, mod 11-2), Verhoeff 1969, and for the
numbers of states the descriptions their authorities publish.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# By its digit: twice as much, its digits added up.
_DOUBLED: Final = dict(zip("0123456789", (0, 2, 4, 6, 8, 1, 3, 5, 7, 9), strict=True))


def luhn(digits: str) -> bool:
    """Whether the digits' Luhn sum is a multiple of ten."""
    total = sum(map(int, digits[::-2])) + sum(map(_DOUBLED.__getitem__, digits[-2::-2]))
    return total % 10 == 0


def weighted(digits: str, weights: Sequence[int]) -> int:
    """The sum of the digits, each times its weight; digits without a weight are left out."""
    return sum((ord(digit) - 48) * weight for digit, weight in zip(digits, weights, strict=False))


_VALUES: Final = {ord(letter): str(value) for value, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ", start=10)}


def mod_97(text: str) -> bool:
    """ISO 13616: whether letters and digits, the first four moved to the end, leave 1 when divided by 97."""
    moved = text[4:] + text[:4]
    return int(moved.translate(_VALUES)) % 97 == 1


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
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_PERMUTATION: Final = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 5, 7, 6, 2, 8, 3, 0, 9, 4),
    (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7),
    (9, 4, 5, 3, 1, 2, 6, 8, 7, 0),
    (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5),
    (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)


def verhoeff(digits: str) -> bool:
    """Whether the digits' Verhoeff check comes to zero."""
    check = 0
    for position, digit in enumerate(reversed(digits)):
        check = _PRODUCT[check][_PERMUTATION[position % 8][ord(digit) - 48]]
    return check == 0
