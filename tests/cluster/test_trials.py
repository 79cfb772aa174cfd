"""Trials through Tune: the checkpoints that plain training gives, and what happens when one fails."""

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


class Harvest:
    """Keeps what a sweep hands over."""

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


def run(specs: list[TrainingSpec], digits: ImageDataset, storage: Path) -> Harvest:
    harvest = Harvest()
    train_trials(
        specs,
        training_data(digits),
        workers=2,
        device="cpu",
        storage=storage,
        on_epochs=harvest.on_epochs,
        on_trained=harvest.on_trained,
    )
    return harvest


@pytest.mark.slow
def test_tune_gives_the_bytes_of_plain_training_and_leaves_nothing_behind(
    digits: ImageDataset, trained: dict[str, Checkpoint], ray_nodes: str, tmp_path: Path
) -> None:
    specs = [trial(digits.info, method) for method in ("ssn", "dssn", "cohen")]
    harvest = run(specs, digits, tmp_path / "tune")
    assert harvest.checkpoints == {training_name(spec): trained[training_name(spec)].sha256 for spec in specs}
    assert harvest.epochs_done == sum(spec.epochs for spec in specs)
    assert [epoch.epoch for epoch in harvest.epochs["ssn"]] == [1, 2, 3]
    assert not (tmp_path / "tune").exists()


@pytest.mark.slow
def test_a_failed_trial_is_named_and_the_others_are_kept(digits: ImageDataset, ray_nodes: str, tmp_path: Path) -> None:
    good = trial(digits.info, "ssn")
    diverging = trial(digits.info, "cohen").model_copy(update={"learning_rate": 1e30})
    harvest = Harvest()
    with pytest.raises(IncompleteError, match=r"did not finish \(cohen, sigma 0.5, seed 0: .*diverged"):
        train_trials(
            [good, diverging],
            training_data(digits),
            workers=2,
            device="cpu",
            storage=tmp_path / "tune",
            on_epochs=harvest.on_epochs,
            on_trained=harvest.on_trained,
        )
    assert list(harvest.checkpoints) == ["ssn"]
