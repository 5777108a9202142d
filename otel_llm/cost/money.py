"""Money is a whole number of 1e-18 of a currency unit ("atto"); it becomes a double only where it leaves the package.

1e-18 because every published token price is a whole number of it for one token (the build tool checks), so sums are
exact and there is nothing to round. Two things do not divide: a price an hour for a number of seconds, and a rate that
a user discounts or converts. Each is rounded once, half to even, where it arises.
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Final

#: Attos in one unit of the currency.
ATTO = 10**18

# What is read back from an attribute is a whole number of this part of a currency unit. Token prices are multiples of
# it; what the attribute's double holds beyond it is less than 1e-12 of a unit for each operation.
PICO: Final = 10**12
# What no operation costs: a million units of money. Such a number is a mistake or an attack, and would make sums
# overflow.
_MAX_PICO: Final = 10**6 * PICO


def to_atto(amount: Fraction) -> int:
    """The amount, in currency units, rounded half to even to a whole atto."""
    return round(amount * ATTO)


def to_decimal(atto: int) -> Decimal:
    """The exact amount in currency units."""
    return Decimal((atto < 0, tuple(map(int, str(abs(atto)))), -18))


def to_pico(value: object) -> int | None:
    """An amount of money from a span's attribute, in 1e-12 units; None when it is none that a sum can hold.

    The double is read as the decimal that it is printed as, which is what the one who set it meant.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    pico = round(Decimal(repr(value)) * PICO)
    return pico if abs(pico) <= _MAX_PICO else None
