"""The l2 certificates of Gaussian smoothing: Cohen et al., and the earlier ones of Lecuyer et al. and Li et al.

Cohen's radius is tight and never below the other two, which are here for comparison with the literature. Between those
two, Li's radius is larger when pB = 1 − pA; when pA + pB is far below 1, Lecuyer's can be.

An l1 ball lies inside the l2 ball of the same radius, so every radius here also holds in l1.

Shapes: N rows of bounds.
"""

import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import erfinv, ndtri

from rsbench.records import FloatArray, Norm
from rsbench.theory.certificate import ImageFacts, SampledCertificate
from rsbench.theory.probability_bounds import ProbabilityBounds
from rsbench.theory.rounding import lower_by_ulps

# The range of orders α that Li's supremum is searched in. The best order was between 0.7 and 1.5 for every pair tried
# (pA from 0.01 to 1 − 10⁻¹², pB from 10⁻⁹).
_RENYI_ORDERS = (1e-3, 1e3)

_GOLDEN_RATIO = (math.sqrt(5.0) - 1.0) / 2.0


class GaussianL2(SampledCertificate):
    """Cohen's certificate: R = σ/2·(Φ⁻¹(pA) − Φ⁻¹(pB)). See `gaussian_l2_radius`."""

    name = "cohen"
    norms: ClassVar[tuple[Norm, ...]] = ("l2", "l1")
    ball = "open"
    threat_models: ClassVar = {"gaussian": "all of R^d"}
    condition = "isotropic Gaussian noise"
    source = "Cohen, Rosenfeld & Kolter 2019, theorem 1"
    scale = "sigma"

    def _radius(self, bounds: ProbabilityBounds, scale: float, images: ImageFacts) -> FloatArray:
        return gaussian_l2_radius(bounds, scale)


class PrivacyL2(SampledCertificate):
    """Lecuyer's certificate, from differential privacy; the first of the field. See `privacy_l2_radius`."""

    name = "lecuyer"
    norms: ClassVar[tuple[Norm, ...]] = ("l2", "l1")
    ball = "open"
    threat_models: ClassVar = {"gaussian": "all of R^d"}
    condition = "isotropic Gaussian noise"
    source = "Lecuyer et al. 2019, as in Cohen et al. 2019, appendix I.1"
    scale = "sigma"

    def _radius(self, bounds: ProbabilityBounds, scale: float, images: ImageFacts) -> FloatArray:
        return privacy_l2_radius(bounds, scale)


class RenyiL2(SampledCertificate):
    """Li's certificate, from the Rényi divergence. See `renyi_l2_radius`."""

    name = "li"
    norms: ClassVar[tuple[Norm, ...]] = ("l2", "l1")
    ball = "open"
    threat_models: ClassVar = {"gaussian": "all of R^d"}
    condition = "isotropic Gaussian noise"
    source = "Li et al. 2019, as in Cohen et al. 2019, appendix I.2"
    scale = "sigma"

    def _radius(self, bounds: ProbabilityBounds, scale: float, images: ImageFacts) -> FloatArray:
        return renyi_l2_radius(bounds, scale)


def gaussian_l2_radius(bounds: ProbabilityBounds, std: float) -> FloatArray:
    """Return Cohen's radius R = σ/2·(Φ⁻¹(pA) − Φ⁻¹(pB)) of an open l2 ball, rounded down.

    Source: Cohen et al. 2019, theorem 1. With pB = 1 − pA this is σ·Φ⁻¹(pA). It is infinite at pA = 1.

    bounds: rows with pA > pB. std: σ, in units of the pixel range.
    Raises ValueError for pB = 0 beside pA < 1; see `refuse_plugged_in_zero`.
    """
    refuse_plugged_in_zero(bounds)
    top_N = np.where(bounds.lower_N > 0.5, -ndtri(bounds.rest_N), ndtri(bounds.lower_N))
    # Φ⁻¹(pA) by the formula that keeps its digits: Φ⁻¹((1 + gap)/2) for a gap near 0, −Φ⁻¹(1 − pA) for pA near 1.
    binary_N = np.where(bounds.gap_N < 0.5, np.sqrt(2.0) * erfinv(bounds.gap_N), top_N)
    runner_up_N = ndtri(bounds.upper_N)
    with np.errstate(invalid="ignore"):
        # When the two quantiles nearly cancel, their rounding errors do not, so the slack is relative to each of them.
        # ∞ − ∞ occurs only in rows for which `binary_N` is chosen below.
        slack_N = 0.5 * (np.abs(top_N) + np.abs(runner_up_N))
        two_sided_N = 0.5 * (top_N - runner_up_N) - (slack_N - lower_by_ulps(slack_N))
    is_binary_N = bounds.upper_N == bounds.rest_N
    return lower_by_ulps(std * np.where(is_binary_N, binary_N, two_sided_N))


