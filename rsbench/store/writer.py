"""What writes to the store: one transaction for each thing that must be whole."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import ColumnElement, Connection, Engine, Insert, func, insert, select, update

from rsbench.errors import StoreError
from rsbench.records import DatasetInfo, EpochRecord, ImageResult, Provenance, RunSummary
from rsbench.specs import CertificationSpec, MeasureSpec, SweepSpec, TrainingSpec
from rsbench.store import tables as t
from rsbench.store.bulk import add_image_rows
from rsbench.store.engine import translated
from rsbench.theory.metrics import average_certified_radius


@dataclass(frozen=True)
class OpenRun:
    """A certification run as the store has it: which images are done, and whether it is sealed."""

    id: int
    fingerprint: str
    sealed: bool
    done: frozenset[int]


class Writer:
    """The writing half of the store. Every method is one transaction, and raises StoreError when it fails."""

    engine: Engine

    def record_dataset(self, info: DatasetInfo) -> None:
        """Register a data set; nothing happens when it is known."""
        channels, height, width = info.shape
        with translated(self.engine), self.engine.begin() as connection:
            if _has(connection, t.dataset.c.fingerprint == info.fingerprint):
                return
            connection.execute(
                insert(t.dataset).values(
                    fingerprint=info.fingerprint, name=info.name, images=info.images, classes=info.classes,
                    channels=channels, height=height, width=width, q=info.q,
                )
            )  # fmt: skip

    def record_checkpoint(
        self, sha256: str, *, path: str, method: str, measure: MeasureSpec, dataset_fingerprint: str, seed: int | None,
        header_json: str,
    ) -> None:  # fmt: skip
        """Register a checkpoint; where it is known, only its path may change."""
        with translated(self.engine), self.engine.begin() as connection:
            _upsert_checkpoint(connection, sha256, path, method, measure, dataset_fingerprint, seed, header_json)

    def record_sweep(self, spec: SweepSpec) -> None:
        """Register a sweep; nothing happens when it is known."""
        with translated(self.engine), self.engine.begin() as connection:
            if not _has(connection, t.sweep.c.fingerprint == spec.fingerprint()):
                connection.execute(
                    insert(t.sweep).values(
                        fingerprint=spec.fingerprint(), spec=spec.canonical_json(), created_at=_now()
                    )
                )

    def record_training(
        self, spec: TrainingSpec, *, sweep: SweepSpec | None, sha256: str, path: str, header_json: str,
        epochs: Sequence[EpochRecord], provenance: Provenance,
    ) -> None:  # fmt: skip
        """Register a finished trial with its checkpoint and epochs; nothing happens when it is known.

        A trial that gave other bytes when it was trained again stands beside the first, whose runs may be sealed.
        """
        with translated(self.engine), self.engine.begin() as connection:
            _upsert_checkpoint(
                connection, sha256, path, spec.method, spec.measure, spec.dataset_fingerprint, spec.seed, header_json
            )
            run = t.training_run
            same = (run.c.fingerprint == spec.fingerprint()) & (run.c.checkpoint_sha256 == sha256)
            if _has(connection, same):
                return
            run_id = _inserted_id(
                connection,
                insert(t.training_run).values(
                    fingerprint=spec.fingerprint(),
                    sweep_fingerprint=sweep.fingerprint() if sweep else None,
                    checkpoint_sha256=sha256,
                    spec=spec.canonical_json(),
                    provenance=json.dumps(asdict(provenance)),
                    finished_at=_now(),
                ),
            )
            connection.execute(insert(t.training_epoch), [{"training_run_id": run_id, **asdict(e)} for e in epochs])

    def open_run(self, spec: CertificationSpec, *, image_count: int) -> OpenRun:
        """The run of a spec, made when it is not there yet. Its data set and checkpoint must be registered."""
        run = t.certification_run
        with translated(self.engine), self.engine.begin() as connection:
            row = connection.execute(
                select(run.c.id, run.c.state).where(run.c.fingerprint == spec.fingerprint())
            ).one_or_none()
            if row is None:
                budget = spec.budget
                run_id = _inserted_id(
                    connection,
                    insert(run).values(
                        fingerprint=spec.fingerprint(),
                        state="open",
                        method=spec.method,
                        dataset_fingerprint=spec.dataset_fingerprint,
                        checkpoint_sha256=spec.checkpoint_sha256,
                        certificate=spec.certificate,
                        sigma=spec.measure.sigma,
                        seed=spec.seed,
                        n_select=budget and budget.n_select,
                        n_estimate=budget and budget.n_estimate,
                        failure_probability=budget and budget.failure_probability,
                        images=spec.images,
                        image_count=image_count,
                        spec=spec.canonical_json(),
                        created_at=_now(),
                        worker_seconds=0.0,
                    ),
                )
                return OpenRun(run_id, spec.fingerprint(), False, frozenset())
            done = connection.scalars(
                select(t.image_result.c.image_index).where(t.image_result.c.run_id == row.id)
            ).all()
            return OpenRun(row.id, spec.fingerprint(), row.state == "sealed", frozenset(done))

    def write_chunk(
        self, run_id: int, results: Sequence[ImageResult], *, seconds: float, provenance: Provenance
    ) -> None:
        """Add the results and votes of a chunk to an open run, and where they come from.

        What is there already is nothing; raises StoreError when it is there with other values.
        """
        run = t.certification_run
        with translated(self.engine), self.engine.begin() as connection:
            touched = connection.execute(
                update(run)
                .where(run.c.id == run_id, run.c.state == "open")
                .values(worker_seconds=run.c.worker_seconds + seconds)
            ).rowcount
            if touched != 1:
                raise StoreError(f"run {run_id} is sealed: its rows never change")
            _add_provenance(connection, run_id, provenance)
            add_image_rows(
                connection,
                t.image_result,
                run_id,
                [
                    {
                        "run_id": run_id, "image_index": r.index, "label": r.label, "predicted": r.predicted,
                        "radius": r.radius, "top_votes": r.top_votes, "runner_up_votes": r.runner_up_votes,
                    }
                    for r in results
                ],
            )  # fmt: skip
            votes = [{"run_id": run_id, "image_index": r.index, "votes": r.votes} for r in results]
            add_image_rows(connection, t.image_votes, run_id, votes)

    def seal(self, run_id: int) -> RunSummary:
        """Write a complete run's summary and curve and close it for ever. Raises StoreError when images are missing."""
        run, result = t.certification_run, t.image_result
        with translated(self.engine), self.engine.begin() as connection:
            facts = connection.execute(select(run).where(run.c.id == run_id)).one()
            rows = connection.execute(
                select(result.c.label, result.c.predicted, result.c.radius).where(result.c.run_id == run_id)
            ).all()
            if facts.state != "open" or len(rows) != facts.image_count:
                raise StoreError(
                    f"run {run_id} cannot be sealed: {facts.state}, {len(rows)}/{facts.image_count} images"
                )
            radii = np.sort(np.array([row.radius for row in rows if row.predicted == row.label], dtype="<f8"))
            summary = RunSummary(
                images=len(rows),
                correct=len(radii),
                abstained=sum(row.predicted is None for row in rows),
                average_certified_radius=average_certified_radius(radii, len(rows)),
            )
            connection.execute(
                update(run)
                .where(run.c.id == run_id)
                .values(
                    state="sealed",
                    sealed_at=_now(),
                    correct=summary.correct,
                    abstained=summary.abstained,
                    average_certified_radius=summary.average_certified_radius,
                )
            )
            connection.execute(
                insert(t.certified_curve).values(
                    run_id=run_id,
                    certificate=facts.certificate,
                    n=facts.n_estimate or CertificationSpec.from_json(facts.spec).passes_per_image,
                    failure_probability=facts.failure_probability or 0.0,
                    radii=radii.tobytes(),
                )
            )
            return summary


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _has(connection: Connection, condition: ColumnElement[bool]) -> bool:
    return bool(connection.scalar(select(func.count()).where(condition)))


def _inserted_id(connection: Connection, statement: Insert) -> int:
    key = connection.execute(statement).inserted_primary_key
    assert key is not None  # noqa: S101 - the statement inserts one row
    return int(key[0])


def _add_provenance(connection: Connection, run_id: int, provenance: Provenance) -> None:
    known, told = t.run_provenance, json.dumps(asdict(provenance), sort_keys=True)
    rows = connection.scalars(select(known.c.provenance).where(known.c.run_id == run_id)).all()
    if told not in rows:
        connection.execute(insert(known).values(run_id=run_id, number=len(rows), provenance=told, since=_now()))


def _upsert_checkpoint(
    connection: Connection, sha256: str, path: str, method: str, measure: MeasureSpec, dataset_fingerprint: str,
    seed: int | None, header_json: str,
) -> None:  # fmt: skip
    known = t.checkpoint.c.sha256 == sha256
    if _has(connection, known):
        connection.execute(update(t.checkpoint).where(known).values(path=path))
        return
    connection.execute(
        insert(t.checkpoint).values(
            sha256=sha256, path=path, method=method, dataset_fingerprint=dataset_fingerprint, sigma=measure.sigma,
            seed=seed, header=header_json, created_at=_now(),
        )
    )  # fmt: skip
