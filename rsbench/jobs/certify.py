"""Certification from end to end: what is missing of runs, votes, results, seal."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from rsbench.certification.plan import batches_of, missing_chunks
from rsbench.certification.results import by_devices, certify_chunks
from rsbench.certification.work import CertificationWork
from rsbench.cluster.scheduler import CountChunks, Counting, LoadPixels, vote_counting
from rsbench.data.dataset import ImageDataset
from rsbench.data.subset import indices_of
from rsbench.errors import UsageError
from rsbench.jobs.checkpoints import record_checkpoint
from rsbench.jobs.patience import patiently
from rsbench.jobs.planning import PlannedRun
from rsbench.jobs.provenance import provenance
from rsbench.jobs.tally import Tally
from rsbench.jobs.watcher import Watcher
from rsbench.records import Chunk, ChunkVotes
from rsbench.specs import CertificationSpec
from rsbench.store.store import Store
from rsbench.store.writer import OpenRun


@dataclass(frozen=True)
class FinishedRun:
    """A run that is sealed. `new_images`: how many of its images this command certified."""

    spec: CertificationSpec
    new_images: int


def run_certification(
    store: Store, dataset: ImageDataset, planned: Sequence[PlannedRun], *, workers: int, watcher: Watcher,
    counting: Counting = vote_counting,
) -> list[FinishedRun]:  # fmt: skip
    """Certify what is missing of each run and seal it. The driver alone writes: a transaction for all chunks that have
    finished meanwhile.

    A database that is gone for some minutes is waited for.
    Raises IncompleteError, also where another process is at work on one of them, StoreError or KeyboardInterrupt with
    every finished chunk kept.
    """
    store.record_dataset(dataset.info)
    with store.keeping_claims():
        # All are claimed before the first is begun: whose run is taken learns it now, not after hours.
        opened = [(plan, _open(store, dataset, plan)) for plan in planned]
        images = [len(indices_of(plan.spec.images)) - len(run.done) for plan, run in opened]
        missing = sum(images)
        batches = sum(batches_of(plan.spec, count) for (plan, _), count in zip(opened, images, strict=True))
        if missing == 0:
            return [_finish(store, dataset, plan, run, _nothing_missing, watcher) for plan, run in opened]
        watcher.begin("certifying", missing, "images")
        try:
            with counting(min(workers, batches), planned[0].spec.device) as count:
                return [_finish(store, dataset, plan, run, count, watcher) for plan, run in opened]
        finally:
            watcher.end()


def _open(store: Store, dataset: ImageDataset, plan: PlannedRun) -> OpenRun:
    """A run as the store has it, now claimed."""
    record_checkpoint(store, plan.checkpoint, plan.path, dataset.info)
    return store.open_run(plan.spec, image_count=len(indices_of(plan.spec.images)))


def _finish(
    store: Store, dataset: ImageDataset, plan: PlannedRun, run: OpenRun, count: CountChunks, watcher: Watcher
) -> FinishedRun:
    """Bring one run, as it was opened, to its seal."""
    spec, header = plan.spec, plan.checkpoint.header
    if run.sealed:
        return FinishedRun(spec, 0)
    missing = missing_chunks(spec, run.done)
    work = CertificationWork(spec, dataset.info, plan.checkpoint)
    label = f"{spec.method} sigma {spec.measure.sigma:g} seed {header.seed if header.seed is not None else spec.seed}"
    tally, devices = Tally(spec), set[str]()
    if run.done:
        tally.add(patiently(partial(store.image_columns, run.id), watcher))
        details = patiently(partial(store.details, run.id), watcher)
        devices = {made.device for made in details.provenances}
    done = 0
    for finished in count(work, missing, dataset.pixels):
        for kinds, counted in by_devices(finished).items():
            devices |= kinds
            _check_one_kind(spec, counted[0].chunk, devices)
            images = certify_chunks(spec, dataset.info, dataset.labels_N, counted)
            seconds = sum(one.seconds for one in counted)
            where = provenance(" and ".join(sorted(kinds)))
            patiently(partial(store.write_chunk, run.id, images, seconds=seconds, provenance=where), watcher)
            tally.add(images)
            done += len(images)
            watcher.advance(len(images), f"{label}: {tally}")

    def seal() -> None:
        # It may have been sealed by a try whose answer was lost.
        if not _open(store, dataset, plan).sealed:
            store.seal(run.id)

    patiently(seal, watcher)
    return FinishedRun(spec, done)


def _check_one_kind(spec: CertificationSpec, chunk: Chunk, devices: set[str]) -> None:
    if len(devices) > 1 and not spec.mixed_devices:
        raise UsageError(
            f"images {chunk.indices[0]} to {chunk.indices[-1]} come from another kind of device than those before "
            f"({'; '.join(sorted(devices))}), and their votes may differ in what no seed decides: use workers of one "
            "kind, or allow several from the start with --mixed-devices"
        )


def _nothing_missing(
    work: CertificationWork, chunks: Iterable[Chunk], load: LoadPixels
) -> Iterator[Sequence[ChunkVotes]]:
    """Counts nothing, for runs of which no image is missing: no worker has to start."""
    return iter(())
