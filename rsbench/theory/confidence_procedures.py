"""How votes become bounds on the class probabilities. Shapes: N images, K classes, M distinct rows of counts."""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from rsbench.records import FloatArray, IntArray
from rsbench.theory.confidence import check_failure_probability, clopper_pearson_lower, clopper_pearson_upper
from rsbench.theory.probability_bounds import ProbabilityBounds

Procedure = Literal["one-versus-rest", "top-two"]
PROCEDURES: tuple[Procedure, ...] = get_args(Procedure)


def bounds_of_votes(
    selected_N: IntArray, estimation_NK: IntArray, failure_probability: float, procedure: Procedure
) -> tuple[ProbabilityBounds, IntArray]:
    """Bounds that hold together with probability ≥ 1 − α for each image, one row for each distinct pair of counts.

    one-versus-rest (CERTIFY, Cohen et al. 2019, §3.2.2): pA at α, and pB = 1 − pA.
    top-two (Voracek & Hein 2023, algorithm 1): pA at α/2, and pB at α/2 for the most voted other class. Naming that
    class by the same votes is valid: every other class has fewer votes, hence a bound that is no larger.

    selected_N: the class that *other* votes selected; the bounds are always this class's.
    estimation_NK: fresh votes, each row with the same positive sum n.
    Returns M rows of bounds, and for each image the number of its row.
    Raises ValueError when α or the procedure is unknown or out of range.
    """
    # Narrower integers would overflow where two counts become one number.
    estimation_NK = estimation_NK.astype(np.int64)
    check_failure_probability(failure_probability)
    n = int(estimation_NK[0].sum()) if len(estimation_NK) else 1
    top_N = np.take_along_axis(estimation_NK, selected_N[:, None], axis=1)[:, 0]
    if procedure == "one-versus-rest":
        top_M, row_N = np.unique(top_N, return_inverse=True)
        return ProbabilityBounds.one_versus_rest(clopper_pearson_lower(top_M, n, failure_probability)), row_N
    if procedure == "top-two":
        others_NK = estimation_NK.copy()
        np.put_along_axis(others_NK, selected_N[:, None], -1, axis=1)
        pair_M, row_N = np.unique(top_N * (n + 1) + others_NK.max(axis=1), return_inverse=True)
        top_M, runner_up_M = np.divmod(pair_M, n + 1)
        lower_M = _of_each(top_M, lambda k: clopper_pearson_lower(k, n, failure_probability / 2.0))
        upper_M = _of_each(runner_up_M, lambda k: clopper_pearson_upper(k, n, failure_probability / 2.0))
        return ProbabilityBounds.two_sided(lower_M, upper_M), row_N
    raise ValueError(f"unknown procedure {procedure!r}: choose from {', '.join(PROCEDURES)}")


def _of_each(count_M: IntArray, bound: Callable[[IntArray], FloatArray]) -> FloatArray:
    """A bound of each count, computed once for equal ones."""
    distinct, position_M = np.unique(count_M, return_inverse=True)
    return bound(distinct)[position_M]
