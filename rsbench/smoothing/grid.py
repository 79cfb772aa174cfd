"""Images on a grid k/q as the whole numbers k, and splits between them. Shapes as in `rsbench.smoothing`.

Whole numbers are kept in float32, which holds them exactly up to 2²⁴ and computes with them several at a time.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rsbench.smoothing.measure import SmoothingMeasure
from rsbench.smoothing.randomness import KeyedRandom

# Inputs are float32: X/q·q differs from the integer X by less than 255·2⁻²³ there.
_TOLERANCE = 1e-4
# Then every number below stays under 2²⁴, and a quotient is off by less than its distance to a whole number.
_LARGEST = 2**21


def check_size(levels: int, q: int) -> None:
    """Raises ValueError when a grid is too fine for exact numbers."""
    if levels + q > _LARGEST:
        raise ValueError(
            f"{levels} levels on a grid of {q} steps are more than float32 can count (at most {_LARGEST}): "
            "lower sigma, or use --noise-arithmetic float"
        )


@dataclass(frozen=True)
class GridNoise(SmoothingMeasure):
    """Independent noise of L steps of 1/mq, for images on the grid k/q."""

    levels: int
    q: int
    m: int = 1

    def __post_init__(self) -> None:
        check_size(self.levels, self.m * self.q)

    def prepare(self, x_NCHW: Tensor) -> Tensor:
        """The pixels in steps of 1/mq."""
        return steps_of(x_NCHW, self.q, "integer noise").mul_(self.m)

    def indices(self, prepared_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        """A step for each pixel, whole numbers in {0..L−1}."""
        return random.integers(self.levels, tuple(prepared_BCHW.shape[1:]))


def steps_of(x: Tensor, q: int, who: str) -> Tensor:
    """k of each pixel k/q, whole numbers in float32, same shape.

    Raises ValueError when a pixel is none of 0, 1/q, …, 1; `who` speaks of such images only.
    """
    scaled = x * q
    steps = scaled.round()
    off = (scaled - steps).abs().max().item()
    if steps.min().item() < 0 or steps.max().item() > q:
        raise ValueError(f"{who} certifies images in [0,1] only, and a pixel lies outside it")
    if not off <= _TOLERANCE:  # also where a pixel is NaN
        raise ValueError(
            f"{who} certifies images on the grid k/{q} only, and a pixel lies {off / q:.2g} off it: "
            "quantise the images or use ssn with --noise-arithmetic float"
        )
    return steps


def split(steps_BCHW: Tensor, index_BCHW: Tensor, *, levels: int, q: int) -> Tensor:
    """The middle of the cell of [0,1] that holds each pixel, float32.

    `steps_BCHW`: pixels in steps of 1/q. `index_BCHW`, whole numbers in float32, which are changed: [0,1] is cut at
    (index + ½)/q and every L/q from there (Levine & Feizi 2021, eq. 28). Only quotients are rounded.
    """
    # In half steps pixels are even and cuts odd, so no pixel lies on a cut; 2L is even, so the quotient is at least
    # 1/2L away from a whole number, far more than its rounding.
    period = 2 * levels
    cut_BCHW = index_BCHW.mul_(2).add_(1)
    high_BCHW = (2 * steps_BCHW).sub_(cut_BCHW).div_(period).ceil_().mul_(period).add_(cut_BCHW)
    low_BCHW = torch.sub(high_BCHW, period, out=cut_BCHW).clamp_(min=0)
    return high_BCHW.clamp_(max=2 * q).add_(low_BCHW).div_(4 * q)
