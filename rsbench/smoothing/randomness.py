"""Randomness that depends on what is drawn, never on who draws it, where or when. Shapes: B rows of a batch."""

import math
from enum import IntEnum
from functools import cache

import torch
from torch import Tensor
from torch.func import _random as stateless

from rsbench.errors import UsageError


class Stage(IntEnum):
    """What the draws are for. Votes that select a class never share a stream with votes that certify it."""

    SELECT = 0
    ESTIMATE = 1
    TRAIN = 2
    PREFLIGHT = 3
    ORDER = 4


# Seed, stage and image are packed into the 64 bits of the key, copy and draw into the 64 of the counter.
_SEED_BITS, _STAGE_BITS, _IMAGE_BITS = 32, 3, 29
_DRAW_BITS = 20
LARGEST_IMAGE = 2**_IMAGE_BITS - 1
# A copy has 2²⁰ steps of the counter, and the widest draw takes a step for two values.
LARGEST_COPY = 2 * 2**_DRAW_BITS
_LARGEST_WHOLE = 2**22


class KeyedRandom:
    """For each row of a batch a Philox 4×32-10 stream of its own (Salmon et al. 2011, "Parallel random numbers").

    The stream is that of a seed, a stage, an image and the number of a copy of it. The first three are the 64 bits of
    the Philox key: seed·2³² + stage·2²⁹ + image. The copy counts in the 64 bits of the counter, 2²⁰ steps apart, more
    than a copy draws. Philox maps each (key, counter) to its output one to one, so two images, copies or stages can
    never share an output: their streams do not overlap by construction, not merely with high probability.

    Numbers are drawn on the device of the key, all rows in one call, by torch's own stateless operators. They are
    experimental there, so `check_streams` compares them with known values before anything is certified. Bits and whole
    numbers are the same on every device; a normal number may differ in its last bits. What is drawn is the caller's to
    change.
    """

    def __init__(self, seed: int, stage_B: Tensor, image_B: Tensor, copy_B: Tensor) -> None:
        """`stage_B`, `image_B`, `copy_B`: int64, within the bits that each has; `seed` < 2³²."""
        if not 0 <= seed < 2**_SEED_BITS:
            raise OverflowError(f"seed {seed} does not fit into {_SEED_BITS} bits")
        # The two words are unsigned: a seed in the upper half is a negative int64 of the same bits.
        self._high = (seed << _SEED_BITS) - (2**64 if seed >= 2**31 else 0)
        self._key_B = self._high + (stage_B << _IMAGE_BITS) + image_B
        self._counter_B = copy_B << _DRAW_BITS
        self._drawn = 0

    @classmethod
    def of(
        cls, seed: int, stage: Stage, image: int, copies: range, device: torch.device | None = None
    ) -> "KeyedRandom":
        """The streams of some copies of one image. Raises OverflowError when a number does not fit into its bits."""
        if not 0 <= image <= LARGEST_IMAGE:
            raise OverflowError(f"image {image} does not fit into {_IMAGE_BITS} bits")
        if len(copies) and not 0 <= copies[0] <= copies[-1] < 2 ** (64 - _DRAW_BITS - 1):
            raise OverflowError(f"copies {copies[0]} to {copies[-1]} do not fit into {64 - _DRAW_BITS - 1} bits")
        copy_B = torch.arange(copies.start, copies.stop, device=device)
        return cls(seed, torch.full_like(copy_B, int(stage)), torch.full_like(copy_B, image), copy_B)

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """float32 in [0, 1), each a multiple of 2⁻²⁴, B×`shape`."""
        drawn_BD = self._room(shape, torch.float32)
        return stateless.uniform_(self._keys(drawn_BD), drawn_BD).reshape(-1, *shape)

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """float32 from the standard normal law, B×`shape`."""
        drawn_BD = self._room(shape, torch.float32)
        return stateless.normal_(self._keys(drawn_BD), drawn_BD).reshape(-1, *shape)

    def integers(self, high: int, shape: tuple[int, ...]) -> Tensor:
        """Uniform on {0, …, high − 1}, whole numbers in float32, B×`shape`; `high` ≤ 2²².

        A word of 64 bits modulo a power of `high` gives several: no outcome's probability is off by more than 2⁻⁶⁴.
        """
        if not 1 <= high <= _LARGEST_WHOLE:
            raise ValueError(f"whole numbers below {high} are not drawn: at most {_LARGEST_WHOLE}")
        count = math.prod(shape)
        together = max(1, math.floor(math.log(_LARGEST_WHOLE, max(2, high)) + 1e-9))
        rest = self._below(high**together, math.ceil(count / together)).to(torch.float32)
        numbers = []
        for _ in range(together - 1):
            # At least ½/high away from a whole number, which is more than the division's rounding below 2²².
            higher = (rest + 0.5).div_(high).floor_()
            numbers.append(rest.sub_(higher, alpha=high))
            rest = higher
        return torch.cat((*numbers, rest), dim=1)[:, :count].reshape(-1, *shape)

    def words(self, count: int) -> Tensor:
        """int64 uniform on {0, …, 2⁶² − 1}, B×`count`."""
        return self._below(2**62, count)

    def _below(self, high: int, count: int) -> Tensor:
        drawn_BD = self._room((count,), torch.int64)
        return stateless.randint_(self._keys(drawn_BD), drawn_BD, high=high)

    def _room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty((len(self._key_B), math.prod(shape)), dtype=dtype, device=self._key_B.device)

    def _keys(self, drawn_BD: Tensor) -> Tensor:
        """Key and counter of each row, B×1×2; the next draw goes on behind this one."""
        counter_B = self._counter_B + self._drawn
        self._drawn += math.ceil(drawn_BD.shape[1] / 2)
        if self._drawn > 2**_DRAW_BITS:
            raise OverflowError(f"a copy of more than {LARGEST_COPY:,} values has no stream of its own")
        return torch.stack((self._key_B, counter_B), dim=1).view(torch.uint64)[:, None]


def permutation(seed: int, stage: Stage, image: int, length: int) -> Tensor:
    """int64, a random order of 0..length−1, the same on every device."""
    keys_N = KeyedRandom.of(seed, stage, image, range(1)).words(length)[0]
    return keys_N.argsort(stable=True)


# Of seed 7, stage ESTIMATE, image 11, copy 5.
_KNOWN_INTEGERS = (647, 879, 977, 302, 603, 475)
_KNOWN_UNIFORM = (0.7340826988220215, 0.7669176459312439, 0.48852431774139404, 0.38498157262802124)
_KNOWN_NORMAL = (-0.4416774809360504, 0.746546745300293, -0.20095379650592804, 1.859975814819336)


@cache
def check_streams(device: torch.device) -> None:
    """Raises UsageError when torch on that device draws other numbers than those that runs were certified with."""
    drawn = [KeyedRandom.of(7, Stage.ESTIMATE, 11, range(5, 6), device) for _ in range(3)]
    same = (
        drawn[0].integers(1000, (6,))[0].tolist() == list(_KNOWN_INTEGERS)
        and drawn[1].uniform((4,))[0].tolist() == list(_KNOWN_UNIFORM)
        and torch.allclose(drawn[2].normal((4,))[0].cpu(), torch.tensor(_KNOWN_NORMAL), rtol=0, atol=1e-6)
    )
    if not same:
        raise UsageError(
            f"torch {torch.__version__} draws other noise on {device} than rsbench was made for: install the torch "
            "that constraints.txt names"
        )
