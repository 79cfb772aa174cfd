"""Conservative rounding: a radius that is stored or shown never exceeds its exact value.

Everything in `rsbench.theory` is computed in float64. A formula's result is lowered by more than its rounding error
(`lower_by_ulps`); exact rationals are converted with directed rounding (`floor_to_float`, `ceil_to_float`).
"""

import math
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from rsbench.records import FloatArray, IntArray

# One unit in the last place (ulp) of a float64, relative to its value.
_ULP = 2.0**-52

_INVALID_RADIUS = "{!r} is not a radius: give a decimal number ≥ 0, such as 0.5, with at most 9 decimals"


def lower_by_ulps(value: npt.ArrayLike, ulps: npt.ArrayLike = 16) -> FloatArray:
    """Lower non-negative values by some units in the last place, to cover the rounding errors of their computation.

    value: any shape, ≥ 0.
    ulps: how many units of 2⁻⁵² (relative) to subtract, broadcast against `value`. The special functions used here are
    accurate to a few ulps, so the default of 16 covers a formula that combines a few of them. A sum of m terms needs
    m more.
    """
    return np.asarray(value, dtype=np.float64) * (1.0 - _ULP * np.asarray(ulps, dtype=np.float64))


def floor_to_float(value: Fraction) -> float:
    """Return the largest float64 that does not exceed an exact rational."""
    nearest = float(value)
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, -math.inf)


def ceil_to_float(value: Fraction) -> float:
    """Return the smallest float64 that is not below an exact rational."""
    # Subtracting from 0.0 negates without producing −0.0.
    return 0.0 - floor_to_float(-value)


def floor_quotient(numerator: IntArray, denominator: int) -> FloatArray:
    """Divide an array of integers by an integer; each quotient is the largest float64 that does not exceed it."""
    distinct, position = np.unique(numerator, return_inverse=True)
    quotients = [floor_to_float(Fraction(int(value), denominator)) for value in distinct]
    return np.array(quotients, dtype=np.float64)[position]


def radius_threshold(text: str) -> float:
    """Parse a radius that a user typed into the largest float64 that does not exceed its decimal value.

    Stored radii are rounded down in the same way, so comparing the two floats gives the result of exact arithmetic:
    `stored > threshold` for an open ball, `stored >= threshold` for a closed one. For example, the radius 51/255 of
    DSSN is certified at "0.2". This relies on the limits on `text` below: within them, a radius k/q with q < 2¹⁶ and a
    different decimal are further apart than two neighbouring floats.

    Raises ValueError unless `text` is a decimal number from 0 to 999,999 with at most 9 decimals.
    """
    try:
        value = Decimal(text)
    except ArithmeticError as error:
        raise ValueError(_INVALID_RADIUS.format(text)) from error
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or not 0 <= value < 10**6 or exponent < -9:
        raise ValueError(_INVALID_RADIUS.format(text))
    return floor_to_float(Fraction(value))


def floor_decimal(value: float, digits: int) -> str:
    """Format a float with `digits` decimals, rounded towards −∞. Use it to display radii."""
    return str(Decimal(value).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_FLOOR))
