"""Training trials through Ray Tune. The store holds the truth of a trial; Tune's own state is thrown away."""

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

# Tune reads these when it is imported. The command handles Ctrl-C itself, and only the store logs results.
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

from ray import tune

from rsbench.cluster.session import ray_session
from rsbench.errors import IncompleteError, RsbenchError, first_line
from rsbench.methods import training_name
from rsbench.models.checkpoint import Checkpoint
from rsbench.models.device import describe_device
from rsbench.plugins import load_same_sources, loaded_sources
from rsbench.records import EpochRecord
from rsbench.specs import TrainingSpec
from rsbench.training.batch import TrainingData
from rsbench.training.trainer import train

_CHECKPOINT_FILE = "checkpoint.safetensors"
# How often a trial reports before its end: enough for a smooth progress bar, few enough to cost nothing.
_REPORTS_PER_TRIAL = 10

OnEpochs = Callable[[int], None]
"""Called with the number of epochs that have ended since the last call."""

OnTrained = Callable[[TrainingSpec, Checkpoint, tuple[EpochRecord, ...], str], None]
"""Called with a trial, its checkpoint, its epochs and the device it ran on."""


def train_trials(
    specs: Sequence[TrainingSpec], data: TrainingData, *, workers: int, device: str, storage: Path,
    on_epochs: OnEpochs, on_trained: OnTrained,
) -> None:  # fmt: skip
    """Train several trials at once.

    Parameters
    ----------
    specs
        The trials.
    data
        What all of them train on.
    workers
        How many trials run at a time.
    device
        `cpu` or `cuda`.
    storage
        A folder for temporary files, which every node of a cluster must see. It is removed at the end.
    on_epochs, on_trained
        Called in this process while trials run and as soon as each has finished.

    All trials are attempted. Afterwards the first error that `on_trained` raised is raised again, and IncompleteError
    if a trial failed.
    """
    # Tune logs a traceback for a failed trial; the message below has one line.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    collector = _ResultCollector(specs, on_epochs, on_trained)
    resources = {"cpu": 1.0, "gpu": 1.0 if device == "cuda" else 0.0}
    try:
        with ray_session(workers), redirect_stdout(sys.stderr):
            tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(_run_trial, data=data, device=device, sources=loaded_sources()), resources
                ),
                param_space={"spec": tune.grid_search([spec.canonical_json() for spec in specs])},
                tune_config=tune.TuneConfig(max_concurrent_trials=max(1, workers), reuse_actors=True),
                run_config=tune.RunConfig(
                    name="trials", storage_path=str(storage.resolve()), verbose=0, callbacks=[collector]
                ),
            ).fit()
    # Tune keeps its state in files, and stops if they cannot be written or read, for example on a full disk.
    except (EOFError, OSError, RuntimeError, pickle.PickleError, tune.TuneError) as error:
        collector.failures.append(f"Tune stopped: {first_line(error)}; is there room in {storage.parent}?")
    finally:
        shutil.rmtree(storage, ignore_errors=True)
    if collector.callback_error:
        raise collector.callback_error
    if collector.failures:
        raise IncompleteError(
            f"training did not finish ({collector.failures[-1]}): finished trials are kept, and the same command tries "
            "the others again"
        )


def _run_trial(config: dict[str, Any], data: TrainingData, device: str, sources: dict[str, str]) -> None:
    """Train one trial in a worker. The last report to Tune carries the checkpoint and the epochs.

    sources: the plugins of the process that started the trials, see `rsbench.plugins.loaded_sources`.
    """
    load_same_sources(sources)
    spec = TrainingSpec.from_json(config["spec"])
    epochs: list[EpochRecord] = []

    def report(epoch: EpochRecord) -> None:
        epochs.append(epoch)
        if epoch.epoch % max(1, spec.epochs // _REPORTS_PER_TRIAL) == 0 and epoch.epoch < spec.epochs:
            tune.report({"epochs_done": epoch.epoch})

    checkpoint = train(spec, data, device, report)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / _CHECKPOINT_FILE).write_bytes(checkpoint.content)
        history = json.dumps([asdict(epoch) for epoch in epochs])
        tune.report(
            {"epochs_done": spec.epochs, "history": history, "device": describe_device(device)},
            checkpoint=tune.Checkpoint.from_directory(folder),
        )


class _ResultCollector(tune.Callback):
    """Passes on the result of each trial as soon as it has finished, so an interrupted sweep keeps finished trials."""

    def __init__(self, specs: Sequence[TrainingSpec], on_epochs: OnEpochs, on_trained: OnTrained) -> None:
        self._spec_by_json = {spec.canonical_json(): spec for spec in specs}
        self._on_epochs = on_epochs
        self._on_trained = on_trained
        self._epochs_done: dict[str, int] = {}
        self.failures: list[str] = []
        self.callback_error: RsbenchError | OSError | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune saves its callbacks to restore them, but a sweep resumes from the store."""
        return {}

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Pass on how many epochs have ended since the last report of the trial."""
        done = result["epochs_done"]
        self._on_epochs(done - self._epochs_done.get(trial.trial_id, 0))
        self._epochs_done[trial.trial_id] = done

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Pass on the checkpoint of a finished trial."""
        spec = self._spec_by_json[trial.config["spec"]]
        with trial.checkpoint.as_directory() as folder:
            content = (Path(folder) / _CHECKPOINT_FILE).read_bytes()
        epochs = tuple(EpochRecord(**epoch) for epoch in json.loads(trial.last_result["history"]))
        checkpoint = Checkpoint.parse(content, f"the trial {trial.trial_id}")
        try:
            self._on_trained(spec, checkpoint, epochs, trial.last_result["device"])
        # If this left the callback, Tune would report it as a failure of the trial.
        except (RsbenchError, OSError) as error:
            self.callback_error = self.callback_error or error

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Remember why a trial failed."""
        spec = self._spec_by_json[trial.config["spec"]]
        # The file holds a traceback, whose last line is the error. On a full disk it may be empty.
        lines = Path(trial.error_file).read_text(encoding="utf-8").strip().splitlines()
        reason = lines[-1] if lines else "no reason was recorded"
        self.failures.append(f"{training_name(spec)}, sigma {spec.measure.sigma:g}, seed {spec.seed}: {reason}")
