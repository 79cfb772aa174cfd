"""What reads from the store: rows in, frozen records out."""

import json
from collections import defaultdict
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Engine, Row, case, func, select

from rsbench.errors import UsageError
from rsbench.records import (
    CheckpointRecord,
    DatasetInfo,
    EpochRecord,
    ImageColumns,
    ImageResult,
    Provenance,
    RunRecord,
    RunSummary,
    TrainingRecord,
)
from rsbench.store import tables as t
from rsbench.store.engine import translated


class Queries:
    """The reading half of the store. Every method raises StoreError when the database fails."""

    engine: Engine

    def sealed_runs(self, dataset: str | None = None) -> list[RunRecord]:
        """All sealed runs, or those on the data set of that name, with their curves, oldest first."""
        condition = t.certification_run.c.state == "sealed"
        return self._runs(condition if dataset is None else condition & (t.dataset.c.name == dataset))

    def incomplete_runs(self, dataset: str | None = None) -> list[RunRecord]:
        """Runs that were begun and not sealed."""
        condition = t.certification_run.c.state != "sealed"
        return self._runs(condition if dataset is None else condition & (t.dataset.c.name == dataset))

    def run(self, prefix: str) -> RunRecord:
        """The run whose fingerprint begins with `prefix`. Raises UsageError when none or several do."""
        if len(prefix) < 4 or not all(c in "0123456789abcdef" for c in prefix):
            raise UsageError(
                f"{prefix!r} is not a run: give at least 4 hexadecimal digits, as rsbench leaderboard prints"
            )
        runs = self._runs(t.certification_run.c.fingerprint.startswith(prefix))
        if len(runs) != 1:
            raise UsageError(f"{len(runs)} runs begin with {prefix!r}: see rsbench leaderboard --all")
        return runs[0]

    def find_run(self, fingerprint: str) -> RunRecord | None:
        """The run of exactly that fingerprint, or None."""
        runs = self._runs(t.certification_run.c.fingerprint == fingerprint)
        return runs[0] if runs else None

    def dataset_names(self) -> list[str]:
        """Data sets that have a sealed run."""
        run, dataset = t.certification_run, t.dataset
        query = select(dataset.c.name).join(run).where(run.c.state == "sealed").distinct().order_by(dataset.c.name)
        with translated(self.engine), self.engine.connect() as connection:
            return list(connection.scalars(query))

    def image_results(self, run_id: int) -> list[ImageResult]:
        """The rows of a run with their votes, by image index."""
        result, votes = t.image_result, t.image_votes
        query = (
            select(result, votes.c.votes)
            .join(votes, (votes.c.run_id == result.c.run_id) & (votes.c.image_index == result.c.image_index))
            .where(result.c.run_id == run_id)
            .order_by(result.c.image_index)
        )
        with translated(self.engine), self.engine.connect() as connection:
            return [
                ImageResult(r.image_index, r.label, r.predicted, r.radius, r.top_votes, r.runner_up_votes, r.votes)
                for r in connection.execute(query)
            ]

    def image_columns(self, run_id: int) -> ImageColumns:
        """The rows of a run without their votes, by image index."""
        result = t.image_result.c
        columns = (result.image_index, result.label, func.coalesce(result.predicted, -1), result.radius)
        query = select(*columns).where(result.run_id == run_id).order_by(result.image_index)
        with translated(self.engine), self.engine.connect() as connection:
            rows = connection.execute(query).all()
        index, label, predicted, radius = zip(*rows, strict=True) if rows else ((), (), (), ())
        index_N, label_N, predicted_N = (np.array(values, dtype=np.int64) for values in (index, label, predicted))
        return ImageColumns(index_N, label_N, predicted_N, np.array(radius, dtype=np.float64))

    def training(self, fingerprint: str) -> TrainingRecord | None:
        """The finished trial of that fingerprint, the last where it was trained again; None where there is none."""
        return self._training(t.training_run.c.fingerprint == fingerprint)

    def training_of_checkpoint(self, sha256: str) -> TrainingRecord | None:
        """The trial that made a checkpoint, or None for a foreign one."""
        return self._training(t.training_run.c.checkpoint_sha256 == sha256)

    def _training(self, condition: ColumnElement[bool]) -> TrainingRecord | None:
        run, checkpoint, epoch = t.training_run, t.checkpoint, t.training_epoch
        with translated(self.engine), self.engine.connect() as connection:
            row = connection.execute(
                select(run, checkpoint.c.path).join(checkpoint).where(condition).order_by(run.c.id.desc()).limit(1)
            ).one_or_none()
            if row is None:
                return None
            epochs = connection.execute(
                select(epoch).where(epoch.c.training_run_id == row.id).order_by(epoch.c.epoch)
            ).all()
            return TrainingRecord(
                spec_json=row.spec,
                checkpoint_sha256=row.checkpoint_sha256,
                checkpoint_path=row.path,
                provenance=Provenance(**json.loads(row.provenance)),
                finished_at=row.finished_at,
                epochs=tuple(EpochRecord(e.epoch, e.loss, e.accuracy, e.seconds) for e in epochs),
            )

    def checkpoints(
        self, dataset_fingerprint: str | None = None, *, method: str | None = None, sha256_prefix: str | None = None,
        without_sealed_run: bool = False,
    ) -> list[CheckpointRecord]:  # fmt: skip
        """Known checkpoints, narrowed as asked, by method, sigma and seed."""
        checkpoint, run = t.checkpoint, t.certification_run
        query = select(checkpoint).order_by(checkpoint.c.method, checkpoint.c.sigma, checkpoint.c.seed)
        if dataset_fingerprint is not None:
            query = query.where(checkpoint.c.dataset_fingerprint == dataset_fingerprint)
        if method is not None:
            query = query.where(checkpoint.c.method == method)
        if sha256_prefix is not None:
            query = query.where(checkpoint.c.sha256.startswith(sha256_prefix, autoescape=True))
        if without_sealed_run:
            sealed = (run.c.checkpoint_sha256 == checkpoint.c.sha256) & (run.c.state == "sealed")
            query = query.where(~select(run.c.id).where(sealed).exists())
        with translated(self.engine), self.engine.connect() as connection:
            return [
                CheckpointRecord(c.sha256, c.path, c.method, c.dataset_fingerprint, c.sigma, c.seed, c.header)
                for c in connection.execute(query)
            ]

    def passes_per_second(self, architecture: str, device: str) -> float | None:
        """Forward passes a worker made in a second, in the newest sealed run of that architecture and kind of device.

        None where no such run is known.
        """
        run, checkpoint = t.certification_run, t.checkpoint
        newest = run.c.sealed_at.desc()
        query = select(run, checkpoint.c.header).join(checkpoint).where(run.c.state == "sealed").order_by(newest)
        with translated(self.engine), self.engine.connect() as connection:
            for row in connection.execute(query):
                spec = json.loads(row.spec)
                same = json.loads(row.header)["architecture"] == architecture and spec["device"] == device
                if same and row.worker_seconds > 0:
                    levels = spec["measure"]["levels"] or row.n_select + row.n_estimate
                    return float(row.image_count * levels / row.worker_seconds)
        return None

    def _runs(self, condition: ColumnElement[bool]) -> list[RunRecord]:
        run, curve, result, training = t.certification_run, t.certified_curve, t.image_result, t.training_run
        declared = (curve.c.run_id == run.c.id) & (curve.c.certificate == run.c.certificate)
        counted = select(func.count()).where(result.c.run_id == run.c.id).correlate(run).scalar_subquery()
        # Only the rows of an open run are counted.
        done = case((run.c.state == "sealed", run.c.image_count), else_=counted).label("done")
        query = (
            select(
                run, curve.c.radii, done, t.checkpoint.c.seed.label("training_seed"), training.c.spec.label("trained")
            )
            .join(t.dataset, t.dataset.c.fingerprint == run.c.dataset_fingerprint)
            .join(t.checkpoint, t.checkpoint.c.sha256 == run.c.checkpoint_sha256)
            .outerjoin(training, training.c.checkpoint_sha256 == run.c.checkpoint_sha256)
            .outerjoin(curve, declared)
            .where(condition)
            .order_by(run.c.id)
        )
        with translated(self.engine), self.engine.connect() as connection:
            datasets = {row.fingerprint: _dataset_info(row) for row in connection.execute(select(t.dataset))}
            runs = connection.execute(query).all()
            provenances: dict[int, list[Provenance]] = defaultdict(list)
            known = t.run_provenance
            told = select(known.c.run_id, known.c.provenance).order_by(known.c.run_id, known.c.number)
            if len(runs) == 1:
                told = told.where(known.c.run_id == runs[0].id)
            for run_id, provenance in connection.execute(told):
                provenances[run_id].append(Provenance(**json.loads(provenance)))
            return [_run_record(row, datasets[row.dataset_fingerprint], tuple(provenances[row.id])) for row in runs]


