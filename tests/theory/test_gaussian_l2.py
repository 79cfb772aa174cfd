"""Cohen's l2 radius."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from rsbench.theory.gaussian_l2 import GaussianL2, gaussian_l2_radius
from rsbench.theory.probability_bounds import ProbabilityBounds


def radius(lower: float, upper: float | None = None, std: float = 1.0) -> float:
    bounds = ProbabilityBounds.one_versus_rest(lower) if upper is None else ProbabilityBounds.two_sided(lower, upper)
    return float(GaussianL2().radius(bounds, std)[0])


def test_agrees_with_scipy_stats() -> None:
    lower = np.linspace(0.5, 0.9999, 50)
    measured = gaussian_l2_radius(ProbabilityBounds.one_versus_rest(lower), 0.7)
    np.testing.assert_allclose(measured, np.asarray(0.7 * norm.isf(1.0 - lower)), rtol=1e-11, atol=1e-13)


def test_two_sided_radius_agrees_with_scipy_stats() -> None:
    lower, upper = np.linspace(0.3, 0.9, 50), np.linspace(0.2, 0.05, 50)
    measured = gaussian_l2_radius(ProbabilityBounds.two_sided(lower, upper), 0.7)
    np.testing.assert_allclose(measured, np.asarray(0.35 * (norm.ppf(lower) - norm.ppf(upper))), rtol=1e-11)


def test_no_majority_gives_no_radius() -> None:
    assert radius(0.5) == 0.0
    assert radius(0.49) == 0.0
    assert radius(0.0) == 0.0
    assert radius(0.3, 0.3) == 0.0
    assert radius(0.3, 0.6) == 0.0


def test_a_class_below_one_half_is_certified_against_a_smaller_runner_up() -> None:
    assert radius(0.3, 0.1) == pytest.approx(0.5 * (norm.ppf(0.3) - norm.ppf(0.1)), rel=1e-12)


@given(st.floats(0.5, 0.99), st.floats(1e-6, 0.009), st.floats(0.01, 10))
def test_monotone_in_the_bound_and_linear_in_sigma(lower: float, more: float, sigma: float) -> None:
    small, large = radius(lower, std=sigma), radius(lower + more, std=sigma)
    assert small < large
    # Two products are rounded, by 2⁻⁵¹ together.
    assert radius(lower + more, std=3.0 * sigma) == pytest.approx(3.0 * large, rel=2.0**-51)


def test_the_radius_is_infinite_only_at_certainty() -> None:
    assert radius(1.0) == math.inf
    assert radius(1.0, 0.0) == math.inf
    # Φ⁻¹(1 − 2⁻⁵³) = 8.2095…
    assert 8.2 < radius(1.0 - 2.0**-53) < 8.21
    # An exact bound keeps 1 − pA even where no float near 1 could: Φ⁻¹(1 − 10⁻¹⁰⁰) = 21.27….
    nearly_certain = ProbabilityBounds.exact(1 - Fraction(1, 10**100))
    assert gaussian_l2_radius(nearly_certain, 1.0)[0] == pytest.approx(-norm.ppf(1e-100), rel=1e-12)


@pytest.mark.parametrize("lower", [0.4, 0.6, 1.0 - 2.0**-53])
def test_an_observed_frequency_of_zero_as_upper_bound_is_refused(lower: float) -> None:
    with pytest.raises(ValueError, match="plugged-in frequency"):
        radius(lower, 0.0)


@pytest.mark.parametrize("lower", [-1.0, -1e-300, 1.0 + 2.0**-52, 1.5, float("nan")])
def test_bounds_out_of_range_are_refused(lower: float) -> None:
    with pytest.raises(ValueError, match=r"pA must be a probability in \[0, 1\]"):
        ProbabilityBounds.one_versus_rest([0.7, lower])
    with pytest.raises(ValueError, match=r"p[AB] must be a probability in \[0, 1\]"):
        ProbabilityBounds.two_sided([0.7, 0.6], [0.2, lower])
