"""Training objectives: a toy from outside the package, its options, and what a batch offers it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import pytest
import safetensors.torch
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax
from torch.optim.optimizer import register_optimizer_step_post_hook

from rsbench.errors import CheckpointError, UsageError
from rsbench.methods import METHODS, Method
from rsbench.smoothing.build import build_measure
from rsbench.smoothing.randomness import KeyedRandom, Stage
from rsbench.specs import MeasureSpec, TrainingSpec
from rsbench.training.batch import TrainingBatch, TrainingData
from rsbench.training.objectives import (
    OBJECTIVES,
    Objective,
    ObjectiveOptions,
    StepLoss,
    build_objective,
    canonical_options,
)
from tests.training.trials import make_trial, train_on_cpu


class TwoCopiesOptions(ObjectiveOptions):
    weight: float = Field(default=6.0, ge=0)
    steps: int = Field(default=1, ge=1)
    divergence: Literal["kl", "none"] = "kl"


class TwoCopies(Objective[TwoCopiesOptions]):
    """Two noisy copies of each image, several optimizer steps per batch, and state of its own."""

    options_type = TwoCopiesOptions

    def __init__(self, options: TwoCopiesOptions) -> None:
        super().__init__(options)
        self.seen_indices: list[int] = []
        self.steps_per_batch: list[int] = []

    def loss(self, network: nn.Module, batch: TrainingBatch) -> StepLoss:
        logits_BK, other_BK = network(batch.noisy_copy(0)), network(batch.noisy_copy(1))
        loss = cross_entropy(logits_BK, batch.label_B)
        if self.options.divergence == "kl":
            divergence = kl_div(log_softmax(other_BK, dim=1), softmax(logits_BK, dim=1), reduction="batchmean")
            loss = loss + self.options.weight * divergence
        self.seen_indices += batch.index_B.tolist()
        return StepLoss(loss, logits_BK, batch.label_B)

    def losses(self, network: nn.Module, batch: TrainingBatch) -> Iterator[StepLoss]:
        parts = batch.parts(self.options.steps)
        self.steps_per_batch.append(len(parts))
        yield from (self.loss(network, part) for part in parts)


class FrozenTeacherOptions(ObjectiveOptions):
    teacher: str = ""


class FrozenTeacher(Objective[FrozenTeacherOptions]):
    """Loads a checkpoint, freezes the first layer to its weights, and learns its answers on clean images."""

    options_type = FrozenTeacherOptions

    def required_checkpoints(self) -> tuple[str, ...]:
        return (self.options.teacher,)

    def prepare(self, network: nn.Module, data: TrainingData, device: torch.device) -> None:
        checkpoint = data.checkpoints[self.options.teacher]
        self._teacher = checkpoint.network(device)
        network.load_state_dict(self._teacher.state_dict())
        first_layer(network).requires_grad_(False)

    def loss(self, network: nn.Module, batch: TrainingBatch) -> StepLoss:
        logits_BK = network(batch.noisy_copy())
        return StepLoss(cross_entropy(logits_BK, self._teacher(batch.x_BCHW).argmax(dim=1)), logits_BK, batch.label_B)


def first_layer(network: nn.Module) -> nn.Linear:
    return next(layer for layer in network.modules() if isinstance(layer, nn.Linear))


@contextmanager
def registered(objective: type[Objective[Any]], **options: bool | int | float | str) -> Iterator[None]:
    """A toy objective, and a method that trains Gaussian noise with it."""
    method = Method("toy", "Toy", "gaussian", "toy", "cohen", "no paper", objective_options=options)
    with OBJECTIVES.registered("toy", objective), METHODS.registered("toy", method):
        yield


def toy_trial(data: TrainingData, **options: bool | int | float | str) -> TrainingSpec:
    return make_trial(data, epochs=1, objective="toy", objective_options=options)


def weights(content: bytes) -> dict[str, Tensor]:
    return safetensors.torch.load(content)


def test_an_objective_of_another_package_trains(quarter_digits: TrainingData) -> None:
    with registered(TwoCopies):
        checkpoint, epochs = train_on_cpu(toy_trial(quarter_digits), quarter_digits)
        again, _ = train_on_cpu(toy_trial(quarter_digits), quarter_digits)
    plain, _ = train_on_cpu(make_trial(quarter_digits, epochs=1), quarter_digits)
    assert checkpoint.header.method == "toy"
    assert checkpoint.content == again.content
    assert not torch.equal(*(next(iter(weights(c.content).values())) for c in (checkpoint, plain)))
    assert len(epochs) == 1


def test_the_loop_treats_all_objectives_alike(quarter_digits: TrainingData) -> None:
    # Without its divergence the toy is noise augmentation.
    options = {"divergence": "none"}
    with registered(TwoCopies, **options):
        toy, _ = train_on_cpu(toy_trial(quarter_digits, **options), quarter_digits)
    plain, _ = train_on_cpu(make_trial(quarter_digits, epochs=1), quarter_digits)
    toy_weights, plain_weights = weights(toy.content), weights(plain.content)
    assert all(torch.equal(toy_weights[name], plain_weights[name]) for name in plain_weights)


def test_an_objective_can_take_several_steps_per_batch(quarter_digits: TrainingData) -> None:
    optimizer_steps: list[object] = []
    hook = register_optimizer_step_post_hook(lambda optimizer, *_: optimizer_steps.append(optimizer))
    instances: list[TwoCopies] = []

    class Remembered(TwoCopies):
        def __init__(self, options: TwoCopiesOptions) -> None:
            super().__init__(options)
            instances.append(self)

    try:
        with registered(Remembered, steps=3):
            _, epochs = train_on_cpu(toy_trial(quarter_digits, steps=3), quarter_digits)
    finally:
        hook.remove()
    [objective] = instances
    images = len(quarter_digits.labels_N)
    assert sorted(objective.seen_indices) == list(range(images))
    assert objective.steps_per_batch == [3] * -(-images // 64)
    assert len(optimizer_steps) == sum(objective.steps_per_batch)
    assert 0 < epochs[0].accuracy < 1


def test_an_objective_can_freeze_a_part_and_learn_from_a_checkpoint(quarter_digits: TrainingData) -> None:
    teacher, _ = train_on_cpu(make_trial(quarter_digits, epochs=1), quarter_digits)
    options = {"teacher": teacher.sha256}
    data = replace(quarter_digits, checkpoints={teacher.sha256: teacher})
    with registered(FrozenTeacher, **options):
        student, _ = train_on_cpu(toy_trial(data, **options), data)
        with pytest.raises(CheckpointError, match=f"'toy' needs checkpoint {teacher.sha256[:12]}"):
            train_on_cpu(toy_trial(quarter_digits, **options), quarter_digits)
    device = torch.device("cpu")
    first, last = (first_layer(c.network(device)).weight for c in (teacher, student))
    assert torch.equal(first, last)
    assert teacher.content != student.content


def make_batch(data: TrainingData, measure: MeasureSpec) -> TrainingBatch:
    """Training images 5 to 14, at positions 64 to 73 of epoch 7."""
    smoothing = build_measure(measure, q=16, shape_CHW=data.info.shape)
    index_B = torch.arange(5, 15)
    return TrainingBatch(
        index_B=index_B,
        label_B=torch.from_numpy(data.labels_N)[index_B],
        prepared_BCHW=smoothing.prepare(torch.from_numpy(data.pixels_NCHW[5:15]).float() / 16),
        smoothing=smoothing,
        seed=3,
        epoch=7,
        first_position=64,
        data=data,
    )


GAUSSIAN = MeasureSpec(family="gaussian", sigma=0.25)


def test_the_noise_of_a_batch_is_keyed_by_epoch_position_and_number(quarter_digits: TrainingData) -> None:
    batch = make_batch(quarter_digits, GAUSSIAN)
    images = len(quarter_digits.labels_N)
    for number in (0, 1, 5):
        first = number * images + 64
        expected = KeyedRandom.of(3, Stage.TRAIN, 7, range(first, first + 10)).normal(batch.x_BCHW.shape[1:])
        torch.testing.assert_close(batch.noisy_copy(number), batch.x_BCHW + 0.25 * expected, rtol=0, atol=0)
    assert not torch.equal(batch.random(0, Stage.TRAIN_ATTACK).words(2), batch.random(0).words(2))


def test_a_batch_offers_images_without_noise_whatever_the_measure_works_on(quarter_digits: TrainingData) -> None:
    measure = MeasureSpec(family="deterministic-splitting", sigma=0.25, levels=13, offsets_seed=0)
    batch = make_batch(quarter_digits, measure)
    assert torch.equal(batch.x_BCHW, torch.from_numpy(quarter_digits.pixels_NCHW[5:15]).float() / 16)
    # Deterministic splitting works on whole steps.
    assert torch.equal(batch.prepared_BCHW, 16 * batch.x_BCHW)


def test_parts_of_a_batch_keep_images_and_noise(quarter_digits: TrainingData) -> None:
    batch = make_batch(quarter_digits, GAUSSIAN)
    parts = batch.parts(4)
    assert [len(part) for part in parts] == [3, 3, 3, 1]
    for attribute in ("index_B", "label_B", "x_BCHW"):
        assert torch.equal(torch.cat([getattr(part, attribute) for part in parts]), getattr(batch, attribute))
    assert torch.equal(torch.cat([part.noisy_copy(2) for part in parts]), batch.noisy_copy(2))


def test_noise_can_be_added_to_other_images_and_gradients_reach_them(quarter_digits: TrainingData) -> None:
    batch = make_batch(quarter_digits, GAUSSIAN)
    shifted_BCHW = (batch.x_BCHW / 2).requires_grad_()
    copies_BCHW = batch.noisy_copy(1, shifted_BCHW)
    torch.testing.assert_close(copies_BCHW - shifted_BCHW, batch.noisy_copy(1) - batch.x_BCHW, rtol=0, atol=1e-6)
    copies_BCHW.sum().backward()
    assert shifted_BCHW.grad is not None
    assert torch.equal(shifted_BCHW.grad, torch.ones_like(shifted_BCHW))


def test_options_are_stored_without_those_at_their_defaults() -> None:
    with OBJECTIVES.registered("toy", TwoCopies):
        assert canonical_options("toy", {}) == {}
        assert canonical_options("toy", {"weight": 6, "steps": 2}) == {"steps": 2}
        assert canonical_options("toy", {"weight": 2}) == {"weight": 2.0}
        objective = build_objective("toy", {"steps": 4})
        assert objective.options == TwoCopiesOptions(weight=6.0, steps=4)
    assert canonical_options("noise-augmentation", {}) == {}


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("toy", {"wieght": 1.0}, "option 'wieght' is unknown .* 'toy': choose from weight, steps, divergence"),
        ("toy", {"weight": -1.0}, "option 'weight' .* 'toy' is not valid: Input should be greater"),
        ("toy", {"weight": "6"}, "option 'weight' .* is not valid: Input should be a valid number"),
        ("toy", {"divergence": "l2"}, "option 'divergence' .* is not valid"),
        ("noise-augmentation", {"weight": 1.0}, "'noise-augmentation': it has no options"),
        ("nothing", {}, "unknown training objective 'nothing': choose from noise-augmentation, toy"),
    ],
)
def test_invalid_options_are_named(name: str, options: dict[str, Any], complaint: str) -> None:
    with OBJECTIVES.registered("toy", TwoCopies), pytest.raises(UsageError, match=complaint):
        canonical_options(name, options)


class ListOptions(ObjectiveOptions):
    weights: tuple[float, ...] = (1.0,)


class ListObjective(Objective[ListOptions]):
    options_type = ListOptions

    def loss(self, network: nn.Module, batch: TrainingBatch) -> StepLoss:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (dict, "dict is not a subclass of Objective"),
        (Objective, "Objective is not a subclass of Objective that implements loss"),
        (ListObjective, "the default of its option 'weights' is not a bool, int, float or str"),
        (TwoCopies(TwoCopiesOptions()), "is of type TwoCopies: register a class"),
    ],
)
def test_only_complete_objectives_can_be_registered(value: Any, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        OBJECTIVES.register("broken", value)
    assert "broken" not in OBJECTIVES
