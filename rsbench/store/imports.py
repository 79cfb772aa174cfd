"""Adding runs that were computed elsewhere.

Shapes: N images of a run, S images that the imported run shares with a stored one.
"""

from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, func, insert, select

from rsbench.errors import StoreError, UsageError
from rsbench.records import ImageColumns, ImportedRun
from rsbench.store import tables as t
from rsbench.store.engine import insert_row
from rsbench.store.images import add_images, read_images
from rsbench.store.registration import add_dataset
from rsbench.store.seal import seal_run


@dataclass(frozen=True)
class ImportOutcome:
    """An imported run."""

    fingerprint: str
    new: bool
    """False if the run had been imported before."""


def import_run(connection: Connection, imported: ImportedRun, latest_images: dict[str, ImageColumns]) -> ImportOutcome:
    """Add a run that was computed elsewhere and seal it. Importing an identical run again has no effect.

    latest_images: the images of the last run that this transaction imported, by the fingerprint of its dataset. It is
    updated, so that importing many files does not read the images of each of them back.
    Raises UsageError and StoreError as `Writer.import_runs` does.
    """
    run, spec, fingerprint = t.certification_run, imported.spec, imported.spec.fingerprint()
    same_content = connection.scalars(
        select(run.c.fingerprint).where(run.c.content_sha256 == spec.content_sha256)
    ).all()
    if fingerprint in same_content:
        return ImportOutcome(fingerprint, new=False)
    if same_content:
        raise UsageError(
            f"{imported.source} was imported before as run {same_content[0][:12]} with a different method, σ, n, α or "
            f"dataset: compare them with rsbench show {same_content[0][:12]}, and give the same options"
        )
    add_dataset(connection, imported.dataset)
    _check_labels(connection, imported, latest_images)
    run_id = insert_row(
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
            created_at=t.utc_now(),
            worker_seconds=0.0,
        ),
    )
    add_images(connection, run_id, imported.images)
    # If σ was chosen for each image, every image has a classifier of its own, and the radii certify no single one.
    seal_run(connection, run_id, "exploratory" if spec.data_dependent else "declared")
    latest_images[imported.dataset.fingerprint] = imported.images
    return ImportOutcome(fingerprint, new=True)


def _check_labels(connection: Connection, imported: ImportedRun, latest_images: dict[str, ImageColumns]) -> None:
    """Raise StoreError when the newest run on the same dataset has another label for one of the images."""
    run, images, fingerprint = t.certification_run, imported.images, imported.dataset.fingerprint
    other = latest_images.get(fingerprint)
    if other is None:
        other_id = connection.scalar(select(func.max(run.c.id)).where(run.c.dataset_fingerprint == fingerprint))
        if other_id is None:
            return
        other = read_images(connection, other_id, with_votes=False)
    _, row_S, other_row_S = np.intersect1d(images.index_N, other.index_N, assume_unique=True, return_indices=True)
    label_S, other_label_S = images.label_N[row_S], other.label_N[other_row_S]
    if (differs_S := label_S != other_label_S).any():
        first = np.flatnonzero(differs_S)[0]
        raise StoreError(
            f"{imported.source}: image {images.index_N[row_S][first]} has label {label_S[first]}, but "
            f"{other_label_S[first]} in stored runs on {imported.dataset.name}: if the images are different ones, give "
            "the dataset another name"
        )
