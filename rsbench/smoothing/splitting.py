"""Splitting measures: [0,1] is cut at random points, a pixel becomes the middle of its cell (Levine & Feizi 2021)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from rsbench.smoothing.measure import EnumeratedMeasure, SmoothingMeasure
from rsbench.smoothing.randomness import KeyedRandom

# Inputs are float32: X/q·q differs from the integer X by less than 255·2⁻²³ there.
_GRID_TOLERANCE = 1e-4


@dataclass(frozen=True)
class SplittingSmoothing(SmoothingMeasure):
    """Independent splits s_i ~ U(0, 2λ) and s_i + 2λn for every integer n; λ = half_width (theorem 2).

    For λ ≥ ½ this is x̃ = (min(s, 1) + [x > s]) / 2; the cells below serve every λ > 0.
    """

    half_width: float

    def perturb(self, x_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        period = 2.0 * self.half_width
        split_BCHW = period * random.uniform(tuple(x_BCHW.shape)).to(x_BCHW.device)
        cell_BCHW = (x_BCHW - split_BCHW).div_(period).ceil_()
        high_BCHW = (period * cell_BCHW).add_(split_BCHW).clamp_(max=1.0)
        low_BCHW = cell_BCHW.sub_(1.0).mul_(period).add_(split_BCHW).clamp_(min=0.0)
        return high_BCHW.add_(low_BCHW).div_(2.0)


@dataclass(frozen=True)
class DeterministicSplittingSmoothing(EnumeratedMeasure):
    """All splits follow from one base j in {0..L−1}: pixel i is cut at ((j + v_i) mod L + ½)/q (§4.1, eqs. 27 and 28).

    The offsets v are fixed with the classifier: `numpy.random.RandomState(offsets_seed).randint(L, size=d)` in C·H·W
    order, as in the released checkpoints. q: pixels are k/q. Everything up to the last division is in integers.
    """

    levels: int
    offsets_seed: int
    q: int
    shape_CHW: tuple[int, int, int]

    @cached_property
    def offsets_CHW(self) -> Tensor:
        """v, int64 in {0..L−1}."""
        generator = np.random.RandomState(self.offsets_seed)
        size = int(np.prod(self.shape_CHW))
        return torch.from_numpy(generator.randint(self.levels, size=size).astype(np.int64)).reshape(self.shape_CHW)

    def perturb(self, x_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        base_B = random.integers(self.levels, (len(x_BCHW),)).to(x_BCHW.device)
        return self._split(self._grid(x_BCHW), base_B)

    def copies(self, x_CHW: Tensor, start: int, stop: int) -> Tensor:
        base_B = torch.arange(start, stop, device=x_CHW.device)
        return self._split(self._grid(x_CHW)[None], base_B)

    def _grid(self, x: Tensor) -> Tensor:
        scaled = x * self.q
        steps = scaled.round()
        off = (scaled - steps).abs().max().item()
        if steps.min().item() < 0 or steps.max().item() > self.q:
            raise ValueError("DSSN certifies images in [0,1] only, and a pixel lies outside it")
        if not off <= _GRID_TOLERANCE:  # also where a pixel is NaN
            raise ValueError(
                f"DSSN certifies images on the grid k/{self.q} only, and a pixel lies {off / self.q:.2g} off it: "
                "quantise the images or use ssn"
            )
        return steps.to(torch.int64)

    def _split(self, steps_BCHW: Tensor, base_B: Tensor) -> Tensor:
        # In half steps pixels are even, and cuts, which are 2·((j + v) mod L) + 1 and every 2L from there, are odd: no
        # pixel lies on a cut. The next cut above a pixel is as far from it as any cut is, modulo 2L.
        period, pixel_BCHW = 2 * self.levels, 2 * steps_BCHW
        from_pixel_BCHW = 2 * self.offsets_CHW.to(base_B.device) + 1 - pixel_BCHW
        high_BCHW = (2 * base_B[:, None, None, None] + from_pixel_BCHW).remainder_(period).add_(pixel_BCHW)
        low_BCHW = (high_BCHW - period).clamp_(min=0)
        return high_BCHW.clamp_(max=2 * self.q).add_(low_BCHW).to(torch.float32).div_(4 * self.q)
