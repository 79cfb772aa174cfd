"""Splitting measures against the closed form, published values and the definition in rational arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsbench.smoothing.measures import DeterministicSplittingSmoothing, GridSplittingSmoothing, SplittingSmoothing
from rsbench.smoothing.randomness import KeyedRandom, Stage
from tests.fixtures.smoothing import FixedDraws, numbered_copies

# (pixel in steps, split index j, L, q, midpoint of the cell)
GOLDEN_MIDPOINTS = [
    (1, 3, 5, 4, Fraction(7, 16)),
    (0, 0, 4, 4, Fraction(1, 16)),
    (2, 4, 8, 4, Fraction(1, 2)),
    (1, 0, 2, 4, Fraction(3, 8)),
    (4, 1, 3, 4, Fraction(11, 16)),
    (128, 128, 255, 255, Fraction(257, 1020)),
    (10, 10, 132, 255, Fraction(7, 340)),
    (77, 300, 883, 255, Fraction(1, 2)),
]


def cell_midpoint(x: Fraction, split: Fraction, period: Fraction) -> Fraction:
    """The midpoint of the cell (low, high] of x, where [0,1] is divided at split + period·n for every integer n."""
    points = [split + period * n for n in range(math.floor((0 - split) / period), math.ceil((1 - split) / period) + 1)]
    low = max([point for point in points if point < x] + [Fraction(0)])
    high = min([point for point in points if point >= x] + [Fraction(1)])
    return (max(low, Fraction(0)) + min(high, Fraction(1))) / 2


@pytest.mark.parametrize("half_width", [0.5, 0.75, 3.0])
def test_closed_form_for_half_widths_of_at_least_one_half(half_width: float) -> None:
    x_BCHW = KeyedRandom.of(0, Stage.TRAIN, 0, range(50)).uniform((1, 8, 8))
    u_BCHW = KeyedRandom.of(0, Stage.TRAIN, 1, range(50)).uniform((1, 8, 8))
    split = 2 * half_width * u_BCHW
    expected = (split.clamp(max=1.0) + (x_BCHW > split)) / 2
    copies_BCHW = SplittingSmoothing(half_width).perturb(x_BCHW, KeyedRandom.of(0, Stage.TRAIN, 1, range(50)))
    # Values below 1: a few roundings of 2⁻²⁴.
    torch.testing.assert_close(copies_BCHW, expected, rtol=0, atol=4 * 2.0**-24)


@pytest.mark.parametrize("half_width", [0.05, 0.125, 0.3, 0.49, 0.5, 1.25])
def test_every_half_width_matches_the_definition(half_width: float) -> None:
    # Pixels are k/16, and split points lie between two multiples of 1/256 of the period: no pixel is on one.
    generator = np.random.default_rng(0)
    steps, picks = generator.integers(0, 17, 200), generator.integers(0, 256, 200)
    u = torch.tensor((picks + 0.37) / 256, dtype=torch.float32)
    x = torch.tensor(steps / 16, dtype=torch.float32)
    copies = SplittingSmoothing(half_width).perturb(x.reshape(1, 1, 1, -1), FixedDraws(u)).flatten()
    period = Fraction(2 * half_width)
    expected = [
        cell_midpoint(Fraction(int(k), 16), period * Fraction(v.item()), period) for k, v in zip(steps, u, strict=True)
    ]
    np.testing.assert_allclose(copies.numpy(), np.array([float(e) for e in expected]), rtol=0, atol=1e-6)


def test_a_pixel_on_a_split_point_belongs_to_the_cell_below() -> None:
    copies = SplittingSmoothing(0.5).perturb(torch.full((1, 1, 1, 2), 0.5), FixedDraws(torch.tensor([0.5, 0.25])))
    assert copies.flatten().tolist() == [0.25, 0.625]


@pytest.mark.parametrize(("steps", "index", "levels", "q", "midpoint"), GOLDEN_MIDPOINTS)
def test_golden_midpoints(steps: int, index: int, levels: int, q: int, midpoint: Fraction) -> None:
    measure = DeterministicSplittingSmoothing(levels, 0, q, (1, 1, 1))
    base = (index - int(measure.offsets_CHW)) % levels
    copy = numbered_copies(measure, torch.full((1, 1, 1), steps / q), base, base + 1)
    assert copy.item() == pytest.approx(float(midpoint), rel=2.0**-23)


@given(st.integers(1, 12), st.integers(2, 40), st.integers(0, 1000), st.data())
def test_every_copy_matches_the_definition(q: int, levels: int, seed: int, data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.integers(0, q), min_size=4, max_size=4))
    measure = DeterministicSplittingSmoothing(levels, seed, q, (1, 2, 2))
    copies_LD = numbered_copies(measure, (torch.tensor(steps) / q).reshape(1, 2, 2), 0, levels).reshape(levels, 4)
    offsets = np.random.RandomState(seed).randint(levels, size=4)
    for base in range(levels):
        for i, step in enumerate(steps):
            split = Fraction(2 * ((base + int(offsets[i])) % levels) + 1, 2 * q)
            expected = cell_midpoint(Fraction(step, q), split, Fraction(levels, q))
            assert copies_LD[base, i].item() == pytest.approx(float(expected), rel=2.0**-23)


def test_each_pixel_is_divided_at_every_split_point_once() -> None:
    # Over all bases, the copies of a pixel are the same for every offset; only their order differs.
    measure = DeterministicSplittingSmoothing(11, 4, 6, (2, 3, 3))
    copies_LD = numbered_copies(measure, torch.full((2, 3, 3), 4 / 6), 0, 11).reshape(11, -1)
    ordered_LD, _ = copies_LD.sort(dim=0)
    assert torch.equal(ordered_LD, ordered_LD[:, :1].expand_as(ordered_LD))
    assert not torch.equal(copies_LD[:, 0], copies_LD[:, 1])


@pytest.mark.parametrize(
    ("seed", "levels", "shape"), [(0, 27, (1, 8, 8)), (7, 883, (3, 32, 32)), (2**32 - 1, 2, (1, 1, 3))]
)
def test_offsets_are_those_of_the_released_checkpoints(seed: int, levels: int, shape: tuple[int, int, int]) -> None:
    measure = DeterministicSplittingSmoothing(levels, seed, 255, shape)
    expected = np.random.RandomState(seed).randint(levels, size=math.prod(shape))
    assert measure.offsets_CHW.shape == shape
    np.testing.assert_array_equal(measure.offsets_CHW.numpy().ravel(order="C"), expected)


def test_golden_offsets() -> None:
    measure = DeterministicSplittingSmoothing(441, 0, 255, (1, 1, 6))
    assert measure.offsets_CHW.flatten().tolist() == [172, 47, 117, 192, 323, 251]


def test_copies_do_not_depend_on_how_bases_are_batched() -> None:
    measure = DeterministicSplittingSmoothing(30, 4, 16, (1, 3, 3))
    x_CHW = torch.arange(9).reshape(1, 3, 3) / 16
    together = numbered_copies(measure, x_CHW, 0, 30)
    parts = torch.cat(
        [
            numbered_copies(measure, x_CHW, 0, 7),
            numbered_copies(measure, x_CHW, 7, 8),
            numbered_copies(measure, x_CHW, 8, 30),
        ]
    )
    assert torch.equal(together, parts)


def test_a_drawn_copy_is_one_of_the_enumerated_ones() -> None:
    measure = DeterministicSplittingSmoothing(30, 4, 16, (1, 3, 3))
    x_CHW = torch.arange(9).reshape(1, 3, 3) / 16
    enumerated = {copy.numpy().tobytes() for copy in numbered_copies(measure, x_CHW, 0, 30)}
    prepared_BCHW = measure.prepare(x_CHW[None]).expand(200, 1, 3, 3)
    drawn = measure.perturb(prepared_BCHW, KeyedRandom.of(0, Stage.TRAIN, 0, range(200)))
    assert {copy.numpy().tobytes() for copy in drawn} == enumerated


@pytest.mark.parametrize("q", [16, 255])
def test_every_grid_pixel_is_recognised_in_float32(q: int) -> None:
    measure = DeterministicSplittingSmoothing(2 * q, 0, q, (1, 1, q + 1))
    x_CHW = (torch.arange(q + 1) / q).reshape(1, 1, -1)
    assert numbered_copies(measure, x_CHW, 0, 1).shape == (1, 1, 1, q + 1)


@pytest.mark.parametrize("pixel", [0.5 / 16, 0.501, float("nan"), float("inf")])
def test_pixels_off_the_grid_raise(pixel: float) -> None:
    measure = DeterministicSplittingSmoothing(30, 4, 16, (1, 1, 2))
    with pytest.raises(ValueError, match=r"DSSN certifies images"):
        measure.prepare(torch.tensor([[[[0.0, pixel]]]]))


@pytest.mark.parametrize("pixel", [-1 / 16, 17 / 16])
def test_pixels_outside_the_unit_box_raise(pixel: float) -> None:
    measure = DeterministicSplittingSmoothing(30, 4, 16, (1, 1, 2))
    with pytest.raises(ValueError, match=r"\[0,1\]"):
        measure.prepare(torch.tensor([[[[0.0, pixel]]]]))


@given(st.integers(1, 12), st.integers(2, 40), st.data())
def test_every_integer_split_point_matches_the_definition(q: int, levels: int, data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.integers(0, q), min_size=4, max_size=4))
    measure = GridSplittingSmoothing(levels, q)
    prepared_BCHW = measure.prepare((torch.tensor(steps) / q).reshape(1, 1, 1, 4)).expand(levels, 1, 1, 4)
    every_BD = torch.arange(levels)[:, None].expand(levels, 4)
    copies_LD = measure.perturb(prepared_BCHW, FixedDraws(every_BD)).reshape(levels, 4)
    for index in range(levels):
        for i, step in enumerate(steps):
            expected = cell_midpoint(Fraction(step, q), Fraction(2 * index + 1, 2 * q), Fraction(levels, q))
            assert copies_LD[index, i].item() == pytest.approx(float(expected), rel=2.0**-23)


@pytest.mark.parametrize(("q", "levels"), [(255, 883), (65_535, 2**20), (2**20, 2**20), (1, 2**20), (2**20, 2**14)])
def test_integers_stay_exact_on_fine_grids(q: int, levels: int) -> None:
    generator = np.random.default_rng(1)
    steps, picks = generator.integers(0, q + 1, 500), generator.integers(0, levels, 500)
    measure = GridSplittingSmoothing(levels, q)
    copies = measure.perturb(
        torch.tensor(steps, dtype=torch.float32).reshape(1, 1, 1, -1), FixedDraws(torch.tensor(picks))
    ).flatten()
    for copy, step, pick in zip(copies.tolist(), steps.tolist(), picks.tolist(), strict=True):
        exact = cell_midpoint(Fraction(step, q), Fraction(2 * pick + 1, 2 * q), Fraction(levels, q))
        # Only the quotient of two integers, which float32 represents exactly, is rounded.
        assert copy == float(np.float32(exact.numerator * (4 * q // exact.denominator)) / np.float32(4 * q))


def test_grids_too_fine_for_exact_float32_raise() -> None:
    with pytest.raises(ValueError, match="exceed exact float32 arithmetic"):
        GridSplittingSmoothing(2**21, 255)
