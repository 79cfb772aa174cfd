"""`rsbench sweep`: train the missing trials of a grid, then certify every checkpoint."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rsbench.data.dataset import ImageDataset, Pixels, check_pixels
from rsbench.data.subset import canonical, choose_images
from rsbench.errors import UsageError
from rsbench.jobs.certify import FinishedRun, run_certification
from rsbench.jobs.checkpoints import CheckpointReference, find_checkpoint_file, save_checkpoint
from rsbench.jobs.options import CertifyOptions, SweepOptions, worker_count
from rsbench.jobs.planning import PlannedRun, check_noise, plan_reference, plan_spec, sample_budget
from rsbench.jobs.progress import ProgressListener, retry_while_unavailable
from rsbench.jobs.provenance import provenance
from rsbench.methods import Method, measure_for, method_named
from rsbench.models.architectures import check_architecture
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import EpochRecord, IntArray
from rsbench.specs import CertificationSpec, SweepSpec, TrainingSpec
from rsbench.store.store import Store

if TYPE_CHECKING:
    # Importing torch and Ray takes seconds, and a sweep that is finished needs neither.
    from rsbench.training.batch import TrainingData


@dataclass(frozen=True)
class SweepCell:
    """A point of a sweep's grid: a trial, and the method that certifies its checkpoint."""

    trial: TrainingSpec
    method: str


@dataclass(frozen=True, eq=False)
class PlannedSweep:
    """A sweep of a dataset."""

    spec: SweepSpec
    options: SweepOptions
    cells: tuple[SweepCell, ...]
    """The points of the grid, method by method."""

    @property
    def trials(self) -> tuple[TrainingSpec, ...]:
        """What is trained: methods that share measure and objective share their trials."""
        return tuple({cell.trial.fingerprint(): cell.trial for cell in self.cells}.values())


def sweep(
    options: SweepOptions,
    dataset: ImageDataset,
    location: str,
    home: Path,
    *,
    workers: int | None,
    listener: ProgressListener,
) -> list[FinishedRun]:
    """Train and certify what the store at `location` does not have of a sweep.

    No database is made for a sweep that is refused. Raises what `plan_sweep`, `check_sweep` and `run_sweep` raise.
    """
    planned = plan_sweep(options, dataset)
    with Store.open_or_empty(location) as store:
        check_sweep(store, home, dataset, planned)
    with Store.create_or_open(location) as store:
        return run_sweep(store, home, dataset, planned, workers=workers, listener=listener)


def plan_sweep(options: SweepOptions, dataset: ImageDataset) -> PlannedSweep:
    """The sweep of these options. Raises UsageError when the dataset or a method does not allow one of them."""
    is_sampled = any(not method_named(name).is_enumerated for name in options.methods)
    images = choose_images(options.certify.images or dataset.default_images, dataset.info.images)
    spec = SweepSpec(
        methods=options.methods,
        dataset=dataset.info.name,
        dataset_fingerprint=dataset.info.fingerprint,
        architecture=options.architecture or dataset.default_architecture,
        sigmas=options.sigmas,
        seeds=options.seeds,
        epochs=options.epochs,
        images=canonical(images),
        budget=sample_budget(options.certify, dataset) if is_sampled else None,
    )
    planned = PlannedSweep(spec, options, tuple(_cells(options, spec, dataset)))
    for cell in planned.cells:
        # Refuse what cannot be certified before it is trained.
        _untrained_spec(planned, cell, dataset)
    return planned


def check_sweep(store: Store, home: Path, dataset: ImageDataset, sweep: PlannedSweep) -> None:
    """Check that what is missing of a sweep can be trained and certified.

    Raises UsageError when the dataset has no training images, the network does not take them, or the noise cannot be
    drawn.
    """
    missing = untrained(store, home, sweep.trials)
    if missing:
        _training_set(dataset)
        check_architecture(sweep.spec.architecture, dataset.info.classes, dataset.info.shape)
    for _, spec in requested_runs(store, home, dataset, sweep, missing):
        run = store.find_run(spec.fingerprint())
        if run is None or run.sealed_at is None:
            check_noise(spec, dataset.info)


def untrained(store: Store, home: Path, trials: Sequence[TrainingSpec]) -> list[TrainingSpec]:
    """The trials that the store does not have, or whose checkpoint file is missing."""
    missing = []
    for trial in trials:
        training = store.training(trial.fingerprint())
        if training is None or find_checkpoint_file(training.checkpoint_sha256, training.checkpoint_path, home) is None:
            missing.append(trial)
    return missing


