"""A sweep from end to end: train the missing trials, then certify every checkpoint."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from rsbench.cluster.trials import train_trials
from rsbench.data.dataset import ImageDataset, check_pixels
from rsbench.data.subset import canonical, choose_images
from rsbench.errors import UsageError
from rsbench.jobs.certify import FinishedRun, run_certification
from rsbench.jobs.checkpoints import find_checkpoint_file, load_registered, save_checkpoint
from rsbench.jobs.planning import CertifyOptions, PlannedRun, check_seed, plan_run, plan_spec, sample_budget
from rsbench.jobs.progress import ProgressListener, retry_while_unavailable
from rsbench.jobs.provenance import provenance
from rsbench.methods import Method, measure_for, method_named
from rsbench.models.architectures import check_architecture
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import EpochRecord
from rsbench.specs import SweepSpec, TrainingSpec
from rsbench.store.store import Store
from rsbench.training.batch import TrainingData


@dataclass(frozen=True)
class SweepOptions:
    """The grid of a sweep, and how its checkpoints are certified."""

    methods: tuple[str, ...]
    sigmas: tuple[float, ...]
    seeds: tuple[int, ...]
    epochs: int
    certify: CertifyOptions
    architecture: str | None = None
    """Network to train; None: the default of the dataset."""

    def __post_init__(self) -> None:
        """Raises UsageError for a value that no dataset makes valid."""
        for name in self.methods:
            method_named(name)
        for seed in self.seeds:
            check_seed(seed)
        if self.epochs < 1:
            raise UsageError(f"--epochs must be at least 1 (got {self.epochs})")


@dataclass(frozen=True, eq=False)
class PlannedSweep:
    """A sweep that can be run."""

    spec: SweepSpec
    cells: tuple["SweepCell", ...]
    """The points of the grid, method by method."""

    data: TrainingData
    certify: CertifyOptions

    @property
    def trials(self) -> tuple[TrainingSpec, ...]:
        """What is trained: methods that share measure and objective share their trials."""
        return tuple({cell.trial.fingerprint(): cell.trial for cell in self.cells}.values())


@dataclass(frozen=True)
class SweepCell:
    """A point of a sweep's grid: a trial, and the method that certifies its checkpoint."""

    trial: TrainingSpec
    method: str


def plan_sweep(options: SweepOptions, dataset: ImageDataset) -> PlannedSweep:
    """The sweep of these options; nothing is written.

    Raises UsageError when something in them is out of range, the network is unknown or takes no such images, or the
    data set has no training images.
    """
    architecture = options.architecture or dataset.default_architecture
    check_architecture(architecture, dataset.info.classes, dataset.info.shape)
    sampled = any(not method_named(name).is_enumerated for name in options.methods)
    images = choose_images(options.certify.images or dataset.default_images, dataset.info.images)
    spec = SweepSpec(
        methods=options.methods,
        dataset=dataset.info.name,
        dataset_fingerprint=dataset.info.fingerprint,
        architecture=architecture,
        sigmas=options.sigmas,
        seeds=options.seeds,
        epochs=options.epochs,
        images=canonical(images),
        budget=sample_budget(options.certify, dataset) if sampled else None,
    )
    cells = _cells(spec, dataset, options.certify.device)
    for cell in cells:
        # Refuse what cannot be certified before it is trained.
        plan_spec(cell.trial, "", dataset, replace(options.certify, method=cell.method))
    return PlannedSweep(spec, cells, training_data(dataset), options.certify)


def _cells(sweep: SweepSpec, dataset: ImageDataset, device: Literal["cpu", "cuda"]) -> tuple[SweepCell, ...]:
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
            device=device,
        )

    return tuple(
        SweepCell(trial(method, sigma, seed), method.name)
        for method in map(method_named, sweep.methods)
        for sigma in sweep.sigmas
        for seed in sweep.seeds
    )


def untrained(store: Store, home: Path, specs: Sequence[TrainingSpec]) -> list[TrainingSpec]:
    """The trials that the store does not have, or whose checkpoint file is gone."""
    missing = []
    for spec in specs:
        known = store.training(spec.fingerprint())
        if known is None or find_checkpoint_file(known.checkpoint_sha256, known.checkpoint_path, home) is None:
            missing.append(spec)
    return missing


def run_sweep(
    store: Store, home: Path, dataset: ImageDataset, sweep: PlannedSweep, *, workers: int, listener: ProgressListener
) -> list[FinishedRun]:
    """Train what is missing, certify what is missing. Every finished trial and chunk is kept whatever happens next.

    Raises IncompleteError when a trial or a chunk failed.
    """
    missing = untrained(store, home, sweep.trials)
    store.record_dataset(dataset.info)
    store.record_sweep(sweep.spec)
    if missing:
        _train(store, home, sweep, missing, workers, listener)
    planned = planned_runs(store, home, dataset, sweep.cells, sweep.certify)
    return run_certification(store, dataset, planned, workers=workers, listener=listener)


def planned_runs(
    store: Store, home: Path, dataset: ImageDataset, cells: Sequence[SweepCell], options: CertifyOptions
) -> list[PlannedRun]:
    """Return the certification runs of cells whose trials are trained."""
    planned = []
    for cell in cells:
        trained = store.training(cell.trial.fingerprint())
        assert trained is not None  # noqa: S101 - called on trained trials only
        record = store.checkpoints(sha256_prefix=trained.checkpoint_sha256)[0]
        by_method = replace(options, method=cell.method)
        planned.append(plan_run(load_registered(record, home), record.path, dataset, by_method))
    return planned


def training_data(dataset: ImageDataset) -> TrainingData:
    """What a trial trains on. Raises UsageError when there are no training images, DataError for one outside [0,1]."""
    training_set = dataset.training_set()
    if training_set is None:
        raise UsageError(
            f"{dataset.info.name} has no training images here: certify a checkpoint of yours with rsbench certify "
            f"--dataset {dataset.info.name} --checkpoint FILE"
        )
    pixels, labels = training_set
    check_pixels(pixels, dataset.info.q, f"{dataset.info.name}: train image", range(len(pixels)))
    return TrainingData(dataset.info, pixels, labels, *dataset.normalisation)


def _train(
    store: Store,
    home: Path,
    sweep: PlannedSweep,
    missing: Sequence[TrainingSpec],
    workers: int,
    listener: ProgressListener,
) -> None:
    def keep(spec: TrainingSpec, checkpoint: Checkpoint, epochs: tuple[EpochRecord, ...], trained_on: str) -> None:
        path = save_checkpoint(checkpoint, home)
        record = partial(
            store.record_training,
            spec,
            sweep=sweep.spec,
            sha256=checkpoint.sha256,
            path=str(path.resolve()),
            header=checkpoint.header,
            epochs=epochs,
            provenance=provenance(trained_on),
        )
        retry_while_unavailable(record, listener)

    listener.begin(f"training {len(missing)} trials", sum(spec.epochs for spec in missing), "epochs")
    try:
        train_trials(
            missing,
            sweep.data,
            workers=workers,
            device=sweep.certify.device,
            storage=home / "tune" / uuid.uuid4().hex,
            on_epochs=listener.advance,
            on_trained=keep,
        )
    finally:
        listener.end()
