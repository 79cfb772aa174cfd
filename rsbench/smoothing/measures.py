"""Smoothing measures: how noisy copies of an image are made.

Noisy copies are computed in place on the tensor of the drawn noise, because for a small network each further array
costs as much time as a layer. Shapes: N images, B batch, C channels, H height, W width.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from rsbench.smoothing.grid import check_levels, pixel_steps, split_pixels
from rsbench.smoothing.randomness import KeyedRandom


class SmoothingMeasure(ABC):
    """A distribution of noisy copies for each image in [0,1]^d, before any normalisation of channels.

    A subclass implements `perturb`. If it represents images in another way than as pixels in [0,1], it also overrides
    `prepare`, which certification calls once per image, whereas `perturb` runs for every noisy copy.
    """

    def prepare(self, x_NCHW: Tensor) -> Tensor:
        """Return the images in the form that `perturb` takes: float32, same shape.

        `x_NCHW` is float32 in [0,1] and is not changed. Raises ValueError if the measure is not defined for one of
        the images.
        """
        return x_NCHW

    @abstractmethod
    def perturb(self, prepared_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        """Return one noisy copy of each prepared image: float32 pixels, same shape and device.

        `random` has one stream per row. `prepared_BCHW` may be an expanded view and must not be changed.
        """


class EnumeratedMeasure(SmoothingMeasure):
    """A measure with finitely many equally likely noisy copies of each image, all of which certification evaluates."""

    levels: int
    """How many noisy copies an image has."""

    @abstractmethod
    def copies(self, prepared_BCHW: Tensor, number_B: Tensor) -> Tensor:
        """Return the noisy copy of that number of each prepared image: float32 pixels, same shape.

        `number_B` is int64 in {0..levels−1}.
        """


@dataclass(frozen=True)
class GaussianSmoothing(SmoothingMeasure):
    """x + N(0, std²·I) (Cohen, Rosenfeld & Kolter 2019)."""

    std: float

    def perturb(self, prepared_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        return random.normal(tuple(prepared_BCHW.shape[1:])).mul_(self.std).add_(prepared_BCHW)


@dataclass(frozen=True)
class UniformSmoothing(SmoothingMeasure):
    """x + U[−half_width, half_width]^d (Lee et al. 2019; Yang et al. 2020)."""

    half_width: float

    def perturb(self, prepared_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        noise_BCHW = random.uniform(tuple(prepared_BCHW.shape[1:]))
        return noise_BCHW.mul_(2.0).sub_(1.0).mul_(self.half_width).add_(prepared_BCHW)


@dataclass(frozen=True)
class SplittingSmoothing(SmoothingMeasure):
    """Independent splitting noise (Levine & Feizi 2021, theorem 2).

    Pixel i is replaced by the midpoint of its cell of [0,1], which is divided at s_i ~ U(0, 2λ) and at s_i + 2λn for
    every integer n; λ = half_width. For λ ≥ ½ this equals the paper's (min(s, 1) + [x > s]) / 2; the cells are valid
    for every λ > 0.
    """

    half_width: float

    def perturb(self, prepared_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        period = 2.0 * self.half_width
        split_BCHW = random.uniform(tuple(prepared_BCHW.shape[1:])).mul_(period)
        cell_BCHW = (prepared_BCHW - split_BCHW).div_(period).ceil_()
        high_BCHW = (period * cell_BCHW).add_(split_BCHW).clamp_(max=1.0)
        low_BCHW = cell_BCHW.sub_(1.0).mul_(period).add_(split_BCHW).clamp_(min=0.0)
        return high_BCHW.add_(low_BCHW).div_(2.0)


@dataclass(frozen=True)
class IntegerNoise(SmoothingMeasure):
    """Base class of measures whose noise is an integer j uniform on {0..L−1} per pixel, in steps of 1/mq.

    They are defined for images on the grid k/q. Raises ValueError if L + mq is too large for exact arithmetic.
    """

    levels: int
    """L."""

    q: int
    m: int = 1

    def __post_init__(self) -> None:
        check_levels(self.levels, self.m * self.q)

    def prepare(self, x_NCHW: Tensor) -> Tensor:
        """Return the pixels in steps of 1/mq."""
        return pixel_steps(x_NCHW, self.q, "integer noise").mul_(self.m)

    def draw_indices(self, prepared_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        """Draw j for each pixel: integers in {0..L−1}, stored in float32."""
        return random.integers(self.levels, tuple(prepared_BCHW.shape[1:]))


@dataclass(frozen=True)
class GridUniformSmoothing(IntegerNoise):
    """x + (j + ½)/mq − λ with j uniform on {0..L−1} for each pixel and λ = L/2mq, for images on the grid k/q.

    This is uniform noise of half-width λ whose copies are moved to the midpoint of their step of 1/mq. The move is the
    same for every image on the grid, so it is part of the base classifier, and every theorem for uniform noise holds
    among those images for the arithmetic that ran: only the last division is rounded.
    """

    def prepare(self, x_NCHW: Tensor) -> Tensor:
        """Return the pixels in half steps of 1/mq, with the constant 1 − L of the noise already added."""
        return super().prepare(x_NCHW).mul_(2).add_(1 - self.levels)

    def perturb(self, prepared_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        return self.draw_indices(prepared_BCHW, random).mul_(2).add_(prepared_BCHW).div_(2 * self.m * self.q)


@dataclass(frozen=True)
class GridSplittingSmoothing(IntegerNoise):
    """Independent splitting noise with split points (j + ½)/mq and λ = L/2mq, for images on the grid k/q.

    j is uniform on {0..L−1} for each pixel, and the split points repeat every L/mq. This is splitting noise whose split
    points are moved to the midpoint of their step of 1/mq, where they separate the same pixels of the grid. So theorem
    2 of Levine & Feizi (2021) holds among those images for the arithmetic that ran.
    """

    def perturb(self, prepared_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        index_BCHW = self.draw_indices(prepared_BCHW, random)
        return split_pixels(prepared_BCHW, index_BCHW, levels=self.levels, q=self.m * self.q)


@dataclass(frozen=True)
class DeterministicSplittingSmoothing(EnumeratedMeasure):
    """Splitting noise whose split points all follow from one base j in {0..L−1} (Levine & Feizi 2021, section 4.1).

    Pixel i is divided at ((j + v_i) mod L + ½)/q and at every multiple of L/q from there (equations 27 and 28). The
    offsets v are fixed with the classifier: `numpy.random.RandomState(offsets_seed).randint(L, size=d)` in C·H·W order,
    as in the released checkpoints. Raises ValueError if L + q is too large for exact arithmetic.
    """

    levels: int
    """L."""

    offsets_seed: int
    q: int
    """Images lie on the grid k/q."""

    shape_CHW: tuple[int, int, int]

    def __post_init__(self) -> None:
        check_levels(self.levels, self.q)

    @property
    def offsets_CHW(self) -> Tensor:
        """The offsets v, integers in {0..L−1}: float32 on the CPU."""
        return _offsets(self.levels, self.offsets_seed, self.shape_CHW, torch.device("cpu"))

    def prepare(self, x_NCHW: Tensor) -> Tensor:
        """Return the pixels in steps of 1/q."""
        return pixel_steps(x_NCHW, self.q, "DSSN")

    def perturb(self, prepared_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        return self.copies(prepared_BCHW, random.integers(self.levels, (1,))[:, 0])

    def copies(self, prepared_BCHW: Tensor, number_B: Tensor) -> Tensor:
        offsets_CHW = _offsets(self.levels, self.offsets_seed, self.shape_CHW, number_B.device)
        # The sum needs no reduction modulo L, because the split points repeat every L.
        index_BCHW = number_B.to(torch.float32)[:, None, None, None] + offsets_CHW
        return split_pixels(prepared_BCHW, index_BCHW, levels=self.levels, q=self.q)


@lru_cache(maxsize=8)
def _offsets(levels: int, seed: int, shape_CHW: tuple[int, int, int], device: torch.device) -> Tensor:
    offsets = np.random.RandomState(seed).randint(levels, size=int(np.prod(shape_CHW)))
    return torch.from_numpy(offsets.astype(np.float32)).reshape(shape_CHW).to(device)
