"""Rounding never overstates."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.theory.rounding import floor_decimal, floor_to_float, lower_by_ulps, radius_threshold


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_inward_lowers_every_positive_value_by_less_than_2_to_the_minus_47(value: float) -> None:
    lowered = float(lower_by_ulps(value))
    assert lowered < value
    assert lowered > value * (1 - 2.0**-47)


def test_inward_keeps_zero_and_the_shape() -> None:
    lowered = lower_by_ulps(np.array([[0.0, 1.0], [2.0, 3.0]]))
    assert lowered.shape == (2, 2)
    assert lowered.dtype == np.float64
    assert lowered[0, 0] == 0.0


@given(st.integers(0, 10**30), st.integers(1, 10**20))
def test_floor_to_float_is_the_largest_float_below(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator)
    rounded = floor_to_float(exact)
    assert Fraction(rounded) <= exact < Fraction(math.nextafter(rounded, math.inf))


@given(st.decimals(min_value=0, max_value=1000, allow_nan=False, allow_infinity=False, places=9))
def test_threshold_never_exceeds_the_decimal_that_was_typed(radius: Decimal) -> None:
    threshold = radius_threshold(str(radius))
    assert Fraction(threshold) <= Fraction(radius) < Fraction(math.nextafter(threshold, math.inf))


@given(st.integers(0, 5000), st.integers(1, 255), st.integers(0, 4 * 10**9))
def test_stored_radii_compare_as_exact_rationals_do(k: int, q: int, billionths: int) -> None:
    # k/q and a decimal of nine places that differ do so by at least 1/(255·10⁹), far more than a unit in the last
    # place of a float below 5,000, which is 2⁻⁴⁰: no two of them share a float.
    radius, typed = Fraction(k, q), Fraction(billionths, 10**9)
    stored, threshold = floor_to_float(radius), radius_threshold(f"{Decimal(billionths).scaleb(-9):f}")
    assert (stored >= threshold) == (radius >= typed)
    assert (stored > threshold) == (radius > typed)


def test_a_grid_radius_is_certified_at_its_own_decimal_and_not_above() -> None:
    assert floor_to_float(Fraction(51, 255)) >= radius_threshold("0.2")
    assert floor_to_float(Fraction(51, 255)) < radius_threshold("0.200000001")
    assert floor_to_float(Fraction(76, 255)) < radius_threshold("0.3")


@pytest.mark.parametrize("text", ["", "one", "0,5", "-0.1", "-1e-300", "nan", "inf", "-inf"])
def test_threshold_refuses_what_is_no_radius(text: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        radius_threshold(text)


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [(0.8567, 3, "0.856"), (0.9999, 2, "0.99"), (1.0, 3, "1.000"), (0.0, 2, "0.00"), (2.675, 2, "2.67"), (0.3, 0, "0")],
)
def test_floor_decimal_shows_the_lower_neighbour(value: float, digits: int, shown: str) -> None:
    assert floor_decimal(value, digits) == shown


@given(st.floats(min_value=0, max_value=1e6), st.integers(0, 6))
def test_floor_decimal_never_rounds_up(value: float, digits: int) -> None:
    shown = Decimal(floor_decimal(value, digits))
    assert shown <= Decimal(value) < shown + Decimal(1).scaleb(-digits)
