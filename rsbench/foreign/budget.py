"""n and α, read off the largest radius.

A unanimous image has pA = α^(1/n), the largest that n votes can give, so the largest radius of a file betrays the pair
wherever one image was unanimous. The radii below it must then be those of n−1, n−2, … votes, which lie so far apart up
there that a pair which fits by chance does not fit them. Shapes: M pairs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from rsbench.records import FloatArray
from rsbench.specs import MeasureSpec
from rsbench.theory.certificate import Certificate, ImageFacts, SampledCertificate
from rsbench.theory.confidence import clopper_pearson_lower
from rsbench.theory.probability_bounds import ProbabilityBounds

# Where a radius was printed whole, its last digits hang on whose special functions computed it.
_TOLERANCE = Fraction(1, 10**7)
# How many of a file's largest radii are looked at, and how many votes fewer than all.
TOP = 12
_VOTES_BELOW = 40


class Budget(NamedTuple):
    """How many votes were drawn, and the α of a one-sided bound."""

    n_estimate: int
    failure_probability: float

    def __str__(self) -> str:
        return f"n = {self.n_estimate:,}, α = {self.failure_probability:g}"


_THOUSAND = 1000
COMMON_N = (
    *(100, 200, 500),
    *(1 * _THOUSAND, 2 * _THOUSAND, 5 * _THOUSAND),
    *(10 * _THOUSAND, 20 * _THOUSAND, 50 * _THOUSAND),
    *(100 * _THOUSAND, 200 * _THOUSAND, 500 * _THOUSAND, 1000 * _THOUSAND),
)
# Released code that passes α to a two-sided interval computes one-sided bounds at α/2, hence the halves.
COMMON_ALPHA = (0.05, 0.01, 0.005, 0.001, 0.0005, 0.0001)


@dataclass(frozen=True)
class TopRadii:
    """The largest radii of a file, descending: the text of the first, the least and the largest that prints as each."""

    text: str
    intervals: tuple[tuple[Fraction, Fraction], ...]
    measure: MeasureSpec

    @property
    def low(self) -> Fraction:
        """The least that prints as the largest radius."""
        return self.intervals[0][0]


def common_budgets(n: int | None, failure_probability: float | None) -> tuple[Budget, ...]:
    """The pairs to try: the common ones, where n or α was told only those with it."""
    return tuple(
        Budget(votes, alpha)
        for votes in (COMMON_N if n is None else (n,))
        for alpha in (COMMON_ALPHA if failure_probability is None else (failure_probability,))
    )


def fitting_budgets(
    top: TopRadii, certificate: Certificate, images: ImageFacts, budgets: Sequence[Budget]
) -> tuple[Budget, ...]:
    """The pairs with which a unanimous image's radius can print as the file's largest, and the radii below it are those
    of fewer votes; none where no image was unanimous.
    """
    unanimous_M = _radii(certificate, top.measure, images, [(budget.n_estimate, *budget) for budget in budgets])
    if unanimous_M is None:
        return ()
    return tuple(
        budget
        for budget, radius in zip(budgets, unanimous_M, strict=True)
        if _prints_as(radius, top.intervals[0]) and _explains(budget, top, certificate, images)
    )


def _explains(budget: Budget, top: TopRadii, certificate: Certificate, images: ImageFacts) -> bool:
    """Whether each of the largest radii is that of some number of votes, as far down as votes are looked at."""
    n = budget.n_estimate
    votes = range(max(n - _VOTES_BELOW, 0), n + 1)
    radius_V = _radii(certificate, top.measure, images, [(k, *budget) for k in votes])
    assert radius_V is not None  # noqa: S101 - the caller has seen that the certificate gives radii
    return all(
        high < Fraction(float(radius_V[0])) or any(_prints_as(radius, (low, high)) for radius in radius_V)
        for low, high in top.intervals
    )


def exceeds(top: TopRadii, certificate: Certificate, images: ImageFacts, budget: Budget) -> float | None:
    """The radius of a unanimous image under a budget, where the file's largest is above it: then it was another."""
    radius_M = _radii(certificate, top.measure, images, [(budget.n_estimate, *budget)])
    if radius_M is None or not math.isfinite(radius_M[0]):
        return None
    return float(radius_M[0]) if top.low > Fraction(float(radius_M[0])) * (1 + _TOLERANCE) else None


def _radii(
    certificate: Certificate, measure: MeasureSpec, images: ImageFacts, votes: Sequence[tuple[int, int, float]]
) -> FloatArray | None:
    """The radius of k of n votes at α, for each triple; None where it hangs on the image's pixels."""
    if not isinstance(certificate, SampledCertificate) or certificate.looks_at_images:
        return None
    lower = [clopper_pearson_lower(k, n, failure_probability).item() for k, n, failure_probability in votes]
    scale = measure.sigma if certificate.scale == "sigma" else measure.half_width
    return certificate.radius(ProbabilityBounds.one_versus_rest(np.array(lower)), scale, images)


def _prints_as(radius: float, interval: tuple[Fraction, Fraction]) -> bool:
    low, high = interval
    if not 0.0 < radius < math.inf:
        return False
    return low * (1 - _TOLERANCE) <= Fraction(float(radius)) <= high * (1 + _TOLERANCE)
