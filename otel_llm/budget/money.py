"""Money as whole numbers: 1e-12 of a currency unit (pico) while it is summed up, 1e-9 (nano) in the store.

Pico is what the ledger's amounts are multiples of. A counter of 64 bits in pico would be full at nine million units of
a currency, in nano at nine thousand million; so sums are taken in pico, and their whole nanos go to the store.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

NANO: Final = 10**9
PICO_IN_NANO: Final = 1000


def to_nano(amount: float | Decimal) -> int:
    """An amount in currency units; a double is read as the decimal that it is printed as."""
    return round(Decimal(str(amount)) * NANO)


def to_units(nano: int) -> Decimal:
    """An amount of nanos in currency units, exact."""
    return Decimal(nano).scaleb(-9)
