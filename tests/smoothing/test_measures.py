"""The contract of every smoothing measure."""

from typing import Any

import pytest
import torch
from torch import Tensor

from rsbench.smoothing.build import build_measure
from rsbench.smoothing.grid import integer_noise_parameters
from rsbench.smoothing.measures import (
    DeterministicSplittingSmoothing,
    EnumeratedMeasure,
    GaussianSmoothing,
    GridSplittingSmoothing,
    GridUniformSmoothing,
    SmoothingMeasure,
    SplittingSmoothing,
    UniformSmoothing,
)
from rsbench.smoothing.randomness import KeyedRandom, Stage
from rsbench.specs import MeasureSpec

SHAPE = (3, 4, 5)
MEASURES: dict[str, SmoothingMeasure] = {
    "gaussian": GaussianSmoothing(std=0.5),
    "uniform": UniformSmoothing(half_width=0.75),
    "splitting-narrow": SplittingSmoothing(half_width=0.2),
    "splitting-wide": SplittingSmoothing(half_width=1.5),
    "grid-uniform": GridUniformSmoothing(levels=24, q=16),
    "grid-splitting": GridSplittingSmoothing(levels=48, q=16),
    "fine-grid-uniform": GridUniformSmoothing(levels=1774, q=16, m=64),
    "fine-grid-splitting": GridSplittingSmoothing(levels=1774, q=16, m=64),
    "deterministic-splitting": DeterministicSplittingSmoothing(levels=40, offsets_seed=1, q=16, shape_CHW=SHAPE),
}
every_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES.keys())


def images(count: int = 6) -> Tensor:
    """Images on the grid k/16."""
    return KeyedRandom.of(5, Stage.TRAIN, 0, range(count)).integers(17, SHAPE).float() / 16


def streams(count: int, seed: int = 0, stage: Stage = Stage.ESTIMATE, image: int = 3, first: int = 400) -> KeyedRandom:
    return KeyedRandom.of(seed, stage, image, range(first, first + count))


def copies_of(measure: SmoothingMeasure, x_BCHW: Tensor, **other: Any) -> Tensor:
    return measure.perturb(measure.prepare(x_BCHW), streams(len(x_BCHW), **other))


@every_measure
def test_copies_have_the_shape_and_type_of_the_images(measure: SmoothingMeasure) -> None:
    copies_BCHW = copies_of(measure, images())
    assert copies_BCHW.shape == (6, *SHAPE)
    assert copies_BCHW.dtype == torch.float32
    assert copies_BCHW.isfinite().all()


@every_measure
def test_copies_do_not_depend_on_the_global_generator(measure: SmoothingMeasure) -> None:
    torch.manual_seed(1)
    first = copies_of(measure, images())
    torch.manual_seed(2)
    assert torch.equal(copies_of(measure, images()), first)


@every_measure
@pytest.mark.parametrize("other", [{"seed": 1}, {"stage": Stage.SELECT}, {"image": 2}, {"first": 500}])
def test_another_seed_stage_image_or_number_gives_others(measure: SmoothingMeasure, other: dict[str, Any]) -> None:
    # 32 rows, because deterministic splitting draws only one of 40 bases a row: all equal by chance is 40⁻³².
    x_BCHW = images(32)
    assert not torch.equal(copies_of(measure, x_BCHW), copies_of(measure, x_BCHW, **other))


@every_measure
def test_the_images_are_not_changed(measure: SmoothingMeasure) -> None:
    x_BCHW = images()
    copies_of(measure, x_BCHW)
    assert torch.equal(x_BCHW, images())


@every_measure
def test_a_copy_does_not_depend_on_the_rest_of_its_batch(measure: SmoothingMeasure) -> None:
    x_BCHW = images(20)
    assert torch.equal(copies_of(measure, x_BCHW[7:9], first=407), copies_of(measure, x_BCHW)[7:9])


@every_measure
def test_copies_of_one_image_differ(measure: SmoothingMeasure) -> None:
    copies_BCHW = copies_of(measure, images(1).expand(32, *SHAPE))
    assert len({row.numpy().tobytes() for row in copies_BCHW}) > 16


@every_measure
def test_an_expanded_image_gives_the_copies_of_a_repeated_one(measure: SmoothingMeasure) -> None:
    x_1CHW = images(1)
    expanded = copies_of(measure, x_1CHW.expand(9, *SHAPE))
    assert torch.equal(expanded, copies_of(measure, x_1CHW.repeat(9, 1, 1, 1)))


def test_gaussian_noise_is_the_standard_deviation_times_a_normal_draw() -> None:
    noise = GaussianSmoothing(std=0.25).perturb(torch.zeros(6, *SHAPE), streams(6))
    assert torch.equal(noise, 0.25 * streams(6).normal(SHAPE))


