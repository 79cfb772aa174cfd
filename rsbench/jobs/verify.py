"""`rsbench verify`: recompute images of a sealed run from its specification, and compare their votes."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from rsbench.certification.plan import all_chunks
from rsbench.certification.voting import CertificationWork
from rsbench.cluster.scheduler import vote_counting
from rsbench.data.subset import indices_of
from rsbench.errors import UsageError
from rsbench.jobs.options import worker_count
from rsbench.jobs.progress import ProgressListener
from rsbench.jobs.provenance import provenance
from rsbench.jobs.speeds import total_batches
from rsbench.jobs.stored_runs import checkpoint_of, dataset_of
from rsbench.records import Chunk, Provenance, RunRecord
from rsbench.specs import CertificationSpec
from rsbench.store.store import Store
from rsbench.votes_format import decode_votes, encode_votes


@dataclass(frozen=True)
class Difference:
    """An image whose votes differ now. Rows of votes are selection votes, then estimation votes at each prefix."""

    image: int
    stored: list[list[int]]
    recomputed: list[list[int]]


@dataclass(frozen=True)
class Verification:
    """The result of recomputing images of a run."""

    run: RunRecord
    sampled: tuple[int, ...]
    """The images that were drawn."""

    recomputed: int
    """Number of images that were recomputed: all that share a chunk with a drawn one."""

    differences: tuple[Difference, ...]
    provenance: Provenance
    """Where the images were recomputed."""

    changes: tuple[str, ...]
    """What has changed since the run was computed, and may change the last bits of a network's output."""


def verify_run(
    store: Store,
    home: Path,
    run: RunRecord,
    *,
    sample: int,
    seed: int,
    data_root: Path | None,
    workers: int | None,
    listener: ProgressListener,
) -> Verification:
    """Draw images of a sealed run, count the votes of their chunks again, and compare them with the stored ones.

    A chunk is recomputed as a whole, because its images share batches, and all of its images are compared.

    seed: of the draw of images.
    workers: number of Ray workers; None for one per GPU or core.

    Raises UsageError for a run that cannot be recomputed, and CheckpointError or DataError when its checkpoint or its
    images are missing.
    """
    spec = _specification(run)
    dataset, checkpoint = dataset_of(run, data_root), checkpoint_of(store, home, spec)
    sampled = sorted(random.Random(seed).sample(indices_of(spec.images), min(sample, run.image_count)))  # noqa: S311
    chunks = [chunk for chunk in all_chunks(spec) if set(sampled) & set(chunk.indices)]
    stored_by_image = _stored_votes(store, run, chunks)
    differences, devices = list[Difference](), frozenset[str]()
    images = sum(len(chunk.indices) for chunk in chunks)
    listener.begin("verifying", images, "images")
    try:
        with vote_counting(min(worker_count(workers, spec.device), total_batches(spec, chunks)), spec.device) as count:
            work = CertificationWork(spec, dataset.info, checkpoint)
            for counted in chain.from_iterable(count(work, chunks, dataset.pixels)):
                devices |= counted.devices
                recomputed = encode_votes(counted.votes.counts_NRK)
                for image, votes in zip(counted.chunk.indices, recomputed, strict=True):
                    if votes != stored_by_image[image]:
                        differences.append(Difference(image, _decoded(stored_by_image[image]), _decoded(votes)))
                listener.advance(len(counted.chunk.indices))
    finally:
        listener.end()
    now = provenance(" and ".join(sorted(devices)))
    return Verification(
        run=run,
        sampled=tuple(sampled),
        recomputed=images,
        differences=tuple(sorted(differences, key=lambda difference: difference.image)),
        provenance=now,
        changes=tuple(
            dict.fromkeys(change for then in store.details(run.id).provenances for change in _changes(then, now))
        ),
    )


def _specification(run: RunRecord) -> CertificationSpec:
    name = f"run {run.fingerprint[:12]}"
    if run.sealed_at is None:
        raise UsageError(f"{name} is not sealed: repeat the command that began it")
    if (spec := run.certification) is None:
        raise UsageError(
            f"{name} was imported, so its checkpoint and its noise are not known: verify a run of your own"
        )
    return spec


def _stored_votes(store: Store, run: RunRecord, chunks: Sequence[Chunk]) -> dict[int, bytes]:
    images = {index for chunk in chunks for index in chunk.indices}
    rows = store.image_columns(run.id, with_votes=True)
    return {
        index: votes for index, votes in zip(rows.index_N.tolist(), rows.votes or (), strict=True) if index in images
    }


def _decoded(votes: bytes) -> list[list[int]]:
    counts: list[list[int]] = decode_votes([votes])[0].tolist()
    return counts


def _changes(then: Provenance, now: Provenance) -> list[str]:
    changes = [] if then.device == now.device else [f"device {then.device}, now {now.device}"]
    for package, number in then.versions.items():
        if now.versions.get(package) != number:
            changes.append(f"{package} {number}, now {now.versions.get(package, 'absent')}")
    return changes
