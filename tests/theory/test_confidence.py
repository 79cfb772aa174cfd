"""Clopper–Pearson bounds against statsmodels and exact arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from rsbench.theory.confidence import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    hoeffding_width,
    smallest_certifying_n,
)


def exact_tail(k: int, n: int, p: float) -> Fraction:
    """Return P(Bin(n, p) ≥ k) as an exact rational, for a float p."""
    numerator, denominator = p.as_integer_ratio()
    other = denominator - numerator
    terms = (math.comb(n, i) * numerator**i * other ** (n - i) for i in range(k, n + 1))
    return Fraction(sum(terms), denominator**n)


@pytest.mark.parametrize("n", [1, 2, 10, 100, 1000, 100_000])
@pytest.mark.parametrize("alpha", [0.05, 0.001, 1e-6])
def test_agrees_with_statsmodels_at_twice_the_failure_probability(n: int, alpha: float) -> None:
    k = np.unique(np.linspace(0, n, 41).astype(np.int64))
    lower, upper = proportion_confint(k, n, alpha=2 * alpha, method="beta")
    # Both invert the incomplete beta function, which is accurate to about 1e-13 for these n.
    np.testing.assert_allclose(clopper_pearson_lower(k, n, alpha), lower, rtol=1e-12, atol=0)
    np.testing.assert_allclose(clopper_pearson_upper(k, n, alpha), upper, rtol=1e-12, atol=0)


@pytest.mark.parametrize("alpha", [0.05, 0.001, 0.0005])
@pytest.mark.parametrize("n", [1, 7, 100])
def test_the_exact_binomial_tail_at_the_bound_never_exceeds_alpha(n: int, alpha: float) -> None:
    # Rational arithmetic, so neither side of the comparison is rounded.
    bounds = clopper_pearson_lower(np.arange(n + 1), n, alpha)
    assert all(exact_tail(k, n, float(bounds[k])) <= Fraction(alpha) for k in range(1, n + 1))
    # P(Bin(n, p) ≤ k) = 1 − P(Bin(n, p) ≥ k + 1).
    bounds = clopper_pearson_upper(np.arange(n + 1), n, alpha)
    assert all(1 - exact_tail(k + 1, n, float(bounds[k])) <= Fraction(alpha) for k in range(n))


def test_the_exact_tail_where_the_incomplete_beta_function_is_least_accurate() -> None:
    # The relative error is largest for about half the votes and a small α.
    for k, n, alpha in [(266, 478, 1e-6), (264, 484, 1e-6), (240, 464, 1e-6), (273, 546, 1e-12)]:
        assert exact_tail(k, n, float(clopper_pearson_lower(k, n, alpha))) <= Fraction(alpha)
        assert 1 - exact_tail(n - k + 1, n, float(clopper_pearson_upper(n - k, n, alpha))) <= Fraction(alpha)


@pytest.mark.parametrize("k", [375, 708, 999, 1000])
def test_the_exact_tail_at_a_thousand_votes(k: int) -> None:
    bound = float(clopper_pearson_lower(k, 1000, 0.0005))
    assert exact_tail(k, 1000, bound) <= Fraction(0.0005)
    # The bound is not lower than necessary: slightly above it, the tail exceeds α.
    assert exact_tail(k, 1000, bound * (1 + 1e-11)) > Fraction(0.0005)


@pytest.mark.parametrize("p", [0.01, 0.3, 0.5, 0.62, 0.9, 0.999])
@pytest.mark.parametrize("n", [1, 5, 20, 60])
def test_coverage_by_enumeration_of_every_outcome(n: int, p: float) -> None:
    # P(bound > p), summed exactly over all counts, must be at most α.
    numerator, denominator = p.as_integer_ratio()
    bounds = clopper_pearson_lower(np.arange(n + 1), n, 0.05)
    wrong = sum(
        Fraction(math.comb(n, k) * numerator**k * (denominator - numerator) ** (n - k), denominator**n)
        for k in range(n + 1)
        if bounds[k] > p
    )
    assert wrong <= Fraction(0.05)


@given(st.integers(1, 5000), st.floats(1e-9, 0.4), st.data())
def test_the_upper_bound_is_the_mirror_image_of_the_lower(n: int, alpha: float, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    upper, mirrored = float(clopper_pearson_upper(k, n, alpha)), 1.0 - float(clopper_pearson_lower(n - k, n, alpha))
    # 1 − lower is rounded by 2⁻⁵³ in absolute terms.
    assert upper == pytest.approx(mirrored, rel=1e-12, abs=2.0**-52)
    assert k / n < upper <= 1.0 or k == n


def test_bounds_are_valid_where_scipy_finds_no_root() -> None:
    # For so small an α, the bounds are crude but valid.
    lower, upper = clopper_pearson_lower(2, 12, 2.6380260011601153e-216), clopper_pearson_upper(10, 12, 2.6e-216)
    assert 0.0 <= lower < 1e-100
    assert 1.0 - 1e-15 < upper <= 1.0


def test_the_failure_probability_is_attained() -> None:
    # A bound of zero would pass the coverage tests. At p just above a bound, the failure probability is α itself.
    bound = float(clopper_pearson_lower(45, 60, 0.05))
    assert exact_tail(45, 60, bound) == pytest.approx(0.05, rel=1e-11)


@given(st.integers(1, 5000), st.data())
def test_bound_increases_with_the_votes(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n - 1))
    lower, higher = clopper_pearson_lower([k, k + 1], n, 0.001)
    assert 0.0 <= lower < higher < 1.0
    assert lower <= k / n


@given(st.integers(1, 5000), st.data())
def test_bound_decreases_with_votes_for_other_classes(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    assert clopper_pearson_lower(k, n + 1, 0.001) < clopper_pearson_lower(k, n, 0.001)


@given(st.integers(1, 2000), st.floats(1e-9, 0.4), st.data())
def test_bound_increases_with_alpha(n: int, alpha: float, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    assert clopper_pearson_lower(k, n, alpha) < clopper_pearson_lower(k, n, 2 * alpha)


def test_unanimous_votes_give_the_nth_root_of_alpha() -> None:
    assert float(clopper_pearson_lower(50, 50, 0.01)) == pytest.approx(0.01 ** (1 / 50), rel=1e-13)


def test_shapes_are_kept() -> None:
    assert clopper_pearson_lower(np.zeros((2, 3), dtype=np.int64), 4, 0.1).shape == (2, 3)
    assert clopper_pearson_lower(np.zeros(0, dtype=np.int64), 4, 0.1).shape == (0,)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_failure_probability_out_of_range_is_refused(alpha: float) -> None:
    for bound in (clopper_pearson_lower, clopper_pearson_upper):
        with pytest.raises(ValueError, match="failure probability"):
            bound(1, 2, alpha)
    with pytest.raises(ValueError, match="failure probability"):
        hoeffding_width(2, alpha)


@pytest.mark.parametrize("k", [-1, 11, [5, 11], 2.5, float("nan")])
def test_impossible_counts_are_refused(k: float | list[int]) -> None:
    for bound in (clopper_pearson_lower, clopper_pearson_upper):
        with pytest.raises(ValueError, match=r"whole numbers in 0\.\.n .* of n = 10"):
            bound(k, 10, 0.001)


@pytest.mark.parametrize("n", [0, -1])
def test_n_below_one_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match="n ≥ 1"):
        clopper_pearson_lower(0, n, 0.001)
    with pytest.raises(ValueError, match="at least 1"):
        hoeffding_width(n, 0.001)


# For α = 2⁻¹⁰, ten unanimous votes give a bound of exactly ½, which does not certify.
@pytest.mark.parametrize(("alpha", "n"), [(0.001, 10), (0.05, 5), (0.4, 2), (0.6, 1), (2.0**-10, 11), (1e-9, 30)])
def test_smallest_certifying_n(alpha: float, n: int) -> None:
    assert smallest_certifying_n(alpha) == n
    assert clopper_pearson_lower(n, n, alpha) > 0.5
    assert n == 1 or clopper_pearson_lower(n - 1, n - 1, alpha) <= 0.5


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 2.0])
def test_smallest_certifying_n_refuses_an_invalid_alpha(alpha: float) -> None:
    with pytest.raises(ValueError, match=r"failure probability|domain"):
        smallest_certifying_n(alpha)
