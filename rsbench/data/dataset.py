"""The interface of a dataset, and the pixels that it returns. Shapes: N images, C channels, H height, W width."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rsbench.errors import DataError
from rsbench.records import DatasetInfo, IntArray

if TYPE_CHECKING:
    from torch import Tensor

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of the pixels in [0,1], by channel."""

IMAGENET_NORMALISATION: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class ImageDataset(ABC):
    """Images with labels. Pixels are whole numbers k in {0..q}, or float32 in [0,1] where they lie on no grid.

    A subclass sets the attributes that have no default, and implements `_load`.
    """

    info: DatasetInfo
    """Name, fingerprint, size and shape. The fingerprint must change with every pixel and every label."""
    labels_N: IntArray
    """The class of each image."""
    default_architecture: str
    """The network that is trained on this dataset unless --architecture names another."""
    normalisation: Normalisation
    """The first layer of the networks that rsbench trains on this dataset."""
    default_images: str = "all"
    """The images that are certified unless --images chooses others."""
    default_n: int = 1000
    """The number of estimation votes unless --n gives another."""
    published_normalisation: Normalisation | None = None
    """The constants that other people's networks on this dataset use, which `--normalisation dataset` stands for.
    None where nobody has fixed any: the mean of whatever images lie in a file is not such a constant."""

    def pixels(self, indices: Sequence[int]) -> Pixels:
        """The images with these indices, N×C×H×W.

        Raises DataError when one cannot be decoded, or has a pixel out of range.
        """
        pixels_NCHW = self._load(indices)
        check_pixels(pixels_NCHW, self.info.q, f"{self.info.name}: image", indices)
        return pixels_NCHW

    @abstractmethod
    def _load(self, indices: Sequence[int]) -> Pixels:
        """The images with these indices. Raises DataError when one cannot be decoded."""

    def training_set(self) -> tuple[Pixels, IntArray] | None:
        """Images and labels to train on, or None if the dataset has none."""
        return None


class RandomImages(ImageDataset):
    """Images with independent uniform pixels k/255, all of class 0, for measuring speed without a dataset."""

    default_n = 100_000

    def __init__(self, classes: int, shape_CHW: tuple[int, int, int], architecture: str) -> None:
        fingerprint = hashlib.sha256(f"random images|{classes}|{shape_CHW}".encode()).hexdigest()
        # As many as papers certify.
        self.info = DatasetInfo("random", fingerprint, images=500, classes=classes, shape=shape_CHW, q=255)
        self.labels_N = np.zeros(self.info.images, dtype=np.int64)
        self.default_architecture = architecture
        self.normalisation = ((0.5,) * shape_CHW[0], (0.25,) * shape_CHW[0])

    def _load(self, indices: Sequence[int]) -> Pixels:
        shape = self.info.shape
        return np.stack([np.random.default_rng(index).integers(0, 256, shape, dtype=np.uint8) for index in indices])


def check_pixels(pixels_NCHW: npt.NDArray[Any], q: int | None, subject: str, indices: Sequence[int]) -> None:
    """Raise DataError for the first image with a pixel outside {0..q}, or outside [0,1] where q is None.

    subject: what the message calls an image, before its number in `indices`.
    """
    largest = 1 if q is None else q
    # min and max return NaN if a pixel is NaN, and no comparison with NaN holds.
    if pixels_NCHW.min(initial=0) >= 0 and pixels_NCHW.max(initial=0) <= largest:
        return
    first = tuple(np.argwhere(~((pixels_NCHW >= 0) & (pixels_NCHW <= largest)))[0])
    remedy = (
        "must lie in [0,1]: divide all images by the largest value that a pixel can have, or correct this image"
        if q is None
        else f"must lie in 0..{q}: set q to the largest value that a pixel can have, or correct this image"
    )
    raise DataError(f"{subject} {indices[first[0]]} has a pixel of {pixels_NCHW[first]!s}, and pixels {remedy}")


def unit_images(pixels_NCHW: Pixels, q: int | None) -> "Tensor":
    """Pixels as float32 in [0,1], N×C×H×W: k/q where they lie on a grid, unchanged where they lie on none."""
    # The commands that only look at a dataset start without torch.
    import torch

    images_NCHW = torch.from_numpy(np.ascontiguousarray(pixels_NCHW)).to(torch.float32)
    return images_NCHW if q is None else images_NCHW / q
