"""Metrics of a certified test set. An abstention counts as wrong."""

from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

from rsbench.records import FloatArray
from rsbench.theory.rounding import floor_to_float


def certified_accuracy(
    radii: FloatArray, images: int, threshold: npt.ArrayLike, ball: Literal["open", "closed"]
) -> FloatArray:
    """Share of all images that are correct and certified at each threshold (Cohen et al. 2019, §4).

    radii: the radii of the images classified correctly, in ascending order. images: how many were tried, correct or
    not. threshold: radii to ask for, any shape. An open ball needs radius > r, a closed one radius ≥ r.
    """
    side: Literal["left", "right"] = "right" if ball == "open" else "left"
    certified = len(radii) - np.searchsorted(radii, np.asarray(threshold, dtype=np.float64), side=side)
    return np.asarray(certified / images, dtype=np.float64)


def average_certified_radius(radii: FloatArray, images: int) -> float:
    """Mean over all images of radius·[correct] (Zhai et al. 2020): the area under the certified-accuracy curve.

    The sum is exact, and the mean rounded down.
    """
    return floor_to_float(sum(map(Fraction, radii.tolist()), Fraction(0)) / images)
