"""The l1 radius of uniform and splitting smoothing (Lee, Yang), from the Lipschitz constant 1/(2λ) of the scores."""

from typing import ClassVar

from rsbench.records import FloatArray
from rsbench.theory.certificate import ImageFacts, Norm, SampledCertificate
from rsbench.theory.probability_bounds import ProbabilityBounds
from rsbench.theory.rounding import inward


def lipschitz_l1_radius(gap_N: FloatArray, half_width: float) -> FloatArray:
    """R = λ·(pA − pB) of an open l1 ball, rounded down; with pB = 1 − pA this is 2λ(pA − ½).

    Lee et al. 2019; Yang et al. 2020; Levine & Feizi 2021, theorem 2. gap_N: pA − pB > 0. half_width: λ > 0.
    """
    return inward(half_width * gap_N)


class LipschitzL1(SampledCertificate):
    """Lee's and Yang's certificate."""

    name = "lee"
    norms: ClassVar[tuple[Norm, ...]] = ("l1",)
    ball = "open"
    threat_models: ClassVar = {"uniform": "all of R^d", "splitting": "the box [0,1]^d"}
    condition = "uniform noise, independent across coordinates, or sampled splitting noise of any joint law"
    source = "Lee et al. 2019; Yang et al. 2020; Levine & Feizi 2021, theorem 2"
    scale = "half_width"

    def _radius(self, bounds: ProbabilityBounds, scale: float, images: ImageFacts) -> FloatArray:
        return lipschitz_l1_radius(bounds.gap_N, scale)
