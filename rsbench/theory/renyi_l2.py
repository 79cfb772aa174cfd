"""The l2 radius of Gaussian smoothing from the Rényi divergence (Li), for comparison: Cohen's is larger."""

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from rsbench.records import FloatArray
from rsbench.theory.certificate import ImageFacts, Norm, SampledCertificate
from rsbench.theory.gaussian_l2 import refuse_plugged_in_zero
from rsbench.theory.probability_bounds import ProbabilityBounds
from rsbench.theory.rounding import inward
from rsbench.theory.supremum import largest_value

# The best order lay in 0.7..1.5 wherever we looked (pA from 0.01 to 1 − 10⁻¹², pB from 10⁻⁹): this is wide.
_ORDERS = (1e-3, 1e3)


def renyi_divergence(bounds: ProbabilityBounds, order: npt.ArrayLike) -> FloatArray:
    """−ln(1 − pA − pB + 2M), the least Rényi divergence of a law of classes with another top class, rounded down.

    M = (½(pA^{1−α} + pB^{1−α}))^{1/(1−α)}, the geometric mean at α = 1 (Li et al. 2019, lemma 1; Cohen et al. 2019,
    appendix I.2). The outer exponent is 1/(1−α): the printed form with 1−α overclaims.

    bounds: rows with pA > pB. order: α > 0, one or one for each row.
    """
    alpha_N = np.asarray(order, dtype=np.float64)
    r_N = 1.0 - alpha_N
    # At α = 1 the mean is a limit, which the formula below has reached long before this.
    r_N = np.where(r_N == 0.0, -1e-30, r_N)
    with np.errstate(divide="ignore"):
        log_ratio_N = np.log1p(bounds.gap_N / bounds.upper_N)
    # The larger of the two powers is factored out, so that nothing overflows: that of pA for α < 1, of pB above.
    base_N = np.where(r_N > 0.0, bounds.lower_N, bounds.upper_N)
    log_excess_N = np.log1p(0.5 * np.expm1(-np.abs(r_N) * log_ratio_N)) / r_N
    twice_excess_N = 2.0 * base_N * np.expm1(log_excess_N)
    # 2M = 2·base + excess. For a small gap, 1 − pA − pB + 2M is 1 minus a small number, kept as such.
    drop_N = np.where(r_N > 0.0, -bounds.gap_N, bounds.gap_N) - twice_excess_N - 2.0**-48 * bounds.gap_N
    sum_N = bounds.lower_N + bounds.upper_N
    distance_N = bounds.gap_N / sum_N
    near_N = distance_N * (np.abs(r_N) + 4.0) < 0.5
    drop_N = np.where(
        near_N, sum_N * _mean_drop(np.where(near_N, distance_N, 0.0), alpha_N, r_N), np.maximum(drop_N, 0.0)
    )
    # Of positive terms, for near pA = 1 the sum is small.
    total_N = (bounds.rest_N - bounds.upper_N) + 2.0 * base_N * np.exp(log_excess_N)
    with np.errstate(divide="ignore"):
        return inward(np.where(drop_N < 0.5, -np.log1p(-drop_N), -np.log(total_N)))


def _mean_drop(distance_N: FloatArray, alpha_N: FloatArray, r_N: FloatArray) -> FloatArray:
    """How far the power mean of 1 + h and 1 − h, of power r = 1 − α, lies below 1: a series, no digits cancel.

    ½((1+h)^r + (1−h)^r) = 1 + r·v with v = Σ C(r, 2j)/r·h^{2j}. For h·(|r| + 4) < ½ each term is below a fortieth of
    the one before, and ten leave 10⁻¹⁶.
    """
    series_N = np.ones_like(distance_N * r_N)
    for j in range(20, 2, -2):
        series_N = 1.0 + (r_N - j + 2.0) * (r_N - j + 1.0) / (j * (j - 1.0)) * distance_N**2 * series_N
    # α, for r − 1 has lost the digits of a small one.
    v_N = -alpha_N / 2.0 * distance_N**2 * series_N
    return -np.expm1(np.log1p(r_N * v_N) / r_N)


def renyi_l2_radius(bounds: ProbabilityBounds, std: float) -> FloatArray:
    """R = sup over α > 0 of σ·√((2/α)·D_α) with D_α the `renyi_divergence`, an open l2 ball, rounded down.

    Li et al. 2019, as in Cohen et al. 2019, appendix I.2. Infinite at pA = 1.
    bounds: rows with pA > pB. std: σ, in units of the pixel range. Raises ValueError for pB = 0 beside pA < 1.
    """
    refuse_plugged_in_zero(bounds)
    sure_N = bounds.rest_N == 0.0
    shaky = bounds.take(~sure_N)

    def squared_N(log_order_N: FloatArray) -> FloatArray:
        order_N = np.exp(log_order_N)
        return 2.0 / order_N * renyi_divergence(shaky, order_N)

    low, high = (np.full(len(shaky), np.log(order)) for order in _ORDERS)
    radius_N = np.full(len(bounds), np.inf)
    radius_N[~sure_N] = std * np.sqrt(largest_value(squared_N, low, high))
    return inward(radius_N)


class RenyiL2(SampledCertificate):
    """Li's certificate."""

    name = "li"
    norms: ClassVar[tuple[Norm, ...]] = ("l2", "l1")
    ball = "open"
    threat_models: ClassVar = {"gaussian": "all of R^d"}
    condition = "isotropic Gaussian noise"
    source = "Li et al. 2019, as in Cohen et al. 2019, appendix I.2"
    scale = "sigma"

    def _radius(self, bounds: ProbabilityBounds, scale: float, images: ImageFacts) -> FloatArray:
        return renyi_l2_radius(bounds, scale)
