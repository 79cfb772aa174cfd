"""Confidence bounds beyond Clopper–Pearson: a randomised one, and one that is valid at every sample size at once.

No certificate uses them yet. They live in a module of their own because scipy's root finder takes a third of a second
to import, which the commands should not pay.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize.elementwise import find_root
from scipy.special import betainc, betaincc, betaln, xlog1py, xlogy

from rsbench.records import FloatArray
from rsbench.theory.confidence import SMALLEST_TAIL, checked_counts, clopper_pearson_lower, tail_error


def randomized_lower(k: npt.ArrayLike, n: npt.ArrayLike, u: npt.ArrayLike, failure_probability: float) -> FloatArray:
    """Randomised lower bound on a binomial probability: wrong with probability exactly α, rounded down.

    The bound is sup{p : P(Bin(n, p) > k) + u·P(Bin(n, p) = k) ≤ α}, where u is drawn uniformly from [0, 1] before the
    votes are seen (Stevens 1950; Voracek 2024). At u = 1 it is the Clopper–Pearson bound. For k = n and u ≤ α it is 1:
    a certificate whose radius is unbounded at pA = 1 must cap the bound first.

    k: votes for the class, integers in 0..n. n: total votes, integers ≥ 1. u: one draw for each bound. Any shapes that
    broadcast. failure_probability: α in (0, 1).
    Returns float64 of the broadcast shape. Raises ValueError when a count, u or α is out of range.
    """
    k, n = checked_counts(k, n, failure_probability)
    u, k, n = np.broadcast_arrays(np.asarray(u, dtype=np.float64), k, n)
    if not ((u >= 0.0) & (u <= 1.0)).all():
        raise ValueError("u must lie in [0, 1]")
    is_one = (k == n) & (u <= failure_probability)
    # Rows whose bound is 1 have no root; any other count keeps the search well defined for them.
    k_search = np.where(is_one, n - 1.0, k)

    def excess(p: FloatArray, k: FloatArray, n: FloatArray, u: FloatArray) -> FloatArray:
        # P(Bin > k) is 0 at k = n, and P(Bin ≥ k) is 1 at k = 0.
        above = np.where(k == n, 0.0, betainc(k + 1.0, np.maximum(n - k, 1.0), p))
        at_least = np.where(k == 0.0, 1.0, betainc(np.maximum(k, 1.0), n - k + 1.0, p))
        # Each tail is raised by its own rounding error.
        above, at_least = above * (1.0 + tail_error(n, above)), at_least * (1.0 + tail_error(n, at_least))
        return np.asarray((1.0 - u) * above + u * at_least - failure_probability, dtype=np.float64)

    # The Clopper–Pearson bound brackets the root from below for every u, and p = 1 from above.
    low = clopper_pearson_lower(k_search, n, failure_probability)
    if failure_probability < SMALLEST_TAIL:
        return np.where(is_one, 1.0, low)
    search = find_root(excess, (low, np.ones_like(low)), args=(k_search, n, u))
    # The search may stop exactly at the root while the lower end of its bracket is still far below.
    root = np.where(search.f_x <= 0.0, search.x, search.bracket[0])
    return np.where(is_one, 1.0, np.maximum(low, root))


def time_uniform_lower(k: npt.ArrayLike, n: npt.ArrayLike, failure_probability: float) -> FloatArray:
    """Lower bound on a binomial probability that holds at all sample sizes simultaneously, rounded down.

    Along one sequence of votes, the probability that the bound exceeds the true p at *any* n is at most α. So n may be
    chosen by a stopping rule that looks at the votes. The price is a bound below Clopper–Pearson's at each single n.

    The bound is inf{p : M(p) < 1/α} with the e-process of a Beta(½,½) prior truncated to (p, 1],
    M(p) = B(k+½, n−k+½)·(1 − I_p(k+½, n−k+½)) / (B(½,½)·(1 − I_p(½,½))·p^k·(1−p)^{n−k}).
    M is a mixture of likelihood ratios against p, hence a supermartingale under p, and Ville's inequality applies
    (Ville 1939; Robbins 1970). It decreases in p up to k/n, where it is at most 1.

    k: votes for the class, integers in 0..n. n: total votes so far, integers ≥ 1. Any shapes that broadcast.
    failure_probability: α in (0, 1).
    Returns float64 of the broadcast shape. Raises ValueError when a count or α is out of range.
    """
    k, n = checked_counts(k, n, failure_probability)
    log_evidence = betaln(k + 0.5, n - k + 0.5) - betaln(0.5, 0.5)
    # ln B is a difference of logarithms of gamma functions of about n·ln n, each off by a few units in its last place.
    # The terms of the likelihood are no larger than these and ln(1/α) together.
    slack = 2.0**-50 * (1.0 + n * np.log1p(n) - np.log(failure_probability))
    target = -np.log(failure_probability) + slack

    def excess(p: FloatArray, k: FloatArray, n: FloatArray, log_evidence: FloatArray, target: FloatArray) -> FloatArray:
        # 1 − I_p(½,½) in closed form: scipy's value loses the digits of a p near 0.
        prior = 2.0 / np.pi * np.arctan2(np.sqrt(1.0 - p), np.sqrt(p))
        log_tail_ratio = np.log(betaincc(k + 0.5, n - k + 0.5, p)) - np.log(prior)
        return np.asarray(log_evidence + log_tail_ratio - xlogy(k, p) - xlog1py(n - k, -p) - target, dtype=np.float64)

    no_votes = k == 0.0
    frequency = np.where(no_votes, 0.5, k / n)
    with np.errstate(divide="ignore", invalid="ignore"):
        high = np.minimum(frequency, 1.0 - 2.0**-53)
        low = np.full_like(frequency, 1e-300)
        search = find_root(excess, (low, high), args=(np.where(no_votes, n, k), n, log_evidence, target))
    # M must still be at least 1/α at the bound: take the root itself if the search ended there, else the lower end of
    # its bracket. Where M is nowhere that large, nothing is refuted and the bound is 0.
    root = np.where(search.f_x >= 0.0, search.x, search.bracket[0])
    return np.where(no_votes | ~search.success, 0.0, root)
