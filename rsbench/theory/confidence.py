"""Confidence bounds on a class's probability from its votes."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaincc, betainccinv, betaincinv, gammaln

from rsbench.records import BoolArray, FloatArray

# Far below this scipy's incomplete beta functions underflow on the way: their inverses find no root for some tails
# of 10⁻¹⁰⁸, and the functions themselves are wrong by orders of magnitude for some of 10⁻²⁴⁵.
SMALLEST_TAIL = 1e-100


def clopper_pearson_lower(k: npt.ArrayLike, n: npt.ArrayLike, failure_probability: float) -> FloatArray:
    """One-sided lower bound on a binomial probability: wrong with probability at most `failure_probability`.

    p = BetaInv(α; k, n−k+1), with 0 at k = 0 (Clopper & Pearson 1934; Cohen et al. 2019, appendix C). Equals the lower
    end of statsmodels' `proportion_confint(k, n, alpha=2α, method="beta")`, lowered until the binomial tail
    P(Bin(n, p) ≥ k), computed again at p, is below α by more than its own rounding error. Released code of the l1
    papers passes α undoubled, which is this bound at α/2.

    k: counts, 0 ≤ k ≤ n; n: how many votes; any shapes that broadcast. Returns float64 of the common shape.
    Raises ValueError when a count or α is out of range.
    """
    k, n = checked_counts(k, n, failure_probability)
    k_safe = np.maximum(k, 1.0)
    if failure_probability < SMALLEST_TAIL:
        return np.where(k == 0.0, 0.0, _union_lower(k_safe, n, failure_probability))
    target = _tail_target(n, failure_probability)
    bound = np.asarray(betaincinv(k_safe, n - k_safe + 1.0, target), dtype=np.float64)

    def unsafe(rows: BoolArray) -> BoolArray:
        return np.asarray(betainc(k_safe[rows], n[rows] - k_safe[rows] + 1.0, bound[rows]) > target[rows])

    _step_outward(bound, unsafe, sign=-1.0)
    return np.where(k == 0.0, 0.0, bound)


def clopper_pearson_upper(k: npt.ArrayLike, n: npt.ArrayLike, failure_probability: float) -> FloatArray:
    """One-sided upper bound, the mirror image of `clopper_pearson_lower`: up(k, n, α) = 1 − low(n−k, n, α).

    p = BetaInv(1−α; k+1, n−k), with 1 at k = n (Voracek & Hein 2023, §2.6), raised until the recomputed tail
    P(Bin(n, p) ≤ k) is safely below α. It is inverted on its own side: 1 − low would lose the digits of a small bound.
    """
    k, n = checked_counts(k, n, failure_probability)
    rest = np.maximum(n - k, 1.0)
    if failure_probability < SMALLEST_TAIL:
        mirrored = np.nextafter(1.0 - _union_lower(rest, n, failure_probability), 2.0)
        return np.where(k == n, 1.0, np.minimum(mirrored, 1.0))
    target = _tail_target(n, failure_probability)
    bound = np.asarray(betainccinv(k + 1.0, rest, target), dtype=np.float64)

    def unsafe(rows: BoolArray) -> BoolArray:
        return np.asarray(betaincc(k[rows] + 1.0, rest[rows], bound[rows]) > target[rows])

    _step_outward(bound, unsafe, sign=1.0)
    return np.where(k == n, 1.0, np.minimum(bound, 1.0))


def hoeffding_width(n: int, failure_probability: float) -> float:
    """√(ln(1/α)/(2n)): a mean of n votes is that close to its expectation, one-sided, but with probability ≤ α.

    Hoeffding 1963, as in Voracek & Hein 2023, appendix B: what Clopper–Pearson is compared with. Rounded up.
    Raises ValueError when n or α is out of range.
    """
    check_failure_probability(failure_probability)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    return math.sqrt(-math.log(failure_probability) / (2.0 * n)) * (1.0 + 2.0**-48)


def tail_slack(n: npt.ArrayLike, tail: npt.ArrayLike) -> FloatArray:
    """How far, relatively, a binomial tail of that size may be off as scipy's incomplete beta functions compute it.

    Against sums of binomial terms with 30 digits it was off by up to 0.44·2⁻⁵⁰·√n·(1 − ln tail), for n from 1 to 2·10⁷
    and tails from 10⁻²⁰⁰ to ½, and by up to 0.42·2⁻⁵³·n for larger ones. The worst are near half the votes.
    """
    n, tail = np.asarray(n, dtype=np.float64), np.asarray(tail, dtype=np.float64)
    log_tail = np.log(np.maximum(tail, np.finfo(np.float64).tiny))
    of_large_tail = np.where(tail > 0.45, 2.0**-53 * n, 0.0)
    return np.asarray(2.0**-50 * np.sqrt(n) * (1.0 - log_tail) + of_large_tail, dtype=np.float64)


def smallest_certifying_n(failure_probability: float) -> int:
    """The smallest n for which a unanimous vote certifies: α^(1/n) > ½.

    Raises ValueError when α is out of range.
    """
    check_failure_probability(failure_probability)
    n = max(1, math.floor(math.log(failure_probability) / math.log(0.5)))
    while clopper_pearson_lower(n, n, failure_probability) <= 0.5:
        n += 1
    return n


def checked_counts(k: npt.ArrayLike, n: npt.ArrayLike, failure_probability: float) -> tuple[FloatArray, FloatArray]:
    """k and n as floats of their common shape. Raises ValueError when they or α are out of range."""
    check_failure_probability(failure_probability)
    k, n = np.broadcast_arrays(np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64))
    wrong = ~((k >= 0.0) & (k <= n) & (k % 1.0 == 0.0) & (n >= 1.0) & (n % 1.0 == 0.0))
    if wrong.any():
        raise ValueError(f"votes must be whole numbers in 0..n with n ≥ 1, got {k[wrong][0]:g} of n = {n[wrong][0]:g}")
    return k, n


def check_failure_probability(failure_probability: float) -> None:
    """Raises ValueError unless 0 < α < 1."""
    if not 0.0 < failure_probability < 1.0:
        raise ValueError(f"the failure probability α must lie in (0, 1), got {failure_probability}")


def _union_lower(k: FloatArray, n: FloatArray, failure_probability: float) -> FloatArray:
    """The p with C(n, k)·p^k = α, rounded down: P(Bin(n, p) ≥ k) is no more than that. Needs k ≥ 1."""
    log_ways = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
    # Each logarithm is off by some units in the last place of n·ln n.
    slack = 2.0**-50 * (1.0 + n * np.log1p(n) - math.log(failure_probability))
    return np.asarray(np.exp((math.log(failure_probability) - log_ways - slack) / k), dtype=np.float64)


def _tail_target(n: FloatArray, failure_probability: float) -> FloatArray:
    return np.asarray(failure_probability * (1.0 - tail_slack(n, failure_probability)), dtype=np.float64)


def _step_outward(bound: FloatArray, unsafe: Callable[[BoolArray], BoolArray], *, sign: float) -> None:
    """Move the bounds that are unsafe outward in growing steps, in place, until none is."""
    rows = np.ones(bound.shape, dtype=np.bool_)
    step = 2.0**-52
    while rows.any():
        rows[rows] = unsafe(rows)
        bound[rows] *= 1.0 + sign * step
        step *= 2.0
