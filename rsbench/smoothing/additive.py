"""Additive smoothing measures: the image plus independent noise in every coordinate."""

from dataclasses import dataclass

from torch import Tensor

from rsbench.smoothing.measure import SmoothingMeasure
from rsbench.smoothing.randomness import KeyedRandom


@dataclass(frozen=True)
class GaussianSmoothing(SmoothingMeasure):
    """x + N(0, std²·I) (Cohen et al. 2019)."""

    std: float

    def perturb(self, x_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        return x_BCHW + self.std * random.normal(tuple(x_BCHW.shape)).to(x_BCHW.device)


@dataclass(frozen=True)
class UniformSmoothing(SmoothingMeasure):
    """x + U[−half_width, half_width]^d (Yang et al. 2020)."""

    half_width: float

    def perturb(self, x_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        u_BCHW = random.uniform(tuple(x_BCHW.shape)).to(x_BCHW.device)
        return x_BCHW + self.half_width * (2.0 * u_BCHW - 1.0)
