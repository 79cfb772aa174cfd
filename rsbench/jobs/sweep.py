"""A sweep from end to end: train the missing trials, then certify every checkpoint."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rsbench.cluster.sweep import train_trials
from rsbench.data.dataset import ImageDataset
from rsbench.data.subset import canonical, choose_images
from rsbench.errors import UsageError
from rsbench.jobs.certify import (
    CertifyOptions,
    FinishedRun,
    PlannedRun,
    plan_run,
    run_certification,
    sample_budget,
)
from rsbench.jobs.checkpoints import find_file, load_known, save_checkpoint
from rsbench.jobs.provenance import provenance
from rsbench.jobs.watcher import Watcher
from rsbench.methods import measure_for, method_named
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import EpochRecord
from rsbench.specs import SweepSpec, TrainingSpec
from rsbench.store.store import Store
from rsbench.training.noise_augmentation import TrainingData

DEFAULT_SIGMAS = (0.25, 0.5, 1.0)
DEFAULT_SEEDS = (0, 1, 2)
DEFAULT_EPOCHS = 30


@dataclass(frozen=True)
class SweepOptions:
    """The grid, and how its checkpoints are certified."""

    methods: tuple[str, ...]
    sigmas: tuple[float, ...]
    seeds: tuple[int, ...]
    epochs: int
    certify: CertifyOptions


def sweep_spec(options: SweepOptions, dataset: ImageDataset) -> SweepSpec:
    """The sweep's identity. Raises UsageError when something in it is out of range."""
    for seed in options.seeds:
        if not 0 <= seed < 2**32:
            raise UsageError(f"--seed {seed} is out of range: give whole numbers from 0 to {2**32 - 1}")
    if options.epochs < 1:
        raise UsageError(f"--epochs {options.epochs} trains nothing: give at least 1")
    return SweepSpec(
        methods=options.methods,
        dataset=dataset.info.name,
        dataset_fingerprint=dataset.info.fingerprint,
        sigmas=options.sigmas,
        seeds=options.seeds,
        epochs=options.epochs,
        images=canonical(choose_images(options.certify.images or dataset.default_images, dataset.info.images)),
        budget=sample_budget(options.certify, dataset),
    )


def trials(sweep: SweepSpec, dataset: ImageDataset) -> list[TrainingSpec]:
    """The sweep's trials, method by method. Raises UsageError for an unknown method or a sigma that cannot be."""
    return [
        TrainingSpec(
            method=method.name,
            objective=method.objective,
            dataset=sweep.dataset,
            dataset_fingerprint=sweep.dataset_fingerprint,
            architecture=dataset.default_architecture,
            measure=measure_for(method, sigma, q=dataset.info.q, offsets_seed=seed),
            seed=seed,
            epochs=sweep.epochs,
        )
        for method in map(method_named, sweep.methods)
        for sigma in sweep.sigmas
        for seed in sweep.seeds
    ]


def untrained(store: Store, home: Path, specs: Sequence[TrainingSpec]) -> list[TrainingSpec]:
    """The trials that the store does not have, or whose checkpoint file is gone."""
    missing = []
    for spec in specs:
        known = store.training(spec.fingerprint())
        if known is None or find_file(known.checkpoint_sha256, known.checkpoint_path, home) is None:
            missing.append(spec)
    return missing


def run_sweep(
    store: Store, home: Path, dataset: ImageDataset, options: SweepOptions, *, workers: int, watcher: Watcher
) -> list[FinishedRun]:
    """Train what is missing, certify what is missing. Every finished trial and chunk is kept whatever happens next.

    Raises IncompleteError when a trial or a chunk failed, DataError when there is nothing to train on.
    """
    sweep = sweep_spec(options, dataset)
    specs = trials(sweep, dataset)
    missing = untrained(store, home, specs)
    store.record_dataset(dataset.info)
    store.record_sweep(sweep)
    if missing:
        _train(store, home, dataset, sweep, missing, options.certify.device, workers, watcher)
    planned = planned_runs(store, home, dataset, specs, options.certify)
    return run_certification(store, dataset, planned, workers=workers, watcher=watcher)


def planned_runs(
    store: Store, home: Path, dataset: ImageDataset, specs: Sequence[TrainingSpec], options: CertifyOptions
) -> list[PlannedRun]:
    """The certification runs of trained trials."""
    planned = []
    for spec in specs:
        trained = store.training(spec.fingerprint())
        assert trained is not None  # noqa: S101 - called on trained trials only
        record = store.checkpoints(sha256_prefix=trained.checkpoint_sha256)[0]
        planned.append(plan_run(load_known(record, home), record.path, dataset, options))
    return planned


def training_data(dataset: ImageDataset) -> TrainingData:
    """What a trial trains on. Raises UsageError when the data set has no training images."""
    training_set = dataset.training_set()
    if training_set is None:
        raise UsageError(
            f"{dataset.info.name} has no training images here: certify a checkpoint of yours with rsbench certify "
            f"--dataset {dataset.info.name} --checkpoint FILE"
        )
    pixels, labels = training_set
    return TrainingData(dataset.info, pixels, labels, *dataset.normalisation)


def _train(
    store: Store, home: Path, dataset: ImageDataset, sweep: SweepSpec, specs: Sequence[TrainingSpec], device: str,
    workers: int, watcher: Watcher,
) -> None:  # fmt: skip
    def keep(spec: TrainingSpec, checkpoint: Checkpoint, epochs: tuple[EpochRecord, ...]) -> None:
        path = save_checkpoint(checkpoint, home)
        store.record_training(
            spec,
            sweep=sweep,
            sha256=checkpoint.sha256,
            path=str(path.resolve()),
            header_json=checkpoint.header.canonical_json(),
            epochs=epochs,
            provenance=provenance(device),
        )

    data = training_data(dataset)
    watcher.begin(f"training {len(specs)} trials", sum(spec.epochs for spec in specs), "epochs")
    try:
        train_trials(
            specs,
            data,
            workers=workers,
            device=device,
            storage=home / "tune" / uuid.uuid4().hex,
            on_epochs=watcher.advance,
            on_trained=keep,
        )
    finally:
        watcher.end()
