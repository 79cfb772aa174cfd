"""Short trials for the tests of this folder."""

from rsbench.methods import METHODS, measure_for
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import EpochRecord
from rsbench.specs import TrainingSpec
from rsbench.training.batch import TrainingData
from rsbench.training.trainer import train


def make_trial(data: TrainingData, method: str = "cohen", *, epochs: int = 2, **changes: object) -> TrainingSpec:
    """A trial of a method of the table on σ = 0.25."""
    spec = TrainingSpec(
        objective="noise-augmentation",
        dataset="digits",
        dataset_fingerprint=data.info.fingerprint,
        architecture="mlp",
        measure=measure_for(METHODS[method], 0.25, q=16, offsets_seed=0),
        seed=0,
        epochs=epochs,
        device="cpu",
    )
    return TrainingSpec.model_validate(spec.model_dump() | changes)


def train_on_cpu(spec: TrainingSpec, data: TrainingData) -> tuple[Checkpoint, list[EpochRecord]]:
    """The checkpoint of a trial and its epochs."""
    epochs: list[EpochRecord] = []
    return train(spec, data, "cpu", epochs.append), epochs
