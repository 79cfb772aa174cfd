"""Certified accuracy and the average certified radius."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.theory.metrics import average_certified_radius, certified_accuracy

# Five images: radii 0.3, 1.2, none, 0.7 and 2; the first, fourth and fifth are classified correctly.
RADII = np.array([0.3, 0.7, 2.0])


@pytest.mark.parametrize(("threshold", "share"), [(0.0, 3 / 5), (0.5, 2 / 5), (2.0, 0.0)])
def test_golden_values_of_open_balls(threshold: float, share: float) -> None:
    assert float(certified_accuracy(RADII, 5, threshold, "open")) == share


def test_a_closed_ball_certifies_at_its_radius_and_an_open_one_does_not() -> None:
    np.testing.assert_array_equal(certified_accuracy(RADII, 5, [0.3, 0.7, 2.0], "closed"), [3 / 5, 2 / 5, 1 / 5])
    np.testing.assert_array_equal(certified_accuracy(RADII, 5, [0.3, 0.7, 2.0], "open"), [2 / 5, 1 / 5, 0.0])


def test_golden_value_of_the_average() -> None:
    assert average_certified_radius(RADII, 5) == pytest.approx(0.6, rel=1e-15)


def test_no_certified_image() -> None:
    assert certified_accuracy(np.array([]), 4, [0.0, 1.0], "open").tolist() == [0.0, 0.0]
    assert average_certified_radius(np.array([]), 4) == 0.0


@given(st.lists(st.floats(0, 10), max_size=30), st.integers(0, 10))
def test_matches_a_count_one_by_one(radii: list[float], wrong: int) -> None:
    images = len(radii) + wrong + 1
    thresholds = [0.0, 0.5, 3.0, *radii[:3]]
    for ball, holds in (("open", np.greater), ("closed", np.greater_equal)):
        expected = [sum(bool(holds(r, t)) for r in radii) / images for t in thresholds]
        measured = certified_accuracy(np.sort(radii), images, thresholds, "open" if ball == "open" else "closed")
        np.testing.assert_array_equal(measured, expected)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=20))
def test_the_average_is_the_area_under_the_curve(radii: list[float]) -> None:
    ascending = np.sort(radii)
    # The curve is a staircase that falls at each radius: its height before a step times the step's width.
    edges = np.concatenate([[0.0], ascending])
    heights = certified_accuracy(ascending, len(radii), edges[:-1], "open")
    area = float(np.sum(heights * np.diff(edges)))
    # Sums of at most 20 terms below 10: an error of 20·10·2⁻⁵² is generous.
    assert average_certified_radius(ascending, len(radii)) == pytest.approx(area, rel=1e-13, abs=1e-13)
