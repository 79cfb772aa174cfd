"""The l1 radius under box constraints that needs no image: x and x′ both lie in [0,1]^d (Voracek & Hein).

With a = 2λ, moving one coordinate by its whole range leaves a share 1 − 1/a of the noise in common, and m of them
(1 − 1/a)^m, which falls more slowly than Lee's and Yang's 1 − m/a. A class keeps the majority while the share in common
exceeds t = 1 − (pA − pB)/2.
"""

from typing import ClassVar

import numpy as np

from rsbench.records import FloatArray
from rsbench.theory.certificate import ImageFacts, Norm, SampledCertificate
from rsbench.theory.lipschitz_l1 import lipschitz_l1_radius
from rsbench.theory.probability_bounds import ProbabilityBounds
from rsbench.theory.rounding import inward


def box_log_l1_radius(gap_N: FloatArray, half_width: float) -> FloatArray:
    """R = ln t / ln(1 − 1/a) of an open l1 ball (Voracek & Hein 2023, corollaries 2.7 and 2.14), rounded down.

    It is below Lee's and Yang's radius wherever that is below 1: `box_l1_radius` is never below either.
    gap_N: pA − pB > 0. half_width: λ. Raises ValueError unless 2λ > 1.
    """
    a = 2.0 * half_width
    if a <= 1.0:
        raise ValueError(f"box-log needs 2λ > 1, got λ = {half_width:g}: box holds for every λ")
    # ln(1 − 1/a) = −ln(1 + 1/(a−1)), which keeps its digits for an a just above 1.
    return inward(np.log1p(-0.5 * gap_N) / -np.log1p(1.0 / (a - 1.0)))


def box_l1_radius(gap_N: FloatArray, half_width: float, dims: int | None = None) -> FloatArray:
    """The exact inverse of the first line of proposition 2.5 (Voracek & Hein 2023), an open l1 ball, rounded down.

    For a ≤ 1 it is Lee's and Yang's radius. Else R = m + a(1 − t/(1−1/a)^m) with the largest m for which
    (1−1/a)^m ≥ t. Infinite where (1−1/a)^d > t: no image of the box is far enough away. (At equality the opposite
    corner ties, so this is strict.)

    gap_N: pA − pB > 0. half_width: λ > 0. dims: d, unknown if None; then no radius is infinite.
    """
    a = 2.0 * half_width
    if a <= 1.0:
        return lipschitz_l1_radius(gap_N, half_width)
    log_t, log_share = np.log1p(-0.5 * gap_N), np.log1p(-1.0 / a)
    m = np.floor(log_t / log_share)
    # The direct test of (1−1/a)^m ≥ t: the quotient may have been rounded up to a whole number. One m too low only
    # lowers the radius.
    m = np.where(m * log_share < log_t, m - 1.0, m)
    radius = np.where(m == 0.0, lipschitz_l1_radius(gap_N, half_width), inward(m - a * np.expm1(log_t - m * log_share)))
    if dims is None:
        return radius
    # Only when the share in common exceeds t by more than the rounding errors.
    return np.where(-dims * log_share < inward(-log_t), np.inf, radius)


class BoxLogL1(SampledCertificate):
    """The smooth form, for comparison with published figures."""

    name = "box-log"
    norms: ClassVar[tuple[Norm, ...]] = ("l1",)
    ball = "open"
    threat_models: ClassVar = {"uniform": "the box [0,1]^d", "splitting": "the box [0,1]^d"}
    condition = "noise independent across coordinates and 2λ > 1"
    source = "Voracek & Hein 2023, corollaries 2.7 and 2.14"
    scale = "half_width"

    def _radius(self, bounds: ProbabilityBounds, scale: float, images: ImageFacts) -> FloatArray:
        return box_log_l1_radius(bounds.gap_N, scale)


class BoxL1(SampledCertificate):
    """The exact form: never below Lee's and Yang's, nor below the smooth form."""

    name = "box"
    norms: ClassVar[tuple[Norm, ...]] = ("l1",)
    ball = "open"
    threat_models: ClassVar = {"uniform": "the box [0,1]^d", "splitting": "the box [0,1]^d"}
    condition = "noise independent across coordinates"
    source = "Voracek & Hein 2023, proposition 2.5, inverted exactly"
    scale = "half_width"

    def _radius(self, bounds: ProbabilityBounds, scale: float, images: ImageFacts) -> FloatArray:
        return box_l1_radius(bounds.gap_N, scale, images.dims)