def _dataset_info(row: Row[*tuple[Any, ...]]) -> DatasetInfo:
    return DatasetInfo(
        name=row.name,
        fingerprint=row.fingerprint,
        images=row.images,
        classes=row.classes,
        shape=(row.channels, row.height, row.width),
        q=row.q,
    )


def _run_record(row: Row[*tuple[Any, ...]], dataset: DatasetInfo, provenances: tuple[Provenance, ...]) -> RunRecord:
    sealed = row.sealed_at is not None
    return RunRecord(
        id=row.id,
        fingerprint=row.fingerprint,
        method=row.method,
        dataset=dataset,
        checkpoint_sha256=row.checkpoint_sha256,
        certificate=row.certificate,
        sigma=row.sigma,
        seed=row.seed,
        training_seed=row.training_seed,
        n_select=row.n_select,
        n_estimate=row.n_estimate,
        failure_probability=row.failure_probability,
        images=row.images,
        image_count=row.image_count,
        done=row.done,
        spec_json=row.spec,
        training_json=row.trained,
        provenances=provenances,
        created_at=row.created_at,
        worker_seconds=row.worker_seconds,
        sealed_at=row.sealed_at,
        summary=RunSummary(row.image_count, row.correct, row.abstained, row.average_certified_radius)
        if sealed
        else None,
        radii=np.frombuffer(row.radii, dtype="<f8") if sealed else None,
    )
