"""DSSN's radius: its rule, and no false certificate on small grids, by exhaustion.

Shapes: P grid points, L bases, K classes.
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
def test_matches_the_rule_written_out_class_by_class(votes_K: list[int]) -> None:
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


def test_needs_two_classes() -> None:
    with pytest.raises(ValueError, match="two classes"):
        deterministic_l1_steps(np.array([[5]]))


def test_needs_a_grid() -> None:
    with pytest.raises(ValueError, match="grid"):
        CERTIFICATES["dssn"].certify(np.zeros((1, 2), dtype=np.int64), np.array([[4, 0]]), measure(4))


def test_needs_the_votes_of_every_base() -> None:
    with pytest.raises(ValueError, match="all 5 splits, got 4 votes"):
        CERTIFICATES["dssn"].certify(
            np.zeros((1, 2), dtype=np.int64), np.array([[4, 0]]), measure(5), images=ImageFacts(q=4)
        )


def steps_without_tie_rule(votes_PK: IntArray) -> IntArray:
    """What the radius would be if a class of lower index did not win ties: false."""
    ordered_PK = np.sort(votes_PK, axis=1)
    steps: IntArray = (ordered_PK[:, -1] - ordered_PK[:, -2]) // 2
    return steps


def violations(steps_P: IntArray, top_P: IntArray, between_PP: IntArray) -> int:
    """Pairs of a point and another inside its closed ball that have different classes."""
    return int(np.sum((between_PP <= steps_P[:, None]) & (top_P[None, :] != top_P[:, None])))


# Every L from 2 to 3q is visited for each (q, d); the grid and its copies go through the real sampler.
@pytest.mark.parametrize(("q", "dims", "classes"), [(6, 1, 2), (6, 1, 3), (2, 2, 3), (4, 2, 2), (6, 2, 3)])
def test_no_class_changes_inside_any_certified_ball(q: int, dims: int, classes: int) -> None:
    between_PP = distances(q, dims)
    caught, tight, certified = 0, 0, 0
    for levels in range(2, 3 * q + 1):
        codes_PL = deterministic_codes(q, dims, levels, offsets_seed=levels)
        for table_S in tables(codes_PL, classes, count=60, seed=levels):
            votes_PK = vote_counts(codes_PL, table_S, classes)
            verdicts = CERTIFICATES["dssn"].certify(
                np.zeros_like(votes_PK), votes_PK, measure(levels), images=ImageFacts(q=q)
            )
            top_P = votes_PK.argmax(axis=1)
            np.testing.assert_array_equal(verdicts.predicted_N, top_P)
            # The radius is k/q rounded down by less than half a step: rounding brings k back.
            steps_P = np.rint(verdicts.radius_N * q).astype(np.int64)
            assert violations(steps_P, top_P, between_PP) == 0
            caught += violations(steps_without_tie_rule(votes_PK), top_P, between_PP)
            tight += violations(np.where(steps_P > 0, steps_P + 1, 0), top_P, between_PP)
            certified += int(np.sum(steps_P > 0))
    # The exhaustion has teeth: it certifies something, it finds a class one step past a ball, and it finds the false
    # certificates of the rule without ties.
    assert certified > 0
    assert tight > 0
    assert caught > 0
