"""Whether pixels lie where every theorem wants them: in [0,1]. Shapes: N images, C channels, H height, W width."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rsbench.errors import DataError


def check_pixels(pixels_NCHW: npt.NDArray[Any], q: int | None, what: str, indices: Sequence[int]) -> None:
    """Raises DataError, which names the first such image, where a pixel is not in 0..q, or in [0,1] on no grid, or NaN.

    `what`: what a message calls an image, before its number in `indices`.
    """
    largest = 1 if q is None else q
    # A NaN is passed on by min and max, and no comparison with it holds.
    if pixels_NCHW.min(initial=0) >= 0 and pixels_NCHW.max(initial=0) <= largest:
        return
    first = tuple(np.argwhere(~((pixels_NCHW >= 0) & (pixels_NCHW <= largest)))[0])
    told = (
        "must lie in [0,1]: divide all by the largest value that a pixel can have, or mend this image"
        if q is None
        else f"must lie in 0..{q}: let q be the largest value that a pixel can have, or mend this image"
    )
    raise DataError(f"{what} {indices[first[0]]} has a pixel of {pixels_NCHW[first]!s}, and pixels {told}")
