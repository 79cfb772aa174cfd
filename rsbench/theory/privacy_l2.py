"""The l2 radius of Gaussian smoothing from differential privacy (Lecuyer), for comparison: Cohen's is larger."""

from typing import ClassVar

import numpy as np

from rsbench.records import FloatArray
from rsbench.theory.certificate import ImageFacts, Norm, SampledCertificate
from rsbench.theory.probability_bounds import ProbabilityBounds
from rsbench.theory.rounding import inward
from rsbench.theory.supremum import largest_value


def privacy_l2_radius(bounds: ProbabilityBounds, std: float) -> FloatArray:
    """R = sup over β of σβ / √(2·ln(1.25(1+e^β)/(pA − e^{2β}pB))), an open l2 ball, rounded down.

    Lecuyer et al. 2019, as stated in Cohen et al. 2019, appendix I.1; 0 < β ≤ min(1, ½·ln(pA/pB)). Beyond β = 1 the
    Gaussian mechanism has no such guarantee and the formula is false. The appendix's equation 31 puts σβ under the
    root; we follow the theorem.

    bounds: rows with pA > pB. std: σ, in units of the pixel range.
    """
    gap_N, upper_N = bounds.gap_N, bounds.upper_N
    with np.errstate(divide="ignore"):
        # ln(pA/pB) from the gap, which has its digits where the quotient has lost them.
        high_N = np.minimum(1.0, 0.5 * np.log1p(gap_N / upper_N))

    def radius_N(beta_N: FloatArray) -> FloatArray:
        # pA − e^{2β}pB from the gap, lowered by the rounding error of the difference.
        margin_N = gap_N - np.expm1(2.0 * beta_N) * upper_N - 2.0**-49 * gap_N
        with np.errstate(divide="ignore", invalid="ignore"):
            log_N = np.log(1.25 * (1.0 + np.exp(beta_N)) / margin_N)
            return np.where(margin_N > 0.0, beta_N / np.sqrt(2.0 * log_N), 0.0)

    return inward(std * largest_value(radius_N, np.zeros_like(high_N), high_N))


class PrivacyL2(SampledCertificate):
    """Lecuyer's certificate, the first of the field."""

    name = "lecuyer"
    norms: ClassVar[tuple[Norm, ...]] = ("l2", "l1")
    ball = "open"
    threat_models: ClassVar = {"gaussian": "all of R^d"}
    condition = "isotropic Gaussian noise"
    source = "Lecuyer et al. 2019, as in Cohen et al. 2019, appendix I.1"
    scale = "sigma"

    def _radius(self, bounds: ProbabilityBounds, scale: float, images: ImageFacts) -> FloatArray:
        return privacy_l2_radius(bounds, scale)
