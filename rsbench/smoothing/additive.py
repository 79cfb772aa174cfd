"""Additive smoothing measures: the image plus independent noise in every coordinate.

The copies are made where the noise was drawn: for a small network each further array costs as much as a layer.
"""

from dataclasses import dataclass

from torch import Tensor

from rsbench.smoothing.measure import SmoothingMeasure
from rsbench.smoothing.randomness import KeyedRandom


@dataclass(frozen=True)
class GaussianSmoothing(SmoothingMeasure):
    """x + N(0, std²·I) (Cohen et al. 2019)."""

    std: float

    def perturb(self, x_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        return random.normal(tuple(x_BCHW.shape)).to(x_BCHW.device).mul_(self.std).add_(x_BCHW)


@dataclass(frozen=True)
class UniformSmoothing(SmoothingMeasure):
    """x + U[−half_width, half_width]^d (Yang et al. 2020)."""

    half_width: float

    def perturb(self, x_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        u_BCHW = random.uniform(tuple(x_BCHW.shape)).to(x_BCHW.device)
        return u_BCHW.mul_(2.0).sub_(1.0).mul_(self.half_width).add_(x_BCHW)
