"""Cohen's radius."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from rsbench.methods import CERTIFICATES
from rsbench.specs import MeasureSpec
from rsbench.theory.gaussian_l2 import gaussian_l2_radius
from rsbench.theory.rounding import floor_to_float

# (lower bound as a decimal, σ, radius to 25 digits). The last has
# a runner-up's bound of 0.25, above 1 − 0.8, which counts as 0.2.
GOLDEN = [
    ("0.500001", 1.0, 0.000002506628274633625437406725),
    ("0.98", 1.0, 2.053748910631823052937352),
    ("0.99993092", 0.5, 1.90571963590042072286547),
    ("0.8", 1.0, 0.8416212335729142051787061),
]

# (k, n, α, σ, radius): CERTIFY from counts.
GOLDEN_COUNTS = [
    (990, 1000, 0.001, 0.25, 0.4945023955352998031884403),
    (99_000, 100_000, 0.001, 1.0, 2.28999995521376621577944),
    (100_000, 100_000, 0.001, 1.0, 3.811456563389951891502833),
    (100_000, 100_000, 0.001, 0.12, 0.4573747876067942269803399),
    (100_000, 100_000, 0.001, 0.5, 1.905728281694975945751416),
    (5300, 10_000, 0.001, 1.0, 0.03638066303882162700440515),
]


@pytest.mark.parametrize(("lower", "sigma", "golden"), GOLDEN)
def test_golden_radii_are_met_and_never_exceeded(lower: str, sigma: float, golden: float) -> None:
    below = floor_to_float(Fraction(lower))
    radius = float(gaussian_l2_radius(np.array([below]), sigma)[0])
    # A float below ½ + 10⁻⁶ may miss the decimal by 2⁻⁵³, which is 1.2e-10 of what lies above ½.
    assert radius == pytest.approx(golden, rel=2e-10 if below < 0.51 else 1e-12)
    assert radius <= golden


@pytest.mark.parametrize(("k", "n", "alpha", "sigma", "golden"), GOLDEN_COUNTS)
def test_golden_radii_from_counts(k: int, n: int, alpha: float, sigma: float, golden: float) -> None:
    votes_NK = np.array([[k, n - k]])
    measure = MeasureSpec(family="gaussian", sigma=sigma)
    verdicts = CERTIFICATES["cohen"].certify(votes_NK, votes_NK, measure, failure_probability=alpha)
    assert verdicts.predicted_N[0] == 0
    assert not verdicts.abstained_N[0]
    # The radius is Φ⁻¹ of the bound: near ½ the bound's relative error grows by ½/(p − ½), 34 for the last of these.
    assert verdicts.radius_N[0] == pytest.approx(golden, rel=3e-11 if k == 5300 else 2e-12)
    assert verdicts.radius_N[0] <= golden


def test_agrees_with_another_inverse_of_the_normal_law() -> None:
    lower = np.linspace(0.5, 0.9999, 50)
    np.testing.assert_allclose(gaussian_l2_radius(lower, 0.7), 0.7 * norm.isf(1.0 - lower), rtol=1e-11, atol=1e-13)


def test_half_gives_no_radius() -> None:
    assert gaussian_l2_radius(np.array([0.5]), 1.0).tolist() == [0.0]


@given(st.floats(0.5, 0.99), st.floats(1e-6, 0.009), st.floats(0.01, 10))
def test_monotone_in_the_bound_and_linear_in_sigma(lower: float, more: float, sigma: float) -> None:
    small, large = gaussian_l2_radius(np.array([lower, lower + more]), sigma)
    assert small < large
    # Two roundings of a product: 2⁻⁵¹.
    assert gaussian_l2_radius(np.array([lower + more]), 3.0 * sigma)[0] == pytest.approx(3.0 * large, rel=2.0**-51)


@pytest.mark.parametrize("lower", [0.49, 0.0, -1.0, 1.0, 1.5])
def test_bounds_outside_the_half_open_interval_are_refused(lower: float) -> None:
    with pytest.raises(ValueError, match="lower bound"):
        gaussian_l2_radius(np.array([0.7, lower]), 1.0)
