"""Confidence procedures keep their promise: every outcome of small votes is weighed, none is drawn.

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

# (classes, selection votes, estimation votes). Without selection votes the first class is named beforehand.
SIZES = [(2, 0, 14), (2, 1, 9), (2, 5, 14), (3, 0, 14), (3, 1, 5), (3, 2, 10), (3, 5, 14)]
every_size = pytest.mark.parametrize(("classes", "n0", "n"), SIZES)


@cache
def outcomes(n: int, classes: int) -> IntArray:
    """Every way in which n votes can fall on the classes."""
    rows = [row for row in product(range(n + 1), repeat=classes) if sum(row) == n]
    return np.array(rows, dtype=np.int64)


def weights(votes_EK: IntArray, p: Probabilities) -> tuple[list[int], int]:
    """The multinomial probability of each outcome, as numerators over one denominator."""
    scale = math.lcm(*(share.denominator for share in p))
    numerators = [int(share * scale) for share in p]
    n = int(votes_EK[0].sum())
    ways = [math.factorial(n) // math.prod(map(math.factorial, row)) for row in votes_EK.tolist()]
    powers = [math.prod(a**v for a, v in zip(numerators, row, strict=True)) for row in votes_EK.tolist()]
    return [way * power for way, power in zip(ways, powers, strict=True)], scale**n


def decimals(*shares: str) -> Probabilities:
    return tuple(map(Fraction, shares))


def truths(classes: int, n: int) -> Iterator[Probabilities]:
    """Ordinary and adversarial class probabilities.

    Coverage is worst just below a lower bound that n votes can give, or just above an upper one: there every outcome
    that gives it, or more, is a failure. What is left of 1 goes to the other classes, evenly or to one of them.
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
        # Both of the two bounds at their worst at once.
        for k, j in product(range(1, n + 1, 2), range(0, n, 2)):
            a = Fraction(math.nextafter(float(clopper_pearson_lower(k, n, ALPHA / 2.0)), 0.0))
            b = Fraction(math.nextafter(float(clopper_pearson_upper(j, n, ALPHA / 2.0)), 1.0))
            if a + b <= 1:
                yield a, b, 1 - a - b


@dataclass(frozen=True, eq=False)
class Enumeration:
    """Every pair of a selection and an estimation outcome, row by row, and what was concluded from it."""

    selection_SK: IntArray
    estimation_EK: IntArray
    selected_N: IntArray
    lower_N: FloatArray
    upper_N: FloatArray
    verdicts: Verdicts

    def probability(self, p: Probabilities, fails_N: BoolArray) -> Fraction:
        """The probability of the rows that fail."""
        selection_S, selections = weights(self.selection_SK, p)
        estimation_E, estimations = weights(self.estimation_EK, p)
        fails_SE = fails_N.reshape(len(selection_S), len(estimation_E))
        total = sum(
            weight * sum(estimation_E[e] for e in np.flatnonzero(fails_E).tolist())
            for weight, fails_E in zip(selection_S, fails_SE, strict=True)
        )
        return Fraction(total, selections * estimations)

    def bound_fails(self, p: Probabilities) -> BoolArray:
        """Whether the lower bound exceeds the true probability of the selected class."""
        return self.of_selected([exceeds(self.lower_N, share) for share in p])

    def pair_fails(self, p: Probabilities) -> BoolArray:
        """Whether the lower bound is too high, or the upper one too low for some other class."""
        return self.bound_fails(p) | self.of_selected([exceeds(-self.upper_N, -other) for other in largest_other(p)])

    def radius_fails(self, p: Probabilities) -> BoolArray:
        """Whether a radius was returned that exceeds λ times the true gap of the selected class."""
        gaps = [share - other for share, other in zip(p, largest_other(p), strict=True)]
        over_N = self.of_selected([exceeds(self.verdicts.radius_N, LAMBDA * gap) for gap in gaps])
        return ~self.verdicts.abstained_N & over_N

    def of_selected(self, by_class: list[BoolArray]) -> BoolArray:
        """For each row what is said of its selected class."""
        picked_N: BoolArray = np.take_along_axis(np.array(by_class), self.selected_N[None, :], axis=0)[0]
        return picked_N


def largest_other(p: Probabilities) -> list[Fraction]:
    return [max(share for other, share in enumerate(p) if other != c) for c in range(len(p))]


