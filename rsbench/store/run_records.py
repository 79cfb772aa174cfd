"""Reading `RunRecord`s: certification runs joined with their dataset, training, curves and annotations."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, func, select

from rsbench.records import Annotation, CurveRecord, DatasetInfo, RunRecord
from rsbench.specs import TrainingSpec, run_spec_from_json
from rsbench.store import tables as t
from rsbench.store.curves import loaded_failure_probability

# The other columns repeat values of the specification, so that conditions can use them.
_RUN_COLUMNS = (
    "id", "fingerprint", "tier", "dataset_fingerprint", "checkpoint_sha256", "image_count", "spec", "source", "notes",
    "created_at", "worker_seconds", "sealed_at", "seal",
)  # fmt: skip
_CURVE_FIELDS = tuple(field.name for field in fields(CurveRecord))
CURVE_COLUMNS = tuple(t.certified_curve.c[name] for name in _CURVE_FIELDS)
"""The columns of `certified_curve` of which `curve_record` makes a record."""

# A specification occurs once for each curve of its run, and again whenever a dashboard reads the board.
_parse_run_spec = lru_cache(maxsize=4096)(run_spec_from_json)
_parse_training_spec = lru_cache(maxsize=4096)(TrainingSpec.from_json)


def read_runs(connection: Connection, condition: ColumnElement[bool], done: ColumnElement[int]) -> list[RunRecord]:
    """Return a record for each curve of the runs that fulfil a condition; an open run, which has no curve, has one.

    condition: on the columns of `certification_run`, `dataset` and `certified_curve`. done: how many images of a run
    have a result. Records are ordered by run and curve, oldest first.
    """
    run, curve = t.certification_run, t.certified_curve
    joined = (
        run.join(t.dataset)
        .outerjoin(t.checkpoint, t.checkpoint.c.sha256 == run.c.checkpoint_sha256)
        .outerjoin(curve, curve.c.run_id == run.c.id)
    )
    query = (
        select(
            *(run.c[name] for name in _RUN_COLUMNS),
            done,
            t.checkpoint.c.seed.label("training_seed"),
            t.checkpoint.c.sigma.label("training_sigma"),
            *CURVE_COLUMNS,
        )
        .select_from(joined)
        .where(condition)
        .order_by(run.c.id, curve.c.id)
    )
    rows = connection.execute(query).all()
    datasets = {row.fingerprint: _dataset_info(row) for row in connection.execute(select(t.dataset))}
    trainings, annotations = _training_json_by_checkpoint(connection), _annotations_by_run(connection)
    # Access to a value of a row by its name takes ten times as long as access to a dictionary.
    names = (*_RUN_COLUMNS, "done", "training_seed", "training_sigma")
    records = []
    for row in rows:
        run_values, curve_values = dict(zip(names, row, strict=False)), row[len(names) :]
        records.append(
            _run_record(
                run_values,
                dataset=datasets[run_values["dataset_fingerprint"]],
                training_json=trainings.get(run_values["checkpoint_sha256"]),
                curve=None if curve_values[0] is None else curve_record(curve_values),
                annotations=annotations.get(run_values["id"], ()),
            )
        )
    return records


def run_name(connection: Connection, run_id: int) -> str:
    """Return a run as messages name it, by the beginning of its fingerprint: users do not know its number."""
    run = t.certification_run
    return f"run {str(connection.scalar(select(run.c.fingerprint).where(run.c.id == run_id)))[:12]}"


def counted_images() -> ColumnElement[int]:
    """Return the expression for the number of images of a run that have a result, counted in `image_result`."""
    run, result = t.certification_run, t.image_result
    return select(func.count()).where(result.c.run_id == run.c.id).correlate(run).scalar_subquery()


def completed_images() -> ColumnElement[int]:
    """Return an expression for the same number that reads no images of sealed runs."""
    run = t.certification_run.c
    return case((run.state == "sealed", run.image_count), else_=counted_images())


def curve_record(row: Sequence[Any]) -> CurveRecord:
    """Return values of CURVE_COLUMNS as a record."""
    values = dict(zip(_CURVE_FIELDS, row, strict=True))
    values["failure_probability"] = loaded_failure_probability(values["failure_probability"])
    # Earlier releases stored curves that were stated afterwards as declared.
    if values["standing"] == "declared" and values["statement"]:
        values["standing"] = "stated-afterwards"
    return CurveRecord(**values)


def _run_record(
    row: Mapping[str, Any],
    *,
    dataset: DatasetInfo,
    training_json: str | None,
    curve: CurveRecord | None,
    annotations: tuple[Annotation, ...],
) -> RunRecord:
    tier = row["tier"]
    # An imported run that was reproduced here is still an imported run.
    if tier == "measured" and annotations and any(annotation.kind == "reproduced" for annotation in annotations):
        tier = "reproduced"
    return RunRecord(
        id=row["id"],
        fingerprint=row["fingerprint"],
        tier=tier,
        spec=_parse_run_spec(row["spec"]),
        dataset=dataset,
        training=None if training_json is None else _parse_training_spec(training_json),
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
        curve=curve,
        annotations=annotations,
    )


def _training_json_by_checkpoint(connection: Connection) -> dict[str, str]:
    """Return the specification of the trial that made each checkpoint, by the checkpoint's SHA-256."""
    run = t.training_run.c
    # If several trials gave the same weights, the oldest one, which comes last, remains in the dictionary.
    newest_first = select(run.checkpoint_sha256, run.spec).order_by(run.id.desc())
    return dict(connection.execute(newest_first).all())


def _annotations_by_run(connection: Connection) -> dict[int, tuple[Annotation, ...]]:
    annotation, other_run = t.annotation, t.certification_run
    query = (
        select(annotation, other_run.c.fingerprint.label("other"))
        .outerjoin(other_run, other_run.c.id == annotation.c.other_run_id)
        .order_by(annotation.c.id)
    )
    by_run: dict[int, tuple[Annotation, ...]] = defaultdict(tuple)
    for row in connection.execute(query):
        by_run[row.run_id] += (Annotation(row.kind, row.other, row.reason, row.author, row.created_at),)
    return by_run


def _dataset_info(row: Row[*tuple[Any, ...]]) -> DatasetInfo:
    return DatasetInfo(
        name=row.name,
        fingerprint=row.fingerprint,
        images=row.images,
        classes=row.classes,
        shape=(row.channels, row.height, row.width),
        q=row.q,
    )
