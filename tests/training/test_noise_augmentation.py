"""Training on noisy copies of the digits."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rsbench.data.in_memory import load_digits
from rsbench.methods import METHODS, measure_for
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import EpochRecord
from rsbench.specs import TrainingSpec
from rsbench.training.noise_augmentation import TrainingData, train


@pytest.fixture(scope="module")
def data() -> TrainingData:
    """A quarter of the digits' training images."""
    digits = load_digits()
    training = digits.training_set()
    assert training is not None
    pixels_NCHW, labels_N = training
    return TrainingData(digits.info, pixels_NCHW[::4], labels_N[::4], *digits.normalisation)


def spec(data: TrainingData, method: str = "cohen", *, epochs: int = 2, **changes: object) -> TrainingSpec:
    run = TrainingSpec(
        objective="noise-augmentation",
        dataset="digits",
        dataset_fingerprint=data.info.fingerprint,
        architecture="mlp",
        measure=measure_for(METHODS[method], 0.25, q=16, offsets_seed=0),
        seed=0,
        epochs=epochs,
        device="cpu",
    )
    return TrainingSpec.model_validate(run.model_dump() | changes)


def trained(run: TrainingSpec, data: TrainingData) -> tuple[Checkpoint, list[EpochRecord]]:
    epochs: list[EpochRecord] = []
    return train(run, data, "cpu", epochs.append), epochs


@pytest.mark.parametrize("method", METHODS)
def test_the_same_spec_gives_the_same_bytes(data: TrainingData, method: str) -> None:
    torch.manual_seed(1)
    first, _ = trained(spec(data, method), data)
    torch.manual_seed(2)
    again, _ = trained(spec(data, method), data)
    assert first.content == again.content


def test_another_seed_gives_another_network(data: TrainingData) -> None:
    assert trained(spec(data), data)[0].content != trained(spec(data, seed=1), data)[0].content


def test_global_randomness_is_left_alone(data: TrainingData) -> None:
    before = torch.get_rng_state()
    trained(spec(data, epochs=1), data)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("method", METHODS)
def test_it_learns(data: TrainingData, method: str) -> None:
    checkpoint, epochs = trained(spec(data, method, epochs=8), data)
    assert epochs[-1].loss < 0.7 * epochs[0].loss
    # Clean test images, of which chance would get a tenth right.
    digits = load_digits()
    x_BCHW = torch.from_numpy(digits.pixels(range(445))).float() / 16
    with torch.inference_mode():
        predicted = checkpoint.network(torch.device("cpu"))(x_BCHW).argmax(dim=1).numpy()
    assert np.mean(predicted == digits.labels_N) > 0.6


def test_every_epoch_is_reported(data: TrainingData) -> None:
    _, epochs = trained(spec(data, epochs=3), data)
    assert [record.epoch for record in epochs] == [1, 2, 3]
    assert all(record.seconds > 0 and record.loss > 0 and 0 <= record.accuracy <= 1 for record in epochs)


def test_the_checkpoint_says_what_it_was_trained_for(data: TrainingData) -> None:
    run = spec(data, "dssn", epochs=1, seed=5)
    header = Checkpoint.parse(trained(run, data)[0].content, "a.safetensors").header
    assert header.measure == run.measure
    assert (header.method, header.architecture, header.seed) == ("dssn", "mlp", 5)
    assert header.dataset_fingerprint == data.info.fingerprint
    assert header.training_fingerprint == run.fingerprint()
    assert (header.mean, header.std) == (data.mean, data.std)


def test_divergence_is_reported_and_no_epoch_is(data: TrainingData) -> None:
    epochs: list[EpochRecord] = []
    with pytest.raises(ValueError, match="diverged in epoch 1: lower the learning rate"):
        train(spec(data, learning_rate=1e30), data, "cpu", epochs.append)
    assert epochs == []


def test_an_exception_in_the_callback_stops_the_training(data: TrainingData) -> None:
    def stop(record: EpochRecord) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(spec(data), data, "cpu", stop)


def test_deterministic_splitting_needs_a_grid(data: TrainingData) -> None:
    unquantised = replace(data, info=replace(data.info, q=None), pixels_NCHW=(data.pixels_NCHW / 16).astype(np.float32))
    with pytest.raises(ValueError, match="grid"):
        train(spec(data, "dssn"), unquantised, "cpu", lambda _: None)
