"""The interface of a dataset: pixels out of range, and pixels as the input of a network."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from rsbench.data.dataset import ImageDataset, Pixels, check_pixels, unit_images
from rsbench.errors import DataError
from rsbench.jobs.sweep import training_data
from rsbench.records import DatasetInfo, IntArray


class Lazy(ImageDataset):
    """Images that are made on request, as those of a folder are read: image 5 has a pixel of `value`."""

    default_architecture = "mlp"
    normalisation = ((0.5,), (0.25,))

    def __init__(self, value: float) -> None:
        self.info = DatasetInfo("lazy", "ab" * 32, images=8, classes=2, shape=(1, 2, 2), q=None)
        self.labels_N = np.zeros(8, dtype=np.int64)
        self._value = value

    def _load(self, indices: Sequence[int]) -> Pixels:
        pixels_NCHW = np.full((len(indices), 1, 2, 2), 0.5, dtype=np.float32)
        pixels_NCHW[[index == 5 for index in indices], 0, 1, 0] = self._value
        return pixels_NCHW

    def training_set(self) -> tuple[Pixels, IntArray]:
        return self._load(range(8)), self.labels_N


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.5, "1.5"), (255, "255.0"), (-1e-7, "-1e-07"), (np.inf, "inf"), (-np.inf, "-inf"), (np.nan, "nan")],
)
def test_an_image_with_a_pixel_out_of_range_is_refused_when_it_is_read(value: float, shown: str) -> None:
    data = Lazy(value)
    assert data.pixels([7, 0, 4]).shape == (3, 1, 2, 2)
    with pytest.raises(
        DataError, match=rf"^lazy: image 5 has a pixel of {shown}, and pixels must lie in \[0,1\]: divide"
    ):
        data.pixels([7, 0, 5, 4])
    with pytest.raises(DataError, match=f"^lazy: train image 5 has a pixel of {shown}, "):
        training_data(data)


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, 1e-45])
def test_both_ends_of_the_range_are_accepted(value: float) -> None:
    assert Lazy(value).pixels([5]).shape == (1, 1, 2, 2)


def test_every_byte_is_a_pixel_where_q_is_255() -> None:
    pixels_NCHW = np.arange(256, dtype=np.uint8).reshape(4, 1, 8, 8)
    check_pixels(pixels_NCHW, 255, "image", range(4))
    check_pixels(pixels_NCHW[:0], 1, "image", [])
    with pytest.raises(DataError, match=r"^image 33 has a pixel of 171, and pixels must lie in 0\.\.170: set q"):
        check_pixels(pixels_NCHW, 170, "image", [30, 31, 33, 32])


@pytest.mark.parametrize("q", [1, 16, 255])
def test_grid_pixels_become_the_float32_nearest_to_their_fraction(q: int) -> None:
    pixels_NCHW = np.arange(q + 1, dtype=np.uint8).reshape(1, 1, 1, -1)
    unit_NCHW = unit_images(pixels_NCHW, q)
    assert unit_NCHW.dtype == torch.float32
    np.testing.assert_array_equal(unit_NCHW.numpy().ravel(), (np.arange(q + 1) / q).astype(np.float32))


def test_pixels_on_no_grid_are_unchanged() -> None:
    pixels_NCHW = np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 1, 2, 2)
    np.testing.assert_array_equal(unit_images(pixels_NCHW, None).numpy(), pixels_NCHW)


def test_the_stored_pixels_are_left_alone() -> None:
    pixels_NCHW = np.ones((1, 1, 2, 2), dtype=np.float32)
    unit_images(pixels_NCHW, None).mul(0)
    unit_images(pixels_NCHW, 16)
    assert (pixels_NCHW == 1).all()
