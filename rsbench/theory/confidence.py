"""Confidence bounds on a class's probability from its votes."""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaincinv

from rsbench.records import FloatArray

# The regularised incomplete beta function is off by up to 0.6·2⁻⁵⁰·√n here (found for n from 10² to 10⁶ against sums
# of binomial terms with 40 digits): a tail that it puts this far below α, relatively, is below α.
_TAIL_SLACK = 2.0**-49


def clopper_pearson_lower(k: npt.ArrayLike, n: int, failure_probability: float) -> FloatArray:
    """One-sided lower bound on a binomial probability: wrong with probability at most `failure_probability`.

    p = BetaInv(α; k, n−k+1), with 0 at k = 0 (Clopper & Pearson 1934; Cohen et al. 2019, appendix C). Equals the lower
    end of statsmodels' `proportion_confint(k, n, alpha=2α, method="beta")`, lowered until the binomial tail
    P(Bin(n, p) ≥ k), computed again at p, is below α by more than its own rounding error. Released code of the l1
    papers passes α undoubled, which is this bound at α/2.

    k: counts, any shape, 0 ≤ k ≤ n. Returns float64 of that shape.
    Raises ValueError when a count or α is out of range.
    """
    k = np.asarray(k, dtype=np.float64)
    if not 0.0 < failure_probability < 1.0:
        raise ValueError(f"the failure probability must lie in (0, 1), got {failure_probability}")
    if k.size and (k.min() < 0 or k.max() > n):
        raise ValueError(f"counts must lie in 0..{n}, got {k.min():g}..{k.max():g}")
    positive = np.maximum(k, 1.0)
    target = failure_probability * (1.0 - _TAIL_SLACK * math.sqrt(n))
    bound = np.asarray(betaincinv(positive, n - positive + 1.0, target), dtype=np.float64)
    step = 2.0**-52
    while (unsafe := betainc(positive, n - positive + 1.0, bound) > target).any():
        bound = np.where(unsafe, bound * (1.0 - step), bound)
        step *= 2.0
    return np.where(k == 0.0, 0.0, bound)


def smallest_certifying_n(failure_probability: float) -> int:
    """The smallest n for which a unanimous vote certifies: α^(1/n) > ½.

    Raises ValueError when α is out of range.
    """
    n = max(1, math.floor(math.log(failure_probability) / math.log(0.5)))
    while clopper_pearson_lower(n, n, failure_probability) <= 0.5:
        n += 1
    return n
