"""Directed rounding: results never exceed the exact value."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.theory.rounding import floor_decimal, floor_to_float, lower_by_ulps, radius_threshold


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_lower_by_ulps_lowers_positive_values_by_less_than_2_to_the_minus_47(value: float) -> None:
    lowered = float(lower_by_ulps(value))
    assert lowered < value
    assert lowered > value * (1 - 2.0**-47)


def test_lower_by_ulps_keeps_zero_and_the_shape() -> None:
    lowered = lower_by_ulps(np.array([[0.0, 1.0], [2.0, 3.0]]))
    assert lowered.shape == (2, 2)
    assert lowered.dtype == np.float64
    assert lowered[0, 0] == 0.0


@given(st.integers(0, 10**30), st.integers(1, 10**20))
def test_floor_to_float_is_the_largest_float_that_is_not_above(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator)
    rounded = floor_to_float(exact)
    assert Fraction(rounded) <= exact < Fraction(math.nextafter(rounded, math.inf))


@given(st.decimals(min_value=0, max_value=1000, allow_nan=False, allow_infinity=False, places=9))
def test_radius_threshold_never_exceeds_the_typed_decimal(radius: Decimal) -> None:
    threshold = radius_threshold(str(radius))
    assert Fraction(threshold) <= Fraction(radius) < Fraction(math.nextafter(threshold, math.inf))


@given(st.integers(0, 5000), st.integers(1, 255), st.integers(0, 4 * 10**9))
def test_stored_radii_and_thresholds_compare_like_exact_rationals(k: int, q: int, billionths: int) -> None:
    # If k/q differs from a decimal with nine places, then by at least 1/(255·10⁹). That is far more than the spacing of
    # floats below 5,000, which is 2⁻⁴⁰, so the two are never rounded to the same float.
    radius, typed = Fraction(k, q), Fraction(billionths, 10**9)
    stored, threshold = floor_to_float(radius), radius_threshold(f"{Decimal(billionths).scaleb(-9):f}")
    assert (stored >= threshold) == (radius >= typed)
    assert (stored > threshold) == (radius > typed)


def test_a_grid_radius_is_certified_at_its_decimal_value_and_not_above() -> None:
    assert floor_to_float(Fraction(51, 255)) >= radius_threshold("0.2")
    assert floor_to_float(Fraction(51, 255)) < radius_threshold("0.200000001")
    assert floor_to_float(Fraction(76, 255)) < radius_threshold("0.3")


@pytest.mark.parametrize("text", ["", "one", "0,5", "-0.1", "-1e-300", "nan", "inf", "-inf"])
def test_radius_threshold_refuses_invalid_text(text: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        radius_threshold(text)


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [(0.8567, 3, "0.856"), (0.9999, 2, "0.99"), (1.0, 3, "1.000"), (0.0, 2, "0.00"), (2.675, 2, "2.67"), (0.3, 0, "0")],
)
def test_floor_decimal_rounds_down(value: float, digits: int, shown: str) -> None:
    assert floor_decimal(value, digits) == shown


@given(st.floats(min_value=0, max_value=1e6), st.integers(0, 6))
def test_floor_decimal_never_rounds_up(value: float, digits: int) -> None:
    shown = Decimal(floor_decimal(value, digits))
    assert shown <= Decimal(value) < shown + Decimal(1).scaleb(-digits)
