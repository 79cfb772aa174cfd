"""What a caller passes in: images, labels and a network, checked and in the form that certification takes them.

Shapes: N images, C channels, H height, W width.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from rsbench.data.dataset import Pixels
from rsbench.errors import DataError, RsbenchError, UsageError
from rsbench.models.device import default_device, prepare_device
from rsbench.records import IntArray
from rsbench.specs import PROCEDURES, Procedure

# Options of the command line that have another name here.
_KEYWORDS = {"checkpoint": "network", "images": "subset", "db": "store", "force": "force=True"}


@contextmanager
def keyword_errors() -> Iterator[None]:
    """Let the messages of what the commands share with this API name keyword arguments instead of options."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise UsageError(f"{name}: {first['msg']}, got {first['input']!r}") from error
    except RsbenchError as error:
        text = re.sub(r"--([a-z0-9][a-z0-9-]*)", _keyword, str(error))
        if text == str(error):
            raise
        raise type(error)(text) from error


def _keyword(option: re.Match[str]) -> str:
    return _KEYWORDS.get(option[1], option[1].replace("-", "_"))


def checked_bounds(bounds: str | None) -> Procedure | None:
    """Return the procedure. Raises UsageError when it is unknown."""
    if bounds is None:
        return None
    for procedure in PROCEDURES:
        if procedure == bounds:
            return procedure
    raise UsageError(f"bounds {bounds!r}: choose from {', '.join(PROCEDURES)}")


def checked_device(device: str | None, precision: str) -> Literal["cpu", "cuda"]:
    """Return the device, `cuda` where it is usable if None.

    Raises UsageError when it is unknown or not usable here, or does not compute in that precision.
    """
    chosen = device or default_device()
    if chosen == "cuda":
        # The driver of a cluster needs no GPU.
        if "RAY_ADDRESS" not in os.environ:
            prepare_device(chosen)
        return "cuda"
    if chosen != "cpu":
        raise UsageError(f"device {chosen!r}: choose cpu or cuda")
    if precision == "tf32":
        raise UsageError("precision tf32: TensorFloat-32 is of CUDA devices: choose fp32, bf16 or fp16")
    return "cpu"


def pixels_of(images: npt.ArrayLike, q: int | None) -> tuple[Pixels, int | None]:
    """Return the images as a dataset holds them, and the q of their grid k/q; None where they lie on no grid.

    Whole numbers are k of k/q, with q = 255 unless it is given. Floats lie on no grid unless q is given.
    Raises UsageError when the array is not N×C×H×W, or floats do not lie on the grid; DataError when a pixel is
    outside [0,1].
    """
    try:
        array = np.asarray(images)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"images must be an array: {error}") from error
    if array.ndim != 4 or array.size == 0:
        raise UsageError(f"images must be N×C×H×W, and no length may be 0, got the shape {array.shape}")
    if array.dtype.kind not in "uif":
        raise UsageError(f"images must be whole numbers k of k/q, or floats in [0,1], got {array.dtype}")
    if q is not None and not 1 <= q <= 255:
        raise UsageError(f"q must lie in 1..255, got {q}: leave it out for finer pixels, given as floats")
    if array.dtype.kind == "f" and q is None:
        _check_range(array, 1)
        return array.astype(np.float32), None
    steps = q or 255
    if array.dtype.kind == "f":
        _check_range(array, 1)
        scaled = array.astype(np.float64) * steps
        array = np.rint(scaled)
        # A float32 pixel is off by up to 2⁻²⁴ of itself.
        if (off := np.abs(scaled - array).max()) > 1e-4:
            raise UsageError(f"images must lie on the grid k/{steps}, and a pixel lies {off / steps:.2g} off it")
    _check_range(array, steps)
    return array.astype(np.uint8), steps


def labels_of(labels: npt.ArrayLike, images: int, classes: int) -> IntArray:
    """Return the labels as a dataset holds them. Raises UsageError unless there is one in 0..K − 1 for each image."""
    array = np.asarray(labels)
    if array.shape != (images,) or array.dtype.kind not in "ui":
        raise UsageError(
            f"labels must be {images} whole numbers, one per image, got {array.dtype} of the shape {array.shape}"
        )
    wrong_N = (array < 0) | (array >= classes)
    if wrong_N.any():
        first = int(np.argmax(wrong_N))
        raise UsageError(
            f"image {first} has the label {array[first]}, and the network knows classes 0 to {classes - 1}"
        )
    labels_N: IntArray = array.astype(np.int64)
    return labels_N


def _check_range(pixels_NCHW: npt.NDArray[Any], largest: int) -> None:
    # Also where a pixel is NaN.
    outside_NCHW = ~((pixels_NCHW >= 0) & (pixels_NCHW <= largest))
    if outside_NCHW.any():
        first = tuple(np.argwhere(outside_NCHW)[0])
        where = "in [0,1]" if largest == 1 else f"in 0..{largest}"
        raise DataError(f"image {first[0]} has a pixel of {pixels_NCHW[first]!s}, and pixels must lie {where}")
