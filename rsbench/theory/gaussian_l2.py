"""The l2 radius of Gaussian smoothing."""

from scipy.special import ndtri

from rsbench.records import FloatArray
from rsbench.specs import MeasureSpec
from rsbench.theory.certificate import OneVersusRestCertificate
from rsbench.theory.rounding import inward


def gaussian_l2_radius(lower: FloatArray, std: float) -> FloatArray:
    """R = σ·Φ⁻¹(p) of an open l2 ball (Cohen et al. 2019, theorem 1, runner-up bounded by 1−p), rounded down.

    lower: lower bounds p on the top class's probability, in [½, 1), any shape. std: σ > 0, in units of the pixel range.
    Raises ValueError when a bound is outside [½, 1): at p = 1 the formula would claim an infinite radius.
    """
    if ((lower < 0.5) | (lower >= 1.0)).any():
        raise ValueError("a lower bound must lie in [½, 1)")
    return inward(std * ndtri(lower))


class GaussianL2(OneVersusRestCertificate):
    """Cohen's certificate. An l1 ball lies inside the l2 ball of the same radius, so the radius holds for l1 too."""

    name = "cohen"
    norms = ("l2", "l1")
    ball = "open"
    threat_model = "all of R^d"
    families = frozenset({"gaussian"})
    source = "Cohen, Rosenfeld & Kolter 2019, theorem 1"

    def _radius(self, lower_N: FloatArray, measure: MeasureSpec) -> FloatArray:
        return gaussian_l2_radius(lower_N, measure.sigma)
