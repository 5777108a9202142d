"""Money is a whole number of 1e-18 of a currency unit ("atto"); it becomes a double only where it leaves the package.

1e-18 because every published token price is a whole number of it for one token (the build tool checks), so sums are
exact and there is nothing to round. Two things do not divide: a price an hour for a number of seconds, and a rate that
a user discounts or converts. Each is rounded once, half to even, where it arises.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

#: Attos in one unit of the currency.
ATTO = 10**18


def to_atto(amount: Fraction) -> int:
    """The amount, in currency units, rounded half to even to a whole atto."""
    return round(amount * ATTO)


def to_decimal(atto: int) -> Decimal:
    """The exact amount in currency units."""
    return Decimal((atto < 0, tuple(map(int, str(abs(atto)))), -18))
