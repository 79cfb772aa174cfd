"""Bounds on the class probabilities of an image, and the procedures that derive them from votes.

pA is the probability that the base classifier returns the selected class on a noisy copy of the image, pB the largest
such probability among the other classes. Every sampled certificate turns bounds on the two into a radius.

Shapes: N images (or rows of bounds), K classes, M distinct rows of counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np
import numpy.typing as npt

from rsbench.records import FloatArray, IntArray
from rsbench.specs import PROCEDURES, Procedure
from rsbench.theory.confidence import check_failure_probability, clopper_pearson_lower, clopper_pearson_upper
from rsbench.theory.rounding import ceil_to_float, floor_to_float


@dataclass(frozen=True, eq=False)
class ProbabilityBounds:
    """Rows of bounds pA ≥ `lower_N` and pB ≤ `upper_N`, with the differences that certificates need.

    Create rows with `one_versus_rest`, `two_sided` or `exact`. The two differences are stored because they cannot be
    recomputed from the rounded bounds without losing digits: near pA = ½ the radius depends on the gap alone, near
    pA = 1 on 1 − pA alone.

    Raises ValueError unless 0 ≤ pA ≤ 1 and 0 ≤ pB ≤ 1 − pA. The class methods ensure the latter by clamping pB to
    1 − pA, which is always valid and costs no failure probability.
    """

    lower_N: FloatArray
    """Lower bound on pA."""

    upper_N: FloatArray
    """Upper bound on pB."""

    gap_N: FloatArray
    """pA − pB, rounded down. An image with a gap ≤ 0 abstains."""

    rest_N: FloatArray
    """1 − pA, rounded up: the most that all other classes have together."""

    def __post_init__(self) -> None:
        _check_probability("pA", self.lower_N)
        _check_probability("pB", self.upper_N)
        if (invalid_N := self.upper_N > self.rest_N).any():
            lower, upper = self.lower_N[invalid_N][0], self.upper_N[invalid_N][0]
            raise ValueError(f"pA + pB must not exceed 1, got {lower:g} + {upper:g}: clamp pB to 1 − pA")

    def __len__(self) -> int:
        return len(self.lower_N)

    @classmethod
    def one_versus_rest(cls, lower: npt.ArrayLike) -> Self:
        """Create rows from lower bounds on pA alone, with pB = 1 − pA."""
        lower_N = np.atleast_1d(np.asarray(lower, dtype=np.float64))
        rest_N = _one_minus_rounded_up(lower_N)
        # 2pA − 1 is exact for pA ≥ ½. Below that the row abstains, whatever the last digit is.
        return cls(lower_N, rest_N, 2.0 * lower_N - 1.0, rest_N)

    @classmethod
    def two_sided(cls, lower: npt.ArrayLike, upper: npt.ArrayLike) -> Self:
        """Create rows from lower bounds on pA and upper bounds on pB, clamping pB to 1 − pA."""
        lower_N, upper_N = np.broadcast_arrays(*np.atleast_1d(np.asarray(lower, float), np.asarray(upper, float)))
        _check_probability("pB", upper_N)
        rest_N = _one_minus_rounded_up(lower_N)
        clamped_N = np.minimum(upper_N, rest_N)
        is_clamped_N = upper_N >= rest_N
        return cls(lower_N, clamped_N, np.where(is_clamped_N, 2.0 * lower_N - 1.0, lower_N - clamped_N), rest_N)

    @classmethod
    def exact(cls, lower: Fraction, upper: Fraction | None = None) -> Self:
        """Create one row from exact probabilities, such as decimals that a user typed; pB is clamped to 1 − pA."""
        for name, value in (("pA", lower), ("pB", upper)):
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} must be a probability in [0, 1], got {float(value):g}")
        rest = 1 - lower
        clamped = rest if upper is None else min(upper, rest)
        values = (floor_to_float(lower), ceil_to_float(clamped), floor_to_float(lower - clamped), ceil_to_float(rest))
        return cls(*(np.array([value]) for value in values))

    def take(self, rows: npt.ArrayLike) -> "ProbabilityBounds":
        """Return the bounds of some rows, chosen by indices or by a mask."""
        index = np.asarray(rows)
        return ProbabilityBounds(self.lower_N[index], self.upper_N[index], self.gap_N[index], self.rest_N[index])


def bounds_of_votes(
    selected_N: IntArray, estimation_NK: IntArray, failure_probability: float, procedure: Procedure
) -> tuple[ProbabilityBounds, IntArray]:
    """Bound pA and pB of each image from its estimation votes, jointly valid with probability at least 1 − α.

    one-versus-rest: pA is bounded at level α, and pB = 1 − pA (CERTIFY, Cohen et al. 2019, section 3.2.2).
    top-two: pA is bounded at level α/2, and pB at α/2 by the votes of the runner-up, the most voted class other than
    the selected one (Voracek & Hein 2023, algorithm 1). Choosing the runner-up by the same votes is valid: every other
    class has at most as many votes, so its upper bound is no larger.

    selected_N: the class that the *selection* votes chose. The bounds are always those of this class, even if another
    class leads in the estimation votes. If it were chosen by the estimation votes, the failure probability would
    exceed α.
    estimation_NK: non-negative votes, drawn independently of the selection; each row has the same positive sum n.
    Returns M distinct rows of bounds and, for each image, the index of its row: images with equal counts share one,
    because computing a bound is the expensive part.
    Raises ValueError when α is out of range or the procedure is unknown.
    """
    # Integers narrower than 64 bits would overflow where two counts are packed into one number below.
    estimation_NK = estimation_NK.astype(np.int64)
    check_failure_probability(failure_probability)
    n = int(estimation_NK[0].sum()) if len(estimation_NK) else 1
    top_N = np.take_along_axis(estimation_NK, selected_N[:, None], axis=1)[:, 0]
    if procedure == "one-versus-rest":
        top_M, row_N = np.unique(top_N, return_inverse=True)
        return ProbabilityBounds.one_versus_rest(clopper_pearson_lower(top_M, n, failure_probability)), row_N
    if procedure == "top-two":
        others_NK = estimation_NK.copy()
        np.put_along_axis(others_NK, selected_N[:, None], -1, axis=1)
        pair_M, row_N = np.unique(top_N * (n + 1) + others_NK.max(axis=1), return_inverse=True)
        top_M, runner_up_M = np.divmod(pair_M, n + 1)
        lower_M = _map_distinct(top_M, lambda k: clopper_pearson_lower(k, n, failure_probability / 2.0))
        upper_M = _map_distinct(runner_up_M, lambda k: clopper_pearson_upper(k, n, failure_probability / 2.0))
        return ProbabilityBounds.two_sided(lower_M, upper_M), row_N
    raise ValueError(f"unknown procedure {procedure!r}: choose from {', '.join(PROCEDURES)}")


def _map_distinct(count_M: IntArray, bound: Callable[[IntArray], FloatArray]) -> FloatArray:
    """Apply `bound` to each count, computing it once for equal counts."""
    distinct, position_M = np.unique(count_M, return_inverse=True)
    return bound(distinct)[position_M]


def _check_probability(name: str, value_N: FloatArray) -> None:
    if (invalid_N := ~((value_N >= 0.0) & (value_N <= 1.0))).any():
        raise ValueError(f"{name} must be a probability in [0, 1], got {value_N[invalid_N][0]:g}")


def _one_minus_rounded_up(lower_N: FloatArray) -> FloatArray:
    """Return 1 − pA, rounded up; for pA ≥ ½ the float difference is exact."""
    rest_N = 1.0 - lower_N
    return np.where(lower_N >= 0.5, rest_N, np.minimum(np.nextafter(rest_N, 2.0), 1.0))
