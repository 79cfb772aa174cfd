"""What a command would do, without doing it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rsbench.data.dataset import ImageDataset
from rsbench.data.subset import indices_of
from rsbench.jobs.certify import PlannedRun, missing_images
from rsbench.jobs.sweep import PlannedSweep, planned_runs, untrained
from rsbench.store.store import Store


@dataclass(frozen=True)
class Estimate:
    """The work that is missing. `seconds`: of certification, None while no run of that network is known here."""

    trials: int
    epochs: int
    runs: int
    images: int
    passes: int
    seconds: float | None


def estimate_sweep(store: Store, home: Path, dataset: ImageDataset, sweep: PlannedSweep, *, workers: int) -> Estimate:
    """The work that a sweep would do; nothing is written."""
    missing = untrained(store, home, sweep.trials)
    trained = [spec for spec in sweep.trials if spec not in missing]
    known = estimate_runs(store, planned_runs(store, home, dataset, trained, sweep.certify), workers=workers)
    images = len(indices_of(sweep.spec.images))
    budget = sweep.spec.budget
    sampled = budget.n_select + budget.n_estimate if budget else 0
    passes = known.passes + sum(images * (spec.measure.levels or sampled) for spec in missing)
    speed = store.passes_per_second(dataset.default_architecture, sweep.certify.device)
    return Estimate(
        trials=len(missing),
        epochs=sweep.spec.epochs * len(missing),
        runs=known.runs + len(missing),
        images=known.images + images * len(missing),
        passes=passes,
        seconds=passes / speed / max(1, workers) if speed else None,
    )


def estimate_runs(store: Store, planned: Sequence[PlannedRun], *, workers: int) -> Estimate:
    """The work that certifying these runs would do."""
    missing = [(plan, count) for plan in planned if (count := missing_images(store, plan))]
    passes = sum(count * plan.spec.passes_per_image for plan, count in missing)
    seconds: float | None = 0.0
    for plan, count in missing:
        speed = store.passes_per_second(plan.checkpoint.header.architecture, plan.spec.device)
        if speed is None or seconds is None:
            seconds = None
        else:
            seconds += count * plan.spec.passes_per_image / speed / max(1, workers)
    return Estimate(0, 0, len(missing), sum(count for _, count in missing), passes, seconds)