def linf_radius(l2_radius: float, dims: int) -> float:
    """Return R/√d, rounded down: the l∞ ball of that radius lies inside the l2 ball of radius R.

    dims: d, the number of pixel values (channels × pixels). Raises ValueError when it is below 1.
    """
    if dims < 1:
        raise ValueError(f"an image must have at least 1 pixel, got {dims}")
    return float(lower_by_ulps(l2_radius / math.sqrt(dims)))


def refuse_plugged_in_zero(bounds: ProbabilityBounds) -> None:
    """Raise ValueError for rows with pB = 0 beside pA < 1.

    With finitely many classes, no confidence procedure returns such bounds. They arise when an observed frequency of 0
    is used as if it were an upper bound, and would give an infinite radius.
    """
    if ((bounds.upper_N == 0.0) & (bounds.rest_N > 0.0)).any():
        raise ValueError(
            "pB = 0 beside pA < 1 is a plugged-in frequency, not an upper bound, and would give an infinite radius: "
            "bound pB by a confidence procedure, or leave it out"
        )


def privacy_l2_radius(bounds: ProbabilityBounds, std: float) -> FloatArray:
    """Return Lecuyer's radius, the supremum over β of σβ / √(2·ln(1.25(1+e^β)/(pA − e^{2β}pB))), rounded down.

    Source: Lecuyer et al. 2019, as stated in Cohen et al. 2019, appendix I.1. The ball is an open l2 ball.
    The supremum is over 0 < β ≤ min(1, ½·ln(pA/pB)): the privacy guarantee of the Gaussian mechanism, and with it the
    formula, does not hold for β > 1. Equation 31 of the appendix has σβ under the root; we follow the theorem, which
    does not.

    bounds: rows with pA > pB. std: σ, in units of the pixel range.
    """
    gap_N, upper_N = bounds.gap_N, bounds.upper_N
    with np.errstate(divide="ignore"):
        # ½·ln(pA/pB), computed from the gap, which keeps the digits that a quotient near 1 has lost.
        high_N = np.minimum(1.0, 0.5 * np.log1p(gap_N / upper_N))

    def radius_N(beta_N: FloatArray) -> FloatArray:
        # pA − e^{2β}pB from the gap, lowered by the rounding error of the difference.
        margin_N = gap_N - np.expm1(2.0 * beta_N) * upper_N - 2.0**-49 * gap_N
        with np.errstate(divide="ignore", invalid="ignore"):
            log_N = np.log(1.25 * (1.0 + np.exp(beta_N)) / margin_N)
            return np.where(margin_N > 0.0, beta_N / np.sqrt(2.0 * log_N), 0.0)

    return lower_by_ulps(std * _maximum_of_unimodal(radius_N, np.zeros_like(high_N), high_N))


def renyi_l2_radius(bounds: ProbabilityBounds, std: float) -> FloatArray:
    """Return Li's radius, the supremum over α > 0 of σ·√(2·D_α/α) with D_α the `renyi_divergence`, rounded down.

    Source: Li et al. 2019, as stated in Cohen et al. 2019, appendix I.2. The ball is an open l2 ball. The radius is
    infinite at pA = 1.

    bounds: rows with pA > pB. std: σ, in units of the pixel range.
    Raises ValueError for pB = 0 beside pA < 1; see `refuse_plugged_in_zero`.
    """
    refuse_plugged_in_zero(bounds)
    is_certain_N = bounds.rest_N == 0.0
    uncertain = bounds.take(~is_certain_N)

    def squared_N(log_order_N: FloatArray) -> FloatArray:
        order_N = np.exp(log_order_N)
        return 2.0 / order_N * renyi_divergence(uncertain, order_N)

    low, high = (np.full(len(uncertain), np.log(order)) for order in _RENYI_ORDERS)
    radius_N = np.full(len(bounds), np.inf)
    radius_N[~is_certain_N] = std * np.sqrt(_maximum_of_unimodal(squared_N, low, high))
    return lower_by_ulps(radius_N)


