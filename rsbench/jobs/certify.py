"""`rsbench certify`: certify what is missing of runs, store votes and results, and seal the runs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rsbench.certification.plan import all_chunks, batch_count, missing_chunks
from rsbench.certification.results import certify_chunks, group_by_devices
from rsbench.data.dataset import ImageDataset
from rsbench.data.subset import indices_of
from rsbench.errors import UsageError
from rsbench.jobs.checkpoints import record_checkpoint
from rsbench.jobs.options import CertifyRequest, worker_count
from rsbench.jobs.planning import PlannedRun, check_noise, plan_request
from rsbench.jobs.progress import ProgressListener, ProgressTally, retry_while_unavailable
from rsbench.jobs.provenance import provenance
from rsbench.records import Chunk, ImageColumns
from rsbench.specs import CertificationSpec
from rsbench.store.store import Store
from rsbench.store.writer import OpenRun

if TYPE_CHECKING:
    # Importing torch and Ray takes seconds, and runs that are sealed need neither.
    from rsbench.certification.voting import CertificationWork
    from rsbench.cluster.scheduler import CountChunks, Counting


@dataclass(frozen=True)
class FinishedRun:
    """A run that is sealed."""

    spec: CertificationSpec
    new_images: int
    """How many of its images this command certified."""


def certify(
    request: CertifyRequest,
    dataset: ImageDataset,
    location: str,
    home: Path,
    *,
    workers: int | None,
    allow_guessing: bool,
    listener: ProgressListener,
) -> list[FinishedRun]:
    """Certify what the store at `location` does not have of the requested runs, and seal them.

    allow_guessing: whether to certify a network that is no better than guessing.
    No database is made for a request that is refused. Raises what `plan_request`, `check_runs` and `run_certification`
    raise.
    """
    with Store.open_or_empty(location) as store:
        planned = plan_request(store, home, dataset, request)
        check_runs(store, dataset, planned, allow_guessing=allow_guessing)
    with Store.create_or_open(location) as store:
        return run_certification(store, dataset, planned, workers=workers, listener=listener)


def check_runs(store: Store, dataset: ImageDataset, planned: Sequence[PlannedRun], *, allow_guessing: bool) -> None:
    """Check those runs that are not sealed: the checkpoint's file, the noise, and whether the network guesses.

    A run that is in the store already is not checked for guessing.
    Raises CheckpointError or UsageError.
    """
    for plan in planned:
        run = store.find_run(plan.spec.fingerprint())
        if run is not None and run.sealed_at is not None:
            continue
        check_noise(plan.spec, dataset.info)
        classifier = plan.checkpoint.load()
        if run is None and not allow_guessing:
            from rsbench.jobs.preflight import check_above_chance

            check_above_chance(classifier, dataset, plan.spec.images)


def run_certification(
    store: Store,
    dataset: ImageDataset,
    planned: Sequence[PlannedRun],
    *,
    workers: int | None,
    listener: ProgressListener,
    counting: "Counting | None" = None,
) -> list[FinishedRun]:
    """Certify what is missing of each run, and seal it.

    Only this process writes to the store: one transaction for all chunks that have finished since the last one. If the
    database does not answer, it is tried again for some minutes.

    workers: number of Ray workers; None for one per GPU or core.
    counting: starts what counts the votes; None for Ray workers, or for this process if there are no workers.

    Raises IncompleteError, for example when another process is working on one of the runs, StoreError and
    KeyboardInterrupt. Every finished chunk is kept.
    """
    store.record_dataset(dataset.info)
    with store.renewed_claims():
        # All runs are claimed before the first one begins: a run that is taken is reported now, and not in hours.
        opened = [(plan, _open(store, dataset, plan)) for plan in planned]
        images = [0 if run.is_sealed else len(indices_of(plan.spec.images)) - len(run.done) for plan, run in opened]
        missing = sum(images)
        if missing == 0:
            return [_finish(store, dataset, plan, run, None, listener) for plan, run in opened]
        batches = sum(batch_count(plan.spec, count) for (plan, _), count in zip(opened, images, strict=True))
        device = planned[0].spec.device
        listener.begin("certifying", missing, "images")
        try:
            with (counting or _vote_counting())(min(worker_count(workers, device), batches), device) as count:
                return [_finish(store, dataset, plan, run, count, listener) for plan, run in opened]
        finally:
            listener.end()


def certify_without_store(
    dataset: ImageDataset,
    plan: PlannedRun,
    *,
    workers: int,
    listener: ProgressListener,
    counting: "Counting | None" = None,
) -> ImageColumns:
    """Certify all images of a run and return them by index, with their votes. Nothing is kept if it is interrupted.

    Raises what `run_certification` raises.
    """
    from rsbench.certification.voting import CertificationWork

    chunks = all_chunks(plan.spec)
    images = len(indices_of(plan.spec.images))
    work = CertificationWork(plan.spec, dataset.info, plan.checkpoint.load())
    tally, parts = ProgressTally(plan.spec), list[ImageColumns]()
    listener.begin("certifying", images, "images")
    try:
        batches = batch_count(plan.spec, images)
        with (counting or _vote_counting())(min(workers, batches), plan.spec.device) as count:
            for part in _certified_parts(work, chunks, dataset, count, set()):
                parts.append(part.images)
                tally.add(part.images)
                listener.advance(len(part.images), str(tally))
    finally:
        listener.end()
    return _by_index(parts)


def _vote_counting() -> "Counting":
    from rsbench.cluster.scheduler import vote_counting

    return vote_counting


@dataclass(frozen=True, eq=False)
class _CertifiedPart:
    """Images that were certified together."""

    images: ImageColumns
    seconds: float
    devices: frozenset[str]


def _certified_parts(
    work: "CertificationWork", chunks: Iterable[Chunk], dataset: ImageDataset, count: "CountChunks", devices: set[str]
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
            yield _CertifiedPart(images, sum(votes.seconds for votes in counted), kinds)


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
    """Claim a run, and return what the store has of it."""
    record_checkpoint(store, plan.checkpoint, dataset.info)
    return store.open_run(plan.spec, image_count=len(indices_of(plan.spec.images)))


def _finish(
    store: Store,
    dataset: ImageDataset,
    plan: PlannedRun,
    run: OpenRun,
    count: "CountChunks | None",
    listener: ProgressListener,
) -> FinishedRun:
    """Certify what is missing of an open run, and seal it. count: None if nothing is missing."""
    if run.is_sealed:
        return FinishedRun(plan.spec, 0)
    new_images = 0 if count is None else _certify_missing(store, dataset, plan, run, count, listener)

    def seal() -> None:
        # An attempt whose answer was lost may have sealed it.
        if not _open(store, dataset, plan).is_sealed:
            store.seal(run.id)

    retry_while_unavailable(seal, listener)
    return FinishedRun(plan.spec, new_images)


def _certify_missing(
    store: Store,
    dataset: ImageDataset,
    plan: PlannedRun,
    run: OpenRun,
    count: "CountChunks",
    listener: ProgressListener,
) -> int:
    """Certify and store the images that an open run does not have, and return how many they were."""
    from rsbench.certification.voting import CertificationWork

    spec, header = plan.spec, plan.checkpoint.header
    label = f"{spec.method} sigma {spec.measure.sigma:g} seed {header.seed if header.seed is not None else spec.seed}"
    tally, devices = ProgressTally(spec), set[str]()
    if run.done:
        tally.add(retry_while_unavailable(partial(store.image_columns, run.id), listener))
        details = retry_while_unavailable(partial(store.details, run.id), listener)
        devices = {provenance.device for provenance in details.provenances}
    new_images = 0
    work = CertificationWork(spec, dataset.info, plan.checkpoint.load())
    for part in _certified_parts(work, missing_chunks(spec, run.done), dataset, count, devices):
        origin = provenance(" and ".join(sorted(part.devices)))
        write = partial(store.write_chunk, run.id, part.images, seconds=part.seconds, provenance=origin)
        retry_while_unavailable(write, listener)
        tally.add(part.images)
        new_images += len(part.images)
        listener.advance(len(part.images), f"{label}: {tally}")
    return new_images


def _check_one_kind(spec: CertificationSpec, chunk: Chunk, devices: set[str]) -> None:
    if len(devices) > 1 and not spec.mixed_devices:
        raise UsageError(
            f"images {chunk.indices[0]} to {chunk.indices[-1]} come from another kind of device than those before "
            f"({'; '.join(sorted(devices))}), and their votes may differ in what no seed decides: use workers of one "
            "kind, or allow several from the start with --mixed-devices"
        )
