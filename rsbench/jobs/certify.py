"""Certification from end to end: what is missing of runs, votes, results, seal."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from rsbench.certification.plan import all_chunks, batch_count, missing_chunks
from rsbench.certification.results import certify_chunks, group_by_devices
from rsbench.certification.voting import CertificationWork
from rsbench.cluster.scheduler import CountChunks, Counting, LoadPixels, vote_counting
from rsbench.data.dataset import ImageDataset
from rsbench.data.subset import indices_of
from rsbench.errors import UsageError
from rsbench.jobs.checkpoints import record_checkpoint
from rsbench.jobs.planning import PlannedRun
from rsbench.jobs.progress import ProgressListener, ProgressTally, retry_while_unavailable
from rsbench.jobs.provenance import provenance
from rsbench.records import Chunk, ChunkVotes, ImageColumns
from rsbench.specs import CertificationSpec
from rsbench.store.store import Store
from rsbench.store.writer import OpenRun


@dataclass(frozen=True)
class FinishedRun:
    """A run that is sealed. `new_images`: how many of its images this command certified."""

    spec: CertificationSpec
    new_images: int


def run_certification(
    store: Store, dataset: ImageDataset, planned: Sequence[PlannedRun], *, workers: int, listener: ProgressListener,
    counting: Counting = vote_counting,
) -> list[FinishedRun]:  # fmt: skip
    """Certify what is missing of each run and seal it. The driver alone writes: a transaction for all chunks that have
    finished meanwhile.

    A database that is gone for some minutes is waited for.
    Raises IncompleteError, also where another process is at work on one of them, StoreError or KeyboardInterrupt with
    every finished chunk kept.
    """
    store.record_dataset(dataset.info)
    with store.renewed_claims():
        # All are claimed before the first is begun: whose run is taken learns it now, not after hours.
        opened = [(plan, _open(store, dataset, plan)) for plan in planned]
        images = [0 if run.is_sealed else len(indices_of(plan.spec.images)) - len(run.done) for plan, run in opened]
        missing = sum(images)
        batches = sum(batch_count(plan.spec, count) for (plan, _), count in zip(opened, images, strict=True))
        if missing == 0:
            return [_finish(store, dataset, plan, run, _nothing_missing, listener) for plan, run in opened]
        listener.begin("certifying", missing, "images")
        try:
            with counting(min(workers, batches), planned[0].spec.device) as count:
                return [_finish(store, dataset, plan, run, count, listener) for plan, run in opened]
        finally:
            listener.end()


def certify_without_store(
    dataset: ImageDataset,
    plan: PlannedRun,
    *,
    workers: int,
    listener: ProgressListener,
    counting: Counting = vote_counting,
) -> ImageColumns:
    """Certify all images of a run and return them by index, with their votes. Nothing is kept if it is interrupted.

    Raises what `run_certification` raises.
    """
    chunks = all_chunks(plan.spec)
    images = len(indices_of(plan.spec.images))
    work = CertificationWork(plan.spec, dataset.info, plan.checkpoint)
    tally, parts = ProgressTally(plan.spec), list[ImageColumns]()
    listener.begin("certifying", images, "images")
    try:
        with counting(min(workers, batch_count(plan.spec, images)), plan.spec.device) as count:
            for part in _certified_parts(work, chunks, dataset, count, set()):
                parts.append(part.images)
                tally.add(part.images)
                listener.advance(len(part.images), str(tally))
    finally:
        listener.end()
    return _by_index(parts)


@dataclass(frozen=True, eq=False)
class _CertifiedPart:
    """Images that were certified together."""

    images: ImageColumns
    seconds: float
    devices: frozenset[str]


def _certified_parts(
    work: CertificationWork, chunks: Iterable[Chunk], dataset: ImageDataset, count: CountChunks, devices: set[str]
) -> Iterator[_CertifiedPart]:
    """Count the votes of chunks and certify their images, as the chunks finish.

    `devices` holds the kinds of devices that the other images of the run come from; those of the chunks are added.
    Raises UsageError when a chunk comes from another kind of device and the run does not allow it.
    """
    for finished in count(work, chunks, dataset.pixels):
        for kinds, counted in group_by_devices(finished).items():
            devices |= kinds
            _check_one_kind(work.spec, counted[0].chunk, devices)
            images = certify_chunks(work.spec, dataset.info, dataset.labels_N, counted)
            yield _CertifiedPart(images, sum(one.seconds for one in counted), kinds)


def _by_index(parts: Sequence[ImageColumns]) -> ImageColumns:
    index_N = np.concatenate([part.index_N for part in parts])
    order_N = index_N.argsort()
    votes = [content for part in parts for content in part.votes or ()]
    return ImageColumns(
        index_N=index_N[order_N],
        label_N=np.concatenate([part.label_N for part in parts])[order_N],
        predicted_N=np.concatenate([part.predicted_N for part in parts])[order_N],
        radius_N=np.concatenate([part.radius_N for part in parts])[order_N],
        votes=tuple(votes[row] for row in order_N.tolist()),
    )


def _open(store: Store, dataset: ImageDataset, plan: PlannedRun) -> OpenRun:
    """A run as the store has it, now claimed."""
    record_checkpoint(store, plan.checkpoint, plan.path, dataset.info)
    return store.open_run(plan.spec, image_count=len(indices_of(plan.spec.images)))


def _finish(
    store: Store, dataset: ImageDataset, plan: PlannedRun, run: OpenRun, count: CountChunks, listener: ProgressListener
) -> FinishedRun:
    """Bring one run, as it was opened, to its seal."""
    spec, header = plan.spec, plan.checkpoint.header
    if run.is_sealed:
        return FinishedRun(spec, 0)
    missing = missing_chunks(spec, run.done)
    work = CertificationWork(spec, dataset.info, plan.checkpoint)
    label = f"{spec.method} sigma {spec.measure.sigma:g} seed {header.seed if header.seed is not None else spec.seed}"
    tally, devices = ProgressTally(spec), set[str]()
    if run.done:
        tally.add(retry_while_unavailable(partial(store.image_columns, run.id), listener))
        details = retry_while_unavailable(partial(store.details, run.id), listener)
        devices = {made.device for made in details.provenances}
    done = 0
    for part in _certified_parts(work, missing, dataset, count, devices):
        where = provenance(" and ".join(sorted(part.devices)))
        write = partial(store.write_chunk, run.id, part.images, seconds=part.seconds, provenance=where)
        retry_while_unavailable(write, listener)
        tally.add(part.images)
        done += len(part.images)
        listener.advance(len(part.images), f"{label}: {tally}")

    def seal() -> None:
        # It may have been sealed by a try whose answer was lost.
        if not _open(store, dataset, plan).is_sealed:
            store.seal(run.id)

    retry_while_unavailable(seal, listener)
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
