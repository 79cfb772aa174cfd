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
        cell_BCHW = torch.ceil((x_BCHW - split_BCHW) / period)
        high_BCHW = (split_BCHW + period * cell_BCHW).clamp(max=1.0)
        low_BCHW = (split_BCHW + period * (cell_BCHW - 1.0)).clamp(min=0.0)
        return (high_BCHW + low_BCHW) / 2.0


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
        offset_BCHW = (base_B[:, None, None, None] + self.offsets_CHW.to(base_B.device)) % self.levels
        # Twice the split point, in steps: the odd number 2j + 1 never meets the even 2X, so no pixel lies on a cut.
        cut_BCHW = 2 * offset_BCHW + 1
        period = 2 * self.levels
        # ⌈(2X − cut) / 2L⌉
        cell_BCHW = -torch.div(cut_BCHW - 2 * steps_BCHW, period, rounding_mode="floor")
        high_BCHW = (period * cell_BCHW + cut_BCHW).clamp(max=2 * self.q)
        low_BCHW = (period * (cell_BCHW - 1) + cut_BCHW).clamp(min=0)
        return (high_BCHW + low_BCHW).to(torch.float32) / (4 * self.q)
