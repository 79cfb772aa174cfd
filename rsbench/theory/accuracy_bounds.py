"""Lower bounds on the certified accuracy of a test set, corrected for certified radii that may be wrong.

A sampled certified radius is wrong with probability at most α, so some of the Y images that count as certified may not
be robust. Each function here bounds the number (or share) of the m test images on which the smoothed classifier truly
returns the label within the whole radius. The bounds hold with probability at least 1 − ρ over the noise, which must be
independent across images. They say nothing about images outside the test set.

| function                       | valid for                           | use                                        |
|--------------------------------|-------------------------------------|--------------------------------------------|
| `exact_certified_lower`        | one radius that is chosen beforehand | the tightest of the three                  |
| `simultaneous_certified_lower` | all radii at once                   | whole curves, or a radius chosen afterwards |
| `bernstein_accuracy_lower`     | one radius that is chosen beforehand | comparison with Cohen et al. 2019          |
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

from rsbench.records import BoolArray, FloatArray, IntArray
from rsbench.theory.confidence import tail_error


def bernstein_accuracy_lower(certified: npt.ArrayLike, images: int, alpha: float, rho: float) -> FloatArray:
    """Bound the certified accuracy at one radius by Bernstein's inequality, rounded down.

    The bound is (Y/m − α − √(2α(1−α)·ln(1/ρ)/m) − ln(1/ρ)/(3m)) / (1−α), clipped at 0.
    Source: Cohen et al. 2019, theorem 5. `exact_certified_lower` is never below it.

    certified: Y, the number of images that are correct and certified at the radius; any shape.
    images: m, the number of test images. alpha: α of each certified radius. rho: ρ, failure probability of this bound.
    Returns a share of the images for each Y. Raises ValueError when a count or a probability is out of range.
    """
    certified_count = _checked_counts(certified, images, alpha, rho)
    log = -math.log(rho)
    penalty = alpha + math.sqrt(2.0 * alpha * (1.0 - alpha) * log / images) + log / (3.0 * images)
    observed = certified_count / images
    # The two terms may cancel, so the slack for rounding errors is relative to their sum.
    return np.maximum((observed - penalty - 2.0**-48 * (observed + penalty)) / (1.0 - alpha), 0.0)


def simultaneous_certified_lower(certified: npt.ArrayLike, images: int, alpha: float, rho: float) -> IntArray:
    """Bound the number of robust images at every radius at once: Y(r) − Q, clipped at 0.

    Q is the (1−ρ)-quantile of Bin(m, α). At any radius, the wrongly certified images among the Y(r) are
    some of all wrongly certified images, and these are more than Q with probability at most ρ.

    Arguments and errors are those of `bernstein_accuracy_lower`. Returns a number of images for each Y; divide it by m
    for the certified accuracy.
    """
    certified_count = _checked_counts(certified, images, alpha, rho)
    return np.maximum(certified_count - wrong_certificates_quantile(images, alpha, rho), 0)


def wrong_certificates_quantile(images: int, alpha: float, rho: float) -> int:
    """Return the (1−ρ)-quantile of Bin(m, α): the smallest Q with P(Bin(m, α) > Q) ≤ ρ.

    Raises ValueError unless m ≥ 1 and α and ρ lie strictly between 0 and 1.
    """
    _checked_counts(0, images, alpha, rho)
    low, high = -1, images
    while high - low > 1:
        middle = (low + high) // 2
        tail = betainc(middle + 1, images - middle, alpha)
        # A computed tail that is within its rounding error of ρ counts as exceeding ρ.
        low, high = (low, middle) if tail <= rho * (1.0 - tail_error(images, rho)) else (middle, high)
    return high


def exact_certified_lower(certified: npt.ArrayLike, images: int, alpha: float, rho: float) -> IntArray:
    """Bound the number of robust images at one radius by exact test inversion.

    The bound is the smallest g with P(Bin(m−g, α) ≥ Y−g) > ρ. If g of the m images are robust, each of the other m − g
    is certified wrongly with probability at most α; a g that makes the observed Y too unlikely is ruled out.

    Arguments and errors are those of `bernstein_accuracy_lower`. Returns a number of images for each Y; divide it by m
    for the certified accuracy.
    """
    certified_count = _checked_counts(certified, images, alpha, rho)
    # A computed tail that is within its rounding error of ρ counts as exceeding ρ.
    threshold = rho * (1.0 - tail_error(images, rho))

    def is_plausible(g: IntArray) -> BoolArray:
        wrong_certificates = certified_count - g
        tail = betainc(np.maximum(wrong_certificates, 1.0), np.maximum(images - certified_count, 0) + 1.0, alpha)
        return (wrong_certificates <= 0) | (tail > threshold)

    # Bisection is valid because the tail increases with g.
    low, high = np.full(certified_count.shape, -1), certified_count.copy()
    while (high - low > 1).any():
        middle = (low + high) // 2
        # Entries that have converged stay in the loop, and may have the impossible middle −1.
        plausible = (middle >= 0) & is_plausible(middle)
        low, high = np.where(plausible, low, middle), np.where(plausible, middle, high)
    return high


def _checked_counts(certified: npt.ArrayLike, images: int, alpha: float, rho: float) -> IntArray:
    """Validate the arguments of a bound and return Y as an int64 array."""
    for name, value in (("α", alpha), ("ρ", rho)):
        if not 0.0 < value < 1.0:
            raise ValueError(f"{name} must lie in (0, 1), got {value}")
    certified_count = np.asarray(certified, dtype=np.int64)
    if images < 1 or (certified_count < 0).any() or (certified_count > images).any():
        raise ValueError(f"the number of certified images must lie in 0..m with m ≥ 1, got m = {images}")
    return certified_count
