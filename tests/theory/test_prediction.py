"""PREDICT: p-values against scipy and exact arithmetic, and the probability of returning a wrong class."""

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from rsbench.records import IntArray
from rsbench.theory.confidence import tail_error
from rsbench.theory.prediction import predict, two_sided_coin_test


@cache
def exact_p_value(a: int, b: int) -> Fraction:
    """Return min(1, 2·P(Bin(a+b, ½) ≥ max(a, b))) in exact arithmetic."""
    # Starting from the unanimous outcome, each binomial coefficient follows from the one before.
    ways, total = 1, 1
    for other in range(1, min(a, b) + 1):
        ways = ways * (a + b - other + 1) // other
        total += ways
    return min(Fraction(1), Fraction(2 * total, 2 ** (a + b)))


def all_votes(n: int, classes: int) -> IntArray:
    return np.array([row for row in product(range(n + 1), repeat=classes) if sum(row) == n], dtype=np.int64)


def weight(votes_K: list[int], p: tuple[Fraction, ...]) -> Fraction:
    ways = math.factorial(sum(votes_K)) // math.prod(map(math.factorial, votes_K))
    return ways * math.prod((share**v for share, v in zip(p, votes_K, strict=True)), start=Fraction(1))


@pytest.mark.parametrize("total", [1, 2, 3, 10, 61, 100, 1_000, 100_000])
def test_p_values_agree_with_scipy(total: int) -> None:
    larger = np.unique(np.linspace(total // 2, total, 40).astype(np.int64))
    measured = two_sided_coin_test(larger, total - larger)
    oracle = np.array([binomtest(int(a), total).pvalue for a in larger])
    # Both may be off by the rounding error of a tail, and ours is raised by as much. Below 1e-300 both underflow.
    assert (np.abs(measured - oracle) <= 3.0 * tail_error(total, measured) * measured + 1e-300).all()
    assert tail_error(total, 1e-300).max() < 1e-9


def test_p_values_are_never_below_the_exact_value_and_hardly_above_it() -> None:
    pairs = [(a, b) for a in range(71) for b in range(71) if a + b > 0]
    pairs += [(a, 1000 - a) for a in range(500, 1001, 20)] + [(2000, 1), (3000, 0), (5100, 4900), (9000, 1000)]
    first, second = np.array(pairs).T
    for (a, b), p_value in zip(pairs, two_sided_coin_test(first, second).tolist(), strict=True):
        exact = exact_p_value(a, b)
        assert exact <= Fraction(p_value)
        # The p-value is raised by the possible error of the tail, and the tail may have been off by as much.
        slack = 2.0 * float(tail_error(a + b, p_value))
        assert p_value <= float(exact) * (1.0 + slack) + 1e-300


@pytest.mark.parametrize(
    ("a", "b", "p_value"), [(0, 0, 1.0), (1, 0, 1.0), (0, 5, 2 / 32), (6, 0, 2 / 64), (9, 1, 22 / 1024), (7, 7, 1.0)]
)
def test_p_value_examples(a: int, b: int, p_value: float) -> None:
    assert float(two_sided_coin_test(a, b)) == pytest.approx(p_value, rel=1e-14)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_p_values_are_symmetric(a: int, b: int) -> None:
    assert float(two_sided_coin_test(a, b)) == float(two_sided_coin_test(b, a))


@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.001])
@pytest.mark.parametrize(("n", "classes"), [(40, 2), (14, 3), (9, 4)])
def test_a_class_is_returned_exactly_when_its_p_value_allows(n: int, classes: int, alpha: float) -> None:
    votes_NK = all_votes(n, classes)
    predictions = predict(votes_NK, alpha)
    for votes_K, predicted, abstained in zip(
        votes_NK.tolist(), predictions.predicted_N, predictions.abstained_N, strict=True
    ):
        second, first = sorted(votes_K)[-2:]
        # No p-value of so few votes is within rounding error of these α.
        assert bool(abstained) == (exact_p_value(first, second) > Fraction(alpha))
        assert votes_K[predicted] == first
    np.testing.assert_array_equal(predictions.abstained_N, predictions.p_value_N > alpha)


