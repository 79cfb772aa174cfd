"""From stored pixels to network inputs."""

import numpy as np
import torch
from torch import Tensor

from rsbench.data.dataset import Pixels


def unit_images(pixels_NCHW: Pixels, q: int | None) -> Tensor:
    """Pixels as float32 in [0,1], N×C×H×W: k/q where they lie on a grid, unchanged where they lie on none."""
    images_NCHW = torch.from_numpy(np.ascontiguousarray(pixels_NCHW)).to(torch.float32)
    return images_NCHW if q is None else images_NCHW / q
