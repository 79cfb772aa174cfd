"""What a command would do, without doing it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from rsbench.certification import plan
from rsbench.data.dataset import ImageDataset
from rsbench.jobs.batches import batches, votes
from rsbench.jobs.bench_results import kept_results
from rsbench.jobs.planning import PlannedRun, plan_spec
from rsbench.jobs.speeds import KnownSpeed, known_speed
from rsbench.jobs.sweep import PlannedSweep, planned_runs, untrained
from rsbench.records import Chunk
from rsbench.specs import CertificationSpec
from rsbench.store.store import Store


@dataclass(frozen=True)
class Estimate:
    """The work that is missing. `padding`: passes that only fill a chunk's last batch, beside the `passes` that vote.

    `seconds`: of certification, None while the speed of one of its networks is not known here; `speeds`: what they were
    estimated from.
    """

    trials: int
    epochs: int
    runs: int
    images: int
    passes: int
    batches: int
    padding: int
    seconds: float | None
    speeds: tuple[KnownSpeed, ...]


# A run that was asked for: its network, and its specification.
_Asked = tuple[str, CertificationSpec]


def estimate_sweep(
    store: Store, home: Path, dataset: ImageDataset, sweep: PlannedSweep, *, workers: int, say: Callable[[str], None]
) -> Estimate:
    """The work that a sweep would do; nothing is written. `say` is told of results of a bench that cannot be read."""
    missing = untrained(store, home, sweep.trials)
    trained = [cell for cell in sweep.cells if cell.trial not in missing]
    asked = _asked(planned_runs(store, home, dataset, trained, sweep.certify))
    # A checkpoint that is yet to be trained has no SHA-256, so the store knows no run of it.
    asked += [
        (cell.trial.architecture, plan_spec(cell.trial, "", dataset, replace(sweep.certify, method=cell.method)))
        for cell in sweep.cells
        if cell.trial in missing
    ]
    epochs = sum(spec.epochs for spec in missing)
    return _estimate(store, home, dataset, asked, workers, say, trials=len(missing), epochs=epochs)


def estimate_runs(
    store: Store, home: Path, dataset: ImageDataset, planned: Sequence[PlannedRun], *, workers: int,
    say: Callable[[str], None],
) -> Estimate:  # fmt: skip
    """The work that certifying these runs would do; nothing is written. `say`: as of a sweep."""
    return _estimate(store, home, dataset, _asked(planned), workers, say, trials=0, epochs=0)


def missing_chunks(store: Store, spec: CertificationSpec) -> Sequence[Chunk]:
    """What the store does not have of a run; nothing is written."""
    known = store.find_run(spec.fingerprint())
    if known is None:
        return plan.all_chunks(spec)
    if known.sealed_at is not None:
        return []
    done = set(store.image_columns(known.id).index_N.tolist())
    return list(plan.missing_chunks(spec, done))


def _asked(planned: Sequence[PlannedRun]) -> list[_Asked]:
    return [(plan.checkpoint.header.architecture, plan.spec) for plan in planned]


def _estimate(
    store: Store, home: Path, dataset: ImageDataset, asked: Sequence[_Asked], workers: int, say: Callable[[str], None],
    *, trials: int, epochs: int,
) -> Estimate:  # fmt: skip
    missing = [(network, spec, chunks) for network, spec in asked if (chunks := missing_chunks(store, spec))]
    results = kept_results(home, say)
    # The store reads through its runs for a speed, and many runs of a sweep ask for the same one.
    stored = cache(store.passes_per_second)
    speeds = [known_speed(results, stored, network, dataset, spec) for network, spec, _ in missing]
    seconds = [speed.seconds(spec, chunks, workers) for speed, (_, spec, chunks) in zip(speeds, missing, strict=True)]
    known = [number for number in seconds if number is not None]
    passes = sum(votes(spec, chunks) for _, spec, chunks in missing)
    return Estimate(
        trials=trials,
        epochs=epochs,
        runs=len(missing),
        images=sum(len(chunk.indices) for _, _, chunks in missing for chunk in chunks),
        passes=passes,
        batches=sum(batches(spec, chunks) for _, spec, chunks in missing),
        padding=sum(spec.batch_size * batches(spec, chunks) for _, spec, chunks in missing) - passes,
        seconds=sum(known) if len(known) == len(seconds) else None,
        speeds=tuple(dict.fromkeys(speeds)),
    )
