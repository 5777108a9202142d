"""Intervals for a share, exact, in plain Python.

Source: Clopper and Pearson, Biometrika 26 (1934); the continued fraction of the incomplete beta function is formula
8.17.22 of the NIST Digital Library of Mathematical Functions, evaluated by Lentz's method.
"""

from __future__ import annotations

import math
from typing import Final

_TINY: Final = 1e-300
_PRECISION: Final = 1e-14
_MOST_TERMS: Final = 10_000
_HALVINGS: Final = 60


def upper_bound(hits: float, trials: int, risk: float) -> float:
    """The share that `hits` of `trials` may come from, at most; too low with probability `risk` or less."""
    if hits >= trials:
        return 1.0
    return _quantile(1.0 - risk, hits + 1.0, trials - hits)


def lower_bound(hits: float, trials: int, risk: float) -> float:
    """The share that `hits` of `trials` may come from, at least; too high with probability `risk` or less."""
    if hits <= 0:
        return 0.0
    return _quantile(risk, hits, trials - hits + 1.0)


def _quantile(probability: float, a: float, b: float) -> float:
    """Where the beta distribution has this probability below it."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if beta_probability(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def beta_probability(x: float, a: float, b: float) -> float:
    """The probability that a beta distributed number is at most x, between 0 and 1."""
    if not 0.0 < x < 1.0:
        return float(x >= 1.0)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1.0) / (a + b + 2.0):  # where the fraction converges quickly; the other half by symmetry
        return front * _fraction(x, a, b) / a
    return 1.0 - front * _fraction(1.0 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for term in range(1, _MOST_TERMS):
        even = a + 2 * term
        for numerator in (
            term * (b - term) * x / ((even - 1.0) * even),
            -(a + term) * (a + b + term) * x / (even * (even + 1.0)),
        ):
            d = 1.0 / _not_zero(1.0 + numerator * d)
            c = _not_zero(1.0 + numerator / c)
            value *= c * d
        if abs(c * d - 1.0) < _PRECISION:
            break
    return value


def _not_zero(x: float) -> float:
    return x if abs(x) > _TINY else _TINY