def renyi_divergence(bounds: ProbabilityBounds, order: npt.ArrayLike) -> FloatArray:
    """Return the least Rényi divergence to any distribution over classes with another top class, rounded down.

    D_α = −ln(1 − pA − pB + 2M), where M = (½(pA^{1−α} + pB^{1−α}))^{1/(1−α)} is a power mean of pA and pB, the
    geometric mean at α = 1.
    Source: Li et al. 2019, lemma 1; Cohen et al. 2019, appendix I.2. Where the outer exponent is printed as 1−α we use
    1/(1−α): the printed form gives radii that are too large.

    bounds: rows with pA > pB. order: α > 0, one number or one for each row.
    """
    alpha_N = np.asarray(order, dtype=np.float64)
    exponent_N = 1.0 - alpha_N
    # The power mean at α = 1 is a limit. The formula below reaches it to full precision at this exponent.
    exponent_N = np.where(exponent_N == 0.0, -1e-30, exponent_N)
    with np.errstate(divide="ignore"):
        log_ratio_N = np.log1p(bounds.gap_N / bounds.upper_N)
    # Factor out the larger of the two powers so that nothing overflows: that of pA for α < 1, that of pB for α > 1.
    base_N = np.where(exponent_N > 0.0, bounds.lower_N, bounds.upper_N)
    log_excess_N = np.log1p(0.5 * np.expm1(-np.abs(exponent_N) * log_ratio_N)) / exponent_N
    twice_excess_N = 2.0 * base_N * np.expm1(log_excess_N)
    # drop = pA + pB − 2M, so that D = −ln(1 − drop). For a small gap the drop is small and must keep its own digits.
    drop_N = np.where(exponent_N > 0.0, -bounds.gap_N, bounds.gap_N) - twice_excess_N - 2.0**-48 * bounds.gap_N
    sum_N = bounds.lower_N + bounds.upper_N
    half_spread_N = bounds.gap_N / sum_N
    use_series_N = half_spread_N * (np.abs(exponent_N) + 4.0) < 0.5
    drop_N = np.where(
        use_series_N,
        sum_N * _power_mean_drop(np.where(use_series_N, half_spread_N, 0.0), alpha_N, exponent_N),
        np.maximum(drop_N, 0.0),
    )
    # For pA near 1, 1 − drop is small. As a sum of positive terms it keeps its digits.
    total_N = (bounds.rest_N - bounds.upper_N) + 2.0 * base_N * np.exp(log_excess_N)
    with np.errstate(divide="ignore"):
        return lower_by_ulps(np.where(drop_N < 0.5, -np.log1p(-drop_N), -np.log(total_N)))


def _power_mean_drop(half_spread_N: FloatArray, alpha_N: FloatArray, exponent_N: FloatArray) -> FloatArray:
    """Return 1 minus the power mean of 1 + h and 1 − h with exponent r = 1 − α, by a series without cancellation.

    ½((1+h)^r + (1−h)^r) = 1 + r·v with v = Σ_j C(r, 2j)/r·h^{2j}. For h·(|r| + 4) < ½ each term is less than a fortieth
    of the one before, so that ten terms leave a relative error of 10⁻¹⁶.
    """
    series_N = np.ones_like(half_spread_N * exponent_N)
    for j in range(20, 2, -2):
        series_N = 1.0 + (exponent_N - j + 2.0) * (exponent_N - j + 1.0) / (j * (j - 1.0)) * half_spread_N**2 * series_N
    # The first factor is r − 1 = −α. It is taken from α, because r − 1 has lost the digits of a small α.
    v_N = -alpha_N / 2.0 * half_spread_N**2 * series_N
    return -np.expm1(np.log1p(exponent_N * v_N) / exponent_N)


def _maximum_of_unimodal(
    function: Callable[[FloatArray], FloatArray], low_N: FloatArray, high_N: FloatArray
) -> FloatArray:
    """Return the largest value of a function with one peak on [low, high], for many rows at once.

    Golden-section search down to 10⁻⁹ of the interval. Near the peak the function is flat, so a relative error of about
    10⁻¹⁶ remains. The result is a value that the function takes, hence never above the supremum.
    `scipy.optimize.elementwise.find_minimum` needs a bracket of the peak, which would cost as much as this search.
    """
    low_N, high_N = low_N.copy(), high_N.copy()
    best_N = np.maximum(function(low_N), function(high_N))
    left_N = high_N - _GOLDEN_RATIO * (high_N - low_N)
    right_N = low_N + _GOLDEN_RATIO * (high_N - low_N)
    at_left_N, at_right_N = function(left_N), function(right_N)
    for _ in range(math.ceil(math.log(1e-9) / math.log(_GOLDEN_RATIO))):
        rises_N = at_left_N < at_right_N
        low_N, high_N = np.where(rises_N, left_N, low_N), np.where(rises_N, high_N, right_N)
        inner_N = np.where(rises_N, low_N + _GOLDEN_RATIO * (high_N - low_N), high_N - _GOLDEN_RATIO * (high_N - low_N))
        at_inner_N = function(inner_N)
        left_N, right_N = np.where(rises_N, right_N, inner_N), np.where(rises_N, inner_N, left_N)
        at_left_N, at_right_N = np.where(rises_N, at_right_N, at_inner_N), np.where(rises_N, at_inner_N, at_left_N)
    return np.maximum(best_N, np.maximum(at_left_N, at_right_N))
