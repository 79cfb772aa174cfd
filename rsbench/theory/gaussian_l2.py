"""The l2 radius of Gaussian smoothing (Cohen)."""

import math
from typing import ClassVar

import numpy as np
from scipy.special import erfinv, ndtri

from rsbench.records import FloatArray
from rsbench.theory.certificate import ImageFacts, Norm, SampledCertificate
from rsbench.theory.probability_bounds import ProbabilityBounds
from rsbench.theory.rounding import inward


def gaussian_l2_radius(bounds: ProbabilityBounds, std: float) -> FloatArray:
    """R = σ/2·(Φ⁻¹(pA) − Φ⁻¹(pB)) of an open l2 ball (Cohen et al. 2019, theorem 1), rounded down.

    With pB = 1 − pA this is σ·Φ⁻¹(pA). Infinite at pA = 1.
    bounds: rows with pA > pB. std: σ, in units of the pixel range.
    Raises ValueError for pB = 0 beside pA < 1: with finitely many classes both cannot be, no confidence procedure says
    so, and a plugged-in frequency of 0 would claim an infinite radius.
    """
    refuse_plugged_in_zero(bounds)
    top_N = np.where(bounds.lower_N > 0.5, -ndtri(bounds.rest_N), ndtri(bounds.lower_N))
    # Φ⁻¹((1 + gap)/2) keeps the digits of a gap near 0, −Φ⁻¹(1 − pA) those of a pA near 1.
    binary_N = np.where(bounds.gap_N < 0.5, np.sqrt(2.0) * erfinv(bounds.gap_N), top_N)
    runner_up_N = ndtri(bounds.upper_N)
    with np.errstate(invalid="ignore"):
        # Where the two nearly cancel, their errors do not: the slack is relative to each. ∞ − ∞ is never chosen.
        slack_N = 0.5 * (np.abs(top_N) + np.abs(runner_up_N))
        two_sided_N = 0.5 * (top_N - runner_up_N) - (slack_N - inward(slack_N))
    is_binary_N = bounds.upper_N == bounds.rest_N
    return inward(std * np.where(is_binary_N, binary_N, two_sided_N))


def linf_radius(l2_radius: float, dims: int) -> float:
    """R/√d, rounded down: an l∞ ball of that radius lies inside the l2 ball of radius R.

    Raises ValueError when dims < 1.
    """
    if dims < 1:
        raise ValueError(f"an image must have at least 1 pixel, got {dims}")
    return float(inward(l2_radius / math.sqrt(dims)))


def refuse_plugged_in_zero(bounds: ProbabilityBounds) -> None:
    """Raises ValueError for pB = 0 beside pA < 1."""
    if ((bounds.upper_N == 0.0) & (bounds.rest_N > 0.0)).any():
        raise ValueError("pB = 0 beside pA < 1 is a plugged-in frequency, no upper bound: it would certify everything")


class GaussianL2(SampledCertificate):
    """Cohen's certificate. An l1 ball lies inside the l2 ball of the same radius, so the radius holds for l1 too."""

    name = "cohen"
    norms: ClassVar[tuple[Norm, ...]] = ("l2", "l1")
    ball = "open"
    threat_models: ClassVar = {"gaussian": "all of R^d"}
    condition = "isotropic Gaussian noise"
    source = "Cohen, Rosenfeld & Kolter 2019, theorem 1"
    scale = "sigma"

    def _radius(self, bounds: ProbabilityBounds, scale: float, images: ImageFacts) -> FloatArray:
        return gaussian_l2_radius(bounds, scale)
