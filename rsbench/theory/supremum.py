"""The maximum of a function with one peak, for many rows at once."""

import math
from collections.abc import Callable

import numpy as np

from rsbench.records import FloatArray

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def largest_value(function: Callable[[FloatArray], FloatArray], low_N: FloatArray, high_N: FloatArray) -> FloatArray:
    """The largest value found between `low_N` and `high_N`, ends included, by golden-section search.

    A value at a point near the peak differs from the peak's in the second order: an interval of 10⁻⁹ of the first one
    leaves a relative error of about 10⁻¹⁶. What is found is the function's value somewhere, hence never above its
    supremum. (scipy's `find_minimum` wants a bracket of the peak, which costs as much as this.)
    """
    low_N, high_N = low_N.copy(), high_N.copy()
    best_N = np.maximum(function(low_N), function(high_N))
    left_N = high_N - _GOLDEN * (high_N - low_N)
    right_N = low_N + _GOLDEN * (high_N - low_N)
    at_left_N, at_right_N = function(left_N), function(right_N)
    for _ in range(math.ceil(math.log(1e-9) / math.log(_GOLDEN))):
        rises_N = at_left_N < at_right_N
        low_N, high_N = np.where(rises_N, left_N, low_N), np.where(rises_N, high_N, right_N)
        inner_N = np.where(rises_N, low_N + _GOLDEN * (high_N - low_N), high_N - _GOLDEN * (high_N - low_N))
        at_inner_N = function(inner_N)
        left_N, right_N = np.where(rises_N, right_N, inner_N), np.where(rises_N, inner_N, left_N)
        at_left_N, at_right_N = np.where(rises_N, at_right_N, at_inner_N), np.where(rises_N, at_inner_N, at_left_N)
    return np.maximum(best_N, np.maximum(at_left_N, at_right_N))
