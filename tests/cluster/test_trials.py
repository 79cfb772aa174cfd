"""Trials through Ray Tune give the checkpoints of plain training, and a failed trial stops no other."""

from pathlib import Path

import pytest

from rsbench.cluster.trials import train_trials
from rsbench.data.dataset import ImageDataset
from rsbench.errors import IncompleteError
from rsbench.jobs.sweep import training_data
from rsbench.methods import training_name
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import EpochRecord
from rsbench.specs import TrainingSpec
from tests.fixtures.trained import trial


class Results:
    """Keeps what the callbacks of `train_trials` receive."""

    def __init__(self) -> None:
        self.epochs_done = 0
        self.checkpoints: dict[str, str] = {}
        self.epochs: dict[str, tuple[EpochRecord, ...]] = {}

    def on_epochs(self, count: int) -> None:
        self.epochs_done += count

    def on_trained(
        self, spec: TrainingSpec, checkpoint: Checkpoint, epochs: tuple[EpochRecord, ...], device: str
    ) -> None:
        self.checkpoints[training_name(spec)] = checkpoint.sha256
        self.epochs[training_name(spec)] = epochs


def train_on_two_workers(specs: list[TrainingSpec], digits: ImageDataset, storage: Path) -> Results:
    results = Results()
    train_trials(
        specs,
        training_data(digits),
        workers=2,
        device="cpu",
        storage=storage,
        on_epochs=results.on_epochs,
        on_trained=results.on_trained,
    )
    return results


@pytest.mark.slow
def test_trials_give_the_bytes_of_plain_training_and_leave_no_files(
    digits: ImageDataset, trained: dict[str, Checkpoint], ray_nodes: str, tmp_path: Path
) -> None:
    specs = [trial(digits.info, method) for method in ("ssn", "dssn", "cohen")]
    results = train_on_two_workers(specs, digits, tmp_path / "tune")
    assert results.checkpoints == {training_name(spec): trained[training_name(spec)].sha256 for spec in specs}
    assert results.epochs_done == sum(spec.epochs for spec in specs)
    assert [epoch.epoch for epoch in results.epochs["ssn"]] == [1, 2, 3]
    assert not (tmp_path / "tune").exists()


@pytest.mark.slow
def test_a_failed_trial_is_named_and_others_are_kept(digits: ImageDataset, ray_nodes: str, tmp_path: Path) -> None:
    good = trial(digits.info, "ssn")
    diverging = trial(digits.info, "cohen").model_copy(update={"learning_rate": 1e30})
    results = Results()
    with pytest.raises(IncompleteError, match=r"did not finish \(cohen, sigma 0.5, seed 0: .*diverged"):
        train_trials(
            [good, diverging],
            training_data(digits),
            workers=2,
            device="cpu",
            storage=tmp_path / "tune",
            on_epochs=results.on_epochs,
            on_trained=results.on_trained,
        )
    assert list(results.checkpoints) == ["ssn"]