def test_rounding_can_only_add_an_abstention() -> None:
    # Five votes to none have the p-value 2⁻⁴, which is rounded up and so exceeds an α of 2⁻⁴.
    votes_NK = np.array([[5, 0, 0]])
    assert predict(votes_NK, 2.0**-4).abstained_N.tolist() == [True]
    assert predict(votes_NK, 2.0**-4 * (1.0 + 2.0**-40)).abstained_N.tolist() == [False]
    assert predict(votes_NK, 2.0**-4 * (1.0 - 2.0**-53)).abstained_N.tolist() == [True]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=4), st.integers(1, 50), st.floats(1e-9, 0.999))
def test_ties_abstain(others: list[int], top: int, alpha: float) -> None:
    votes_NK = np.array([[top, *(min(v, top) for v in others), top]])
    assert predict(votes_NK, alpha).abstained_N.tolist() == [True]
    assert predict(votes_NK, alpha).p_value_N.tolist() == [1.0]


def truths(classes: int) -> Iterator[tuple[Fraction, ...]]:
    """Yield class probabilities whose top class leads by a tiny, a small and a large margin."""
    for lead in (Fraction(1, 10**9), Fraction(1, 100), Fraction(1, 5)):
        # If all other classes are equal, there are the most ways to be wrong.
        yield tuple([(1 + lead * (classes - 1)) / classes] + [(1 - lead) / classes] * (classes - 1))
        # One rival, and other classes with tiny probabilities.
        tiny = [Fraction(1, 1000)] * (classes - 2)
        rest = 1 - sum(tiny, Fraction(0))
        yield (rest * (1 - lead) / 2, rest * (1 + lead) / 2, *tiny)


def wrong_class(n: int, p: tuple[Fraction, ...], alpha: float) -> Fraction:
    """Return the exact probability of returning a class that is not the most probable one."""
    votes_NK = all_votes(n, len(p))
    predictions = predict(votes_NK, alpha)
    top = p.index(max(p))
    wrong_N = ~predictions.abstained_N & (predictions.predicted_N != top)
    return sum((weight(votes_K, p) for votes_K in votes_NK[wrong_N].tolist()), Fraction(0))


@pytest.mark.parametrize("alpha", [0.3, 0.1, 0.05])
@pytest.mark.parametrize(("n", "classes"), [(5, 2), (40, 2), (14, 3), (10, 4)])
def test_a_wrong_class_is_returned_with_probability_at_most_alpha(n: int, classes: int, alpha: float) -> None:
    for p in truths(classes):
        assert wrong_class(n, p, alpha) <= Fraction(alpha)


def test_the_most_voted_class_without_abstention_is_wrong_far_more_often() -> None:
    # This shows that the test above can fail: without a significance test, more than half of the answers are wrong.
    p = next(truths(3))
    votes_NK = all_votes(14, 3)
    wrong_N = votes_NK.argmax(axis=1) != 0
    assert sum(weight(votes_K, p) for votes_K in votes_NK[wrong_N].tolist()) > Fraction(1, 2)
    assert wrong_class(14, p, 0.3) > Fraction(1, 20)


def test_no_images_give_no_predictions() -> None:
    predictions = predict(np.zeros((0, 3), dtype=np.int64), 0.05)
    assert predictions.predicted_N.shape == predictions.abstained_N.shape == predictions.p_value_N.shape == (0,)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_a_failure_probability_out_of_range_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="failure probability"):
        predict(np.array([[3, 1]]), alpha)


@pytest.mark.parametrize("shape", [(4,), (4, 1), (2, 2, 2)])
def test_votes_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="N×K array with K ≥ 2"):
        predict(np.ones(shape, dtype=np.int64), 0.05)


@pytest.mark.parametrize("votes", [[[3, -1]], [[3, 1], [0, 0]]])
def test_impossible_votes_are_refused(votes: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="must not be negative, and every image needs at least one vote"):
        predict(np.array(votes), 0.05)