def requested_runs(
    store: Store, home: Path, dataset: ImageDataset, sweep: PlannedSweep, missing: Sequence[TrainingSpec]
) -> list[tuple[str, CertificationSpec]]:
    """The architecture and the specification of each run of a sweep.

    missing: the trials that `untrained` returned. Their checkpoints have no sha256 yet, so no store has a run of them.
    """
    return [
        (
            cell.trial.architecture,
            _untrained_spec(sweep, cell, dataset)
            if cell.trial in missing
            else _planned_run(store, home, dataset, sweep, cell).spec,
        )
        for cell in sweep.cells
    ]


def run_sweep(
    store: Store,
    home: Path,
    dataset: ImageDataset,
    sweep: PlannedSweep,
    *,
    workers: int | None,
    listener: ProgressListener,
) -> list[FinishedRun]:
    """Train what is missing, then certify what is missing. Finished trials and chunks are kept whatever happens.

    workers: number of Ray workers; None for one per GPU or core.
    Raises IncompleteError when a trial or a chunk failed.
    """
    missing = untrained(store, home, sweep.trials)
    store.record_dataset(dataset.info)
    store.record_sweep(sweep.spec)
    if missing:
        _train(store, home, dataset, sweep, missing, workers, listener)
    planned = [_planned_run(store, home, dataset, sweep, cell) for cell in sweep.cells]
    return run_certification(store, dataset, planned, workers=workers, listener=listener)


def training_data(dataset: ImageDataset) -> "TrainingData":
    """What trials train on.

    Raises UsageError when the dataset has no training images, DataError for a pixel outside [0,1].
    """
    from rsbench.training.batch import TrainingData

    pixels, labels = _training_set(dataset)
    check_pixels(pixels, dataset.info.q, f"{dataset.info.name}: train image", range(len(pixels)))
    return TrainingData(dataset.info, pixels, labels, *dataset.normalisation)


def _cells(options: SweepOptions, sweep: SweepSpec, dataset: ImageDataset) -> Iterator[SweepCell]:
    def trial(method: Method, sigma: float, seed: int) -> TrainingSpec:
        return TrainingSpec(
            objective=method.objective,
            objective_options=dict(method.objective_options),
            dataset=sweep.dataset,
            dataset_fingerprint=sweep.dataset_fingerprint,
            architecture=sweep.architecture,
            measure=measure_for(method, sigma, q=dataset.info.q, offsets_seed=seed),
            seed=seed,
            epochs=sweep.epochs,
            device=options.certify.device,
        )

    for method in map(method_named, sweep.methods):
        for sigma in sweep.sigmas:
            for seed in sweep.seeds:
                yield SweepCell(trial(method, sigma, seed), method.name)


def _certify_options(sweep: PlannedSweep, cell: SweepCell) -> CertifyOptions:
    return replace(sweep.options.certify, method=cell.method)


def _untrained_spec(sweep: PlannedSweep, cell: SweepCell, dataset: ImageDataset) -> CertificationSpec:
    return plan_spec(cell.trial, "", dataset, _certify_options(sweep, cell))


def _planned_run(store: Store, home: Path, dataset: ImageDataset, sweep: PlannedSweep, cell: SweepCell) -> PlannedRun:
    """The run of a cell whose trial is trained."""
    training = store.training(cell.trial.fingerprint())
    assert training is not None  # noqa: S101
    record = store.checkpoints(sha256_prefix=training.checkpoint_sha256)[0]
    return plan_reference(CheckpointReference.registered(record, home), dataset, _certify_options(sweep, cell))


def _training_set(dataset: ImageDataset) -> tuple[Pixels, IntArray]:
    training_set = dataset.training_set()
    if training_set is None:
        raise UsageError(
            f"{dataset.info.name} has no training images: certify a checkpoint of yours with rsbench certify "
            f"--dataset {dataset.info.name} --checkpoint FILE"
        )
    return training_set


def _train(
    store: Store,
    home: Path,
    dataset: ImageDataset,
    sweep: PlannedSweep,
    missing: Sequence[TrainingSpec],
    workers: int | None,
    listener: ProgressListener,
) -> None:
    from rsbench.cluster.trials import train_trials

    def keep(spec: TrainingSpec, checkpoint: Checkpoint, epochs: tuple[EpochRecord, ...], device: str) -> None:
        path = save_checkpoint(checkpoint, home)
        record = partial(
            store.record_training,
            spec,
            sweep=sweep.spec,
            sha256=checkpoint.sha256,
            path=str(path.resolve()),
            header=checkpoint.header,
            epochs=epochs,
            provenance=provenance(device),
        )
        retry_while_unavailable(record, listener)

    device = sweep.options.certify.device
    listener.begin(f"training {len(missing)} trials", sum(spec.epochs for spec in missing), "epochs")
    try:
        train_trials(
            missing,
            training_data(dataset),
            workers=worker_count(workers, device),
            device=device,
            storage=home / "tune" / uuid.uuid4().hex,
            on_epochs=listener.advance,
            on_trained=keep,
        )
    finally:
        listener.end()