def exceeds(values_N: FloatArray, limit: Fraction) -> BoolArray:
    """values > limit, exactly: no float lies between a rational and the float nearest to it."""
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
def test_certify_is_wrong_with_probability_at_most_alpha(classes: int, n0: int, n: int) -> None:
    everything = enumerate_all(classes, n0, n, "one-versus-rest")
    for p in truths(classes, n):
        assert everything.probability(p, everything.bound_fails(p)) <= Fraction(ALPHA)
        assert everything.probability(p, everything.radius_fails(p)) <= Fraction(ALPHA)


@every_size
def test_the_two_bounds_of_top_two_hold_together_with_probability_one_minus_alpha(
    classes: int, n0: int, n: int
) -> None:
    everything = enumerate_all(classes, n0, n, "top-two")
    for p in truths(classes, n):
        assert everything.probability(p, everything.pair_fails(p)) <= Fraction(ALPHA)
        assert everything.probability(p, everything.radius_fails(p)) <= Fraction(ALPHA)


def test_a_class_named_beforehand_uses_the_whole_failure_probability_somewhere() -> None:
    # A bound of zero would be valid too. Just below the bound of 12 votes, 12 and more fail: α of the probability, but
    # for the few units in the last place by which the bound is kept on the safe side.
    everything = enumerate_all(3, 0, 14, "one-versus-rest")
    edge = Fraction(math.nextafter(float(clopper_pearson_lower(12, 14, ALPHA)), 0.0))
    p = (edge, (1 - edge) / 2, (1 - edge) / 2)
    assert float(everything.probability(p, everything.bound_fails(p))) == pytest.approx(ALPHA, rel=1e-12)


def test_choosing_the_class_by_the_votes_that_certify_it_fails_too_often() -> None:
    votes_EK = outcomes(14, 2)
    bounds, row_E = bounds_of_votes(votes_EK.argmax(axis=1), votes_EK, ALPHA, "one-versus-rest")
    half = Fraction(1, 2)
    numerators, denominator = weights(votes_EK, (half, half))
    wrong = sum(numerators[e] for e in np.flatnonzero(bounds.lower_N[row_E] > 0.5).tolist())
    # 11 and more of 14 certify, for either class: 2·470/2¹⁴.
    assert Fraction(wrong, denominator) == Fraction(940, 2**14) > Fraction(ALPHA)
    # Other votes for the selection, however few, heal it.
    everything = enumerate_all(2, 1, 14, "one-versus-rest")
    assert everything.probability((half, half), everything.bound_fails((half, half))) == Fraction(470, 2**14)


def test_the_whole_failure_probability_on_each_side_of_top_two_fails_too_often() -> None:
    everything = enumerate_all(3, 0, 14, "top-two", 2.0 * ALPHA)
    a = Fraction(math.nextafter(float(clopper_pearson_lower(1, 14, ALPHA)), 0.0))
    b = Fraction(math.nextafter(float(clopper_pearson_upper(8, 14, ALPHA)), 1.0))
    p = (a, b, 1 - a - b)
    assert everything.probability(p, everything.pair_fails(p)) > Fraction(3, 2) * Fraction(ALPHA)
    # Half on each side is enough, for the same truth.
    halved = enumerate_all(3, 0, 14, "top-two")
    assert halved.probability(p, halved.pair_fails(p)) <= Fraction(ALPHA)


@pytest.mark.parametrize("procedure", ["one-versus-rest", "top-two"])
def test_abstention_and_radius_follow_the_bounds(procedure: Procedure) -> None:
    everything = enumerate_all(3, 5, 14, procedure)
    np.testing.assert_array_equal(everything.verdicts.abstained_N, everything.lower_N <= everything.upper_N)
    np.testing.assert_array_equal(everything.verdicts.radius_N == 0.0, everything.verdicts.abstained_N)
    # Both happen, or the coverage above would say little.
    assert 0 < everything.verdicts.abstained_N.sum() < len(everything.lower_N)


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
def test_top_two_is_the_selected_class_against_the_most_voted_other_one(classes: int, n0: int, n: int) -> None:
    everything = enumerate_all(classes, n0, n, "top-two")
    selected_N = everything.selected_N
    votes_NK = np.tile(everything.estimation_EK, (len(everything.selection_SK), 1))
    others_NK = np.where(np.arange(classes) == selected_N[:, None], -1, votes_NK)
    runner_up = others_NK.max(axis=1)
    lower_N = clopper_pearson_lower(votes_NK[np.arange(len(votes_NK)), selected_N], n, ALPHA / 2.0)
    upper_N = clopper_pearson_upper(runner_up, n, ALPHA / 2.0)
    np.testing.assert_array_equal(everything.lower_N, lower_N)
    # Clamped to 1 − pA, which is rounded up by at most a last digit.
    np.testing.assert_allclose(everything.upper_N, np.minimum(upper_N, 1.0 - lower_N), rtol=2.0**-51)
    assert (everything.upper_N >= np.minimum(upper_N, 1.0 - lower_N)).all()


