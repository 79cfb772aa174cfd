"""A sweep's trials through Ray Tune. The store holds the truth of a trial; Tune's own state is thrown away."""

import json
import logging
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

# Tune reads these when it is imported: Ctrl-C belongs to the command, and the store is the only logger.
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

from ray import tune

from rsbench.cluster.session import ray_session
from rsbench.errors import IncompleteError, RsbenchError, first_line
from rsbench.methods import training_name
from rsbench.models.checkpoint import Checkpoint
from rsbench.models.device import describe_device
from rsbench.records import EpochRecord
from rsbench.specs import TrainingSpec
from rsbench.training.noise_augmentation import TrainingData, train

_FILE = "checkpoint.safetensors"
# Reports that a trial makes on its way: enough for a smooth progress bar, few enough to cost nothing.
_REPORTS = 10

OnEpochs = Callable[[int], None]
OnTrained = Callable[[TrainingSpec, Checkpoint, tuple[EpochRecord, ...], str], None]


def train_trials(
    specs: Sequence[TrainingSpec], data: TrainingData, *, workers: int, device: str, storage: Path,
    on_epochs: OnEpochs, on_trained: OnTrained,
) -> None:  # fmt: skip
    """Train every trial, calling `on_epochs` with the number of epochs newly done and `on_trained` with each result.

    `storage` is a scratch folder, which every node of a cluster must see; it is removed afterwards.
    Raises IncompleteError when a trial failed, after all others have ended, and then also what `on_trained` raised.
    """
    # A failed trial is told in one line below, not as a traceback.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    harvest = _Harvest(specs, on_epochs, on_trained)
    resources = {"cpu": 1.0, "gpu": 1.0 if device == "cuda" else 0.0}
    try:
        with ray_session(workers), redirect_stdout(sys.stderr):
            tune.Tuner(
                tune.with_resources(tune.with_parameters(_trial, data=data, device=device), resources),
                param_space={"spec": tune.grid_search([spec.canonical_json() for spec in specs])},
                tune_config=tune.TuneConfig(max_concurrent_trials=max(1, workers), reuse_actors=True),
                run_config=tune.RunConfig(
                    name="trials", storage_path=str(storage.resolve()), verbose=0, callbacks=[harvest]
                ),
            ).fit()
    # Tune keeps its own state in files, and stops where they cannot be written or read, as on a full disk.
    except (EOFError, OSError, RuntimeError, pickle.PickleError, tune.TuneError) as error:
        harvest.failures.append(f"Tune stopped: {first_line(error)}; is there room in {storage.parent}?")
    finally:
        shutil.rmtree(storage, ignore_errors=True)
    if harvest.refusal:
        raise harvest.refusal
    if harvest.failures:
        raise IncompleteError(
            f"training did not finish ({harvest.failures[-1]}): finished trials are kept, and the same command tries "
            "the others again"
        )


def _trial(config: dict[str, Any], data: TrainingData, device: str) -> None:
    """Tune's function trainable: train, report on the way, and hand over the checkpoint with the last report."""
    spec = TrainingSpec.from_json(config["spec"])
    epochs: list[EpochRecord] = []

    def report(epoch: EpochRecord) -> None:
        epochs.append(epoch)
        if epoch.epoch % max(1, spec.epochs // _REPORTS) == 0 and epoch.epoch < spec.epochs:
            tune.report({"epochs_done": epoch.epoch})

    checkpoint = train(spec, data, device, report)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / _FILE).write_bytes(checkpoint.content)
        history = json.dumps([asdict(epoch) for epoch in epochs])
        tune.report(
            {"epochs_done": spec.epochs, "history": history, "device": describe_device(device)},
            checkpoint=tune.Checkpoint.from_directory(folder),
        )


class _Harvest(tune.Callback):
    """Takes each trial's result as soon as it is there, so that an interrupted sweep keeps what it finished."""

    def __init__(self, specs: Sequence[TrainingSpec], on_epochs: OnEpochs, on_trained: OnTrained) -> None:
        self._specs = {spec.canonical_json(): spec for spec in specs}
        self._on_epochs = on_epochs
        self._on_trained = on_trained
        self._epochs_done: dict[str, int] = {}
        self.failures: list[str] = []
        self.refusal: RsbenchError | OSError | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves its callbacks in order to restore them, and a sweep is restored from the store."""
        return {}

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Count the epochs that are new since the trial's last report."""
        done = result["epochs_done"]
        self._on_epochs(done - self._epochs_done.get(trial.trial_id, 0))
        self._epochs_done[trial.trial_id] = done

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Hand over the finished checkpoint."""
        spec = self._specs[trial.config["spec"]]
        with trial.checkpoint.as_directory() as folder:
            content = (Path(folder) / _FILE).read_bytes()
        epochs = tuple(EpochRecord(**epoch) for epoch in json.loads(trial.last_result["history"]))
        checkpoint = Checkpoint.parse(content, f"the trial {trial.trial_id}")
        try:
            self._on_trained(spec, checkpoint, epochs, trial.last_result["device"])
        # Tune would call it a failure of the trial.
        except (RsbenchError, OSError) as error:
            self.refusal = self.refusal or error

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Keep the last line of what went wrong."""
        spec = self._specs[trial.config["spec"]]
        # The file holds a traceback, whose last line is the error; on a full disk it may be empty.
        lines = Path(trial.error_file).read_text(encoding="utf-8").strip().splitlines()
        reason = lines[-1] if lines else "no reason was recorded"
        self.failures.append(f"{training_name(spec)}, sigma {spec.measure.sigma:g}, seed {spec.seed}: {reason}")
