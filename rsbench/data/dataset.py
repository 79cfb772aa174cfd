"""What a data set is. Shapes: N images, C channels, H height, W width."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rsbench.data.pixels import check_pixels
from rsbench.records import DatasetInfo, IntArray

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.float32]


class ImageDataset(ABC):
    """The images that are certified: `pixels` k in {0..q} where they lie on a grid, else float32 in [0,1]."""

    info: DatasetInfo
    labels_N: IntArray
    # What --images, --n and --architecture are on this data set unless they are given.
    default_images: str = "all"
    default_n: int = 1000
    default_architecture: str
    # Mean and standard deviation by channel: the first layer of a network trained on this data set.
    normalisation: tuple[tuple[float, ...], tuple[float, ...]]

    def pixels(self, indices: Sequence[int]) -> Pixels:
        """The chosen images, uint8 k of k/q or float32, N×C×H×W.

        Raises DataError when one cannot be decoded, or a pixel lies outside [0,1].
        """
        pixels_NCHW = self._load(indices)
        check_pixels(pixels_NCHW, self.info.q, f"{self.info.name}: image", indices)
        return pixels_NCHW

    @abstractmethod
    def _load(self, indices: Sequence[int]) -> Pixels:
        """The chosen images. Raises DataError when one cannot be decoded."""

    def training_set(self) -> tuple[Pixels, IntArray] | None:
        """Images and labels to train on, or None where this data set is for certification only."""
        return None


class ArrayDataset(ImageDataset):
    """A data set held in memory.

    Raises DataError when a pixel lies outside [0,1]: all are looked at now, not when their image's turn comes.
    """

    def __init__(
        self,
        name: str,
        *,
        test: tuple[Pixels, IntArray],
        train: tuple[Pixels, IntArray] | None,
        classes: int,
        q: int | None,
        architecture: str,
        default_images: str = "all",
        default_n: int = 1000,
    ) -> None:
        self._pixels_NCHW, self.labels_N = test
        self._train = train
        for part, split in (("test", test), ("train", train)):
            if split is not None:
                check_pixels(split[0], q, f"{name}: {part} image", range(len(split[0])))
        _, channels, height, width = self._pixels_NCHW.shape
        self.info = DatasetInfo(
            name=name,
            fingerprint=fingerprint_arrays(q, classes, *(train or ()), *test),
            images=len(self.labels_N),
            classes=classes,
            shape=(channels, height, width),
            q=q,
        )
        self.default_architecture = architecture
        self.default_images = default_images
        self.default_n = default_n
        reference = (train or test)[0].astype(np.float64) / (q or 1)
        mean = reference.mean(axis=(0, 2, 3))
        # Four digits are plenty, and make the normalisation readable in a checkpoint.
        std = np.maximum(reference.std(axis=(0, 2, 3)), 1e-3)
        self.normalisation = (tuple(round(float(m), 4) for m in mean), tuple(round(float(s), 4) for s in std))

    def _load(self, indices: Sequence[int]) -> Pixels:
        return self._pixels_NCHW[np.asarray(indices, dtype=np.int64)]

    def training_set(self) -> tuple[Pixels, IntArray] | None:
        return self._train


def fingerprint_arrays(q: int | None, classes: int, *arrays: npt.NDArray[np.generic]) -> str:
    """sha256 over the grid, the number of classes, and the dtype, shape and bytes of every array, in order."""
    digest = hashlib.sha256(f"q={q}|classes={classes}".encode())
    for array in arrays:
        digest.update(f"|{array.dtype.str}{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
