"""Lower bounds on the certified accuracy of a whole test set, of whose certificates each is wrong with probability ≤ α.

Y certificates of m hold for correct images, and some of them may be wrong. All three bounds need noise that is
independent across images, and hold with probability ≥ 1 − ρ. They bound the share of these m images on which the
smoothed classifier is truly right and robust; nothing is said of other images.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

from rsbench.records import BoolArray, FloatArray, IntArray
from rsbench.theory.confidence import tail_slack


def bernstein_accuracy_lower(certified: npt.ArrayLike, images: int, alpha: float, rho: float) -> FloatArray:
    """(Y/m − α − √(2α(1−α)·ln(1/ρ)/m) − ln(1/ρ)/(3m)) / (1−α), clipped at 0: at one radius, chosen beforehand.

    Cohen et al. 2019, theorem 5, from Bernstein's inequality; rounded down.
    `exact_certified_lower` is tighter.

    certified: Y, any shape. images: m. Raises ValueError when a count or a probability is out of range.
    """
    certified_ = _checked(certified, images, alpha, rho)
    log = -math.log(rho)
    lost = alpha + math.sqrt(2.0 * alpha * (1.0 - alpha) * log / images) + log / (3.0 * images)
    share = certified_ / images
    # Slack relative to the two terms, which may cancel.
    return np.maximum((share - lost - 2.0**-48 * (share + lost)) / (1.0 - alpha), 0.0)


def simultaneous_certified_lower(certified: npt.ArrayLike, images: int, alpha: float, rho: float) -> IntArray:
    """How many images are truly robust: Y(r) − Q with Q the (1−ρ)-quantile of Bin(m, α), at every radius at once.

    Whatever the radius, the wrong certificates among the Y(r) are among all wrong ones, of which there are more than Q
    with probability ≤ ρ. At least 0; divided by m it bounds the certified accuracy.

    certified: Y, any shape. images: m. Raises ValueError when a count or a probability is out of range.
    """
    certified_ = _checked(certified, images, alpha, rho)
    return np.maximum(certified_ - wrong_certificates_quantile(images, alpha, rho), 0)


def wrong_certificates_quantile(images: int, alpha: float, rho: float) -> int:
    """Q, the smallest number that Bin(m, α) exceeds with probability ≤ ρ.

    Raises ValueError when a probability is out of range.
    """
    _checked(0, images, alpha, rho)
    low, high = -1, images
    while high - low > 1:
        middle = (low + high) // 2
        exceeded = betainc(middle + 1, images - middle, alpha)
        # A tail within its rounding error of ρ counts as larger.
        low, high = (low, middle) if exceeded <= rho * (1.0 - tail_slack(images, rho)) else (middle, high)
    return high


def exact_certified_lower(certified: npt.ArrayLike, images: int, alpha: float, rho: float) -> IntArray:
    """How many images are truly robust: the smallest g with P(Bin(m−g, α) ≥ Y−g) > ρ, at one radius, chosen beforehand.

    With g truly robust images, the other m − g bring at most Bin(m−g, α) wrong certificates; the test is inverted
    exactly. Divided by m it bounds the certified accuracy.

    certified: Y, any shape. images: m. Raises ValueError when a count or a probability is out of range.
    """
    certified_ = _checked(certified, images, alpha, rho)
    floor = rho * (1.0 - tail_slack(images, rho))

    def plausible(g: IntArray) -> BoolArray:
        missing = certified_ - g
        tail = betainc(np.maximum(missing, 1.0), np.maximum(images - certified_, 0) + 1.0, alpha)
        return (missing <= 0) | (tail > floor)

    # By bisection: the more images are truly robust, the easier Y is to explain.
    low, high = np.full(certified_.shape, -1), certified_.copy()
    while (high - low > 1).any():
        middle = (low + high) // 2
        # Entries that are done stay in the loop, and −1 is no number of images.
        enough = (middle >= 0) & plausible(middle)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high


def _checked(certified: npt.ArrayLike, images: int, alpha: float, rho: float) -> IntArray:
    for name, value in (("α", alpha), ("ρ", rho)):
        if not 0.0 < value < 1.0:
            raise ValueError(f"{name} must lie in (0, 1), got {value}")
    certified_ = np.asarray(certified, dtype=np.int64)
    if images < 1 or (certified_ < 0).any() or (certified_ > images).any():
        raise ValueError(f"certified images must lie in 0..m with m ≥ 1, got m = {images}")
    return certified_
