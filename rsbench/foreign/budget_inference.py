"""Infer n and α of published radii from the largest ones.

This is possible for the procedure one-versus-rest, whose radii depend on the votes for one class only.

If all n votes of an image agree, its lower bound is pA = α^(1/n), the largest that n votes can give. So if one image of
a file was unanimous, the file's largest radius determines α^(1/n). The next largest radii must then be those of
n−1, n−2, … votes. These are so far apart that a wrong pair (n, α) that matches the largest radius by chance does not
match them.

Shapes: M pairs (n, α), V numbers of votes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from rsbench.records import FloatArray
from rsbench.specs import MeasureSpec, Procedure
from rsbench.theory.certificate import Certificate, ImageFacts, SampledCertificate
from rsbench.theory.confidence import clopper_pearson_lower
from rsbench.theory.probability_bounds import ProbabilityBounds

# Relative tolerance for radii printed as whole floats: their last digits depend on the code's special functions.
_TOLERANCE = Fraction(1, 10**7)

TOP_COUNT = 12
"""How many of a file's largest distinct radii are compared.

Each further radius makes it less likely that a wrong pair (n, α) fits by chance.
"""

# The largest radii are compared with those of n, n−1, …, n minus this many votes. That is more than TOP_COUNT, because
# not every number of votes just below n occurs in a file.
_MOST_MISSING_VOTES = 40


class Budget(NamedTuple):
    """A pair (n, α) to test."""

    n_estimate: int
    """n, the estimation votes for each image."""

    failure_probability: float
    """α of a one-sided bound."""

    def __str__(self) -> str:
        return f"n = {self.n_estimate:,}, α = {self.failure_probability:g}"


COMMON_N = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)
# Released code that passes α to a two-sided interval gets one-sided bounds at α/2, hence 0.005 and 0.0005.
COMMON_ALPHA = (0.05, 0.01, 0.005, 0.001, 0.0005, 0.0001)


@dataclass(frozen=True)
class TopRadii:
    """The largest radii of a file, in descending order."""

    text: str
    """The largest radius as it was printed."""

    intervals: tuple[tuple[Fraction, Fraction], ...]
    """For each radius, the smallest and the largest value that print as it does."""

    measure: MeasureSpec
    """The smoothing measure, with the largest σ of the file."""

    @property
    def low(self) -> Fraction:
        """The smallest value that prints as the largest radius."""
        return self.intervals[0][0]


def common_budgets(n: int | None, failure_probability: float | None) -> tuple[Budget, ...]:
    """Return the pairs (n, α) that the field commonly uses, restricted to the given n or α."""
    return tuple(
        Budget(votes, alpha)
        for votes in (COMMON_N if n is None else (n,))
        for alpha in (COMMON_ALPHA if failure_probability is None else (failure_probability,))
    )


def fitting_budgets(
    top: TopRadii, certificate: Certificate, images: ImageFacts, budgets: Sequence[Budget]
) -> tuple[Budget, ...]:
    """Return the pairs that explain the largest radii; none if no image was unanimous.

    A pair explains them if the radius of a unanimous image prints as the largest radius, and the radii below it are
    those of fewer votes.
    """
    unanimous_M = _radii(certificate, top.measure, images, [(budget.n_estimate, *budget) for budget in budgets])
    if unanimous_M is None:
        return ()
    return tuple(
        budget
        for budget, radius in zip(budgets, unanimous_M, strict=True)
        if _prints_as(radius, top.intervals[0]) and _explains_all(budget, top, certificate, images)
    )


def _explains_all(budget: Budget, top: TopRadii, certificate: Certificate, images: ImageFacts) -> bool:
    """Return whether each of the largest radii is that of some number of votes, as far down as votes are compared."""
    n = budget.n_estimate
    votes = range(max(n - _MOST_MISSING_VOTES, 0), n + 1)
    radius_V = _radii(certificate, top.measure, images, [(k, *budget) for k in votes])
    assert radius_V is not None  # noqa: S101 - the caller has checked that the certificate gives radii
    return all(
        high < Fraction(float(radius_V[0])) or any(_prints_as(radius, (low, high)) for radius in radius_V)
        for low, high in top.intervals
    )


def exceeded_limit(
    top: TopRadii,
    certificate: Certificate,
    images: ImageFacts,
    budget: Budget,
    procedure: Procedure = "one-versus-rest",
) -> float | None:
    """Return the largest radius that a budget can certify if a file's largest radius is above it, else None.

    If it is exceeded, the file was not made with this budget, certificate and procedure.
    """
    n, alpha = budget
    # A unanimous image has pB = 1 − pA under both procedures, but top-two bounds pA at α/2.
    radius_M = _radii(certificate, top.measure, images, [(n, n, alpha / 2 if procedure == "top-two" else alpha)])
    if radius_M is None or not math.isfinite(radius_M[0]):
        return None
    return float(radius_M[0]) if top.low > Fraction(float(radius_M[0])) * (1 + _TOLERANCE) else None


def _radii(
    certificate: Certificate, measure: MeasureSpec, images: ImageFacts, votes: Sequence[tuple[int, int, float]]
) -> FloatArray | None:
    """Return the radius of k of n votes at α for each triple (k, n, α); None if it depends on the image's pixels."""
    if not isinstance(certificate, SampledCertificate) or certificate.looks_at_images:
        return None
    lower = [clopper_pearson_lower(k, n, failure_probability).item() for k, n, failure_probability in votes]
    scale = measure.sigma if certificate.scale == "sigma" else measure.half_width
    return certificate.radius(ProbabilityBounds.one_versus_rest(np.array(lower)), scale, images)


def _prints_as(radius: float, interval: tuple[Fraction, Fraction]) -> bool:
    """Return whether a radius lies in the interval of values that print as a text."""
    low, high = interval
    if not 0.0 < radius < math.inf:
        return False
    return low * (1 - _TOLERANCE) <= Fraction(float(radius)) <= high * (1 + _TOLERANCE)
