"""The training loop, on noisy copies of the digits."""

import math
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from rsbench.data.in_memory import load_digits
from rsbench.methods import METHODS
from rsbench.models.architectures import build_backbone
from rsbench.models.checkpoint import Checkpoint
from rsbench.models.networks import Normalized
from rsbench.records import EpochRecord
from rsbench.smoothing.build import build_measure
from rsbench.smoothing.randomness import KeyedRandom, Stage, permutation
from rsbench.specs import TrainingSpec
from rsbench.training.batch import TrainingData
from rsbench.training.trainer import train
from tests.training.trials import make_trial, train_on_cpu

# The trained methods of the table: each stands for a measure.
TRAINED = sorted({method.training for method in METHODS.values()})


def plainly_trained(spec: TrainingSpec, data: TrainingData) -> dict[str, torch.Tensor]:
    """The weights that a hand-written loop of noise augmentation gives."""
    torch.manual_seed(spec.seed)
    network = Normalized(build_backbone("mlp", data.info.classes, data.info.shape), data.mean, data.std).train()
    measure = build_measure(spec.measure, q=16, shape_CHW=data.info.shape)
    images_NCHW = measure.prepare(torch.from_numpy(data.pixels_NCHW).float() / 16)
    labels_N = torch.from_numpy(data.labels_N)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    batches = spec.epochs * math.ceil(len(labels_N) / 64)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=batches)
    for epoch in range(spec.epochs):
        order_N = permutation(spec.seed, Stage.ORDER, epoch, len(labels_N))
        for start in range(0, len(labels_N), 64):
            index_B = order_N[start : start + 64]
            random = KeyedRandom.of(spec.seed, Stage.TRAIN, epoch, range(start, start + len(index_B)))
            logits_BK = network(measure.perturb(images_NCHW[index_B], random))
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits_BK, labels_N[index_B]).backward()
            optimizer.step()
            schedule.step()
    return network.backbone.state_dict()


@pytest.mark.parametrize("method", TRAINED)
def test_noise_augmentation_gives_the_bytes_of_a_plain_loop(quarter_digits: TrainingData, method: str) -> None:
    spec = make_trial(quarter_digits, method)
    trained = safetensors.torch.load(train_on_cpu(spec, quarter_digits)[0].content)
    expected = plainly_trained(spec, quarter_digits)
    assert trained.keys() == expected.keys()
    assert all(torch.equal(trained[name], expected[name]) for name in expected)


@pytest.mark.parametrize("method", TRAINED)
def test_the_same_specification_gives_the_same_bytes(quarter_digits: TrainingData, method: str) -> None:
    torch.manual_seed(1)
    first, _ = train_on_cpu(make_trial(quarter_digits, method), quarter_digits)
    torch.manual_seed(2)
    second, _ = train_on_cpu(make_trial(quarter_digits, method), quarter_digits)
    assert first.content == second.content


def test_another_seed_gives_another_network(quarter_digits: TrainingData) -> None:
    first, _ = train_on_cpu(make_trial(quarter_digits), quarter_digits)
    second, _ = train_on_cpu(make_trial(quarter_digits, seed=1), quarter_digits)
    assert first.content != second.content


def test_training_does_not_change_the_global_generator(quarter_digits: TrainingData) -> None:
    before = torch.get_rng_state()
    train_on_cpu(make_trial(quarter_digits, epochs=1), quarter_digits)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("method", TRAINED)
def test_trained_networks_classify_test_images(quarter_digits: TrainingData, method: str) -> None:
    checkpoint, epochs = train_on_cpu(make_trial(quarter_digits, method, epochs=8), quarter_digits)
    assert epochs[-1].loss < 0.7 * epochs[0].loss
    # Clean test images; guessing would classify a tenth of them.
    digits = load_digits()
    x_NCHW = torch.from_numpy(digits.pixels(range(445))).float() / 16
    with torch.inference_mode():
        predicted_N = checkpoint.network(torch.device("cpu"))(x_NCHW).argmax(dim=1).numpy()
    assert np.mean(predicted_N == digits.labels_N) > 0.6


def test_every_epoch_is_reported(quarter_digits: TrainingData) -> None:
    _, epochs = train_on_cpu(make_trial(quarter_digits, epochs=3), quarter_digits)
    assert [record.epoch for record in epochs] == [1, 2, 3]
    assert all(record.seconds > 0 and record.loss > 0 and 0 <= record.accuracy <= 1 for record in epochs)


def test_the_checkpoint_describes_its_training(quarter_digits: TrainingData) -> None:
    spec = make_trial(quarter_digits, "dssn", epochs=1, seed=5)
    header = Checkpoint.parse(train_on_cpu(spec, quarter_digits)[0].content, "a.safetensors").header
    assert header.measure == spec.measure
    assert (header.method, header.architecture, header.seed) == ("dssn", "mlp", 5)
    assert header.dataset_fingerprint == quarter_digits.info.fingerprint
    assert header.training_fingerprint == spec.fingerprint()
    assert (header.mean, header.std) == (quarter_digits.mean, quarter_digits.std)


def test_a_diverging_epoch_raises_and_is_not_reported(quarter_digits: TrainingData) -> None:
    epochs: list[EpochRecord] = []
    with pytest.raises(ValueError, match="diverged in epoch 1: lower the learning rate"):
        train(make_trial(quarter_digits, learning_rate=1e30), quarter_digits, "cpu", epochs.append)
    assert epochs == []


def test_an_exception_of_the_callback_ends_the_training(quarter_digits: TrainingData) -> None:
    def interrupt(record: EpochRecord) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(make_trial(quarter_digits), quarter_digits, "cpu", interrupt)


def test_deterministic_splitting_needs_a_grid(quarter_digits: TrainingData) -> None:
    unquantised = replace(
        quarter_digits,
        info=replace(quarter_digits.info, q=None),
        pixels_NCHW=(quarter_digits.pixels_NCHW / 16).astype(np.float32),
    )
    with pytest.raises(ValueError, match="grid"):
        train(make_trial(quarter_digits, "dssn"), unquantised, "cpu", lambda _: None)