def test_an_unknown_procedure_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown procedure 'both'"):
        bounds_of_votes(np.array([0]), np.array([[3, 1]]), ALPHA, "both")  # type: ignore[arg-type]


def ever_wrong(bound: Bound, alpha: float, last: int, p_P: FloatArray) -> FloatArray:
    """P(∃ n ≤ last: bound(k_n, n) > p), by following the law of k_n over the paths that were never wrong.

    No stopping rule, whatever votes it looks at, can be wrong more often.
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
    """Ordinary probabilities, and those just below the bounds that can occur."""
    attained = np.concatenate([bound(np.arange(1, n + 1), n, alpha) for n in (1, 2, 3, 10, 30, last)])
    return np.concatenate([[0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999], np.nextafter(attained, 0.0)])


@pytest.mark.parametrize("alpha", [0.5, 0.05, 0.001])
def test_the_time_uniform_bound_holds_whenever_one_stops(alpha: float) -> None:
    last = 60
    p_P = worst_truths(time_uniform_lower, alpha, last)
    wrong_P = ever_wrong(time_uniform_lower, alpha, last, p_P)
    # Every step multiplies and adds: 60 of them are off by 60·3·2⁻⁵³ at most, relatively; sums of 61 terms likewise.
    assert (wrong_P <= alpha * (1.0 + 1e-13)).all()
    # It is no bound of zero: some truth is missed with a good part of α.
    assert wrong_P.max() > 0.4 * alpha


def test_stopping_at_the_first_certificate_breaks_a_bound_for_one_sample_size() -> None:
    # A classifier that tosses a coin must hardly ever be certified: with 60 votes fixed beforehand it is not, with
    # whichever of 60 sample sizes pleases it is.
    half = np.array([0.5])
    fixed = sum(math.comb(60, k) for k in range(61) if clopper_pearson_lower(k, 60, ALPHA) > 0.5) / 2**60
    peeking = float(ever_wrong(clopper_pearson_lower, ALPHA, 60, half)[0])
    uniform = float(ever_wrong(time_uniform_lower, ALPHA, 60, half)[0])
    assert uniform <= ALPHA
    assert fixed <= ALPHA
    assert peeking > 2.0 * ALPHA


def evidence(k: int, n: int, p: float) -> float:
    """M(p), the mean likelihood ratio of all q > p against p.

    With q = sin²θ the prior is uniform in θ, so that M is an ordinary mean, here by Gauss and Legendre.
    """
    nodes, node_weights = np.polynomial.legendre.leggauss(400)
    low = math.asin(math.sqrt(p))
    q = np.sin(low + (math.pi / 2.0 - low) * (nodes + 1.0) / 2.0) ** 2
    # Far below the bound the evidence is beyond all floats; 10³⁰⁰ is large enough.
    ratios = np.exp(np.minimum(k * np.log(q / p) + (n - k) * np.log((1.0 - q) / (1.0 - p)), math.log(1e300)))
    return float((node_weights * ratios).sum() / 2.0)


@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-6])
@pytest.mark.parametrize(("k", "n"), [(1, 1), (1, 3), (7, 7), (13, 20), (2, 60), (60, 60), (150, 200), (999, 1000)])
def test_the_time_uniform_bound_is_where_the_evidence_reaches_one_over_alpha(k: int, n: int, alpha: float) -> None:
    bound = float(time_uniform_lower(k, n, alpha))
    # M changes by a factor of up to n·z/√n for a relative change of p: 2⁻⁴⁵ there is 1e-10 here.
    assert evidence(k, n, bound) == pytest.approx(1.0 / alpha, rel=1e-9)
    # It is the first such point from below.
    assert all(evidence(k, n, bound * share) > 1.0 / alpha for share in (0.1, 0.5, 0.9, 0.99, 0.9999))


@pytest.mark.parametrize("n", [1, 5, 60, 1000])
def test_the_time_uniform_bound_is_the_price_of_stopping(n: int) -> None:
    k = np.arange(n + 1)
    uniform = time_uniform_lower(k, n, ALPHA)
    assert (uniform <= clopper_pearson_lower(k, n, ALPHA)).all()
    assert (np.diff(uniform) > 0.0).all()
    assert uniform[0] == 0.0
    assert (uniform <= k / n).all()


def test_the_time_uniform_bound_is_zero_where_no_probability_is_refuted() -> None:
    # With α below every representable M(p)⁻¹ the search has nothing to bracket.
    assert time_uniform_lower([1, 1], [1, 10**6], 1e-300).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_the_time_uniform_bound_refuses_impossible_counts(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        time_uniform_lower(k, n, ALPHA)


def randomized_failure(n: int, p_P: FloatArray, alpha: float) -> list[float]:
    """P(randomized bound > p) over the votes and over u, for each p.

    The bound falls in u. For each count, the u below which the bound exceeds p is found by bisection: it is also the
    probability of such a u.
    """
    k = np.arange(n + 1)
    low, high = np.zeros((len(p_P), n + 1)), np.ones((len(p_P), n + 1))
    for _ in range(45):
        middle = 0.5 * (low + high)
        over = randomized_lower(k, n, middle, alpha) > p_P[:, None]
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    shares = [Fraction(p) for p in p_P.tolist()]
    law_PK = [[float(math.comb(n, j) * share**j * (1 - share) ** (n - j)) for j in range(n + 1)] for share in shares]
    return [math.fsum(row_K) for row_K in np.array(law_PK) * low]


@pytest.mark.parametrize("alpha", [0.3, 0.05])
@pytest.mark.parametrize("n", [1, 4, 14, 40])
def test_the_randomized_bound_covers_with_exactly_one_minus_alpha(n: int, alpha: float) -> None:
    edges = np.nextafter(clopper_pearson_lower([1, n // 2 + 1, n], n, alpha), 0.0)
    failure_P = randomized_failure(n, np.concatenate([[0.01, 0.2, 0.5, 0.7, 0.95], edges]), alpha)
    # The search for the bound ends within a relative width of 2⁻⁴⁸ or so, and the tail's relative slope against ln p is
    # below n/(1 − p) = 800: 3·10⁻¹² of α; the bisection leaves 2⁻⁴⁵.
    assert failure_P == pytest.approx([alpha] * len(failure_P), rel=1e-11)
    assert max(failure_P) <= alpha * (1.0 + 2.0**-50)


@pytest.mark.parametrize("n", [1, 4, 14, 200])
def test_the_randomized_bound_falls_from_the_next_count_to_clopper_pearson(n: int) -> None:
    k, u = np.arange(n + 1), np.linspace(0.0, 1.0, 33)
    bound_UK = randomized_lower(k, n, u[:, None], ALPHA)
    assert (np.diff(bound_UK, axis=0) <= 0.0).all()
    exact = clopper_pearson_lower(k, n, ALPHA)
    # Two searches for one number, each to a relative width of some 2⁻⁵⁰.
    np.testing.assert_allclose(bound_UK[-1], exact, rtol=1e-12)
    np.testing.assert_allclose(bound_UK[0, :-1], exact[1:], rtol=1e-12)
    assert (bound_UK >= exact).all()
    assert bound_UK[0, -1] == 1.0


def test_a_unanimous_vote_and_a_lucky_draw_give_a_bound_of_one() -> None:
    assert randomized_lower(14, 14, [0.0, ALPHA], ALPHA).tolist() == [1.0, 1.0]
    assert float(randomized_lower(14, 14, 1.01 * ALPHA, ALPHA)) < 1.0


@pytest.mark.parametrize("u", [-0.1, 1.1, float("nan"), [0.5, 2.0]])
def test_the_randomized_bound_refuses_a_draw_outside_the_unit_interval(u: float | list[float]) -> None:
    with pytest.raises(ValueError, match=r"u must lie in \[0, 1\]"):
        randomized_lower(3, 10, u, ALPHA)


def test_adjacent_truths_really_straddle_the_bounds() -> None:
    # The guard of this file's own sharpness: some of its truths are a last digit apart, on the two sides of a bound.
    firsts = sorted({float(p[0]) for p in truths(3, 14)})
    assert sum(b == math.nextafter(math.nextafter(a, 1.0), 1.0) for a, b in pairwise(firsts)) > 10


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("n", [5, 10, 14])
def test_votes_that_select_a_majority_can_certify_it_at_half_alpha(classes: int, n: int) -> None:
    # Of classes with p ≤ ½ a tail P(Bin(n, p) ≥ k) with k > n/2 is at most 2p times that of p = ½, being convex in p:
    # they fail together with probability ≤ 2·Σp·α/2 ≤ α, and beside a class of p > ½ with ≤ (1 − p)·α.
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
