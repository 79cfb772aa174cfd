"""Additive smoothing measures: the image plus independent noise in every coordinate.

The copies are made where the noise was drawn: for a small network each further array costs as much as a layer.
"""

from dataclasses import dataclass

from torch import Tensor

from rsbench.smoothing.grid import GridNoise
from rsbench.smoothing.measure import SmoothingMeasure
from rsbench.smoothing.randomness import KeyedRandom


@dataclass(frozen=True)
class GaussianSmoothing(SmoothingMeasure):
    """x + N(0, std²·I) (Cohen et al. 2019)."""

    std: float

    def perturb(self, prepared_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        return random.normal(tuple(prepared_BCHW.shape[1:])).mul_(self.std).add_(prepared_BCHW)


@dataclass(frozen=True)
class UniformSmoothing(SmoothingMeasure):
    """x + U[−half_width, half_width]^d (Yang et al. 2020)."""

    half_width: float

    def perturb(self, prepared_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        u_BCHW = random.uniform(tuple(prepared_BCHW.shape[1:]))
        return u_BCHW.mul_(2.0).sub_(1.0).mul_(self.half_width).add_(prepared_BCHW)


@dataclass(frozen=True)
class GridUniformSmoothing(GridNoise):
    """x + (j + ½)/mq − λ with j uniform on {0..L−1} in every coordinate, λ = L/2mq, for images on the grid k/q.

    It is the uniform law of half-width λ whose copies are moved to the middle of their step of 1/mq. That move is the
    same for every image of the grid, so it is a part of the base classifier, and every theorem for the uniform law
    holds among those images, in the arithmetic that ran: only the last division is rounded.
    """

    def prepare(self, x_NCHW: Tensor) -> Tensor:
        # In half steps, and with the constants of the noise.
        return super().prepare(x_NCHW).mul_(2).add_(1 - self.levels)

    def perturb(self, prepared_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        return self.indices(prepared_BCHW, random).mul_(2).add_(prepared_BCHW).div_(2 * self.m * self.q)
