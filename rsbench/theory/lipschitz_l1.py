"""The l1 radius of uniform and splitting smoothing, from the Lipschitz constant 1/(2λ) of the smoothed scores."""

from rsbench.records import FloatArray
from rsbench.specs import MeasureSpec
from rsbench.theory.certificate import OneVersusRestCertificate
from rsbench.theory.rounding import inward


def lipschitz_l1_radius(lower: FloatArray, half_width: float) -> FloatArray:
    """R = 2λ(p − ½) of an open l1 ball (Lee et al. 2019; Yang et al. 2020; Levine & Feizi 2021, theorem 2).

    lower: lower bounds p on the top class's probability, in [½, 1], any shape. half_width: λ > 0.
    Raises ValueError when a bound is outside [½, 1].
    """
    if ((lower < 0.5) | (lower > 1.0)).any():
        raise ValueError("a lower bound must lie in [½, 1]")
    return inward(2.0 * half_width * (lower - 0.5))


class LipschitzL1(OneVersusRestCertificate):
    """Lee's and Yang's certificate: on all of R^d for uniform noise, on [0,1]^d for splitting, under any joint law."""

    name = "lee"
    norms = ("l1",)
    ball = "open"
    threat_model = "R^d for uniform, [0,1]^d for splitting"
    families = frozenset({"uniform", "splitting"})
    source = "Lee et al. 2019; Yang et al. 2020; Levine & Feizi 2021, theorem 2"

    def _radius(self, lower_N: FloatArray, measure: MeasureSpec) -> FloatArray:
        return lipschitz_l1_radius(lower_N, measure.half_width)
