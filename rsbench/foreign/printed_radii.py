r"""Radii that were printed as text, lowered to what the printed digits guarantee.

Released files print radii rounded to nearest, mostly with "{:.3}". A radius of 0.3564 appears as 0.356; one of 0.3566
appears as 0.357, which is more than was certified; one of 0.3600 appears as 0.36. So the radius that
the digits guarantee is the smallest number that prints as the text: half a unit of the last printed place below it.

The last printed place cannot be read from one text, because trailing zeros are dropped. It is taken from the whole
file: let S be the largest number of significant digits and D the largest number of decimals of any text. The last place
of a number is its S-th significant digit, but never finer than D decimals. The first rule is that of "{:.3}", the
second that of "{:.3f}".

All computations are exact, in integers and fractions, until the final conversion to float, which rounds down.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from rsbench.records import FloatArray
from rsbench.theory.rounding import floor_quotient, floor_to_float

_DECIMAL = re.compile(r"([0-9]+)\.?([0-9]*)(?:[eE]([+-]?[0-9]{1,3}))?", re.ASCII)
# Radii in pixel values are far below a million. The limit keeps exact arithmetic with crafted exponents quick.
_LARGEST_MAGNITUDE = 6
# Radii with at least this many significant digits were printed as whole floats, by repr.
_FLOAT_DIGITS = 15


@dataclass(frozen=True)
class PrintedNumber:
    """A non-negative decimal number as it was printed: `mantissa`·10^`exponent`."""

    mantissa: int
    exponent: int

    @property
    def significant_digits(self) -> int:
        """How many digits were printed from the first nonzero one on; 0 for zero."""
        return len(str(self.mantissa)) if self.mantissa else 0

    @property
    def magnitude(self) -> int:
        """The integer m with 10^(m−1) ≤ number < 10^m. For zero, which has none, 1 + `exponent`."""
        return len(str(self.mantissa)) + self.exponent


def parse_radius(text: str) -> PrintedNumber | None:
    """Return the number that a text prints, or None if it is not a decimal number in 0..999,999."""
    match = _DECIMAL.fullmatch(text)
    if match is None or len(text) > 40:
        return None
    integer_part, decimals, power = match.groups()
    number = PrintedNumber(int(integer_part + decimals), int(power or 0) - len(decimals))
    return number if number.magnitude <= _LARGEST_MAGNITUDE else None


@dataclass(frozen=True)
class PrintPrecision:
    """How precisely the radii of a file were printed."""

    digits: int
    """S, the largest number of significant digits."""

    decimals: int
    """D, the largest number of decimals."""

    fixed: bool
    """Whether every nonzero radius has D decimals, as "{:.3f}" prints them."""

    @classmethod
    def of(cls, numbers: Sequence[PrintedNumber]) -> "PrintPrecision":
        """Determine the precision of a file's radii. Zeros are skipped: code writes "0.0" for an abstention."""
        nonzero = [number for number in numbers if number.mantissa]
        decimals = [max(0, -number.exponent) for number in nonzero]
        return cls(
            digits=max((number.significant_digits for number in nonzero), default=1),
            decimals=max(decimals, default=0),
            fixed=len(set(decimals)) == 1 and decimals[0] > 0,
        )

    @property
    def text(self) -> str:
        """The precision in words. It is part of an imported run's identity, so it must not change."""
        return (
            f"{self.decimals} decimals"
            if self.fixed and self.digits < _FLOAT_DIGITS
            else f"{self.digits} significant digits"
        )

    def interval(self, number: PrintedNumber) -> tuple[Fraction, Fraction]:
        """Return the smallest and the largest value that print as the number; never below 0."""
        # Counted in half units of the last place, the number itself is even.
        unit_exponent = max(number.magnitude - self.digits, -self.decimals)
        halves = 2 * number.mantissa * 10 ** (number.exponent - unit_exponent) if number.mantissa else 0
        return _half_units(max(halves - 1, 0), unit_exponent), _half_units(halves + 1, unit_exponent)


def smallest_values(numbers: Sequence[PrintedNumber], precision: PrintPrecision) -> FloatArray:
    """Return the smallest value that prints as each number, rounded down to a float: the guaranteed radius."""
    return np.array([floor_to_float(precision.interval(number)[0]) for number in numbers], dtype=np.float64)


def smallest_grid_values(
    numbers: Sequence[PrintedNumber], precision: PrintPrecision, q: int
) -> tuple[FloatArray, int | None]:
    """Return the smallest k/q that prints as each number, rounded down, for radii known to be multiples of 1/q.

    Where only one k/q prints as the number, this recovers the radius itself.
    Also returns the position of the first number that no k/q prints as, or None; the array is then empty.
    """
    steps = []
    for position, number in enumerate(numbers):
        low, high = precision.interval(number)
        step = math.ceil(low * q)
        if step > high * q:
            return np.zeros(0), position
        steps.append(step)
    return floor_quotient(np.array(steps, dtype=np.int64), q), None


def _half_units(count: int, unit_exponent: int) -> Fraction:
    """Return count/2·10^unit_exponent."""
    return Fraction(count * 10**unit_exponent, 2) if unit_exponent >= 0 else Fraction(count, 2 * 10**-unit_exponent)
