"""PREDICT: the smoothed classifier's class, with abstention. Shapes: N images, K classes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

from rsbench.records import BoolArray, FloatArray, IntArray
from rsbench.theory.confidence import tail_slack


@dataclass(frozen=True, eq=False)
class Predictions:
    """`predicted_N` is the most voted class, returned where `abstained_N` is False; `p_value_N` decided that."""

    predicted_N: IntArray
    abstained_N: BoolArray
    p_value_N: FloatArray


def predict(votes_NK: IntArray, failure_probability: float) -> Predictions:
    """The most voted class unless a fair coin could have put it ahead of the second (Cohen et al. 2019, §3.2.1).

    A two-sided binomial test of ½ on the votes of the two; the class is returned iff its p-value ≤ α. (Their prose
    says <, their code ≤.) Returns another class than the smoothed classifier's with probability at most α.

    votes_NK: non-negative votes. Raises ValueError when they are not, when an image has none, or α is out of range.
    """
    if not 0.0 < failure_probability < 1.0:
        raise ValueError(f"the failure probability α must lie in (0, 1), got {failure_probability}")
    if votes_NK.ndim != 2 or votes_NK.shape[1] < 2:
        raise ValueError(f"votes must be an N×K array with K ≥ 2, got the shape {votes_NK.shape}")
    if (votes_NK < 0).any() or (votes_NK.sum(axis=1) < 1).any():
        raise ValueError("votes must not be negative, and every image needs one")
    runner_up_N, top_N = np.sort(votes_NK, axis=1)[:, -2:].T
    p_value_N = two_sided_coin_test(top_N, runner_up_N)
    return Predictions(votes_NK.argmax(axis=1), p_value_N > failure_probability, p_value_N)


def two_sided_coin_test(first: npt.ArrayLike, second: npt.ArrayLike) -> FloatArray:
    """p-value of the counts of two sides under a fair coin: min(1, 2·P(Bin(a+b, ½) ≥ max(a, b))), rounded up.

    scipy's `binomtest(a, a+b)` for one pair; this takes arrays. No throw at all gives 1.
    """
    a, b = np.broadcast_arrays(np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64))
    larger, smaller = np.maximum(a, b), np.minimum(a, b)
    tail = betainc(np.maximum(larger, 1.0), smaller + 1.0, 0.5)
    # The last term covers a tail that underflows.
    rounded_up = 2.0 * tail * (1.0 + tail_slack(np.maximum(a + b, 1.0), tail)) + 2.0**-1020
    return np.asarray(np.minimum(1.0, rounded_up))
