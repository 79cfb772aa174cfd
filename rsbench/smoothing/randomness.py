"""Randomness that depends on what is drawn, never on who draws it, where or when."""

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor


class Stage(IntEnum):
    """What the draws are for. Votes that select a class never share a stream with votes that certify it."""

    SELECT = 0
    ESTIMATE = 1
    TRAIN = 2
    PREFLIGHT = 3


class KeyedRandom:
    """A Philox 4×64 stream for one (seed, stage, image, block) (Salmon et al. 2011, "Parallel random numbers").

    Seed and stage are the two words of the Philox key; image and block are words of its counter whose lowest word
    counts the draws. Philox maps each (key, counter) to its output one to one, and a block draws far less than 2⁶⁴
    words, so two images, blocks or stages can never share a counter: their streams do not overlap by construction,
    not merely with high probability.

    Draws are made on the CPU, whatever device asks for them, so that every device sees the same noise. What is drawn
    is the caller's to change.
    """

    def __init__(self, seed: int, stage: Stage, image: int, block: int) -> None:
        counter = np.array([0, block, image, 0], dtype=np.uint64)
        key = np.array([seed, int(stage)], dtype=np.uint64)
        self._generator = np.random.Generator(np.random.Philox(counter=counter, key=key))

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """float32 in [0, 1), each a multiple of 2⁻²⁴."""
        return torch.from_numpy(self._generator.random(shape, dtype=np.float32))

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """float32 from the standard normal law."""
        return torch.from_numpy(self._generator.standard_normal(shape, dtype=np.float32))

    def integers(self, high: int, shape: tuple[int, ...]) -> Tensor:
        """int64 uniform on {0, …, high − 1}."""
        return torch.from_numpy(self._generator.integers(high, size=shape, dtype=np.int64))

    def permutation(self, length: int) -> Tensor:
        """int64, a random order of 0..length−1."""
        return torch.from_numpy(self._generator.permutation(length))
