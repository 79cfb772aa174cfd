"""What reads from the store: rows in, frozen records out."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import ColumnElement, Connection, Engine, Float, Row, case, column, func, select, values

from rsbench.errors import UsageError
from rsbench.records import (
    Annotation,
    CheckpointRecord,
    CurveRecord,
    DatasetInfo,
    EpochRecord,
    ImageColumns,
    Provenance,
    ReportedFigure,
    RunDetails,
    RunRecord,
    StepCurve,
    TrainingRecord,
)
from rsbench.specs import CertificationSpec, TrainingSpec, run_spec_from_json
from rsbench.store import claims
from rsbench.store import tables as t
from rsbench.store.check import Finding, check_store
from rsbench.store.curves import certified_at, step_curve_of
from rsbench.store.engine import translated
from rsbench.store.images import read_image_blocks, read_images

_Record = TypeVar("_Record", RunRecord, CurveRecord)

# Other columns of a run repeat its specification, for conditions only.
_RUN_COLUMNS = (
    "id", "fingerprint", "tier", "dataset_fingerprint", "image_count", "source", "notes", "created_at",
    "worker_seconds", "sealed_at", "seal",
)  # fmt: skip


class Queries:
    """The reading half of the store. Every method raises StoreError when the database fails."""

    engine: Engine

    def sealed_runs(self, dataset: str | None = None, *, exploratory: bool = False) -> list[RunRecord]:
        """Return sealed runs, oldest first, once for each of their curves.

        dataset: only runs on the dataset of that name. exploratory: with exploratory curves, which are else left out.
        """
        condition = t.certification_run.c.state == "sealed"
        if dataset is not None:
            condition &= t.dataset.c.name == dataset
        if not exploratory:
            condition &= t.certified_curve.c.standing != "exploratory"
        return self._runs(condition, t.certification_run.c.image_count)

    def with_certified(self, runs: Sequence[RunRecord], at: Sequence[float]) -> list[RunRecord]:
        """Sealed runs with the values of their curves at some radii."""
        with translated(self.engine), self.engine.connect() as connection:
            certified = _certified(connection, [run.curve.id for run in runs if run.curve], sorted(set(at)))
        return [
            _with(run, curve=_with(run.curve, certified=certified[run.curve.id])) if run.curve else run for run in runs
        ]

    def incomplete_runs(self, dataset: str | None = None) -> list[RunRecord]:
        """Runs that were begun and not sealed."""
        condition = t.certification_run.c.state != "sealed"
        return self._runs(condition if dataset is None else condition & (t.dataset.c.name == dataset), _counted())

    def run(self, prefix: str) -> RunRecord:
        """The run whose fingerprint begins with `prefix`, with its own curve.

        Raises UsageError when none or several do.
        """
        if len(prefix) < 4 or not all(c in "0123456789abcdef" for c in prefix):
            raise UsageError(
                f"{prefix!r} is not a run: give at least 4 hexadecimal digits, as rsbench leaderboard prints"
            )
        runs = self._primary(t.certification_run.c.fingerprint.startswith(prefix))
        if len(runs) != 1:
            raise UsageError(f"{len(runs)} runs begin with {prefix!r}: see rsbench leaderboard --all")
        return runs[0]

    def find_run(self, fingerprint: str) -> RunRecord | None:
        """The run of exactly that fingerprint with its own curve, or None."""
        runs = self._primary(t.certification_run.c.fingerprint == fingerprint)
        return runs[0] if runs else None

    def details(self, run_id: int) -> RunDetails:
        """The rest of what is known of a run."""
        known, curve = t.run_provenance, t.certified_curve
        with translated(self.engine), self.engine.connect() as connection:
            told = select(known.c.provenance).where(known.c.run_id == run_id).order_by(known.c.number)
            curves = connection.execute(select(curve).where(curve.c.run_id == run_id).order_by(curve.c.id)).all()
            return RunDetails(
                provenances=tuple(Provenance(**json.loads(text)) for text in connection.scalars(told)),
                curves=tuple(_curve_record(row._asdict()) for row in curves),
                claim=claims.claim_of(connection, run_id),
            )

    def step_curves(self, curve_ids: Sequence[int]) -> dict[int, StepCurve]:
        """Whole curves, by their id."""
        block = t.curve_block.c
        query = select(block.curve_id, block.radii, block.counts).order_by(block.curve_id, block.first_radius)
        blocks: dict[int, list[tuple[bytes, bytes]]] = {curve_id: [] for curve_id in curve_ids}
        with translated(self.engine), self.engine.connect() as connection:
            for curve_id, radii, counts in connection.execute(query.where(block.curve_id.in_(blocks))).all():
                blocks[curve_id].append((radii, counts))
        return {curve_id: step_curve_of(found) for curve_id, found in blocks.items()}

    def dataset_names(self) -> list[str]:
        """Data sets that have a sealed run."""
        run, dataset = t.certification_run, t.dataset
        query = select(dataset.c.name).join(run).where(run.c.state == "sealed").distinct().order_by(dataset.c.name)
        with translated(self.engine), self.engine.connect() as connection:
            return list(connection.scalars(query))

    def image_columns(self, run_id: int, *, with_votes: bool = False) -> ImageColumns:
        """The images of a run, by index, with their votes where asked for."""
        with translated(self.engine), self.engine.connect() as connection:
            return read_images(connection, run_id, with_votes=with_votes)

    def image_blocks(self, run_id: int, size: int) -> Iterator[ImageColumns]:
        """The images of a run, by index, with their votes, `size` at a time."""
        with translated(self.engine), self.engine.connect() as connection:
            yield from read_image_blocks(connection, run_id, size)

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
                spec=TrainingSpec.from_json(row.spec),
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
                CheckpointRecord(c.sha256, c.path, c.method, c.sigma, c.seed, c.header)
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
                spec = CertificationSpec.from_json(row.spec)
                same = json.loads(row.header)["architecture"] == architecture and spec.device == device
                if same and row.worker_seconds > 0:
                    return float(row.image_count * spec.passes_per_image / row.worker_seconds)
        return None

    def check(self, fingerprints: Sequence[str] = (), *, checked: Callable[[str], None]) -> Iterator[Finding]:
        """What is wrong with the database, or with some of its runs only. `checked` is called after each run.

        Of each sealed run: its seal, its images, votes that can be read, its own curve against its rows, and the counts
        of its other curves. Of the whole database: its pages (SQLite), and rows that refer to rows that are not there.
        """
        with translated(self.engine), self.engine.connect() as connection:
            yield from check_store(connection, fingerprints, checked)

    def reported(self, dataset: str | None = None) -> list[ReportedFigure]:
        """The figures that papers print, all or those on the data set of that name, in the order of their import."""
        figure = t.reported_figure
        query = select(*(column for column in figure.c if column is not figure.c.id)).order_by(figure.c.id)
        if dataset is not None:
            query = query.where(figure.c.dataset == dataset)
        with translated(self.engine), self.engine.connect() as connection:
            return [ReportedFigure(*row) for row in connection.execute(query)]

    def _primary(self, condition: ColumnElement[bool]) -> list[RunRecord]:
        """Runs with their own curve, where they have one yet."""
        run, curve = t.certification_run.c, t.certified_curve.c
        # Only the rows of an open run are counted.
        done = case((run.state == "sealed", run.image_count), else_=_counted())
        return self._runs(condition & (curve.is_primary | curve.id.is_(None)), done)

    def _runs(self, condition: ColumnElement[bool], done: ColumnElement[int]) -> list[RunRecord]:
        """Runs with their curves. `done`: how many images of a run are there."""
        run, curve = t.certification_run, t.certified_curve
        joined = (
            run.join(t.dataset)
            .outerjoin(t.checkpoint, t.checkpoint.c.sha256 == run.c.checkpoint_sha256)
            .outerjoin(curve, curve.c.run_id == run.c.id)
        )
        of_curve = [column.label(f"curve_{column.name}") for column in curve.c]
        of_run = [run.c[name] for name in _RUN_COLUMNS]
        of_checkpoint = [t.checkpoint.c.seed.label("training_seed"), t.checkpoint.c.sigma.label("training_sigma")]
        query = (
            select(*of_run, run.c.spec, run.c.checkpoint_sha256, done.label("done"), *of_checkpoint, *of_curve)
            .select_from(joined)
            .where(condition)
            .order_by(run.c.id, curve.c.id)
        )
        with translated(self.engine), self.engine.connect() as connection:
            datasets = {row.fingerprint: _dataset_info(row) for row in connection.execute(select(t.dataset))}
            found = connection.execute(query)
            names = tuple(found.keys())
            # Of a dictionary each value costs a tenth of what it costs of a row.
            rows = [dict(zip(names, row, strict=True)) for row in found]
            annotations, trainings = _annotations(connection), _trainings(connection)
        return [
            _run_record(
                row,
                datasets[row["dataset_fingerprint"]],
                trainings.get(row["checkpoint_sha256"]),
                annotations[row["id"]],
            )
            for row in rows
        ]


def _counted() -> ColumnElement[int]:
    """How many images of a run have a row."""
    run, result = t.certification_run, t.image_result
    return select(func.count()).where(result.c.run_id == run.c.id).correlate(run).scalar_subquery()


def _certified(
    connection: Connection, curve_ids: Sequence[int], thresholds: Sequence[float]
) -> dict[int, dict[float, tuple[int, int]]]:
    """How many images of each curve have a radius larger than each threshold, and at least as large."""
    curve, block = t.certified_curve, t.curve_block
    at = values(column("threshold", Float), name="at").data([(threshold,) for threshold in thresholds]).cte()

    def of_last(wanted: ColumnElement[Any]) -> ColumnElement[Any]:
        # A join to the block would let PostgreSQL read all blocks there are.
        last = select(wanted).where(block.c.curve_id == curve.c.id, block.c.first_radius <= at.c.threshold)
        return last.order_by(block.c.first_radius.desc()).limit(1).correlate(curve, at).scalar_subquery()

    query = select(
        at.c.threshold, curve.c.id, of_last(block.c.above), of_last(block.c.radii), of_last(block.c.counts)
    ).select_from(at.join(curve, curve.c.id.in_(curve_ids)))
    certified: dict[int, dict[float, tuple[int, int]]] = {curve_id: {} for curve_id in curve_ids}
    rows: dict[float, list[Row[*tuple[Any, ...]]]] = defaultdict(list)
    for row in connection.execute(query) if curve_ids and thresholds else ():
        rows[row[0]].append(row)
    for threshold, found in rows.items():
        _, id_C, above_C, radii_C, counts_C = zip(*found, strict=True)
        blocks = list(zip(radii_C, counts_C, strict=True))
        counted = certified_at(threshold, np.array(above_C, dtype=np.int64), blocks)
        for curve_id, counts in zip(id_C, counted, strict=True):
            certified[curve_id][threshold] = counts
    return certified


# One text stands for the curves of a run, and often for its seeds: it is parsed once.
_run_spec = lru_cache(maxsize=4096)(run_spec_from_json)
_training_spec = lru_cache(maxsize=4096)(TrainingSpec.from_json)


def _trainings(connection: Connection) -> dict[str, str]:
    """Return the specification of the trial that made each checkpoint, by the checkpoint's SHA-256."""
    run = t.training_run.c
    newest_first = select(run.checkpoint_sha256, run.spec).order_by(run.id.desc())
    # Where several trials gave the same weights, the first one stays.
    return {row.checkpoint_sha256: row.spec for row in connection.execute(newest_first)}


