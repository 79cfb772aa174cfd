"""The contract of every smoothing measure."""

import pytest
import torch
from torch import Tensor

from rsbench.smoothing.additive import GaussianSmoothing, UniformSmoothing
from rsbench.smoothing.build import build_measure
from rsbench.smoothing.measure import EnumeratedMeasure, SmoothingMeasure
from rsbench.smoothing.randomness import KeyedRandom, Stage
from rsbench.smoothing.splitting import DeterministicSplittingSmoothing, SplittingSmoothing
from rsbench.specs import MeasureSpec

SHAPE = (3, 4, 5)
MEASURES: dict[str, SmoothingMeasure] = {
    "gaussian": GaussianSmoothing(std=0.5),
    "uniform": UniformSmoothing(half_width=0.75),
    "splitting-narrow": SplittingSmoothing(half_width=0.2),
    "splitting-wide": SplittingSmoothing(half_width=1.5),
    "deterministic-splitting": DeterministicSplittingSmoothing(levels=40, offsets_seed=1, q=16, shape_CHW=SHAPE),
}
every_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES.keys())


def images(count: int = 6) -> Tensor:
    """Images on the grid k/16."""
    return KeyedRandom(5, Stage.TRAIN, 0, 0).integers(17, (count, *SHAPE)).float() / 16


def key(seed: int = 0, stage: Stage = Stage.ESTIMATE, image: int = 3, block: int = 4) -> KeyedRandom:
    return KeyedRandom(seed, stage, image, block)


@every_measure
def test_copies_have_the_shape_and_type_of_the_images(measure: SmoothingMeasure) -> None:
    copies_BCHW = measure.perturb(images(), key())
    assert copies_BCHW.shape == (6, *SHAPE)
    assert copies_BCHW.dtype == torch.float32
    assert copies_BCHW.isfinite().all()


@every_measure
def test_the_key_alone_decides_the_copies(measure: SmoothingMeasure) -> None:
    torch.manual_seed(1)
    first = measure.perturb(images(), key())
    torch.manual_seed(2)
    assert torch.equal(measure.perturb(images(), key()), first)


@every_measure
@pytest.mark.parametrize("other", [key(seed=1), key(stage=Stage.SELECT), key(image=2), key(block=5)])
def test_another_seed_stage_image_or_block_gives_other_copies(measure: SmoothingMeasure, other: KeyedRandom) -> None:
    # 32 rows, because deterministic splitting draws only one of 40 bases a row: all equal by chance is 40⁻³².
    x_BCHW = images(32)
    assert not torch.equal(measure.perturb(x_BCHW, key()), measure.perturb(x_BCHW, other))


@every_measure
def test_the_images_are_left_alone(measure: SmoothingMeasure) -> None:
    x_BCHW = images()
    measure.perturb(x_BCHW, key())
    assert torch.equal(x_BCHW, images())


@every_measure
def test_copies_of_one_image_differ(measure: SmoothingMeasure) -> None:
    copies_BCHW = measure.perturb(images(1).expand(32, *SHAPE), key())
    assert len({row.numpy().tobytes() for row in copies_BCHW}) > 16


@every_measure
def test_an_expanded_image_is_the_same_as_a_repeated_one(measure: SmoothingMeasure) -> None:
    x_1CHW = images(1)
    expanded = measure.perturb(x_1CHW.expand(9, *SHAPE), key())
    assert torch.equal(expanded, measure.perturb(x_1CHW.repeat(9, 1, 1, 1), key()))


def test_gaussian_noise_is_the_standard_deviation_times_a_normal_draw() -> None:
    noise = GaussianSmoothing(std=0.25).perturb(torch.zeros(6, *SHAPE), key())
    assert torch.equal(noise, 0.25 * key().normal((6, *SHAPE)))


def test_uniform_noise_stays_within_its_half_width_and_reaches_both_ends() -> None:
    noise = UniformSmoothing(half_width=0.75).perturb(torch.zeros(200, *SHAPE), key())
    assert noise.min() >= -0.75
    assert noise.max() < 0.75
    # 12,000 draws: the chance that none comes within 1% of an end is 2·0.995^12000, below 1e-25.
    assert noise.min() < -0.7425
    assert noise.max() > 0.7425


@pytest.mark.parametrize("name", ["splitting-narrow", "splitting-wide", "deterministic-splitting"])
def test_split_images_stay_in_the_unit_box(name: str) -> None:
    copies_BCHW = MEASURES[name].perturb(images(100), key())
    assert copies_BCHW.min() >= 0.0
    assert copies_BCHW.max() <= 1.0


@pytest.mark.parametrize(
    ("spec", "kind"),
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
def test_a_spec_names_its_measure(spec: MeasureSpec, kind: SmoothingMeasure) -> None:
    built = build_measure(spec, q=16, shape_CHW=SHAPE)
    assert type(built) is type(kind)
    scales = {name: value for name, value in vars(kind).items() if isinstance(value, float)}
    assert vars(built) | scales == vars(kind)
    # A scale may be up to one float32 above the nominal one, and never below it.
    assert all(value <= getattr(built, name) <= value * (1 + 2**-23) for name, value in scales.items())
    assert isinstance(built, EnumeratedMeasure) == (spec.family == "deterministic-splitting")


def test_deterministic_splitting_needs_a_grid() -> None:
    spec = MeasureSpec(family="deterministic-splitting", sigma=0.5, levels=27, offsets_seed=3)
    with pytest.raises(ValueError, match="grid"):
        build_measure(spec, q=None, shape_CHW=SHAPE)
