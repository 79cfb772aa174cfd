"""PREDICT: the prediction of the smoothed classifier at an image, or abstention. Shapes: N images, K classes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

from rsbench.records import BoolArray, FloatArray, IntArray
from rsbench.theory.confidence import tail_error


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for N images."""

    predicted_N: IntArray
    """The most voted class. It is the prediction only where `abstained_N` is False."""

    abstained_N: BoolArray
    """Where the lead of that class is not significant."""

    p_value_N: FloatArray
    """p-value of the lead over the second class; abstention means p > α."""


def predict(votes_NK: IntArray, failure_probability: float) -> Predictions:
    """Return the most voted class of each image, or abstain if its lead over the second class may be chance.

    The votes of the two classes are compared by a two-sided binomial test of ½, and the class is returned if and only
    if the p-value is at most α. The probability of returning a class that is not the smoothed classifier's is at most
    α. Source: Cohen et al. 2019, section 3.2.1. (Their text compares with <, their code with ≤; we follow the code.)

    votes_NK: non-negative votes with at least one for each image. failure_probability: α in (0, 1).
    Raises ValueError when the votes or α are out of range.
    """
    if not 0.0 < failure_probability < 1.0:
        raise ValueError(f"the failure probability α must lie in (0, 1), got {failure_probability}")
    if votes_NK.ndim != 2 or votes_NK.shape[1] < 2:
        raise ValueError(f"votes must be an N×K array with K ≥ 2, got the shape {votes_NK.shape}")
    if (votes_NK < 0).any() or (votes_NK.sum(axis=1) < 1).any():
        raise ValueError("votes must not be negative, and every image needs at least one vote")
    runner_up_N, top_N = np.sort(votes_NK, axis=1)[:, -2:].T
    p_value_N = two_sided_coin_test(top_N, runner_up_N)
    return Predictions(votes_NK.argmax(axis=1), p_value_N > failure_probability, p_value_N)


def two_sided_coin_test(first: npt.ArrayLike, second: npt.ArrayLike) -> FloatArray:
    """Return the p-value of two counts under a fair coin: min(1, 2·P(Bin(a+b, ½) ≥ max(a, b))), rounded up.

    It equals `scipy.stats.binomtest(a, a+b).pvalue` but takes arrays. Without any throw it is 1.

    first, second: how often the coin fell on either side, integers ≥ 0; any shapes that broadcast.
    """
    a, b = np.broadcast_arrays(np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64))
    larger, smaller = np.maximum(a, b), np.minimum(a, b)
    tail = betainc(np.maximum(larger, 1.0), smaller + 1.0, 0.5)
    # The last term covers a tail that underflows to 0.
    rounded_up = 2.0 * tail * (1.0 + tail_error(np.maximum(a + b, 1.0), tail)) + 2.0**-1020
    return np.asarray(np.minimum(1.0, rounded_up))
