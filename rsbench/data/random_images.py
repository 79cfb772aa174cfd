"""Images of noise, of any shape: for measuring speed where no data set is at hand."""

import hashlib
from collections.abc import Sequence

import numpy as np

from rsbench.data.dataset import ImageDataset, Pixels
from rsbench.records import DatasetInfo


class RandomImages(ImageDataset):
    """As many images as papers certify, k/255 with independent uniform k, all of class 0. Shape: C×H×W."""

    default_n = 100_000

    def __init__(self, classes: int, shape_CHW: tuple[int, int, int], architecture: str) -> None:
        fingerprint = hashlib.sha256(f"random images|{classes}|{shape_CHW}".encode()).hexdigest()
        self.info = DatasetInfo("random", fingerprint, images=500, classes=classes, shape=shape_CHW, q=255)
        self.labels_N = np.zeros(self.info.images, dtype=np.int64)
        self.default_architecture = architecture
        self.normalisation = ((0.5,) * shape_CHW[0], (0.25,) * shape_CHW[0])

    def _load(self, indices: Sequence[int]) -> Pixels:
        shape = self.info.shape
        return np.stack([np.random.default_rng(index).integers(0, 256, shape, dtype=np.uint8) for index in indices])
