"""Runs that others computed, into the store."""

from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, func, insert, select

from rsbench.errors import StoreError, UsageError
from rsbench.records import ImageColumns, ImportedRun
from rsbench.store import tables as t
from rsbench.store.images import add_images, read_images
from rsbench.store.rows import inserted_id, now, record_dataset
from rsbench.store.seal import seal_run


@dataclass(frozen=True)
class ImportOutcome:
    """An imported run, and whether it was not there before."""

    fingerprint: str
    new: bool


def import_run(connection: Connection, imported: ImportedRun, newest: dict[str, ImageColumns]) -> ImportOutcome:
    """Add a run and seal it. `newest`: the images of the run before it on the same data set, by its fingerprint.

    Raises UsageError and StoreError as `Writer.import_runs` says.
    """
    run, spec, fingerprint = t.certification_run, imported.spec, imported.spec.fingerprint()
    same = select(run.c.fingerprint).where(run.c.content_sha256 == spec.content_sha256)
    known = connection.scalars(same).all()
    if fingerprint in known:
        return ImportOutcome(fingerprint, new=False)
    if known:
        raise UsageError(
            f"{imported.source} was imported as run {known[0][:12]} with other claims of method, σ, n, α or data set: "
            "see rsbench show, and give the same options"
        )
    record_dataset(connection, imported.dataset)
    _check_labels(connection, imported, newest)
    run_id = inserted_id(
        connection,
        insert(run).values(
            fingerprint=fingerprint,
            tier="imported-radii" if imported.images.votes is None else "imported-votes",
            state="open",
            method=spec.method,
            family=spec.family,
            dataset_fingerprint=spec.dataset_fingerprint,
            sigma=spec.sigma,
            certificate=spec.certificate,
            procedure=spec.procedure,
            n_select=spec.n_select,
            n_estimate=spec.n_estimate,
            failure_probability=spec.failure_probability,
            images=spec.images,
            image_count=len(imported.images),
            spec=spec.canonical_json(),
            source=imported.source,
            content_sha256=spec.content_sha256,
            notes="\n".join(imported.notes) or None,
            created_at=now(),
            worker_seconds=0.0,
        ),
    )
    add_images(connection, run_id, imported.images)
    # A radius at a σ that was chosen for the image is no certificate of one classifier.
    seal_run(connection, run_id, "exploratory" if spec.data_dependent else "declared")
    newest[imported.dataset.fingerprint] = imported.images
    return ImportOutcome(fingerprint, new=True)


def _check_labels(connection: Connection, imported: ImportedRun, newest: dict[str, ImageColumns]) -> None:
    """Raises StoreError when the newest run on the same data set knows another label of an image."""
    run, images, fingerprint = t.certification_run, imported.images, imported.dataset.fingerprint
    other = newest.get(fingerprint)
    if other is None:
        other_id = connection.scalar(select(func.max(run.c.id)).where(run.c.dataset_fingerprint == fingerprint))
        if other_id is None:
            return
        other = read_images(connection, other_id, with_votes=False)
    _, here, there = np.intersect1d(images.index_N, other.index_N, assume_unique=True, return_indices=True)
    if (wrong := images.label_N[here] != other.label_N[there]).any():
        first = np.flatnonzero(wrong)[0]
        raise StoreError(
            f"{imported.source}: image {images.index_N[here][first]} has the label {images.label_N[here][first]}, and "
            f"{other.label_N[there][first]} in the runs on {imported.dataset.name}: are these other images? then give "
            "the data set another name"
        )
