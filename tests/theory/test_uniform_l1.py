"""Lee's l1 radius, and an exhaustive check of it for splitting noise on small grids.

Shapes: P grid points, S splits, K classes.
"""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsbench.records import FloatArray, IntArray
from rsbench.smoothing.measures import SplittingSmoothing
from rsbench.theory.probability_bounds import ProbabilityBounds
from rsbench.theory.uniform_l1 import LipschitzL1, lipschitz_l1_radius
from tests.fixtures.small_grids import distances, grid_points
from tests.fixtures.smoothing import FixedDraws


def radii(lower: list[float], half_width: float) -> list[float]:
    values: list[float] = LipschitzL1().radius(ProbabilityBounds.one_versus_rest(lower), half_width).tolist()
    return values


@given(st.floats(0.5, 0.99), st.floats(1e-6, 0.01), st.floats(0.01, 10))
def test_monotone_in_the_bound_and_linear_in_the_half_width(lower: float, more: float, half_width: float) -> None:
    small, large = radii([lower, lower + more], half_width)
    assert small < large
    # Three products are rounded, by 2⁻⁵⁰ together.
    assert radii([lower + more], 3.0 * half_width) == pytest.approx([3.0 * large], rel=2.0**-50)


def test_certainty_gives_the_half_width_and_no_majority_gives_zero() -> None:
    certain, half, less = radii([1.0, 0.5, 0.49], 0.75)
    assert 0.75 * (1 - 2.0**-47) < certain <= 0.75
    assert half == less == 0.0


@pytest.mark.parametrize("lower", [-0.01, -1.0, 1.01])
def test_bounds_out_of_range_are_refused(lower: float) -> None:
    with pytest.raises(ValueError, match="pA must be a probability"):
        radii([0.7, lower], 1.0)


def every_split(levels: int, dims: int) -> FixedDraws:
    """Return all L^d combinations of splits (j + ½)/L of the period, one per row."""
    combinations = torch.tensor(list(product(range(levels), repeat=dims)))
    return FixedDraws(((combinations + 0.5) / levels).to(torch.float32))


def split_codes(q: int, dims: int, levels: int) -> IntArray:
    """Return a code of the noisy copy for each grid point and each combination of splits."""
    measure = SplittingSmoothing(half_width=levels / (2 * q))
    codes = []
    for point in grid_points(q, dims):
        x_BCHW = (torch.tensor(point) / q).to(torch.float32).expand(levels**dims, 1, 1, dims)
        copies_BCHW = measure.perturb(x_BCHW, every_split(levels, dims))
        # With splits at half steps, the middle of every cell is a multiple of 1/(4q).
        steps = (copies_BCHW * 4 * q).round()
        torch.testing.assert_close(steps / (4 * q), copies_BCHW, rtol=0, atol=1e-6)
        codes.append((steps.reshape(-1, dims).long() @ (4 * q + 1) ** torch.arange(dims)).numpy())
    return np.stack(codes)


def violations(radii_P: FloatArray, top_P: IntArray, top_share_P: FloatArray, distance_PP: FloatArray) -> int:
    """Count the pairs of a certified point and a point inside its open ball that has another class or no majority."""
    inside_PP = distance_PP < radii_P[:, None]
    changed_PP = (top_P[None, :] != top_P[:, None]) | (top_share_P[None, :] <= 0.5)
    return int(np.sum(inside_PP & changed_PP))


@pytest.mark.parametrize(("q", "dims", "levels"), [(6, 1, 2), (6, 1, 5), (6, 1, 9), (4, 2, 2), (4, 2, 3), (4, 2, 6)])
def test_no_prediction_changes_inside_a_ball_under_discrete_splitting_noise(q: int, dims: int, levels: int) -> None:
    # Both λ < ½ (levels < q) and λ ≥ ½ are tested. The theorem also holds for this discrete noise, because a step of
    # 1/q in one coordinate crosses one of its L splits.
    codes_PS = split_codes(q, dims, levels)
    distance_PP = distances(q, dims) / q
    generator = np.random.default_rng(5)
    violations_of_doubled_radii, certified = 0, 0
    for share in np.linspace(0.05, 0.95, 60):
        anchor_S = codes_PS[generator.integers(len(codes_PS))]
        table = np.where(np.isin(np.arange((4 * q + 1) ** dims), anchor_S), 0, 1)
        table = np.where(generator.random(table.shape) < 0.3 * share, generator.integers(0, 3, table.shape), table)
        shares_PK = np.stack([(table[codes_PS] == k).mean(axis=1) for k in range(3)], axis=1)
        top_P, top_share_P = shares_PK.argmax(axis=1), shares_PK.max(axis=1)
        radii_P = lipschitz_l1_radius(np.maximum(2.0 * top_share_P - 1.0, 0.0), levels / (2 * q))
        certified += int(np.sum(radii_P > 1 / q))
        assert violations(radii_P, top_P, top_share_P, distance_PP) == 0
        violations_of_doubled_radii += violations(2.0 * radii_P, top_P, top_share_P, distance_PP)
    if levels > 2:
        assert certified > 0
    # The check can fail: radii twice as large are violated.
    assert violations_of_doubled_radii > 0
