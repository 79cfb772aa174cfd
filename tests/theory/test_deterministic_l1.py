"""The radius of DSSN against its definition, and by exhaustive search for false certificates on small grids.

Shapes: P grid points, L splits, K classes.
"""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.records import IntArray
from rsbench.specs import MeasureSpec
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts
from rsbench.theory.deterministic_l1 import deterministic_l1_steps
from tests.fixtures.small_grids import deterministic_codes, distances, tables, vote_counts


def measure(levels: int) -> MeasureSpec:
    return MeasureSpec(family="deterministic-splitting", sigma=1.0, levels=levels, offsets_seed=0)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=6))
def test_radius_matches_its_definition(votes_K: list[int]) -> None:
    top = votes_K.index(max(votes_K))
    steps = [(votes_K[top] - v - int(other < top)) // 2 for other, v in enumerate(votes_K) if other != top]
    top_N, steps_N = deterministic_l1_steps(np.array([votes_K]))
    assert (top_N[0], steps_N[0]) == (top, min(steps))
    assert steps_N[0] >= 0
    if sum(votes_K) >= 2:
        votes_NK = np.array([votes_K])
        verdicts = CERTIFICATES["dssn"].certify(
            np.zeros_like(votes_NK), votes_NK, measure(sum(votes_K)), images=ImageFacts(q=255)
        )
        assert verdicts.predicted_N.tolist() == [top]
        assert verdicts.abstained_N.tolist() == [False]
        assert Fraction(float(verdicts.radius_N[0])) <= Fraction(min(steps), 255)
        assert verdicts.radius_N[0] == pytest.approx(min(steps) / 255, rel=2.0**-52)


def test_two_classes_are_needed() -> None:
    with pytest.raises(ValueError, match="two classes"):
        deterministic_l1_steps(np.array([[5]]))


def test_a_grid_is_needed() -> None:
    with pytest.raises(ValueError, match="grid"):
        CERTIFICATES["dssn"].certify(np.zeros((1, 2), dtype=np.int64), np.array([[4, 0]]), measure(4))


def test_votes_of_all_splits_are_needed() -> None:
    with pytest.raises(ValueError, match="all 5 splits, got 4 votes"):
        CERTIFICATES["dssn"].certify(
            np.zeros((1, 2), dtype=np.int64), np.array([[4, 0]]), measure(5), images=ImageFacts(q=4)
        )


def steps_without_tie_rule(votes_PK: IntArray) -> IntArray:
    """Return the radius without the tie rule, which is too large."""
    ordered_PK = np.sort(votes_PK, axis=1)
    steps: IntArray = (ordered_PK[:, -1] - ordered_PK[:, -2]) // 2
    return steps


def violations(steps_P: IntArray, top_P: IntArray, distance_PP: IntArray) -> int:
    """Count the pairs of a point and another one inside its closed ball that have different classes."""
    return int(np.sum((distance_PP <= steps_P[:, None]) & (top_P[None, :] != top_P[:, None])))


# For each (q, d), all L from 2 to 3q are tested. The copies come from the smoothing measure itself.
@pytest.mark.parametrize(("q", "dims", "classes"), [(6, 1, 2), (6, 1, 3), (2, 2, 3), (4, 2, 2), (6, 2, 3)])
def test_no_class_changes_inside_any_certified_ball(q: int, dims: int, classes: int) -> None:
    distance_PP = distances(q, dims)
    violations_without_tie_rule, tight, certified = 0, 0, 0
    for levels in range(2, 3 * q + 1):
        codes_PL = deterministic_codes(q, dims, levels, offsets_seed=levels)
        for table_S in tables(codes_PL, classes, count=60, seed=levels):
            votes_PK = vote_counts(codes_PL, table_S, classes)
            verdicts = CERTIFICATES["dssn"].certify(
                np.zeros_like(votes_PK), votes_PK, measure(levels), images=ImageFacts(q=q)
            )
            top_P = votes_PK.argmax(axis=1)
            np.testing.assert_array_equal(verdicts.predicted_N, top_P)
            # The radius is k/q, rounded down by less than half a step, so rounding recovers k.
            steps_P = np.rint(verdicts.radius_N * q).astype(np.int64)
            assert violations(steps_P, top_P, distance_PP) == 0
            violations_without_tie_rule += violations(steps_without_tie_rule(votes_PK), top_P, distance_PP)
            tight += violations(np.where(steps_P > 0, steps_P + 1, 0), top_P, distance_PP)
            certified += int(np.sum(steps_P > 0))
    # The search can fail: some balls are certified, one step more would violate some of them, and the rule without ties
    # gives false certificates.
    assert certified > 0
    assert tight > 0
    assert violations_without_tie_rule > 0
