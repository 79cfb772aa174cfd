"""Adding the rows that runs refer to: datasets, checkpoints, sweeps and trials. An existing row is never added again.

Every function here runs in a `registration_transaction`, except that `import_run` adds datasets in a write transaction
of its own.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, insert, update

from rsbench.records import DatasetInfo, EpochRecord, Provenance
from rsbench.specs import CheckpointHeader, SweepSpec, TrainingSpec
from rsbench.store import tables as t
from rsbench.store.engine import insert_row, row_exists


def add_dataset(connection: Connection, info: DatasetInfo) -> None:
    """Add a dataset, unless one with this fingerprint exists."""
    if row_exists(connection, t.dataset.c.fingerprint == info.fingerprint):
        return
    channels, height, width = info.shape
    connection.execute(
        insert(t.dataset).values(
            fingerprint=info.fingerprint,
            name=info.name,
            images=info.images,
            classes=info.classes,
            channels=channels,
            height=height,
            width=width,
            q=info.q,
        )
    )


def add_or_move_checkpoint(
    connection: Connection, sha256: str, path: str, header: CheckpointHeader, dataset_fingerprint: str
) -> None:
    """Add a checkpoint; if one with this SHA-256 exists, only set its path."""
    is_this_checkpoint = t.checkpoint.c.sha256 == sha256
    if row_exists(connection, is_this_checkpoint):
        connection.execute(update(t.checkpoint).where(is_this_checkpoint).values(path=path))
        return
    connection.execute(
        insert(t.checkpoint).values(
            sha256=sha256,
            path=path,
            method=header.method,
            dataset_fingerprint=dataset_fingerprint,
            sigma=header.measure.sigma,
            seed=header.seed,
            header=header.canonical_json(),
            created_at=t.utc_now(),
        )
    )


def add_sweep(connection: Connection, spec: SweepSpec) -> None:
    """Add a sweep, unless one with this specification exists."""
    if not row_exists(connection, t.sweep.c.fingerprint == spec.fingerprint()):
        connection.execute(
            insert(t.sweep).values(fingerprint=spec.fingerprint(), spec=spec.canonical_json(), created_at=t.utc_now())
        )


def add_training(
    connection: Connection, spec: TrainingSpec, sweep: SweepSpec | None, sha256: str, epochs: Sequence[EpochRecord],
    provenance: Provenance,
) -> None:  # fmt: skip
    """Add a finished trial with its epochs, unless one with this specification gave the same checkpoint."""
    run = t.training_run
    if row_exists(connection, (run.c.fingerprint == spec.fingerprint()) & (run.c.checkpoint_sha256 == sha256)):
        return
    run_id = insert_row(
        connection,
        insert(run).values(
            fingerprint=spec.fingerprint(),
            sweep_fingerprint=sweep.fingerprint() if sweep else None,
            checkpoint_sha256=sha256,
            spec=spec.canonical_json(),
            provenance=json.dumps(asdict(provenance)),
            finished_at=t.utc_now(),
        ),
    )
    connection.execute(insert(t.training_epoch), [{"training_run_id": run_id, **asdict(epoch)} for epoch in epochs])
