"""Metrics of a certified test set: certified accuracy and its curve, average certified radius, envelope.

An abstention counts as wrong in every metric. Shapes: M models or curve corners, T radii to evaluate.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from rsbench.records import Ball, BoolArray, FloatArray, IntArray, StepCurve
from rsbench.theory.rounding import floor_to_float

# Every float64 is an integer multiple of 2 to the power of minus this.
_FLOAT_BITS = 1074


def holds(radius: npt.ArrayLike, r: npt.ArrayLike, ball: Ball) -> BoolArray:
    """Return whether a certified radius covers all perturbations of size r.

    An open ball needs radius > r, a closed one radius ≥ r. The arguments may be arrays of shapes that broadcast.
    """
    return np.asarray(np.greater(radius, r) if ball == "open" else np.greater_equal(radius, r))


def _first_that_holds(radius_M: FloatArray, r: npt.ArrayLike, ball: Ball) -> IntArray:
    """Return the position of the first of ascending radii for which `holds` is true, for each r."""
    position = np.searchsorted(radius_M, np.asarray(r, dtype=np.float64), side="right" if ball == "open" else "left")
    return np.asarray(position, dtype=np.int64)


def certified_accuracy(radii: FloatArray, images: int, threshold: npt.ArrayLike, ball: Ball) -> FloatArray:
    """Return the share of images that are classified correctly and certified at each threshold.

    Source: Cohen et al. 2019, section 4.

    radii: the radii of the correctly classified images, in ascending order.
    images: how many images were certified in total, correct or not.
    threshold: the radii to evaluate, any shape. `holds` says when a radius suffices for a threshold.
    """
    certified = len(radii) - _first_that_holds(radii, threshold, ball)
    return np.asarray(certified / images, dtype=np.float64)


def certified_counts(curve: StepCurve, threshold: npt.ArrayLike, ball: Ball) -> IntArray:
    """Return how many images are correct and certified at each threshold, given the curve's distinct radii and counts.

    The arguments `threshold` and `ball` are those of `certified_accuracy`.
    """
    count_below_M = np.concatenate([[0], np.cumsum(curve.count_M)])
    first = _first_that_holds(curve.radius_M, threshold, ball)
    return np.asarray(count_below_M[-1] - count_below_M[first], dtype=np.int64)


def certified_curve(radii: FloatArray, images: int, ball: Ball) -> tuple[FloatArray, FloatArray]:
    """Return the corners of the certified-accuracy curve: a step function, represented exactly.

    Returns the distinct radii from 0 on, ascending, and the certified accuracy at each. Between them the curve is
    constant. For an open ball, the value at a corner holds up to (not including) the next one; for a closed ball, it
    holds from just above the previous corner.

    The arguments are those of `certified_accuracy`.
    """
    corners = np.unique(np.concatenate([[0.0], radii]))
    return corners, certified_accuracy(radii, images, corners, ball)


def average_certified_radius(radii: FloatArray, images: int) -> float:
    """Return the average certified radius (ACR): the mean of radius·[correct] over all images.

    It is the area under the certified-accuracy curve. The sum is exact and the mean rounded down. It is infinite if
    one of the radii is. Source: Zhai et al. 2020.

    radii: the radii of the correctly classified images, in any order. images: how many images were certified in total.
    """
    if np.isinf(radii).any():
        return math.inf
    # Sum integer multiples of the smallest float: a hundred times faster than adding fractions.
    total = 0
    for radius, count in zip(*(column.tolist() for column in np.unique(radii, return_counts=True)), strict=True):
        numerator, denominator = radius.as_integer_ratio()
        total += count * numerator << _FLOAT_BITS - denominator.bit_length() + 1
    return floor_to_float(Fraction(total, images << _FLOAT_BITS))


@dataclass(frozen=True, eq=False)
class Envelope:
    """The best certified accuracy at each radius over several models.

    The best model is selected on the images that the accuracy is measured on, so the values are biased upwards and
    exploratory.
    """

    accuracy_T: FloatArray
    """The largest certified accuracy at each radius."""

    model_T: IntArray
    """Index of the model that attains it; the first one on ties."""


def envelope(accuracy_MT: FloatArray) -> Envelope:
    """Return the upper envelope of the curves of M models, such as those of a sweep over σ.

    accuracy_MT: certified accuracy of each model at T common radii. Raises ValueError when there is no model.
    """
    if len(accuracy_MT) == 0:
        raise ValueError("an envelope needs at least one model")
    model_T = accuracy_MT.argmax(axis=0)
    return Envelope(np.take_along_axis(accuracy_MT, model_T[None, :], axis=0)[0], model_T)
