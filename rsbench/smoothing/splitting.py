"""Splitting measures: [0,1] is cut at random points, a pixel becomes the middle of its cell (Levine & Feizi 2021)."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from rsbench.smoothing.grid import GridNoise, check_size, split, steps_of
from rsbench.smoothing.measure import EnumeratedMeasure, SmoothingMeasure
from rsbench.smoothing.randomness import KeyedRandom


@dataclass(frozen=True)
class SplittingSmoothing(SmoothingMeasure):
    """Independent splits s_i ~ U(0, 2λ) and s_i + 2λn for every integer n; λ = half_width (theorem 2).

    For λ ≥ ½ this is x̃ = (min(s, 1) + [x > s]) / 2; the cells below serve every λ > 0.
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
class GridSplittingSmoothing(GridNoise):
    """Independent splits (j_i + ½)/mq, j_i uniform on {0..L−1}, and every L/mq from there, for images on the grid k/q.

    It is the splitting law of λ = L/2mq whose splits are moved to the middle of their step of 1/mq, where they part the
    same pixels of the grid. So theorem 2 holds among those images, in the arithmetic that ran.
    """

    def perturb(self, prepared_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        index_BCHW = self.indices(prepared_BCHW, random)
        return split(prepared_BCHW, index_BCHW, levels=self.levels, q=self.m * self.q)


@dataclass(frozen=True)
class DeterministicSplittingSmoothing(EnumeratedMeasure):
    """All splits follow from one base j in {0..L−1}: pixel i is cut at ((j + v_i) mod L + ½)/q (§4.1, eqs. 27 and 28).

    The offsets v are fixed with the classifier: `numpy.random.RandomState(offsets_seed).randint(L, size=d)` in C·H·W
    order, as in the released checkpoints. q: pixels are k/q.
    """

    levels: int
    offsets_seed: int
    q: int
    shape_CHW: tuple[int, int, int]

    def __post_init__(self) -> None:
        check_size(self.levels, self.q)

    @property
    def offsets_CHW(self) -> Tensor:
        """v, whole numbers in {0..L−1}, float32 on the CPU."""
        return _offsets(self.levels, self.offsets_seed, self.shape_CHW, torch.device("cpu"))

    def prepare(self, x_NCHW: Tensor) -> Tensor:
        return steps_of(x_NCHW, self.q, "DSSN")

    def perturb(self, prepared_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        return self.copies(prepared_BCHW, random.integers(self.levels, (1,))[:, 0])

    def copies(self, prepared_BCHW: Tensor, number_B: Tensor) -> Tensor:
        offsets_CHW = _offsets(self.levels, self.offsets_seed, self.shape_CHW, number_B.device)
        # Base plus offset need not be taken modulo L: the splits repeat every L.
        index_BCHW = number_B.to(torch.float32)[:, None, None, None] + offsets_CHW
        return split(prepared_BCHW, index_BCHW, levels=self.levels, q=self.q)


@lru_cache(maxsize=8)
def _offsets(levels: int, seed: int, shape_CHW: tuple[int, int, int], device: torch.device) -> Tensor:
    drawn = np.random.RandomState(seed).randint(levels, size=int(np.prod(shape_CHW)))
    return torch.from_numpy(drawn.astype(np.float32)).reshape(shape_CHW).to(device)
