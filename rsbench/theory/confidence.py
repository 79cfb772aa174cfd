"""Confidence bounds on the probability of a class, given how many of n noisy copies voted for it.

The votes for one class are binomial: k of n copies, each voting for the class with the same unknown probability p. All
bounds here are one-sided and are wrong with probability at most α (`failure_probability`). Certificates use
`clopper_pearson_lower` and `clopper_pearson_upper`; see `rsbench.theory.confidence_extensions` for bounds with
randomisation or for adaptive stopping.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaincc, betainccinv, betaincinv, gammaln

from rsbench.records import BoolArray, FloatArray

# For smaller α, scipy's incomplete beta functions underflow internally: their inverses find no root for some tails near
# 10⁻¹⁰⁸, and the functions themselves are wrong by orders of magnitude for some tails near 10⁻²⁴⁵. A cruder bound with
# a closed form replaces them there.
SMALLEST_TAIL = 1e-100


def clopper_pearson_lower(k: npt.ArrayLike, n: npt.ArrayLike, failure_probability: float) -> FloatArray:
    """One-sided Clopper–Pearson lower bound on a binomial probability, rounded down.

    The bound is the α-quantile of Beta(k, n−k+1), and 0 for k = 0 (Clopper & Pearson 1934; Cohen et al. 2019,
    appendix C). It equals the lower end of `statsmodels.stats.proportion.proportion_confint(k, n, alpha=2α,
    method="beta")`, apart from rounding: here it is lowered until the binomial tail P(Bin(n, p) ≥ k), evaluated at the
    bound, is below α by more than the tail's own rounding error.

    Released code of the l1 papers passes α instead of 2α to the two-sided interval. That is this bound at α/2.

    k: votes for the class, integers in 0..n. n: total votes, integers ≥ 1. Any shapes that broadcast.
    failure_probability: α in (0, 1).
    Returns float64 of the broadcast shape. Raises ValueError when a count or α is out of range.
    """
    k, n = checked_counts(k, n, failure_probability)
    k_safe = np.maximum(k, 1.0)
    if failure_probability < SMALLEST_TAIL:
        return np.where(k == 0.0, 0.0, _union_bound_lower(k_safe, n, failure_probability))
    target = _tail_target(n, failure_probability)
    bound = np.asarray(betaincinv(k_safe, n - k_safe + 1.0, target), dtype=np.float64)

    def tail_exceeds_target(rows: BoolArray) -> BoolArray:
        return np.asarray(betainc(k_safe[rows], n[rows] - k_safe[rows] + 1.0, bound[rows]) > target[rows])

    _widen_until_valid(bound, tail_exceeds_target, sign=-1.0)
    return np.where(k == 0.0, 0.0, bound)


def clopper_pearson_upper(k: npt.ArrayLike, n: npt.ArrayLike, failure_probability: float) -> FloatArray:
    """One-sided Clopper–Pearson upper bound on a binomial probability, rounded up.

    The bound is the (1−α)-quantile of Beta(k+1, n−k), and 1 for k = n (Voracek & Hein 2023, section 2.6). It mirrors
    the lower bound, upper(k, n, α) = 1 − lower(n−k, n, α), but is computed by its own inverse: the subtraction would
    lose the digits of a small upper bound. It is raised until the tail P(Bin(n, p) ≤ k), evaluated at the bound, is
    below α by more than its rounding error.

    Arguments, result and errors are those of `clopper_pearson_lower`.
    """
    k, n = checked_counts(k, n, failure_probability)
    votes_against = np.maximum(n - k, 1.0)
    if failure_probability < SMALLEST_TAIL:
        mirrored = np.nextafter(1.0 - _union_bound_lower(votes_against, n, failure_probability), 2.0)
        return np.where(k == n, 1.0, np.minimum(mirrored, 1.0))
    target = _tail_target(n, failure_probability)
    bound = np.asarray(betainccinv(k + 1.0, votes_against, target), dtype=np.float64)

    def tail_exceeds_target(rows: BoolArray) -> BoolArray:
        return np.asarray(betaincc(k[rows] + 1.0, votes_against[rows], bound[rows]) > target[rows])

    _widen_until_valid(bound, tail_exceeds_target, sign=1.0)
    return np.where(k == n, 1.0, np.minimum(bound, 1.0))


def hoeffding_width(n: int, failure_probability: float) -> float:
    """Half-width √(ln(1/α)/(2n)) of Hoeffding's one-sided confidence interval, rounded up.

    With probability at least 1 − α, the mean of n votes exceeds its expectation by no more than this (Hoeffding 1963;
    Voracek & Hein 2023, appendix B). No certificate uses it; it is what Clopper–Pearson bounds are compared with.

    Raises ValueError when n or α is out of range.
    """
    check_failure_probability(failure_probability)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    return math.sqrt(-math.log(failure_probability) / (2.0 * n)) * (1.0 + 2.0**-48)


def smallest_certifying_n(failure_probability: float) -> int:
    """Return the smallest n for which n unanimous votes give a lower bound α^(1/n) above ½.

    With fewer votes, every image abstains. Raises ValueError when α is out of range.
    """
    check_failure_probability(failure_probability)
    n = max(1, math.floor(math.log(failure_probability) / math.log(0.5)))
    while clopper_pearson_lower(n, n, failure_probability) <= 0.5:
        n += 1
    return n


def tail_error(n: npt.ArrayLike, tail: npt.ArrayLike) -> FloatArray:
    """Bound the relative error of a binomial tail probability as scipy's incomplete beta functions compute it.

    The bound is empirical. Compared with sums of binomial terms to 30 digits, scipy was off by up to
    0.44·2⁻⁵⁰·√n·(1 − ln tail) for n from 1 to 2·10⁷ and tails from 10⁻²⁰⁰ to ½, and by up to 0.42·2⁻⁵³·n for larger
    tails. The largest errors occur near k = n/2.

    n: total votes. tail: the computed tail probability. Any shapes that broadcast.
    """
    n, tail = np.asarray(n, dtype=np.float64), np.asarray(tail, dtype=np.float64)
    log_tail = np.log(np.maximum(tail, np.finfo(np.float64).tiny))
    large_tail_error = np.where(tail > 0.45, 2.0**-53 * n, 0.0)
    return np.asarray(2.0**-50 * np.sqrt(n) * (1.0 - log_tail) + large_tail_error, dtype=np.float64)


def checked_counts(k: npt.ArrayLike, n: npt.ArrayLike, failure_probability: float) -> tuple[FloatArray, FloatArray]:
    """Validate k, n and α, and return k and n as float64 arrays of their broadcast shape.

    Raises ValueError unless k and n are integers with 0 ≤ k ≤ n and n ≥ 1, and 0 < α < 1.
    """
    check_failure_probability(failure_probability)
    k, n = np.broadcast_arrays(np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64))
    invalid = ~((k >= 0.0) & (k <= n) & (k % 1.0 == 0.0) & (n >= 1.0) & (n % 1.0 == 0.0))
    if invalid.any():
        raise ValueError(
            f"votes must be whole numbers in 0..n with n ≥ 1, got {k[invalid][0]:g} of n = {n[invalid][0]:g}"
        )
    return k, n


def check_failure_probability(failure_probability: float) -> None:
    """Raise ValueError unless 0 < α < 1."""
    if not 0.0 < failure_probability < 1.0:
        raise ValueError(f"the failure probability α must lie in (0, 1), got {failure_probability}")


def _union_bound_lower(k: FloatArray, n: FloatArray, failure_probability: float) -> FloatArray:
    """Return the p with C(n, k)·p^k = α, rounded down: a valid lower bound for any α, though not the tightest.

    By the union bound over all sets of k votes, P(Bin(n, p) ≥ k) ≤ C(n, k)·p^k. Requires k ≥ 1.
    """
    log_binomial = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
    # Each logarithm of a gamma function is off by a few units in the last place of n·ln n.
    slack = 2.0**-50 * (1.0 + n * np.log1p(n) - math.log(failure_probability))
    return np.asarray(np.exp((math.log(failure_probability) - log_binomial - slack) / k), dtype=np.float64)


def _tail_target(n: FloatArray, failure_probability: float) -> FloatArray:
    """Return α lowered by the rounding error of a computed tail of that size."""
    return np.asarray(failure_probability * (1.0 - tail_error(n, failure_probability)), dtype=np.float64)


def _widen_until_valid(bound: FloatArray, is_invalid: Callable[[BoolArray], BoolArray], *, sign: float) -> None:
    """Move the invalid bounds outward in place, by steps that double, until none is invalid.

    is_invalid: given a mask of rows, says which of these rows' current bounds are not yet valid.
    sign: −1 to lower bounds, +1 to raise them.
    """
    rows = np.ones(bound.shape, dtype=np.bool_)
    step = 2.0**-52
    while rows.any():
        rows[rows] = is_invalid(rows)
        bound[rows] *= 1.0 + sign * step
        step *= 2.0
