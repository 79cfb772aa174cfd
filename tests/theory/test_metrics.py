"""Certified accuracy and its curve, the average certified radius, and the envelope of several models."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.records import Ball, StepCurve
from rsbench.theory.metrics import (
    average_certified_radius,
    certified_accuracy,
    certified_counts,
    certified_curve,
    envelope,
    holds,
)

# Of five images with the radii 0.3, 1.2, none, 0.7 and 2, the first, fourth and fifth are classified correctly.
RADII = np.array([0.3, 0.7, 2.0])


def test_a_closed_ball_certifies_at_its_radius_and_an_open_one_does_not() -> None:
    np.testing.assert_array_equal(certified_accuracy(RADII, 5, [0.3, 0.7, 2.0], "closed"), [3 / 5, 2 / 5, 1 / 5])
    np.testing.assert_array_equal(certified_accuracy(RADII, 5, [0.3, 0.7, 2.0], "open"), [2 / 5, 1 / 5, 0.0])


@pytest.mark.parametrize(("ball", "at_its_radius"), [("open", False), ("closed", True)])
def test_radius_holds_below_itself_and_at_itself_if_the_ball_is_closed(ball: Ball, at_its_radius: bool) -> None:
    assert holds(0.5, [0.25, 0.5, np.nextafter(0.5, 1.0)], ball).tolist() == [True, at_its_radius, False]
    assert holds(np.array([[0.5], [np.inf]]), [0.5, 1e308], ball).tolist() == [[at_its_radius, False], [True, True]]


@given(st.lists(st.floats(0, 10), max_size=30))
def test_certified_counts_count_the_radii_that_hold(radii: list[float]) -> None:
    curve = StepCurve(*np.unique(np.array(radii, dtype=np.float64), return_counts=True))
    thresholds = [0.0, 0.5, *radii[:5]]
    balls: tuple[Ball, Ball] = ("open", "closed")
    for ball in balls:
        expected = holds(np.array(radii)[:, None], thresholds, ball).sum(axis=0)
        assert certified_counts(curve, thresholds, ball).tolist() == expected.tolist()


def test_metrics_without_a_certified_image() -> None:
    assert certified_accuracy(np.array([]), 4, [0.0, 1.0], "open").tolist() == [0.0, 0.0]
    assert average_certified_radius(np.array([]), 4) == 0.0


@given(st.lists(st.floats(0, 10), max_size=30), st.integers(0, 10))
def test_certified_accuracy_matches_a_count_image_by_image(radii: list[float], wrong: int) -> None:
    images = len(radii) + wrong + 1
    thresholds = [0.0, 0.5, 3.0, *radii[:3]]
    for ball, compare in (("open", np.greater), ("closed", np.greater_equal)):
        expected = [sum(bool(compare(r, t)) for r in radii) / images for t in thresholds]
        measured = certified_accuracy(np.sort(radii), images, thresholds, "open" if ball == "open" else "closed")
        np.testing.assert_array_equal(measured, expected)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=20))
def test_the_average_is_the_area_under_the_curve(radii: list[float]) -> None:
    ascending = np.sort(radii)
    # The curve is a step function that falls at each radius. The area is the sum of height times width of its steps.
    edges = np.concatenate([[0.0], ascending])
    heights = certified_accuracy(ascending, len(radii), edges[:-1], "open")
    area = float(np.sum(heights * np.diff(edges)))
    # The rounding error of 20 terms below 10 is less than 20·10·2⁻⁵².
    assert average_certified_radius(ascending, len(radii)) == pytest.approx(area, rel=1e-13, abs=1e-13)


def test_one_infinite_radius_makes_the_average_infinite() -> None:
    assert average_certified_radius(np.array([0.5, math.inf]), 5) == math.inf
    assert certified_accuracy(np.array([0.5, math.inf]), 5, [1e308, math.inf], "open").tolist() == [0.2, 0.0]
    assert certified_accuracy(np.array([0.5, math.inf]), 5, math.inf, "closed") == 0.2


@given(st.lists(st.floats(0, 10), max_size=40), st.integers(0, 9))
def test_the_average_is_rounded_down_to_the_nearest_float(radii: list[float], wrong: int) -> None:
    images = len(radii) + wrong + 1
    average = average_certified_radius(np.sort(radii), images)
    exact = sum(map(Fraction, radii), Fraction(0)) / images
    assert Fraction(average) <= exact < Fraction(math.nextafter(average, math.inf))


def test_curves_of_the_example() -> None:
    corners, share = certified_curve(RADII, 5, "open")
    assert corners.tolist() == [0.0, 0.3, 0.7, 2.0]
    assert share.tolist() == [3 / 5, 2 / 5, 1 / 5, 0.0]
    corners, share = certified_curve(RADII, 5, "closed")
    assert corners.tolist() == [0.0, 0.3, 0.7, 2.0]
    assert share.tolist() == [3 / 5, 3 / 5, 2 / 5, 1 / 5]


@pytest.mark.parametrize(("ball", "at_zero"), [("open", 1 / 4), ("closed", 3 / 4)])
def test_equal_radii_and_radii_of_zero_give_one_corner(ball: Ball, at_zero: float) -> None:
    # For a correct image with radius 0, an open ball certifies nothing, a closed one the image itself.
    corners, share = certified_curve(np.array([0.0, 0.0, 0.5]), 4, ball)
    assert corners.tolist() == [0.0, 0.5]
    assert share.tolist() == [at_zero, {"open": 0.0, "closed": 1 / 4}[ball]]


@pytest.mark.parametrize("ball", ["open", "closed"])
def test_the_curve_without_radii_is_one_point(ball: Ball) -> None:
    corners, share = certified_curve(np.array([]), 4, ball)
    assert (corners.tolist(), share.tolist()) == ([0.0], [0.0])


@pytest.mark.parametrize("ball", ["open", "closed"])
@given(st.lists(st.integers(0, 12), max_size=20), st.integers(0, 5), st.floats(0, 4))
def test_the_curve_is_constant_between_its_corners(ball: Ball, steps: list[int], wrong: int, at: float) -> None:
    radii = np.sort(np.array(steps, dtype=np.float64)) / 4.0
    images = len(steps) + wrong + 1
    corners, share = certified_curve(radii, images, ball)
    # The value at a corner holds up to the next one for open balls, and from just above the previous one for closed.
    corner = np.searchsorted(corners, at, side="right") - 1 if ball == "open" else np.searchsorted(corners, at)
    expected = share[corner] if corner < len(corners) else 0.0
    assert float(certified_accuracy(radii, images, at, ball)) == expected


def test_the_envelope_has_the_best_model_at_each_radius() -> None:
    best = envelope(np.array([[0.9, 0.5, 0.1, 0.0], [0.7, 0.6, 0.4, 0.0], [0.4, 0.4, 0.4, 0.3]]))
    assert best.accuracy_T.tolist() == [0.9, 0.6, 0.4, 0.3]
    # At the third radius two models are equal, and the first is returned.
    assert best.model_T.tolist() == [0, 1, 1, 2]


def test_the_envelope_of_one_model_is_that_model() -> None:
    best = envelope(np.array([[0.5, 0.25]]))
    assert (best.accuracy_T.tolist(), best.model_T.tolist()) == ([0.5, 0.25], [0, 0])


def test_the_envelope_over_no_radii_is_empty() -> None:
    best = envelope(np.zeros((3, 0)))
    assert best.accuracy_T.shape == best.model_T.shape == (0,)


def test_the_envelope_of_no_model_is_refused() -> None:
    with pytest.raises(ValueError, match="an envelope needs at least one model"):
        envelope(np.zeros((0, 4)))


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 1000))
def test_no_model_is_above_the_envelope(models: int, radii: int, seed: int) -> None:
    accuracy_MT = np.random.default_rng(seed).integers(0, 4, (models, radii)) / 3.0
    best = envelope(accuracy_MT)
    assert (best.accuracy_T >= accuracy_MT).all()
    for t, model in enumerate(best.model_T):
        assert accuracy_MT[model, t] == best.accuracy_T[t]
        assert (accuracy_MT[:model, t] < best.accuracy_T[t]).all()
