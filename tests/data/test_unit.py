"""From stored pixels to network inputs."""

import numpy as np
import pytest
import torch

from rsbench.data.unit import unit_images


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
