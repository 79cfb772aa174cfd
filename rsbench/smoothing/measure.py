"""What a smoothing measure is."""

from abc import ABC, abstractmethod

from torch import Tensor

from rsbench.smoothing.randomness import KeyedRandom


class SmoothingMeasure(ABC):
    """A law that makes noisy copies of images in [0,1]^d, before any channel normalisation."""

    @abstractmethod
    def perturb(self, x_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        """One fresh noisy copy of each image: float32, shape and device of `x_BCHW`."""


class EnumeratedMeasure(SmoothingMeasure):
    """A law with finitely many equally likely outcomes, which certification visits one by one."""

    levels: int

    @abstractmethod
    def copies(self, x_CHW: Tensor, start: int, stop: int) -> Tensor:
        """Copies number start..stop−1 of one image: float32, (stop − start)×C×H×W, 0 ≤ start < stop ≤ levels."""
