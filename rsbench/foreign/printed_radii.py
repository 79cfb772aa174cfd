r"""What a printed radius can stand for.

Released files print radii rounded to nearest, mostly by "{:.3}": a radius of 0.3564 stands there as 0.356, one of
0.3566 as 0.357, which is more than was certified, and one of 0.3600 as 0.36. What may be claimed is the lower end of
the numbers that print so: half a unit of the last place below. The last place is not that of the text, which drops
zeros, but that of the file: S digits from the first that is not zero, S being the most that a text of the file has, and
never finer than the D decimals that are the most of the file. The first is what holds for "{:.3}", the second for
"{:.3f}".

Everything here is exact: integers and fractions until the last step, which rounds down.
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
_LARGEST_MAGNITUDE = 6
_WHOLE_FLOAT = 15


@dataclass(frozen=True)
class PrintedNumber:
    """A decimal number as it was printed: `mantissa`·10^`exponent`."""

    mantissa: int
    exponent: int

    @property
    def significant(self) -> int:
        """How many digits were printed, from the first that is not zero; none for zero."""
        return len(str(self.mantissa)) if self.mantissa else 0

    @property
    def magnitude(self) -> int:
        """The number is below 10^magnitude; not below a tenth of that, unless it is zero."""
        return len(str(self.mantissa)) + self.exponent


def parse_radius(text: str) -> PrintedNumber | None:
    """The number that a text prints, or None when it is no decimal number in 0..999,999."""
    match = _DECIMAL.fullmatch(text)
    if match is None or len(text) > 40:
        return None
    whole, decimals, power = match.groups()
    number = PrintedNumber(int(whole + decimals), int(power or 0) - len(decimals))
    return number if number.magnitude <= _LARGEST_MAGNITUDE else None


@dataclass(frozen=True)
class Precision:
    """How finely the radii of a file were printed: S significant digits, and D decimals.

    `fixed`: every radius has D decimals, as "{:.3f}" prints them.
    """

    digits: int
    decimals: int
    fixed: bool

    @classmethod
    def of(cls, numbers: Sequence[PrintedNumber]) -> "Precision":
        """The precision of a file's radii. Zeros say nothing of it: an abstention's 0.0 is written by hand."""
        told = [number for number in numbers if number.mantissa]
        decimals = [max(0, -number.exponent) for number in told]
        return cls(
            digits=max((number.significant for number in told), default=1),
            decimals=max(decimals, default=0),
            fixed=len(set(decimals)) == 1 and decimals[0] > 0,
        )

    @property
    def text(self) -> str:
        """For people."""
        return (
            f"{self.decimals} decimals"
            if self.fixed and self.digits < _WHOLE_FLOAT
            else f"{self.digits} significant digits"
        )

    def interval(self, number: PrintedNumber) -> tuple[Fraction, Fraction]:
        """The least and the largest that prints as the number; never below 0."""
        # In halves of a unit the number is even, for no digit of it is finer than the unit.
        unit = max(number.magnitude - self.digits, -self.decimals)
        halves = 2 * number.mantissa * 10 ** (number.exponent - unit) if number.mantissa else 0
        return _halves(max(halves - 1, 0), unit), _halves(halves + 1, unit)


def lower_ends(numbers: Sequence[PrintedNumber], precision: Precision) -> FloatArray:
    """The largest float that each printed radius allows to claim."""
    return np.array([floor_to_float(precision.interval(number)[0]) for number in numbers], dtype=np.float64)


def lower_ends_on_grid(numbers: Sequence[PrintedNumber], precision: Precision, q: int) -> tuple[FloatArray, int | None]:
    """The smallest k/q that prints as each radius, rounded down: the radius itself where only one k/q does.

    Returns them and the position of the first number that no k/q prints as, None where there is none.
    """
    steps = []
    for position, number in enumerate(numbers):
        low, high = precision.interval(number)
        step = math.ceil(low * q)
        if step > high * q:
            return np.zeros(0), position
        steps.append(step)
    return floor_quotient(np.array(steps, dtype=np.int64), q), None


def _halves(count: int, unit: int) -> Fraction:
    """count/2·10^unit."""
    return Fraction(count * 10**unit, 2) if unit >= 0 else Fraction(count, 2 * 10**-unit)
