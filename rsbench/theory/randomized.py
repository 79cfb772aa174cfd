"""The randomised confidence bound of a binomial probability, which covers with exactly 1 − α."""

import numpy as np
import numpy.typing as npt
from scipy.optimize.elementwise import find_root
from scipy.special import betainc

from rsbench.records import FloatArray
from rsbench.theory.confidence import SMALLEST_TAIL, checked_counts, clopper_pearson_lower, tail_slack


def randomized_lower(k: npt.ArrayLike, n: npt.ArrayLike, u: npt.ArrayLike, failure_probability: float) -> FloatArray:
    """sup{p : P(Bin(n, p) > k) + u·P(Bin(n, p) = k) ≤ α} for a u drawn uniformly from [0, 1] beforehand, rounded down.

    Stevens 1950; Voracek 2024. At u = 1 it is Clopper–Pearson's. For k = n and u ≤ α it is 1: no certificate of an
    unbounded radius may be built on that without a cap.

    k: votes, n: how many, u: one draw for each; any shapes that broadcast. Returns float64 of the common shape.
    Raises ValueError when a count, u or α is out of range.
    """
    k, n = checked_counts(k, n, failure_probability)
    u, k, n = np.broadcast_arrays(np.asarray(u, dtype=np.float64), k, n)
    if not ((u >= 0.0) & (u <= 1.0)).all():
        raise ValueError("u must lie in [0, 1]")
    sure = (k == n) & (u <= failure_probability)
    inner = np.where(sure, n - 1.0, k)

    def excess(p: FloatArray, k: FloatArray, n: FloatArray, u: FloatArray) -> FloatArray:
        # P(X > k) and P(X ≥ k) in their shares; at k = n the first is 0, at k = 0 the second is 1.
        above = np.where(k == n, 0.0, betainc(k + 1.0, np.maximum(n - k, 1.0), p))
        at_least = np.where(k == 0.0, 1.0, betainc(np.maximum(k, 1.0), n - k + 1.0, p))
        # Each raised by its own rounding error.
        above, at_least = above * (1.0 + tail_slack(n, above)), at_least * (1.0 + tail_slack(n, at_least))
        return np.asarray((1.0 - u) * above + u * at_least - failure_probability, dtype=np.float64)

    # At Clopper–Pearson's bound the tail is at most α for every u, at p = 1 it is 1.
    low = clopper_pearson_lower(inner, n, failure_probability)
    if failure_probability < SMALLEST_TAIL:
        return np.where(sure, 1.0, low)
    found = find_root(excess, (low, np.ones_like(low)), args=(inner, n, u))
    # The search may end on the root itself, with the lower end of its bracket still far below.
    root = np.where(found.f_x <= 0.0, found.x, found.bracket[0])
    return np.where(sure, 1.0, np.maximum(low, root))
