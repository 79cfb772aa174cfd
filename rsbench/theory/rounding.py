"""Rounding that can only understate: a radius that is stored or shown is never rounded up."""

import math
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from rsbench.records import FloatArray, IntArray

_UNIT = 2.0**-52

_NO_RADIUS = "{!r} is not a radius: give a decimal number ≥ 0, such as 0.5, with at most 9 decimals"


def inward(value: npt.ArrayLike, roundings: npt.ArrayLike = 16) -> FloatArray:
    """Non-negative values, lowered by `roundings` units in the last place to cover the errors of their computation.

    The special functions used here are accurate to a few units (2⁻⁵² relative): sixteen cover a formula of a few of
    them. A sum of m terms needs more, hence the argument.
    """
    return np.asarray(value, dtype=np.float64) * (1.0 - _UNIT * np.asarray(roundings, dtype=np.float64))


def floor_to_float(value: Fraction) -> float:
    """The largest float that does not exceed an exact rational."""
    nearest = float(value)
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, -math.inf)


def floor_quotient(numerator: IntArray, denominator: int) -> FloatArray:
    """Whole numbers over a whole number, each as the largest float that does not exceed the quotient."""
    distinct, position = np.unique(numerator, return_inverse=True)
    quotients = [floor_to_float(Fraction(int(value), denominator)) for value in distinct]
    return np.array(quotients, dtype=np.float64)[position]


def ceil_to_float(value: Fraction) -> float:
    """The smallest float that an exact rational does not exceed."""
    return 0.0 - floor_to_float(-value)


def radius_threshold(text: str) -> float:
    """The radius that a user typed, as a float that is at most its exact decimal value.

    With stored radii rounded down the same way, `stored > threshold` (open ball) and `stored >= threshold` (closed
    ball) then give the answer of exact arithmetic: 51/255 is certified at "0.2". That rests on the limits below, by
    which k/q (q < 2¹⁶) and an unequal decimal are further apart than two neighbouring floats.

    Raises ValueError when `text` is not a decimal number in 0..999,999 with at most 9 decimals.
    """
    try:
        value = Decimal(text)
    except ArithmeticError as error:
        raise ValueError(_NO_RADIUS.format(text)) from error
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or not 0 <= value < 10**6 or exponent < -9:
        raise ValueError(_NO_RADIUS.format(text))
    return floor_to_float(Fraction(value))


def floor_decimal(value: float, digits: int) -> str:
    """`value` with `digits` decimals, rounded towards −∞: for showing radii."""
    return str(Decimal(value).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_FLOOR))
