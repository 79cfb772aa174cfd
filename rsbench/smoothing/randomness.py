"""Random numbers that are a function of what they are drawn for, never of the worker, the order or the time.

Shapes: B rows of a batch, D values drawn for a row.
"""

import math
from enum import IntEnum
from functools import cache

import torch
from torch import Tensor
from torch.func import _random as stateless

from rsbench.errors import UsageError


class Stage(IntEnum):
    """What random numbers are drawn for. Streams of different stages never overlap.

    In particular, votes that select a class share no random number with votes that certify it. A number in this table
    is part of the identity of stored runs: it is never changed and never given to another purpose. The stages from
    `SIGMA_ASCENT` on are allotted in advance.
    """

    SELECT = 0
    """Noise of the n0 votes that select the class of an image."""

    ESTIMATE = 1
    """Noise of the n votes that certify the selected class."""

    TRAIN = 2
    """Noise of the training images."""

    PREFLIGHT = 3
    """Noise of the check that a network is better than guessing, before a run starts."""

    ORDER = 4
    """Order of the training images in an epoch."""

    SIGMA_ASCENT = 5
    """Noise of the search for the σ of an image (data-dependent smoothing), at certification."""

    ROUTER_SELECT = 6
    """Noise of the selection votes of a router between smoothed classifiers."""

    ROUTER_ESTIMATE = 7
    """Noise of the estimation votes of a router between smoothed classifiers."""

    ATTACK = 8
    """Noise and random starts of empirical attacks on a smoothed classifier."""

    PREDICT = 9
    """Noise of predictions without a certificate."""

    VALIDATION = 10
    """Noise of held-out images during or after training."""

    MEMORY_QUERY = 11
    """Noise of the queries of memory-based certification."""

    AUGMENT = 12
    """Random crops and flips of training images."""

    TRAIN_ATTACK = 13
    """Random directions of attacks inside a training objective; their noise is of stage `TRAIN`."""

    TRAIN_SIGMA_ASCENT = 14
    """Noise of the search for the σ of a training image."""


# Layout of the Philox key (seed, stage, image) and of the counter (stage, copy, step). The number of the stage is
# divided: its lowest 3 bits are in the key and the next 7 in the counter, below its highest bit, which is the sign of
# an int64 and stays 0.
_SEED_BITS, _LOW_STAGE_BITS, _IMAGE_BITS = 32, 3, 29
_HIGH_STAGE_BITS, _COPY_BITS, _STEP_BITS = 7, 36, 20

STAGES = 2 ** (_LOW_STAGE_BITS + _HIGH_STAGE_BITS)
"""How many stages there can be."""

MAX_SEEDS = 2**_SEED_BITS
MAX_IMAGES = 2**_IMAGE_BITS
MAX_COPIES = 2**_COPY_BITS
"""How many noisy copies an image can have in one stage."""

MAX_VALUES_PER_COPY = 2 * 2**_STEP_BITS
"""How many values a noisy copy can have: it owns 2²⁰ steps of the counter, and the widest draw takes a step for two."""

_MAX_INTEGER = 2**22


