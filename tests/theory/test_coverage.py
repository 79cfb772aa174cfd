"""Coverage of confidence bounds and procedures, computed exactly by enumerating all outcomes of small votes.

Shapes: S outcomes of the selection votes, E outcomes of the estimation votes, K classes, P true probabilities.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise, product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rsbench.records import BoolArray, FloatArray, IntArray
from rsbench.specs import MeasureSpec, Procedure
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import Verdicts
from rsbench.theory.confidence import clopper_pearson_lower, clopper_pearson_upper
from rsbench.theory.confidence_extensions import randomized_lower, time_uniform_lower
from rsbench.theory.probability_bounds import bounds_of_votes

ALPHA = 0.05
MEASURE = MeasureSpec(family="uniform", sigma=0.25)
LAMBDA = Fraction(MEASURE.half_width)

Probabilities = tuple[Fraction, ...]
Bound = Callable[[npt.ArrayLike, npt.ArrayLike, float], FloatArray]

# (classes, selection votes, estimation votes). Without selection votes, the first class is selected beforehand.
SIZES = [(2, 0, 14), (2, 1, 9), (2, 5, 14), (3, 0, 14), (3, 1, 5), (3, 2, 10), (3, 5, 14)]
every_size = pytest.mark.parametrize(("classes", "n0", "n"), SIZES)


@cache
def outcomes(n: int, classes: int) -> IntArray:
    """Return all ways to distribute n votes over the classes."""
    rows = [row for row in product(range(n + 1), repeat=classes) if sum(row) == n]
    return np.array(rows, dtype=np.int64)


def weights(votes_EK: IntArray, p: Probabilities) -> tuple[list[int], int]:
    """Return the multinomial probability of each outcome, as numerators and a common denominator."""
    scale = math.lcm(*(share.denominator for share in p))
    numerators = [int(share * scale) for share in p]
    n = int(votes_EK[0].sum())
    ways = [math.factorial(n) // math.prod(map(math.factorial, row)) for row in votes_EK.tolist()]
    powers = [math.prod(a**v for a, v in zip(numerators, row, strict=True)) for row in votes_EK.tolist()]
    return [way * power for way, power in zip(ways, powers, strict=True)], scale**n


def decimals(*shares: str) -> Probabilities:
    return tuple(map(Fraction, shares))


def truths(classes: int, n: int) -> Iterator[Probabilities]:
    """Yield ordinary and adversarial class probabilities.

    Coverage is worst when the true probability is just below a possible lower bound, or just above a possible upper
    bound: then all outcomes with that bound, or a more extreme one, are failures. The remaining probability goes to the
    other classes, evenly or to one of them.
    """
    half = Fraction(1, 2)
    yield tuple([half, half] + [Fraction(0)] * (classes - 2))
    yield tuple([Fraction(1)] + [Fraction(0)] * (classes - 1))
    if classes == 3:
        yield decimals("0.4", "0.3", "0.3")
        yield decimals("0.3", "0.4", "0.3")
        yield decimals("0.5", "0.499", "0.001")
        yield decimals("0.2", "0.6", "0.2")
        yield tuple([Fraction(1, 3)] * 3)
    counts = np.arange(n + 1)
    for alpha in (ALPHA, ALPHA / 2.0):
        lower, upper = clopper_pearson_lower(counts, n, alpha), clopper_pearson_upper(counts, n, alpha)
        edges = [
            Fraction(edge)
            for bound in [*lower[1:].tolist(), *upper[:-1].tolist()]
            for edge in (math.nextafter(bound, 0.0), math.nextafter(bound, 1.0))
        ]
        for edge in edges:
            rest = 1 - edge
            yield tuple([edge] + [rest / (classes - 1)] * (classes - 1))
            if classes == 3:
                yield edge, rest * Fraction(9, 10), rest / 10
                yield rest / 2, edge, rest / 2
    if classes == 3:
        # Probabilities at which both bounds of top-two are at their worst.
        for k, j in product(range(1, n + 1, 2), range(0, n, 2)):
            a = Fraction(math.nextafter(float(clopper_pearson_lower(k, n, ALPHA / 2.0)), 0.0))
            b = Fraction(math.nextafter(float(clopper_pearson_upper(j, n, ALPHA / 2.0)), 1.0))
            if a + b <= 1:
                yield a, b, 1 - a - b


@dataclass(frozen=True, eq=False)
class Enumeration:
    """All pairs of a selection and an estimation outcome, one per row, with the resulting bounds and verdicts."""

    selection_SK: IntArray
    estimation_EK: IntArray
    selected_N: IntArray
    """Selected class of each of the N = S·E pairs."""

    lower_N: FloatArray
    """Lower bound on pA."""

    upper_N: FloatArray
    """Upper bound on pB."""

    verdicts: Verdicts

    def probability(self, p: Probabilities, fails_N: BoolArray) -> Fraction:
        """Return the exact probability of the rows that fail."""
        selection_S, selections = weights(self.selection_SK, p)
        estimation_E, estimations = weights(self.estimation_EK, p)
        fails_SE = fails_N.reshape(len(selection_S), len(estimation_E))
        total = sum(
            weight * sum(estimation_E[e] for e in np.flatnonzero(fails_E).tolist())
            for weight, fails_E in zip(selection_S, fails_SE, strict=True)
        )
        return Fraction(total, selections * estimations)

    def bound_fails(self, p: Probabilities) -> BoolArray:
        """Return where the lower bound exceeds the true probability of the selected class."""
        return self.of_selected([exceeds(self.lower_N, share) for share in p])

    def pair_fails(self, p: Probabilities) -> BoolArray:
        """Return where the lower bound is too high, or the upper bound too low for some other class."""
        return self.bound_fails(p) | self.of_selected([exceeds(-self.upper_N, -other) for other in largest_other(p)])

    def radius_fails(self, p: Probabilities) -> BoolArray:
        """Return where an image is certified with a radius above λ times the true gap of the selected class."""
        gaps = [share - other for share, other in zip(p, largest_other(p), strict=True)]
        over_N = self.of_selected([exceeds(self.verdicts.radius_N, LAMBDA * gap) for gap in gaps])
        return ~self.verdicts.abstained_N & over_N

    def of_selected(self, by_class: list[BoolArray]) -> BoolArray:
        """Return for each row the value of its selected class."""
        value_N: BoolArray = np.take_along_axis(np.array(by_class), self.selected_N[None, :], axis=0)[0]
        return value_N


def largest_other(p: Probabilities) -> list[Fraction]:
    return [max(share for other, share in enumerate(p) if other != c) for c in range(len(p))]


def exceeds(values_N: FloatArray, limit: Fraction) -> BoolArray:
    """Return values > limit, decided exactly: no float lies between a rational and its nearest float."""
    nearest = float(limit)
    return values_N > nearest if Fraction(nearest) >= limit else values_N >= nearest


@cache
def enumerate_all(classes: int, n0: int, n: int, procedure: Procedure, alpha: float = ALPHA) -> Enumeration:
    selection_SK, estimation_EK = outcomes(n0, classes), outcomes(n, classes)
    selection_NK = np.repeat(selection_SK, len(estimation_EK), axis=0)
    estimation_NK = np.tile(estimation_EK, (len(selection_SK), 1))
    verdicts = CERTIFICATES["lee"].certify(
        selection_NK, estimation_NK, MEASURE, failure_probability=alpha, procedure=procedure
    )
    bounds, row_N = bounds_of_votes(verdicts.predicted_N, estimation_NK, alpha, procedure)
    return Enumeration(
        selection_SK, estimation_EK, verdicts.predicted_N, bounds.lower_N[row_N], bounds.upper_N[row_N], verdicts
    )


@every_size
def test_the_weights_of_all_outcomes_sum_to_one(classes: int, n0: int, n: int) -> None:
    for p in truths(classes, n):
        for votes_EK in (outcomes(n0, classes), outcomes(n, classes)):
            numerators, denominator = weights(votes_EK, p)
            assert sum(numerators) == denominator


@every_size
def test_one_versus_rest_is_wrong_with_probability_at_most_alpha(classes: int, n0: int, n: int) -> None:
    enumeration = enumerate_all(classes, n0, n, "one-versus-rest")
    for p in truths(classes, n):
        assert enumeration.probability(p, enumeration.bound_fails(p)) <= Fraction(ALPHA)
        assert enumeration.probability(p, enumeration.radius_fails(p)) <= Fraction(ALPHA)


@every_size
def test_the_two_bounds_of_top_two_are_jointly_valid_with_probability_one_minus_alpha(
    classes: int, n0: int, n: int
) -> None:
    enumeration = enumerate_all(classes, n0, n, "top-two")
    for p in truths(classes, n):
        assert enumeration.probability(p, enumeration.pair_fails(p)) <= Fraction(ALPHA)
        assert enumeration.probability(p, enumeration.radius_fails(p)) <= Fraction(ALPHA)


def test_the_failure_probability_is_attained_for_a_class_selected_beforehand() -> None:
    # A bound of zero would be valid too. If p is just below the bound of 12 votes, 12 and more votes fail. That has
    # probability α, except for the few units in the last place by which the bound is lowered.
    enumeration = enumerate_all(3, 0, 14, "one-versus-rest")
    edge = Fraction(math.nextafter(float(clopper_pearson_lower(12, 14, ALPHA)), 0.0))
    p = (edge, (1 - edge) / 2, (1 - edge) / 2)
    assert float(enumeration.probability(p, enumeration.bound_fails(p))) == pytest.approx(ALPHA, rel=1e-12)


def test_selecting_the_class_by_the_estimation_votes_fails_too_often() -> None:
    votes_EK = outcomes(14, 2)
    bounds, row_E = bounds_of_votes(votes_EK.argmax(axis=1), votes_EK, ALPHA, "one-versus-rest")
    half = Fraction(1, 2)
    numerators, denominator = weights(votes_EK, (half, half))
    wrong = sum(numerators[e] for e in np.flatnonzero(bounds.lower_N[row_E] > 0.5).tolist())
    # 11 or more of 14 votes certify either class: 2·470/2¹⁴.
    assert Fraction(wrong, denominator) == Fraction(940, 2**14) > Fraction(ALPHA)
    # With separate selection votes, however few, the bound is valid.
    enumeration = enumerate_all(2, 1, 14, "one-versus-rest")
    assert enumeration.probability((half, half), enumeration.bound_fails((half, half))) == Fraction(470, 2**14)


def test_top_two_with_alpha_for_each_of_its_bounds_fails_too_often() -> None:
    enumeration = enumerate_all(3, 0, 14, "top-two", 2.0 * ALPHA)
    a = Fraction(math.nextafter(float(clopper_pearson_lower(1, 14, ALPHA)), 0.0))
    b = Fraction(math.nextafter(float(clopper_pearson_upper(8, 14, ALPHA)), 1.0))
    p = (a, b, 1 - a - b)
    assert enumeration.probability(p, enumeration.pair_fails(p)) > Fraction(3, 2) * Fraction(ALPHA)
    # With α/2 for each bound it is valid for the same probabilities.
    halved = enumerate_all(3, 0, 14, "top-two")
    assert halved.probability(p, halved.pair_fails(p)) <= Fraction(ALPHA)


@pytest.mark.parametrize("procedure", ["one-versus-rest", "top-two"])
def test_abstention_and_radius_follow_the_bounds(procedure: Procedure) -> None:
    enumeration = enumerate_all(3, 5, 14, procedure)
    np.testing.assert_array_equal(enumeration.verdicts.abstained_N, enumeration.lower_N <= enumeration.upper_N)
    np.testing.assert_array_equal(enumeration.verdicts.radius_N == 0.0, enumeration.verdicts.abstained_N)
    # Both abstentions and radii occur; otherwise the tests of coverage would show little.
    assert 0 < enumeration.verdicts.abstained_N.sum() < len(enumeration.lower_N)


@pytest.mark.parametrize("procedure", ["one-versus-rest", "top-two"])
def test_narrow_integers_give_the_same_bounds(procedure: Procedure) -> None:
    votes_NK = np.array([[99_000, 1_000, 0], [60_000, 39_000, 1_000]])
    selected_N = np.zeros(2, dtype=np.int64)
    wide, row_N = bounds_of_votes(selected_N, votes_NK, 0.001, procedure)
    narrow_NK: npt.NDArray[Any] = votes_NK.astype(np.int32)
    narrow, narrow_row_N = bounds_of_votes(selected_N, narrow_NK, 0.001, procedure)
    np.testing.assert_array_equal(narrow.lower_N[narrow_row_N], wide.lower_N[row_N])
    np.testing.assert_array_equal(narrow.upper_N[narrow_row_N], wide.upper_N[row_N])


@every_size
def test_top_two_bounds_the_selected_class_and_the_most_voted_other_one(classes: int, n0: int, n: int) -> None:
    enumeration = enumerate_all(classes, n0, n, "top-two")
    selected_N = enumeration.selected_N
    votes_NK = np.tile(enumeration.estimation_EK, (len(enumeration.selection_SK), 1))
    others_NK = np.where(np.arange(classes) == selected_N[:, None], -1, votes_NK)
    runner_up = others_NK.max(axis=1)
    lower_N = clopper_pearson_lower(votes_NK[np.arange(len(votes_NK)), selected_N], n, ALPHA / 2.0)
    upper_N = clopper_pearson_upper(runner_up, n, ALPHA / 2.0)
    np.testing.assert_array_equal(enumeration.lower_N, lower_N)
    # The upper bound is clamped to 1 − pA, which is rounded up by at most one unit in the last place.
    np.testing.assert_allclose(enumeration.upper_N, np.minimum(upper_N, 1.0 - lower_N), rtol=2.0**-51)
    assert (enumeration.upper_N >= np.minimum(upper_N, 1.0 - lower_N)).all()


def test_an_unknown_procedure_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown procedure 'both'"):
        bounds_of_votes(np.array([0]), np.array([[3, 1]]), ALPHA, "both")  # type: ignore[arg-type]


def ever_wrong(bound: Bound, alpha: float, last: int, p_P: FloatArray) -> FloatArray:
    """Return P(∃ n ≤ last: bound(k_n, n) > p), from the distribution of k_n over all paths without a failure so far.

    No stopping rule that looks at the votes can fail more often.
    """
    never_PK = np.zeros((len(p_P), last + 1))
    never_PK[:, 0] = 1.0
    wrong_P = np.zeros(len(p_P))
    for n in range(1, last + 1):
        after_PK = never_PK * (1.0 - p_P[:, None])
        after_PK[:, 1:] += never_PK[:, :-1] * p_P[:, None]
        bound_K = bound(np.arange(n + 1), n, alpha)
        stop_PK = np.zeros_like(after_PK, dtype=np.bool_)
        stop_PK[:, : n + 1] = bound_K > p_P[:, None]
        wrong_P += np.where(stop_PK, after_PK, 0.0).sum(axis=1)
        never_PK = np.where(stop_PK, 0.0, after_PK)
    return wrong_P


def worst_truths(bound: Bound, alpha: float, last: int) -> FloatArray:
    """Return ordinary probabilities, and those just below possible bounds."""
    attained = np.concatenate([bound(np.arange(1, n + 1), n, alpha) for n in (1, 2, 3, 10, 30, last)])
    return np.concatenate([[0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999], np.nextafter(attained, 0.0)])


@pytest.mark.parametrize("alpha", [0.5, 0.05, 0.001])
def test_the_time_uniform_bound_is_valid_under_every_stopping_rule(alpha: float) -> None:
    last = 60
    p_P = worst_truths(time_uniform_lower, alpha, last)
    wrong_P = ever_wrong(time_uniform_lower, alpha, last, p_P)
    # Each of the 60 steps multiplies and adds, a relative error of at most 60·3·2⁻⁵³; sums of 61 terms likewise.
    assert (wrong_P <= alpha * (1.0 + 1e-13)).all()
    # A bound of zero would be valid too, but this one uses up a good part of α for some p.
    assert wrong_P.max() > 0.4 * alpha


def test_stopping_at_the_first_certificate_invalidates_clopper_pearson() -> None:
    # A classifier with p = ½ must be certified with probability at most α. Clopper–Pearson achieves this at 60 votes
    # fixed beforehand, but not if one stops at the first n ≤ 60 that certifies.
    half = np.array([0.5])
    fixed = sum(math.comb(60, k) for k in range(61) if clopper_pearson_lower(k, 60, ALPHA) > 0.5) / 2**60
    peeking = float(ever_wrong(clopper_pearson_lower, ALPHA, 60, half)[0])
    uniform = float(ever_wrong(time_uniform_lower, ALPHA, 60, half)[0])
    assert uniform <= ALPHA
    assert fixed <= ALPHA
    assert peeking > 2.0 * ALPHA


def evidence(k: int, n: int, p: float) -> float:
    """Return M(p), the mean likelihood ratio of all q > p against p.

    With q = sin²θ the prior is uniform in θ, so M is an ordinary mean, computed by Gauss–Legendre quadrature.
    """
    nodes, node_weights = np.polynomial.legendre.leggauss(400)
    low = math.asin(math.sqrt(p))
    q = np.sin(low + (math.pi / 2.0 - low) * (nodes + 1.0) / 2.0) ** 2
    # Far below the bound the evidence would overflow; 10³⁰⁰ is large enough.
    ratios = np.exp(np.minimum(k * np.log(q / p) + (n - k) * np.log((1.0 - q) / (1.0 - p)), math.log(1e300)))
    return float((node_weights * ratios).sum() / 2.0)


@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-6])
@pytest.mark.parametrize(("k", "n"), [(1, 1), (1, 3), (7, 7), (13, 20), (2, 60), (60, 60), (150, 200), (999, 1000)])
def test_the_time_uniform_bound_is_where_the_evidence_reaches_one_over_alpha(k: int, n: int, alpha: float) -> None:
    bound = float(time_uniform_lower(k, n, alpha))
    # A relative change of p changes M by up to √n·z times as much: 2⁻⁴⁵ there is 1e-10 here.
    assert evidence(k, n, bound) == pytest.approx(1.0 / alpha, rel=1e-9)
    # Below the bound, the evidence is larger.
    assert all(evidence(k, n, bound * factor) > 1.0 / alpha for factor in (0.1, 0.5, 0.9, 0.99, 0.9999))


@pytest.mark.parametrize("n", [1, 5, 60, 1000])
def test_the_time_uniform_bound_is_below_clopper_pearson(n: int) -> None:
    k = np.arange(n + 1)
    uniform = time_uniform_lower(k, n, ALPHA)
    assert (uniform <= clopper_pearson_lower(k, n, ALPHA)).all()
    assert (np.diff(uniform) > 0.0).all()
    assert uniform[0] == 0.0
    assert (uniform <= k / n).all()


def test_the_time_uniform_bound_is_zero_for_a_tiny_alpha() -> None:
    # M(p) stays below 1/α for every representable p, so there is no root.
    assert time_uniform_lower([1, 1], [1, 10**6], 1e-300).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_the_time_uniform_bound_refuses_impossible_counts(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        time_uniform_lower(k, n, ALPHA)


def randomized_failure(n: int, p_P: FloatArray, alpha: float) -> list[float]:
    """Return P(randomised bound > p) over the votes and u, for each p.

    The bound decreases in u. For each count, bisection finds the u below which the bound exceeds p; it is also the
    probability of drawing such a u.
    """
    k = np.arange(n + 1)
    low, high = np.zeros((len(p_P), n + 1)), np.ones((len(p_P), n + 1))
    for _ in range(45):
        middle = 0.5 * (low + high)
        over = randomized_lower(k, n, middle, alpha) > p_P[:, None]
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    shares = [Fraction(p) for p in p_P.tolist()]
    pmf_PK = [[float(math.comb(n, j) * share**j * (1 - share) ** (n - j)) for j in range(n + 1)] for share in shares]
    return [math.fsum(row_K) for row_K in np.array(pmf_PK) * low]


@pytest.mark.parametrize("alpha", [0.3, 0.05])
@pytest.mark.parametrize("n", [1, 4, 14, 40])
def test_the_randomized_bound_fails_with_probability_exactly_alpha(n: int, alpha: float) -> None:
    edges = np.nextafter(clopper_pearson_lower([1, n // 2 + 1, n], n, alpha), 0.0)
    failure_P = randomized_failure(n, np.concatenate([[0.01, 0.2, 0.5, 0.7, 0.95], edges]), alpha)
    # The search for the bound ends within a relative width of about 2⁻⁴⁸. The relative slope of the tail in ln p is
    # below n/(1 − p) = 800, which gives 3·10⁻¹² of α. The bisection adds 2⁻⁴⁵.
    assert failure_P == pytest.approx([alpha] * len(failure_P), rel=1e-11)
    assert max(failure_P) <= alpha * (1.0 + 2.0**-50)


@pytest.mark.parametrize("n", [1, 4, 14, 200])
def test_the_randomized_bound_decreases_in_u_from_the_next_count_to_clopper_pearson(n: int) -> None:
    k, u = np.arange(n + 1), np.linspace(0.0, 1.0, 33)
    bound_UK = randomized_lower(k, n, u[:, None], ALPHA)
    assert (np.diff(bound_UK, axis=0) <= 0.0).all()
    exact = clopper_pearson_lower(k, n, ALPHA)
    # Two searches for the same number, each to a relative width of about 2⁻⁵⁰.
    np.testing.assert_allclose(bound_UK[-1], exact, rtol=1e-12)
    np.testing.assert_allclose(bound_UK[0, :-1], exact[1:], rtol=1e-12)
    assert (bound_UK >= exact).all()
    assert bound_UK[0, -1] == 1.0


def test_the_randomized_bound_of_unanimous_votes_is_one_for_small_u() -> None:
    assert randomized_lower(14, 14, [0.0, ALPHA], ALPHA).tolist() == [1.0, 1.0]
    assert float(randomized_lower(14, 14, 1.01 * ALPHA, ALPHA)) < 1.0


@pytest.mark.parametrize("u", [-0.1, 1.1, float("nan"), [0.5, 2.0]])
def test_the_randomized_bound_refuses_u_out_of_range(u: float | list[float]) -> None:
    with pytest.raises(ValueError, match=r"u must lie in \[0, 1\]"):
        randomized_lower(3, 10, u, ALPHA)


def test_some_of_the_tested_probabilities_are_adjacent_to_a_bound() -> None:
    # This keeps the tests sharp: some pairs of probabilities are one unit apart, on the two sides of a bound.
    firsts = sorted({float(p[0]) for p in truths(3, 14)})
    assert sum(b == math.nextafter(math.nextafter(a, 1.0), 1.0) for a, b in pairwise(firsts)) > 10


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("n", [5, 10, 14])
def test_the_same_votes_may_select_and_certify_a_majority_at_half_alpha(classes: int, n: int) -> None:
    # For p ≤ ½ and k > n/2 the tail P(Bin(n, p) ≥ k) is convex in p, hence at most 2p times its value at p = ½. So all
    # classes with p ≤ ½ together fail with probability at most 2·Σp·α/2 ≤ α, or (1 − p)·α beside a class with p > ½.
    votes_EK = outcomes(n, classes)
    selected_E = votes_EK.argmax(axis=1)
    bounds, row_E = bounds_of_votes(selected_E, votes_EK, ALPHA / 2.0, "one-versus-rest")
    lower_E = bounds.lower_N[row_E]
    for p in truths(classes, n):
        weight_E, total = weights(votes_EK, p)
        wrong = sum(
            weight
            for weight, selected, lower in zip(weight_E, selected_E.tolist(), lower_E.tolist(), strict=True)
            if lower > 0.5 and Fraction(lower) > p[selected]
        )
        assert Fraction(wrong, total) <= Fraction(ALPHA)
