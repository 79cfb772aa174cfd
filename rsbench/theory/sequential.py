"""A lower bound that holds at every sample size at once, for stopping times that look at the votes."""

import numpy as np
import numpy.typing as npt
from scipy.optimize.elementwise import find_root
from scipy.special import betaincc, betaln, xlog1py, xlogy

from rsbench.records import FloatArray
from rsbench.theory.confidence import checked_counts


def time_uniform_lower(k: npt.ArrayLike, n: npt.ArrayLike, failure_probability: float) -> FloatArray:
    """A lower bound on a binomial probability that is wrong at *any* n, however n was chosen, with probability ≤ α.

    bound = inf{p : M(p) < 1/α} with the e-process of a Beta(½,½) prior truncated to (p, 1],
    M(p) = B(k+½, n−k+½)·(1 − I_p(k+½, n−k+½)) / (B(½,½)·(1 − I_p(½,½))·p^k·(1−p)^{n−k}),
    a mixture of likelihood ratios, hence a supermartingale under p (Ville 1939; Robbins 1970). M falls in p below k/n,
    where it is at most 1. Rounded down.

    k: votes for the class; n: votes so far; any shapes that broadcast. Returns float64 of the common shape.
    Raises ValueError when a count or α is out of range.
    """
    k, n = checked_counts(k, n, failure_probability)
    log_evidence = betaln(k + 0.5, n - k + 0.5) - betaln(0.5, 0.5)
    # log B is a difference of logarithms of Γ of about n·ln n, each off by some units in its last place; the terms of
    # the likelihood are no larger than that and ln(1/α) together.
    slack = 2.0**-50 * (1.0 + n * np.log1p(n) - np.log(failure_probability))
    target = -np.log(failure_probability) + slack

    def excess(p: FloatArray, k: FloatArray, n: FloatArray, log_evidence: FloatArray, target: FloatArray) -> FloatArray:
        # 1 − I_p(½,½) in closed form: scipy's loses the digits of a p near 0.
        prior = 2.0 / np.pi * np.arctan2(np.sqrt(1.0 - p), np.sqrt(p))
        tails = np.log(betaincc(k + 0.5, n - k + 0.5, p)) - np.log(prior)
        return np.asarray(log_evidence + tails - xlogy(k, p) - xlog1py(n - k, -p) - target, dtype=np.float64)

    at_zero = k == 0.0
    share = np.where(at_zero, 0.5, k / n)
    with np.errstate(divide="ignore", invalid="ignore"):
        high = np.minimum(share, 1.0 - 2.0**-53)
        low = np.full_like(share, 1e-300)
        found = find_root(excess, (low, high), args=(np.where(at_zero, n, k), n, log_evidence, target))
    # Where M is still at least 1/α: the root itself if the search ended there, else the lower end of its bracket; 0
    # where M is nowhere that large.
    root = np.where(found.f_x >= 0.0, found.x, found.bracket[0])
    return np.where(at_zero | ~found.success, 0.0, root)
