"""Metrics of a certified test set. An abstention counts as wrong. Shapes: M models, T radii to ask for."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

from rsbench.records import FloatArray, IntArray, StepCurve
from rsbench.theory.rounding import floor_to_float

Ball = Literal["open", "closed"]

# Every float is a whole multiple of 2 to the power of minus this.
_SMALLEST_BITS = 1074


def certified_accuracy(radii: FloatArray, images: int, threshold: npt.ArrayLike, ball: Ball) -> FloatArray:
    """Share of all images that are correct and certified at each threshold (Cohen et al. 2019, §4).

    radii: the radii of the images classified correctly, in ascending order. images: how many were tried, correct or
    not. threshold: radii to ask for, any shape. An open ball needs radius > r, a closed one radius ≥ r.
    """
    side: Literal["left", "right"] = "right" if ball == "open" else "left"
    certified = len(radii) - np.searchsorted(radii, np.asarray(threshold, dtype=np.float64), side=side)
    return np.asarray(certified / images, dtype=np.float64)


def certified_counts(steps: StepCurve, threshold: npt.ArrayLike, ball: Ball) -> IntArray:
    """How many images are correct and certified at each threshold, of a curve's distinct radii and their counts."""
    side: Literal["left", "right"] = "right" if ball == "open" else "left"
    below_M = np.concatenate([[0], np.cumsum(steps.count_M)])
    first = np.searchsorted(steps.radius_M, np.asarray(threshold, dtype=np.float64), side=side)
    return np.asarray(below_M[-1] - below_M[first], dtype=np.int64)


def certified_curve(radii: FloatArray, images: int, ball: Ball) -> tuple[FloatArray, FloatArray]:
    """Where the certified accuracy falls, and its value there: the whole curve, exactly.

    Returns the distinct radii from 0 on, ascending, and the certified accuracy at each. The curve is constant between
    them: of open balls it falls at a radius and keeps that value up to the next, of closed ones it has a radius's value
    from just above the one before.
    """
    corners = np.unique(np.concatenate([[0.0], radii]))
    return corners, certified_accuracy(radii, images, corners, ball)


def average_certified_radius(radii: FloatArray, images: int) -> float:
    """Mean over all images of radius·[correct] (Zhai et al. 2020): the area under the certified-accuracy curve.

    The sum is exact, and the mean rounded down. Infinite where one radius is.
    """
    if np.isinf(radii).any():
        return math.inf
    # Whole multiples of the smallest float: adding these is a hundred times faster than adding fractions.
    total = 0
    for radius, count in zip(*(column.tolist() for column in np.unique(radii, return_counts=True)), strict=True):
        numerator, denominator = radius.as_integer_ratio()
        total += count * numerator << _SMALLEST_BITS - denominator.bit_length() + 1
    return floor_to_float(Fraction(total, images << _SMALLEST_BITS))


@dataclass(frozen=True, eq=False)
class Envelope:
    """The best certified accuracy at each radius over several models, and which model has it.

    Selected on the very images that it is measured on: exploratory, and biased upwards.
    """

    accuracy_T: FloatArray
    model_T: IntArray


def envelope(accuracy_MT: FloatArray) -> Envelope:
    """The upper envelope over models, such as those of a sweep over σ; the first of equals is named.

    Raises ValueError when there is no model.
    """
    if len(accuracy_MT) == 0:
        raise ValueError("an envelope needs at least one model")
    model_T = accuracy_MT.argmax(axis=0)
    return Envelope(np.take_along_axis(accuracy_MT, model_T[None, :], axis=0)[0], model_T)