class KeyedRandom:
    """One Philox 4×32-10 stream per row of a batch (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").

    A stream belongs to a seed, a stage, an image and the number of a noisy copy of that image. These are packed into
    the key and the counter of Philox, which have 64 bits each (see `docs/design/engine.md`). The counters of two copies
    are 2²⁰ steps apart, which is more than a copy can draw. Philox maps each pair of key and counter to an output one
    to one, so streams of different seeds, stages, images or copies never overlap; this holds by construction and not
    just with high probability.

    All rows are drawn in one call, on the device of the tensors that name them, by torch's stateless random operators.
    torch calls these experimental, so `check_streams` compares them with known values before anything is certified.
    Integers and uniform numbers are the same on every device; a normal number may differ in its last bits.

    Drawn tensors belong to the caller, who may change them in place. Successive draws of one object continue its
    streams.
    """

    def __init__(self, seed: int, stage_B: Tensor, image_B: Tensor, copy_B: Tensor) -> None:
        """Open the streams of the rows of a batch.

        The three tensors are int64 and on the device that draws: `stage_B` in {0..STAGES−1}, `image_B` in
        {0..MAX_IMAGES−1}, `copy_B` in {0..MAX_COPIES−1}. These ranges are not checked, because a check would wait for
        the device; `of` checks them. Raises OverflowError if `seed` is not in {0..2³²−1}.
        """
        if not 0 <= seed < MAX_SEEDS:
            raise OverflowError(f"seed {seed} does not fit into {_SEED_BITS} bits")
        # Philox reads unsigned words: a seed of 2³¹ or more makes the int64 of the same bits negative.
        high_key = (seed << _SEED_BITS) - (2**64 if seed >= 2**31 else 0)
        low_stage_B, high_stage_B = stage_B & (2**_LOW_STAGE_BITS - 1), stage_B >> _LOW_STAGE_BITS
        self._key_B = high_key + (low_stage_B << _IMAGE_BITS) + image_B
        self._counter_B = ((high_stage_B << _COPY_BITS) + copy_B) << _STEP_BITS
        self._steps_drawn = 0

    @classmethod
    def of(
        cls, seed: int, stage: Stage, image: int, copies: range, device: torch.device | None = None
    ) -> "KeyedRandom":
        """Open the streams of consecutive copies of one image, one row per copy.

        Raises OverflowError if a number does not fit into its bits.
        """
        if not 0 <= stage < STAGES:
            raise OverflowError(f"stage {int(stage)} does not fit into {_LOW_STAGE_BITS + _HIGH_STAGE_BITS} bits")
        if not 0 <= image < MAX_IMAGES:
            raise OverflowError(f"image {image} does not fit into {_IMAGE_BITS} bits")
        if len(copies) and not 0 <= copies[0] <= copies[-1] < MAX_COPIES:
            raise OverflowError(f"copies {copies[0]} to {copies[-1]} do not fit into {_COPY_BITS} bits")
        copy_B = torch.arange(copies.start, copies.stop, device=device)
        return cls(seed, torch.full_like(copy_B, int(stage)), torch.full_like(copy_B, image), copy_B)

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Draw float32 multiples of 2⁻²⁴, uniform on [0, 1): B×`shape`."""
        drawn_BD = self._empty(math.prod(shape), torch.float32)
        return stateless.uniform_(self._next_keys(drawn_BD), drawn_BD).reshape(-1, *shape)

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Draw float32 numbers from the standard normal distribution: B×`shape`."""
        drawn_BD = self._empty(math.prod(shape), torch.float32)
        return stateless.normal_(self._next_keys(drawn_BD), drawn_BD).reshape(-1, *shape)

    def integers(self, high: int, shape: tuple[int, ...]) -> Tensor:
        """Draw integers uniform on {0, …, high − 1}, stored in float32: B×`shape`.

        Several integers are taken from one 64-bit word, as its digits in base `high`, so no probability is off by more
        than 2⁻⁶⁴. Raises ValueError unless 1 ≤ `high` ≤ 2²².
        """
        if not 1 <= high <= _MAX_INTEGER:
            raise ValueError(f"integers below {high} cannot be drawn: high must be between 1 and {_MAX_INTEGER}")
        count = math.prod(shape)
        per_word = max(1, math.floor(math.log(_MAX_INTEGER, max(2, high)) + 1e-9))
        rest = self._integers_below(high**per_word, math.ceil(count / per_word)).to(torch.float32)
        digits = []
        for _ in range(per_word - 1):
            # (rest + ½)/high is at least ½/high away from an integer. Below 2²² that exceeds the rounding error of the
            # division, so the floor is exact.
            quotient = (rest + 0.5).div_(high).floor_()
            digits.append(rest.sub_(quotient, alpha=high))
            rest = quotient
        return torch.cat((*digits, rest), dim=1)[:, :count].reshape(-1, *shape)

    def words(self, count: int) -> Tensor:
        """Draw int64 numbers uniform on {0, …, 2⁶² − 1}: B×`count`."""
        return self._integers_below(2**62, count)

    def _integers_below(self, high: int, count: int) -> Tensor:
        drawn_BD = self._empty(count, torch.int64)
        return stateless.randint_(self._next_keys(drawn_BD), drawn_BD, high=high)

    def _empty(self, count: int, dtype: torch.dtype) -> Tensor:
        return torch.empty((len(self._key_B), count), dtype=dtype, device=self._key_B.device)

    def _next_keys(self, drawn_BD: Tensor) -> Tensor:
        """Return key and counter of each row, uint64 B×1×2, and move the counter past the steps that `drawn_BD` takes.

        Raises OverflowError if a copy would run into the next one.
        """
        counter_B = self._counter_B + self._steps_drawn
        self._steps_drawn += math.ceil(drawn_BD.shape[1] / 2)
        if self._steps_drawn > 2**_STEP_BITS:
            raise OverflowError(
                f"a noisy copy can draw at most {MAX_VALUES_PER_COPY:,} values: more would overlap with the next copy"
            )
        return torch.stack((self._key_B, counter_B), dim=1).view(torch.uint64)[:, None]


def permutation(seed: int, stage: Stage, image: int, length: int) -> Tensor:
    """Return 0..length−1 in a random order, int64 on the CPU. The order is the same on every machine."""
    words_N = KeyedRandom.of(seed, stage, image, range(1)).words(length)[0]
    return words_N.argsort(stable=True)


# Draws of seed 7, stage ESTIMATE, image 11, copy 5.
_KNOWN_INTEGERS = (647, 879, 977, 302, 603, 475)
_KNOWN_UNIFORM = (0.7340826988220215, 0.7669176459312439, 0.48852431774139404, 0.38498157262802124)
_KNOWN_NORMAL = (-0.4416774809360504, 0.746546745300293, -0.20095379650592804, 1.859975814819336)


@cache
def check_streams(device: torch.device) -> None:
    """Compare the first draws on a device with known ones, once per device and process.

    Integers and uniform numbers must be equal, normal numbers to 10⁻⁶. Raises UsageError if they are not.
    """
    integers, uniform, normal = (KeyedRandom.of(7, Stage.ESTIMATE, 11, range(5, 6), device) for _ in range(3))
    matches = (
        integers.integers(1000, (6,))[0].tolist() == list(_KNOWN_INTEGERS)
        and uniform.uniform((4,))[0].tolist() == list(_KNOWN_UNIFORM)
        and torch.allclose(normal.normal((4,))[0].cpu(), torch.tensor(_KNOWN_NORMAL), rtol=0, atol=1e-6)
    )
    if not matches:
        raise UsageError(
            f"torch {torch.__version__} draws other random numbers on {device} than rsbench relies on, so votes could "
            "not be reproduced: install the version of torch that constraints.txt names"
        )
