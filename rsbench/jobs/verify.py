"""Recomputing images of a sealed run from its stored specification, and comparing votes. Shapes: N images."""

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
    """An image that has other votes now: rows of selection and of cumulative estimation votes, by class."""

    image: int
    stored: list[list[int]]
    recomputed: list[list[int]]


@dataclass(frozen=True)
class Verification:
    """What came out. `sampled` images were asked for, and `recomputed` stand in the same chunks.

    `here`: where they were recomputed; `there`: what differs from where they were computed first.
    """

    run: RunRecord
    sampled: tuple[int, ...]
    recomputed: int
    differences: tuple[Difference, ...]
    here: Provenance
    there: tuple[str, ...]


def verify_run(
    store: Store, home: Path, run: RunRecord, *, sample: int, seed: int, data_root: Path | None, workers: int,
    listener: ProgressListener,
) -> Verification:  # fmt: skip
    """Draw images of a sealed run, count the votes of their chunks again and compare them with the stored ones.

    A chunk is recomputed whole, since its images share batches; all of its images are compared.
    seed: of the draw of images.
    Raises UsageError for a run that cannot be recomputed, CheckpointError or DataError when its checkpoint or images
    are not here.
    """
    spec = _specification(run)
    dataset, checkpoint = dataset_of(run, data_root), checkpoint_of(store, home, spec)
    sampled = sorted(random.Random(seed).sample(indices_of(spec.images), min(sample, run.image_count)))  # noqa: S311
    chunks = [chunk for chunk in all_chunks(spec) if set(sampled) & set(chunk.indices)]
    stored = _stored_votes(store, run, chunks)
    differences, devices = list[Difference](), frozenset[str]()
    images = sum(len(chunk.indices) for chunk in chunks)
    listener.begin("verifying", images, "images")
    try:
        with vote_counting(min(workers, total_batches(spec, chunks)), spec.device) as count:
            work = CertificationWork(spec, dataset.info, checkpoint)
            for counted in chain.from_iterable(count(work, chunks, dataset.pixels)):
                devices |= counted.devices
                for index, content in zip(
                    counted.chunk.indices, encode_votes(counted.votes.counts_NRK), strict=True
                ):  # fmt: skip
                    if content != stored[index]:
                        differences.append(Difference(index, _decoded(stored[index]), _decoded(content)))
                listener.advance(len(counted.chunk.indices))
    finally:
        listener.end()
    here = provenance(" and ".join(sorted(devices)))
    there = store.details(run.id).provenances
    return Verification(
        run,
        tuple(sampled),
        images,
        tuple(sorted(differences, key=lambda difference: difference.image)),
        here,
        tuple(dict.fromkeys(line for known in there for line in _told_apart(known, here))),
    )


def _specification(run: RunRecord) -> CertificationSpec:
    name = f"run {run.fingerprint[:12]}"
    if run.sealed_at is None:
        raise UsageError(f"{name} is not sealed: the command that began it finishes it")
    if (spec := run.certification) is None:
        raise UsageError(f"{name} was imported: neither its checkpoint nor its noise is known")
    return spec


def _stored_votes(store: Store, run: RunRecord, chunks: Sequence[Chunk]) -> dict[int, bytes]:
    wanted = {index for chunk in chunks for index in chunk.indices}
    rows = store.image_columns(run.id, with_votes=True)
    return {
        index: content
        for index, content in zip(rows.index_N.tolist(), rows.votes or (), strict=True)
        if index in wanted
    }


def _decoded(content: bytes) -> list[list[int]]:
    counts: list[list[int]] = decode_votes([content])[0].tolist()
    return counts


def _told_apart(then: Provenance, now: Provenance) -> list[str]:
    """What was otherwise when a run was computed, and may change the last bits of a network's output."""
    lines = [] if then.device == now.device else [f"device {then.device}, here {now.device}"]
    for package, number in then.versions.items():
        if now.versions.get(package) != number:
            lines.append(f"{package} {number}, here {now.versions.get(package, 'absent')}")
    return lines
