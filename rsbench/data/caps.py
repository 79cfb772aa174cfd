"""The cap max(x, 1−x) of each pixel of an image file: how far the pixel can move within [0,1]."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from rsbench.errors import DataError
from rsbench.records import FloatArray


def caps_of_file(file: Path, q: int = 255) -> FloatArray:
    """The caps of all values of an image, flattened. The file is a picture in grey or RGB, or a .npy array.

    The image must be as the network sees it, resized and cropped. An integer k stands for the pixel k/q, a float for
    itself.
    Raises DataError when the file cannot be read, or a pixel lies outside [0,1].
    """
    try:
        values = np.load(file, allow_pickle=False) if file.suffix == ".npy" else _picture(file)
    except (OSError, ValueError, EOFError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{file} cannot be read as a picture or an .npy array: {error}") from error
    if not isinstance(values, np.ndarray) or values.size == 0 or values.dtype.kind not in "uif":
        raise DataError(f"{file}: an image must be a non-empty array of numbers")
    unit = values / q if values.dtype.kind in "ui" else values
    if not ((unit >= 0.0) & (unit <= 1.0)).all():
        expected = f"whole numbers in 0..{q}" if values.dtype.kind in "ui" else "numbers in [0,1]"
        raise DataError(f"{file}: pixels must be {expected}, got {values.min()} to {values.max()}")
    x_D = unit.astype(np.float64).ravel()
    return np.maximum(x_D, 1.0 - x_D)


def _picture(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        if picture.mode not in ("L", "RGB"):
            raise ValueError(f"its mode is {picture.mode}: convert it to 8-bit grey or RGB")
        return np.asarray(picture)
