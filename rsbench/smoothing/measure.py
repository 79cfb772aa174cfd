"""What a smoothing measure is."""

from abc import ABC, abstractmethod

from torch import Tensor

from rsbench.smoothing.randomness import KeyedRandom


class SmoothingMeasure(ABC):
    """A law that makes noisy copies of images in [0,1]^d, before any channel normalisation."""

    def prepare(self, x_NCHW: Tensor) -> Tensor:
        """The images as `perturb` takes them, float32, same shape: done once for an image, not for each copy.

        Raises ValueError when the law is none for one of them.
        """
        return x_NCHW

    @abstractmethod
    def perturb(self, prepared_BCHW: Tensor, random: KeyedRandom) -> Tensor:
        """One fresh noisy copy of each prepared image: float32, same shape and device. `random`: a stream a row."""


class EnumeratedMeasure(SmoothingMeasure):
    """A law with finitely many equally likely outcomes, which certification visits one by one."""

    levels: int

    @abstractmethod
    def copies(self, prepared_BCHW: Tensor, number_B: Tensor) -> Tensor:
        """Of each prepared image the copy of that number: float32, same shape. `number_B`: int64 in {0..levels−1}."""