def test_uniform_noise_stays_within_its_half_width_and_reaches_both_ends() -> None:
    noise = UniformSmoothing(half_width=0.75).perturb(torch.zeros(200, *SHAPE), streams(200))
    assert noise.min() >= -0.75
    assert noise.max() < 0.75
    # 12,000 draws: the chance that none comes within 1% of an end is 2·0.995^12000, below 1e-25.
    assert noise.min() < -0.7425
    assert noise.max() > 0.7425


@pytest.mark.parametrize("name", ["splitting-narrow", "splitting-wide", "grid-splitting", "deterministic-splitting"])
def test_split_images_stay_in_the_unit_box(name: str) -> None:
    copies_BCHW = copies_of(MEASURES[name], images(100))
    assert copies_BCHW.min() >= 0.0
    assert copies_BCHW.max() <= 1.0


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (MeasureSpec(family="gaussian", sigma=0.5), GaussianSmoothing(0.5)),
        (MeasureSpec(family="uniform", sigma=0.5), UniformSmoothing(3**0.5 / 2)),
        (MeasureSpec(family="splitting", sigma=0.5), SplittingSmoothing(3**0.5 / 2)),
        (
            MeasureSpec(family="deterministic-splitting", sigma=0.5, levels=27, offsets_seed=3),
            DeterministicSplittingSmoothing(27, 3, 16, SHAPE),
        ),
    ],
)
def test_measures_are_built_from_their_specifications(spec: MeasureSpec, expected: SmoothingMeasure) -> None:
    built = build_measure(spec, q=16, shape_CHW=SHAPE)
    assert type(built) is type(expected)
    scales = {name: value for name, value in vars(expected).items() if isinstance(value, float)}
    assert vars(built) | scales == vars(expected)
    # A scale may be up to one float32 above the nominal one, and never below it.
    assert all(value <= getattr(built, name) <= value * (1 + 2**-23) for name, value in scales.items())
    assert isinstance(built, EnumeratedMeasure) == (spec.family == "deterministic-splitting")


def test_deterministic_splitting_needs_a_grid() -> None:
    spec = MeasureSpec(family="deterministic-splitting", sigma=0.5, levels=27, offsets_seed=3)
    with pytest.raises(ValueError, match="grid"):
        build_measure(spec, q=None, shape_CHW=SHAPE)


@pytest.mark.parametrize(
    ("family", "expected"),
    [("uniform", GridUniformSmoothing(1774, 16, 64)), ("splitting", GridSplittingSmoothing(1774, 16, 64))],
)
def test_integer_noise_is_never_narrower_than_its_sigma(
    family: str, expected: GridUniformSmoothing | GridSplittingSmoothing
) -> None:
    # 2λ·1024 = 1773.62…
    spec = MeasureSpec(family=family, sigma=0.5)
    assert build_measure(spec, q=16, shape_CHW=SHAPE, on_grid=True) == expected
    assert spec.half_width <= expected.levels / (2 * expected.m * expected.q) <= spec.half_width + 1 / (2 * 1024)
    assert [integer_noise_parameters(0.75, q) for q in (16, 255, 1023, 1024, 65_535)] == [
        (1536, 16, 64), (1913, 255, 5), (3069, 1023, 2), (1536, 1024, 1), (98_303, 65_535, 1),
    ]  # fmt: skip


def test_integer_noise_needs_a_grid_and_a_family_that_supports_it() -> None:
    with pytest.raises(ValueError, match="grid"):
        build_measure(MeasureSpec(family="uniform", sigma=0.5), q=None, shape_CHW=SHAPE, on_grid=True)
    with pytest.raises(ValueError, match="gaussian noise cannot be drawn as integers"):
        build_measure(MeasureSpec(family="gaussian", sigma=0.5), q=16, shape_CHW=SHAPE, on_grid=True)


@pytest.mark.parametrize("name", ["grid-uniform", "grid-splitting", "deterministic-splitting"])
@pytest.mark.parametrize("pixel", [0.5 / 16, 17 / 16, -1 / 16, float("nan")])
def test_integer_noise_raises_for_images_off_the_grid(name: str, pixel: float) -> None:
    with pytest.raises(ValueError, match="certifies images"):
        MEASURES[name].prepare(torch.tensor([[[[0.0, pixel]]]]))


def test_integer_uniform_noise_takes_every_half_step_within_its_half_width() -> None:
    measure = GridUniformSmoothing(levels=5, q=4)
    copies = measure.perturb(measure.prepare(torch.full((500, *SHAPE), 0.5)), streams(500))
    assert sorted(set(copies.flatten().tolist())) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert sorted(set(copies_of(GridUniformSmoothing(4, 4), torch.zeros(500, *SHAPE)).flatten().tolist())) == [
        -0.375, -0.125, 0.125, 0.375,
    ]  # fmt: skip
