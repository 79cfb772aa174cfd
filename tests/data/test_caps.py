"""The caps of the pixels of an image file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rsbench.data.caps import caps_of_file
from rsbench.errors import DataError


def test_a_colour_picture_has_a_cap_for_every_channel(tmp_path: Path) -> None:
    pixels_HWC = np.array([[[0, 255, 51], [128, 127, 204]]], dtype=np.uint8)
    Image.fromarray(pixels_HWC).save(tmp_path / "colour.png")
    expected = [1, 1, 204 / 255, 128 / 255, 128 / 255, 204 / 255]
    np.testing.assert_allclose(caps_of_file(tmp_path / "colour.png"), expected, rtol=2.0**-52)


def test_a_float_is_a_pixel_and_an_integer_a_step_of_the_grid(tmp_path: Path) -> None:
    np.save(tmp_path / "floats.npy", np.array([0.25, 0.5, 1.0], dtype=np.float32))
    np.save(tmp_path / "steps.npy", np.array([1, 2, 4]))
    assert caps_of_file(tmp_path / "floats.npy").tolist() == [0.75, 0.5, 1.0]
    assert caps_of_file(tmp_path / "steps.npy", q=4).tolist() == [0.75, 0.5, 1.0]


def test_photographs_have_caps_from_a_half_to_one(photographs: Path) -> None:
    files = sorted(photographs.rglob("*.JPEG"))[:3]
    assert files
    for file in files:
        with Image.open(file) as picture:
            width, height = picture.size
        caps_D = caps_of_file(file)
        assert caps_D.shape == (3 * width * height,)
        assert 0.5 <= caps_D.min() <= caps_D.max() <= 1.0


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (np.array([0, 256]), r"whole numbers in 0\.\.255, got 0 to 256"),
        (np.array([-0.1, 0.5]), r"numbers in \[0,1\], got -0.1 to 0.5"),
        (np.array([0.5, np.nan]), r"numbers in \[0,1\]"),
        (np.zeros(0), "non-empty array"),
        (np.array(["a"]), "array of numbers"),
    ],
)
def test_values_out_of_range_are_refused(content: np.ndarray, complaint: str, tmp_path: Path) -> None:
    np.save(tmp_path / "bad.npy", content)
    with pytest.raises(DataError, match=complaint):
        caps_of_file(tmp_path / "bad.npy")


def test_files_that_hold_no_image_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "text.npy").write_text("no array")
    Image.new("RGBA", (2, 2)).save(tmp_path / "transparent.png")
    for name in ("text.png", "text.npy", "missing.png", "transparent.png"):
        with pytest.raises(DataError, match="cannot be read"):
            caps_of_file(tmp_path / name)
