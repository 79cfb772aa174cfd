"""`Queries`: the half of the store that reads the database."""

import json
from collections.abc import Callable, Iterator, Sequence

from sqlalchemy import ColumnElement, Engine, select

from rsbench.errors import UsageError
from rsbench.records import (
    CertifiedCounts,
    CheckpointRecord,
    EpochRecord,
    ImageColumns,
    Provenance,
    ReportedFigure,
    RunDetails,
    RunRecord,
    StepCurve,
    TrainingRecord,
)
from rsbench.specs import CertificationSpec, TrainingSpec
from rsbench.store import claims
from rsbench.store import tables as t
from rsbench.store.check import Finding, check_store
from rsbench.store.curves import read_certified_counts, read_step_curves
from rsbench.store.database_errors import translate_errors
from rsbench.store.images import read_image_blocks, read_images
from rsbench.store.run_records import CURVE_COLUMNS, completed_images, counted_images, curve_record, read_runs


class Queries:
    """The half of the store that reads the database.

    Methods return frozen records and numpy arrays. Nothing that they return refers to the database or is loaded later,
    so it stays valid after the store is closed. Readers and writers never wait for each other, except for those of a
    SQLite file on a network file system, which has no write-ahead log.

    Every method raises StoreError when the database fails, and its subclass UnavailableError when repeating the call
    later may succeed.
    """

    engine: Engine

    def sealed_runs(self, dataset: str | None = None, *, exploratory: bool = False) -> list[RunRecord]:
        """Return sealed runs, oldest first. A run with several curves is returned once for each of them.

        dataset: return only runs on the dataset of this name. exploratory: include exploratory curves.
        """
        run = t.certification_run.c
        condition = run.state == "sealed"
        if dataset is not None:
            condition &= t.dataset.c.name == dataset
        if not exploratory:
            condition &= t.certified_curve.c.standing != "exploratory"
        return self._runs(condition, run.image_count)

    def incomplete_runs(self, dataset: str | None = None) -> list[RunRecord]:
        """Return runs that are not sealed yet, oldest first.

        dataset: return only runs on the dataset of this name.
        """
        condition = t.certification_run.c.state != "sealed"
        if dataset is not None:
            condition &= t.dataset.c.name == dataset
        return self._runs(condition, counted_images())

    def run(self, prefix: str) -> RunRecord:
        """Return the run whose fingerprint begins with `prefix`, with the curve that its specification declares.

        Raises UsageError when `prefix` is not at least 4 hexadecimal digits, and when no run or several runs match it.
        """
        if len(prefix) < 4 or not all(c in "0123456789abcdef" for c in prefix):
            raise UsageError(
                f"{prefix!r} is not a run: give at least 4 hexadecimal digits, as rsbench leaderboard prints"
            )
        runs = self._runs_with_primary_curve(t.certification_run.c.fingerprint.startswith(prefix))
        if len(runs) != 1:
            raise UsageError(f"{len(runs)} runs begin with {prefix!r}: see rsbench leaderboard --all")
        return runs[0]

    def find_run(self, fingerprint: str) -> RunRecord | None:
        """Return the run with this complete fingerprint and the curve that its specification declares, or None."""
        runs = self._runs_with_primary_curve(t.certification_run.c.fingerprint == fingerprint)
        return runs[0] if runs else None

    def details(self, run_id: int) -> RunDetails:
        """Return what `RunRecord` leaves out: where a run was computed, all its curves, and who works on it."""
        provenance, curve = t.run_provenance, t.certified_curve
        with translate_errors(self.engine), self.engine.connect() as connection:
            provenances = connection.scalars(
                select(provenance.c.provenance).where(provenance.c.run_id == run_id).order_by(provenance.c.number)
            ).all()
            curves = connection.execute(
                select(*CURVE_COLUMNS).where(curve.c.run_id == run_id).order_by(curve.c.id)
            ).all()
            return RunDetails(
                provenances=tuple(Provenance(**json.loads(text)) for text in provenances),
                curves=tuple(map(curve_record, curves)),
                claim=claims.live_claim(connection, run_id),
            )

    def dataset_names(self) -> list[str]:
        """Return the names of datasets that have a sealed run, sorted."""
        run, dataset = t.certification_run, t.dataset
        query = select(dataset.c.name).join(run).where(run.c.state == "sealed").distinct().order_by(dataset.c.name)
        with translate_errors(self.engine), self.engine.connect() as connection:
            return list(connection.scalars(query))

    def certified_counts(self, curve_ids: Sequence[int], radii: Sequence[float]) -> CertifiedCounts:
        """Return how many images curves certify at some radii."""
        with translate_errors(self.engine), self.engine.connect() as connection:
            return read_certified_counts(connection, curve_ids, sorted(set(radii)))

    def step_curves(self, curve_ids: Sequence[int]) -> dict[int, StepCurve]:
        """Return complete certified curves by their id."""
        with translate_errors(self.engine), self.engine.connect() as connection:
            return read_step_curves(connection, curve_ids)

    def image_columns(self, run_id: int, *, with_votes: bool = False) -> ImageColumns:
        """Return all images of a run, ordered by index."""
        with translate_errors(self.engine), self.engine.connect() as connection:
            return read_images(connection, run_id, with_votes=with_votes)

    def image_blocks(self, run_id: int, size: int) -> Iterator[ImageColumns]:
        """Yield the images of a run with their votes, ordered by index, `size` at a time.

        The connection stays open until the iterator is exhausted or closed.
        """
        with translate_errors(self.engine), self.engine.connect() as connection:
            yield from read_image_blocks(connection, run_id, size)

    def training(self, fingerprint: str) -> TrainingRecord | None:
        """Return the finished trial whose specification has this fingerprint, or None.

        If training was repeated and gave different weights, return the newest trial.
        """
        return self._newest_training(t.training_run.c.fingerprint == fingerprint)

    def training_of_checkpoint(self, sha256: str) -> TrainingRecord | None:
        """Return the trial that made a checkpoint; None for an external checkpoint."""
        return self._newest_training(t.training_run.c.checkpoint_sha256 == sha256)

    def checkpoints(
        self, dataset_fingerprint: str | None = None, *, method: str | None = None, sha256_prefix: str | None = None,
        without_sealed_run: bool = False,
    ) -> list[CheckpointRecord]:  # fmt: skip
        """Return registered checkpoints that fulfil all given conditions, ordered by method, σ and seed.

        method: the name of the training in the checkpoint's header. without_sealed_run: only checkpoints that no sealed
        run has certified.
        """
        checkpoint, run = t.checkpoint, t.certification_run
        query = select(checkpoint).order_by(checkpoint.c.method, checkpoint.c.sigma, checkpoint.c.seed)
        if dataset_fingerprint is not None:
            query = query.where(checkpoint.c.dataset_fingerprint == dataset_fingerprint)
        if method is not None:
            query = query.where(checkpoint.c.method == method)
        if sha256_prefix is not None:
            query = query.where(checkpoint.c.sha256.startswith(sha256_prefix, autoescape=True))
        if without_sealed_run:
            is_certified = (run.c.checkpoint_sha256 == checkpoint.c.sha256) & (run.c.state == "sealed")
            query = query.where(~select(run.c.id).where(is_certified).exists())
        with translate_errors(self.engine), self.engine.connect() as connection:
            return [
                CheckpointRecord(row.sha256, row.path, row.method, row.sigma, row.seed, row.header)
                for row in connection.execute(query)
            ]

    def passes_per_second(self, architecture: str, device: str) -> float | None:
        """Return the forward passes per second of one worker, measured in the newest sealed run of an architecture.

        device: the kind of device that the run's specification names. Returns None if there is no such run.
        """
        run, checkpoint = t.certification_run, t.checkpoint
        query = (
            select(run, checkpoint.c.header)
            .join(checkpoint)
            .where(run.c.state == "sealed")
            .order_by(run.c.sealed_at.desc())
        )
        with translate_errors(self.engine), self.engine.connect() as connection:
            for row in connection.execute(query):
                spec = CertificationSpec.from_json(row.spec)
                is_comparable = json.loads(row.header)["architecture"] == architecture and spec.device == device
                if is_comparable and row.worker_seconds > 0:
                    return float(row.image_count * spec.passes_per_image / row.worker_seconds)
        return None

    def reported(self, dataset: str | None = None) -> list[ReportedFigure]:
        """Return the numbers that papers print, in the order in which they were recorded.

        dataset: return only numbers on the dataset of this name.
        """
        figure = t.reported_figure
        query = select(*(column for column in figure.c if column is not figure.c.id)).order_by(figure.c.id)
        if dataset is not None:
            query = query.where(figure.c.dataset == dataset)
        with translate_errors(self.engine), self.engine.connect() as connection:
            return [ReportedFigure(*row) for row in connection.execute(query)]

    def check(self, fingerprints: Sequence[str] = (), *, on_checked: Callable[[str], None]) -> Iterator[Finding]:
        """Yield what is wrong with the database, or only with the runs of these fingerprints.

        For each sealed run this checks its seal, the number of its images, whether their votes can be decoded, the
        declared curve against the images, and the counts of the other curves. For the whole database it also checks the
        pages of a SQLite file, and that no row refers to a missing row.
        on_checked: called with the fingerprint of each run after it was checked.
        """
        with translate_errors(self.engine), self.engine.connect() as connection:
            yield from check_store(connection, fingerprints, on_checked)

    def _runs(self, condition: ColumnElement[bool], done: ColumnElement[int]) -> list[RunRecord]:
        with translate_errors(self.engine), self.engine.connect() as connection:
            return read_runs(connection, condition, done)

    def _runs_with_primary_curve(self, condition: ColumnElement[bool]) -> list[RunRecord]:
        """Return runs once each: with the curve that the specification declares, or none if the run is not sealed."""
        curve = t.certified_curve.c
        return self._runs(condition & (curve.is_primary | curve.id.is_(None)), completed_images())

    def _newest_training(self, condition: ColumnElement[bool]) -> TrainingRecord | None:
        run, checkpoint, epoch = t.training_run, t.checkpoint, t.training_epoch
        with translate_errors(self.engine), self.engine.connect() as connection:
            row = connection.execute(
                select(run, checkpoint.c.path).join(checkpoint).where(condition).order_by(run.c.id.desc()).limit(1)
            ).one_or_none()
            if row is None:
                return None
            epochs = connection.execute(
                select(epoch.c.epoch, epoch.c.loss, epoch.c.accuracy, epoch.c.seconds)
                .where(epoch.c.training_run_id == row.id)
                .order_by(epoch.c.epoch)
            ).all()
            return TrainingRecord(
                spec=TrainingSpec.from_json(row.spec),
                checkpoint_sha256=row.checkpoint_sha256,
                checkpoint_path=row.path,
                provenance=Provenance(**json.loads(row.provenance)),
                finished_at=row.finished_at,
                epochs=tuple(EpochRecord(*epoch_row) for epoch_row in epochs),
            )