def _annotations(connection: Connection) -> dict[int, tuple[Annotation, ...]]:
    """What was said of runs later, by run."""
    said, other = t.annotation, t.certification_run
    query = (
        select(said, other.c.fingerprint.label("other"))
        .outerjoin(other, other.c.id == said.c.other_run_id)
        .order_by(said.c.id)
    )
    found: dict[int, tuple[Annotation, ...]] = defaultdict(tuple)
    for row in connection.execute(query):
        found[row.run_id] += (Annotation(row.kind, row.other, row.reason, row.author, row.created_at),)
    return found


def _dataset_info(row: Row[*tuple[Any, ...]]) -> DatasetInfo:
    return DatasetInfo(
        name=row.name,
        fingerprint=row.fingerprint,
        images=row.images,
        classes=row.classes,
        shape=(row.channels, row.height, row.width),
        q=row.q,
    )


def _run_record(
    row: Mapping[str, Any], dataset: DatasetInfo, training_json: str | None, annotations: tuple[Annotation, ...]
) -> RunRecord:
    # What others measured stays theirs, whoever finds it again.
    reproduced = row["tier"] == "measured" and any(said.kind == "reproduced" for said in annotations)
    return RunRecord(
        id=row["id"],
        fingerprint=row["fingerprint"],
        tier="reproduced" if reproduced else row["tier"],
        spec=_run_spec(row["spec"]),
        dataset=dataset,
        training=None if training_json is None else _training_spec(training_json),
        training_seed=row["training_seed"],
        training_sigma=row["training_sigma"],
        image_count=row["image_count"],
        done=row["done"],
        source=row["source"],
        notes=tuple(row["notes"].splitlines()) if row["notes"] else (),
        created_at=row["created_at"],
        worker_seconds=row["worker_seconds"],
        sealed_at=row["sealed_at"],
        seal=row["seal"],
        curve=None if row["curve_id"] is None else _curve_record(row, "curve_"),
        annotations=annotations,
    )


def _curve_record(row: Mapping[str, Any], prefix: str = "") -> CurveRecord:
    names = (
        "id", "certificate", "procedure", "n", "failure_probability", "standing", "statement", "is_primary", "correct",
        "abstained", "average_certified_radius",
    )  # fmt: skip
    values = {name: row[prefix + name] for name in names}
    # The key of a curve cannot be null.
    values["failure_probability"] = values["failure_probability"] or None
    # Earlier releases stored curves that were stated afterwards as declared.
    if values["standing"] == "declared" and values["statement"]:
        values["standing"] = "stated-afterwards"
    return CurveRecord(**values)


def _with(record: _Record, **changes: object) -> _Record:
    """What `dataclasses.replace` does, in a sixth of its time: a board changes every record that it reads."""
    changed = object.__new__(type(record))
    vars(changed).update(vars(record), **changes)
    return changed
