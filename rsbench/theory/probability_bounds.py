"""What the votes say of the class probabilities: the input of every certificate from samples. Shapes: N rows."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np
import numpy.typing as npt

from rsbench.records import FloatArray
from rsbench.theory.rounding import ceil_to_float, floor_to_float


@dataclass(frozen=True, eq=False)
class ProbabilityBounds:
    """pA ≥ `lower_N` for the selected class, pB ≤ `upper_N` for every other class.

    `gap_N` ≤ pA − pB and `rest_N` ≥ 1 − pA are kept beside them since they cannot be had from the rounded bounds
    without losing digits: near pA = ½ everything depends on the gap, near pA = 1 on the rest.

    Raises ValueError unless 0 ≤ pA ≤ 1 and 0 ≤ pB ≤ 1 − pA: the class methods clamp pB, which costs no confidence.
    """

    lower_N: FloatArray
    upper_N: FloatArray
    gap_N: FloatArray
    rest_N: FloatArray

    def __post_init__(self) -> None:
        _check_probability("pA", self.lower_N)
        _check_probability("pB", self.upper_N)
        if (wrong_N := self.upper_N > self.rest_N).any():
            lower, upper = self.lower_N[wrong_N][0], self.upper_N[wrong_N][0]
            raise ValueError(f"pA + pB must not exceed 1, got {lower:g} + {upper:g}: clamp pB to 1 − pA")

    def __len__(self) -> int:
        return len(self.lower_N)

    @classmethod
    def one_versus_rest(cls, lower: npt.ArrayLike) -> Self:
        """From pA alone: all other classes together have at most 1 − pA."""
        lower_N = np.atleast_1d(np.asarray(lower, dtype=np.float64))
        rest_N = _rest_up(lower_N)
        # For pA ≥ ½ this is exact; below it the row abstains whatever the last digit is.
        return cls(lower_N, rest_N, 2.0 * lower_N - 1.0, rest_N)

    @classmethod
    def two_sided(cls, lower: npt.ArrayLike, upper: npt.ArrayLike) -> Self:
        """From pA and pB, which is clamped to 1 − pA."""
        lower_N, upper_N = np.broadcast_arrays(*np.atleast_1d(np.asarray(lower, float), np.asarray(upper, float)))
        _check_probability("pB", upper_N)
        rest_N = _rest_up(lower_N)
        clamped_N = np.minimum(upper_N, rest_N)
        binary_N = upper_N >= rest_N
        return cls(lower_N, clamped_N, np.where(binary_N, 2.0 * lower_N - 1.0, lower_N - clamped_N), rest_N)

    @classmethod
    def exact(cls, lower: Fraction, upper: Fraction | None = None) -> Self:
        """One row from probabilities known exactly, such as decimals that a user typed; pB is clamped to 1 − pA."""
        for name, value in (("pA", lower), ("pB", upper)):
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} must be a probability in [0, 1], got {float(value):g}")
        rest = 1 - lower
        clamped = rest if upper is None else min(upper, rest)
        values = (floor_to_float(lower), ceil_to_float(clamped), floor_to_float(lower - clamped), ceil_to_float(rest))
        return cls(*(np.array([value]) for value in values))

    def take(self, rows: npt.ArrayLike) -> "ProbabilityBounds":
        """The bounds of some rows, by indices or by a mask."""
        at = np.asarray(rows)
        return ProbabilityBounds(self.lower_N[at], self.upper_N[at], self.gap_N[at], self.rest_N[at])


def _check_probability(name: str, value_N: FloatArray) -> None:
    if (wrong_N := ~((value_N >= 0.0) & (value_N <= 1.0))).any():
        raise ValueError(f"{name} must be a probability in [0, 1], got {value_N[wrong_N][0]:g}")


def _rest_up(lower_N: FloatArray) -> FloatArray:
    """1 − pA, rounded up: exact for pA ≥ ½."""
    rest_N = 1.0 - lower_N
    return np.where(lower_N >= 0.5, rest_N, np.minimum(np.nextafter(rest_N, 2.0), 1.0))
