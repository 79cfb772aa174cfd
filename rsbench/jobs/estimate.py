"""The work that a command would do, and how long it would take."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rsbench.certification import plan
from rsbench.data.dataset import ImageDataset
from rsbench.jobs.options import CertifyRequest, SweepOptions, worker_count
from rsbench.jobs.planning import PlannedRun, check_noise, plan_request
from rsbench.jobs.speeds import ExpectedSpeed, expected_speed, load_speeds, total_batches, total_votes
from rsbench.jobs.sweep import PlannedSweep, check_sweep, plan_sweep, requested_runs, untrained
from rsbench.records import Chunk
from rsbench.specs import CertificationSpec
from rsbench.store.store import Store


@dataclass(frozen=True)
class Estimate:
    """The work that is missing."""

    trials: int
    """Trials to train."""

    epochs: int
    """Epochs of all these trials."""

    runs: int
    """Runs to certify."""

    images: int
    """Images to certify, of all these runs."""

    passes: int
    """Forward passes that are votes."""

    batches: int
    """Batches of the forward passes."""

    padding: int
    """Forward passes in addition, which only fill the last batch of a chunk."""

    seconds: float | None
    """Time of the certification; None while the speed of one of the networks is not known."""

    speeds: tuple[ExpectedSpeed, ...]
    """The speeds that the time was computed from."""


# The architecture of a run's network, and the run's specification.
_RequestedRun = tuple[str, CertificationSpec]


def dry_run_certify(
    request: CertifyRequest,
    dataset: ImageDataset,
    location: str,
    home: Path,
    *,
    workers: int | None,
    say: Callable[[str], None],
) -> Estimate:
    """The work that `rsbench.jobs.certify.certify` would do with the store at `location`. Nothing is written.

    `say` gets a line for each benchmark that cannot be read. Raises what the job raises for a request that is refused.
    """
    with Store.open_or_empty(location) as store:
        planned = plan_request(store, home, dataset, request)
        for plan in planned:
            check_noise(plan.spec, dataset.info)
        return estimate_runs(store, home, dataset, planned, workers=workers, say=say)


def dry_run_sweep(
    options: SweepOptions,
    dataset: ImageDataset,
    location: str,
    home: Path,
    *,
    workers: int | None,
    say: Callable[[str], None],
) -> Estimate:
    """The work that `rsbench.jobs.sweep.sweep` would do; as for `dry_run_certify`, nothing is written."""
    planned = plan_sweep(options, dataset)
    with Store.open_or_empty(location) as store:
        check_sweep(store, home, dataset, planned)
        return estimate_sweep(store, home, dataset, planned, workers=workers, say=say)


def estimate_sweep(
    store: Store,
    home: Path,
    dataset: ImageDataset,
    sweep: PlannedSweep,
    *,
    workers: int | None,
    say: Callable[[str], None],
) -> Estimate:
    """The work that is missing of a sweep."""
    missing = untrained(store, home, sweep.trials)
    requested = requested_runs(store, home, dataset, sweep, missing)
    epochs = sum(spec.epochs for spec in missing)
    return _estimate(store, home, dataset, requested, workers, say, trials=len(missing), epochs=epochs)


def estimate_runs(
    store: Store,
    home: Path,
    dataset: ImageDataset,
    planned: Sequence[PlannedRun],
    *,
    workers: int | None,
    say: Callable[[str], None],
) -> Estimate:
    """The work that is missing of these runs."""
    return _estimate(store, home, dataset, _requested(planned), workers, say, trials=0, epochs=0)


def missing_chunks(store: Store, spec: CertificationSpec) -> Sequence[Chunk]:
    """The chunks of a run that the store does not have."""
    run = store.find_run(spec.fingerprint())
    if run is None:
        return plan.all_chunks(spec)
    if run.sealed_at is not None:
        return []
    return list(plan.missing_chunks(spec, set(store.image_columns(run.id).index_N.tolist())))


def _requested(planned: Sequence[PlannedRun]) -> list[_RequestedRun]:
    return [(plan.checkpoint.header.architecture, plan.spec) for plan in planned]


def _estimate(
    store: Store,
    home: Path,
    dataset: ImageDataset,
    requested: Sequence[_RequestedRun],
    workers: int | None,
    say: Callable[[str], None],
    *,
    trials: int,
    epochs: int,
) -> Estimate:
    missing = [(network, spec, chunks) for network, spec in requested if (chunks := missing_chunks(store, spec))]
    records = load_speeds(home, say)
    # Looking for a speed reads through the runs of the store, and many runs of a sweep need the same one.
    stored_speed = cache(store.passes_per_second)
    count = worker_count(workers, missing[0][1].device) if missing else 0
    speeds = [expected_speed(records, stored_speed, network, dataset, spec) for network, spec, _ in missing]
    seconds = [speed.seconds(spec, chunks, count) for speed, (_, spec, chunks) in zip(speeds, missing, strict=True)]
    known_seconds = [number for number in seconds if number is not None]
    passes = sum(total_votes(spec, chunks) for _, spec, chunks in missing)
    batches = [(spec.batch_size, total_batches(spec, chunks)) for _, spec, chunks in missing]
    return Estimate(
        trials=trials,
        epochs=epochs,
        runs=len(missing),
        images=sum(len(chunk.indices) for _, _, chunks in missing for chunk in chunks),
        passes=passes,
        batches=sum(number for _, number in batches),
        padding=sum(size * number for size, number in batches) - passes,
        seconds=sum(known_seconds) if len(known_seconds) == len(seconds) else None,
        speeds=tuple(dict.fromkeys(speeds)),
    )
