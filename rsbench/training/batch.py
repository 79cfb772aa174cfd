"""What a trial trains on, as a whole and batch by batch.

Shapes: N training images, B images of a batch, C channels, H height, W width.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from torch import Tensor

from rsbench.data.dataset import Pixels, unit_images
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import DatasetInfo, IntArray
from rsbench.smoothing.measures import SmoothingMeasure
from rsbench.smoothing.randomness import KeyedRandom, Stage


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a trial trains on. Workers receive this instead of the dataset object."""

    info: DatasetInfo
    pixels_NCHW: Pixels
    """uint8 k of pixels k/q if the dataset has a q, else float32 in [0,1]."""

    labels_N: IntArray
    mean: tuple[float, ...]
    """Subtracted from each channel by the first layer of the network."""

    std: tuple[float, ...]
    """Divides each channel in the first layer of the network."""

    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)
    """By sha256: those that an objective needs, see `Objective.required_checkpoints`."""


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """Consecutive images of an epoch, and the random numbers that belong to them.

    The random streams of an image are keyed by the seed, the epoch and the image's position in the epoch, so they do
    not depend on how an epoch is divided into batches.
    """

    index_B: Tensor
    """Which training images these are: int64 on the CPU."""

    label_B: Tensor
    """int64 on the device."""

    prepared_BCHW: Tensor
    """The images as `smoothing` takes them, on the device."""

    smoothing: SmoothingMeasure
    """The measure that the network is trained for."""

    seed: int
    epoch: int
    """From 0."""

    first_position: int
    """Position of the first image in the order of the epoch."""

    data: TrainingData
    """All training images."""

    def __len__(self) -> int:
        return len(self.label_B)

    @cached_property
    def x_BCHW(self) -> Tensor:
        """The images without noise: float32 in [0,1], on the device."""
        pixels_BCHW = self.data.pixels_NCHW[self.index_B.numpy()]
        return unit_images(pixels_BCHW, self.data.info.q).to(self.label_B.device)

    def noisy_copy(self, number: int = 0, x_BCHW: Tensor | None = None) -> Tensor:
        """Return a noisy copy of each image: float32, B×C×H×W, on the device.

        Parameters
        ----------
        number
            Which copy. Copies of different numbers are independent; the same number gives the same noise again.
        x_BCHW
            Images in [0,1] to add the noise to instead of the batch's own, for example adversarial ones. Gradients
            flow through them if the measure is differentiable. The measure may raise ValueError for images off the
            grid k/q.
        """
        prepared_BCHW = self.prepared_BCHW if x_BCHW is None else self.smoothing.prepare(x_BCHW)
        return self.smoothing.perturb(prepared_BCHW, self.random(number))

    def random(self, number: int = 0, stage: Stage = Stage.TRAIN) -> KeyedRandom:
        """Open one random stream per image. The stream of a number and a stage starts anew at each call.

        `Stage.TRAIN` draws the noise of `noisy_copy(number)`; other stages are independent of it. Raises OverflowError
        if `number` is so large that the noise cannot be keyed.
        """
        # The copies of all images with one number follow those with the number before.
        first = number * len(self.data.labels_N) + self.first_position
        return KeyedRandom.of(self.seed, stage, self.epoch, range(first, first + len(self)), self.label_B.device)

    def parts(self, count: int) -> "list[TrainingBatch]":
        """Divide the batch into at most `count` consecutive parts, whose images keep their random streams."""
        size = -(-len(self) // count)
        return [
            replace(
                self,
                index_B=self.index_B[start : start + size],
                label_B=self.label_B[start : start + size],
                prepared_BCHW=self.prepared_BCHW[start : start + size],
                first_position=self.first_position + start,
            )
            for start in range(0, len(self), size)
        ]
