"""Store votes in the row of their image, in a smaller format, and curves in blocks and for any certificate.

This also adds imported runs, annotations and the numbers that papers report.

Tables that change are copied, dropped and created again, because SQLite can neither make a column nullable nor replace
a table to which others refer.
"""

import json
import struct
from collections.abc import Iterator

import numpy as np
import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_CHANGED_TABLES = ("certification_run", "run_provenance", "certified_curve")
_SEED = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_BLOCK = 64
_BATCH = 5_000


def upgrade() -> None:
    for table in _CHANGED_TABLES:
        op.execute(f"CREATE TABLE old_{table} AS SELECT * FROM {table}")  # noqa: S608 - constant names
    op.execute(
        "CREATE TABLE old_image AS SELECT r.run_id, r.image_index, r.radius, r.label, r.predicted, v.votes "
        "FROM image_result r JOIN image_votes v ON v.run_id = r.run_id AND v.image_index = r.image_index"
    )
    for table in ("image_votes", "image_result", "certified_curve", "run_provenance", "certification_run"):
        op.drop_table(table)
    _create_new_tables()
    _copy_runs()
    op.execute("INSERT INTO run_provenance SELECT run_id, number, provenance, since FROM old_run_provenance")
    _copy_curves()
    _copy_images()
    for table in (*_CHANGED_TABLES, "image"):
        op.drop_table(f"old_{table}")
    if op.get_context().dialect.name == "postgresql":
        op.execute(
            "SELECT setval(pg_get_serial_sequence('certification_run', 'id'), coalesce(max(id), 1), "
            "max(id) IS NOT NULL) FROM certification_run"
        )


def downgrade() -> None:
    connection = op.get_bind()
    if connection.scalar(sa.text("SELECT count(*) FROM certification_run")):
        raise RuntimeError("revision 0001 cannot hold these runs: restore the copy that rsbench db upgrade made")
    for table in ("reported_figure", "annotation", "curve_block", "certified_curve", "image_result", "run_provenance"):
        op.drop_table(table)
    op.drop_table("certification_run")
    _create_old_tables()


def _create_new_tables() -> None:
    op.create_table(
        "certification_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("dataset_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("checkpoint_sha256", sa.String(length=64), nullable=True),
        sa.Column("sigma", sa.Float(), nullable=False),
        sa.Column("seed", _SEED, nullable=True),
        sa.Column("certificate", sa.Text(), nullable=False),
        sa.Column("procedure", sa.Text(), nullable=False),
        sa.Column("n_select", sa.Integer(), nullable=True),
        sa.Column("n_estimate", sa.Integer(), nullable=True),
        sa.Column("failure_probability", sa.Float(), nullable=True),
        sa.Column("images", sa.Text(), nullable=False),
        sa.Column("image_count", sa.Integer(), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("content_sha256", sa.String(length=64), nullable=True),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("worker_seconds", sa.Float(), nullable=False),
        sa.Column("sealed_at", sa.Text(), nullable=True),
        sa.Column("seal", sa.String(length=64), nullable=True),
        *_run_constraints(),
    )
    op.create_table("run_provenance", *_provenance())
    op.create_table(
        "image_result",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("image_index", sa.Integer(), nullable=False),
        sa.Column("radius", sa.Float(), nullable=False),
        sa.Column("label", sa.Integer(), nullable=False),
        sa.Column("predicted", sa.Integer(), nullable=True),
        sa.Column("sigma", sa.Float(), nullable=True),
        sa.Column("votes", sa.LargeBinary(), nullable=True),
        *_image_constraints("image_result"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "certified_curve",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("certificate", sa.Text(), nullable=False),
        sa.Column("procedure", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("failure_probability", sa.Float(), nullable=False),
        sa.Column("standing", sa.Text(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=True),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("correct", sa.Integer(), nullable=False),
        sa.Column("abstained", sa.Integer(), nullable=False),
        sa.Column("average_certified_radius", sa.Float(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["certification_run.id"], name=op.f("fk_certified_curve_run_id_certification_run")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_certified_curve")),
        sa.UniqueConstraint(
            "run_id", "certificate", "procedure", "n", "failure_probability",
            name=op.f("uq_certified_curve_run_id_certificate_procedure_n_failure_probability"),
        ),
    )  # fmt: skip
    op.create_table(
        "curve_block",
        sa.Column("curve_id", sa.Integer(), nullable=False),
        sa.Column("first_radius", sa.Float(), nullable=False),
        sa.Column("above", sa.Integer(), nullable=False),
        sa.Column("radii", sa.LargeBinary(), nullable=False),
        sa.Column("counts", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["curve_id"], ["certified_curve.id"], name=op.f("fk_curve_block_curve_id_certified_curve")
        ),
        sa.PrimaryKeyConstraint("curve_id", "first_radius", name=op.f("pk_curve_block")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "annotation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("other_run_id", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["certification_run.id"], name=op.f("fk_annotation_run_id_certification_run")
        ),
        sa.ForeignKeyConstraint(
            ["other_run_id"], ["certification_run.id"], name=op.f("fk_annotation_other_run_id_certification_run")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotation")),
    )
    op.create_table(
        "reported_figure",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("paper", sa.Text(), nullable=False),
        sa.Column("printed_in", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("norm", sa.Text(), nullable=True),
        sa.Column("radius", sa.Float(), nullable=True),
        sa.Column("sigma", sa.Float(), nullable=True),
        sa.Column("n_select", sa.Integer(), nullable=True),
        sa.Column("n_estimate", sa.Integer(), nullable=True),
        sa.Column("failure_probability", sa.Float(), nullable=True),
        sa.Column("objective", sa.Text(), nullable=True),
        sa.Column("seed", _SEED, nullable=True),
        sa.Column("images", sa.Text(), nullable=True),
        sa.Column("selected", sa.Text(), nullable=True),
        sa.Column("doubt", sa.Text(), nullable=True),
        sa.Column("hardware", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reported_figure")),
    )


def _run_constraints() -> tuple[SchemaItem, ...]:
    return (
        sa.ForeignKeyConstraint(
            ["checkpoint_sha256"], ["checkpoint.sha256"], name=op.f("fk_certification_run_checkpoint_sha256_checkpoint")
        ),
        sa.ForeignKeyConstraint(
            ["dataset_fingerprint"],
            ["dataset.fingerprint"],
            name=op.f("fk_certification_run_dataset_fingerprint_dataset"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_certification_run")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_certification_run_fingerprint")),
    )


def _image_constraints(table: str) -> tuple[SchemaItem, ...]:
    return (
        sa.ForeignKeyConstraint(
            ["run_id"], ["certification_run.id"], name=op.f(f"fk_{table}_run_id_certification_run")
        ),
        sa.PrimaryKeyConstraint("run_id", "image_index", name=op.f(f"pk_{table}")),
    )


def _provenance() -> tuple[SchemaItem, ...]:
    return (
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("provenance", sa.Text(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["certification_run.id"], name=op.f("fk_run_provenance_run_id_certification_run")
        ),
        sa.PrimaryKeyConstraint("run_id", "number", name=op.f("pk_run_provenance")),
    )


def _create_old_tables() -> None:
    op.create_table(
        "certification_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("dataset_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("checkpoint_sha256", sa.String(length=64), nullable=False),
        sa.Column("certificate", sa.Text(), nullable=False),
        sa.Column("sigma", sa.Float(), nullable=False),
        sa.Column("seed", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("n_select", sa.Integer(), nullable=True),
        sa.Column("n_estimate", sa.Integer(), nullable=True),
        sa.Column("failure_probability", sa.Float(), nullable=True),
        sa.Column("images", sa.Text(), nullable=False),
        sa.Column("image_count", sa.Integer(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("worker_seconds", sa.Float(), nullable=False),
        sa.Column("sealed_at", sa.Text(), nullable=True),
        sa.Column("correct", sa.Integer(), nullable=True),
        sa.Column("abstained", sa.Integer(), nullable=True),
        sa.Column("average_certified_radius", sa.Float(), nullable=True),
        *_run_constraints(),
    )
    op.create_table(
        "certified_curve",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("certificate", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("failure_probability", sa.Float(), nullable=False),
        sa.Column("radii", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["certification_run.id"], name=op.f("fk_certified_curve_run_id_certification_run")
        ),
        sa.PrimaryKeyConstraint("run_id", "certificate", "n", "failure_probability", name=op.f("pk_certified_curve")),
    )
    op.create_table(
        "image_result",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("image_index", sa.Integer(), nullable=False),
        sa.Column("label", sa.Integer(), nullable=False),
        sa.Column("predicted", sa.Integer(), nullable=True),
        sa.Column("radius", sa.Float(), nullable=False),
        sa.Column("top_votes", sa.Integer(), nullable=False),
        sa.Column("runner_up_votes", sa.Integer(), nullable=False),
        *_image_constraints("image_result"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "image_votes",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("image_index", sa.Integer(), nullable=False),
        sa.Column("votes", sa.LargeBinary(), nullable=False),
        *_image_constraints("image_votes"),
        sqlite_with_rowid=False,
    )
    op.create_table("run_provenance", *_provenance())


_INSERT_RUN = sa.text(
    "INSERT INTO certification_run (id, fingerprint, tier, state, method, family, dataset_fingerprint, "
    "checkpoint_sha256, sigma, seed, certificate, procedure, n_select, n_estimate, failure_probability, images, "
    "image_count, recipe, spec, created_at, worker_seconds, sealed_at) VALUES (:id, :fingerprint, 'measured', :state, "
    ":method, :family, :dataset_fingerprint, :checkpoint_sha256, :sigma, :seed, :certificate, 'one-versus-rest', "
    ":n_select, :n_estimate, :failure_probability, :images, :image_count, :recipe, :spec, :created_at, "
    ":worker_seconds, :sealed_at)"
)


def _copy_runs() -> None:
    connection = op.get_bind()
    query = sa.text("SELECT checkpoint_sha256, spec FROM training_run")
    training_specs: dict[str, str] = dict(connection.execute(query).all())
    for run in connection.execute(sa.text("SELECT * FROM old_certification_run ORDER BY id")).mappings().all():
        spec = json.loads(run["spec"])
        recipe = _recipe(spec, training_specs.get(run["checkpoint_sha256"]))
        connection.execute(_INSERT_RUN, {**run, "family": spec["measure"]["family"], "recipe": recipe})


def _recipe(spec: dict[str, object], training_json: str | None) -> str:
    training: dict[str, object] = {"foreign": spec["checkpoint_sha256"]}
    if training_json is not None:
        training = {name: value for name, value in json.loads(training_json).items() if name not in ("seed", "measure")}
    votes = {name: spec[name] for name in ("batch_size", "device", "precision", "noise")}
    return json.dumps({"training": training, "votes": votes}, sort_keys=True, separators=(",", ":"))


_INSERT_CURVE = sa.text(
    "INSERT INTO certified_curve (run_id, certificate, procedure, n, failure_probability, standing, is_primary, "
    "correct, abstained, average_certified_radius, created_at) VALUES (:run_id, :certificate, 'one-versus-rest', :n, "
    ":failure_probability, 'declared', :is_primary, :correct, :abstained, :average_certified_radius, :sealed_at) "
    "RETURNING id"
)
_INSERT_BLOCK = sa.text(
    "INSERT INTO curve_block (curve_id, first_radius, above, radii, counts) "
    "VALUES (:curve_id, :first_radius, :above, :radii, :counts)"
)


def _copy_curves() -> None:
    connection = op.get_bind()
    query = sa.text(
        "SELECT c.run_id, c.certificate, c.n, c.failure_probability, c.radii, r.correct, r.abstained, "
        "r.average_certified_radius, r.sealed_at FROM old_certified_curve c "
        "JOIN old_certification_run r ON r.id = c.run_id ORDER BY c.run_id"
    )
    for curve in connection.execute(query).mappings().all():
        curve_id = connection.scalar(_INSERT_CURVE, {**curve, "is_primary": True})
        connection.execute(_INSERT_BLOCK, [{"curve_id": curve_id, **block} for block in _blocks(bytes(curve["radii"]))])


def _blocks(content: bytes) -> Iterator[dict[str, object]]:
    radii, counts = np.unique(np.frombuffer(content, "<f8"), return_counts=True)
    for start in range(0, max(len(radii), 1), _BLOCK):
        yield {
            "first_radius": float(radii[start]) if start else 0.0,
            "above": int(counts[start + _BLOCK :].sum()),
            "radii": radii[start : start + _BLOCK].astype("<f8").tobytes(),
            "counts": counts[start : start + _BLOCK].astype("<u4").tobytes(),
        }


_INSERT_IMAGE = sa.text(
    "INSERT INTO image_result (run_id, image_index, radius, label, predicted, votes) "
    "VALUES (:run_id, :image_index, :radius, :label, :predicted, :votes)"
)


def _copy_images() -> None:
    connection = op.get_bind()
    runs = connection.scalars(sa.text("SELECT id FROM old_certification_run ORDER BY id")).all()
    query = sa.text("SELECT * FROM old_image WHERE run_id = :run_id ORDER BY image_index")
    # Without an index, SQLite would scan the whole table for every run.
    op.create_index("ix_old_image", "old_image", ["run_id", "image_index"])
    for run_id in runs:
        rows = connection.execute(query, {"run_id": run_id}).mappings()
        while batch := rows.fetchmany(_BATCH):
            connection.execute(_INSERT_IMAGE, [{**row, "votes": _reencode_votes(bytes(row["votes"]))} for row in batch])


def _reencode_votes(content: bytes) -> bytes:
    """Convert the votes of an image from format 1 to format 2.

    Format 1 is, in little-endian integers without padding: the format (8 bits), the number of rows (8) and of classes
    (32); for each row, its number of classes with votes (32); these classes, row after row (16 bits each, or 32 if
    there are more than 2¹⁶ classes); their votes, row after row (32). `rsbench.votes_format` describes format 2.
    """
    version, rows, classes = struct.unpack_from("<BBI", content)
    if version != 1:
        raise ValueError(f"the votes of an image have format {version}, but revision 0001 has only format 1")
    sizes = struct.unpack_from(f"<{rows}I", content, 6)
    total, start = sum(sizes), 6 + 4 * rows
    class_type, class_size = ("H", 2) if classes <= 2**16 else ("I", 4)
    class_indices = struct.unpack_from(f"<{total}{class_type}", content, start)
    counts = struct.unpack_from(f"<{total}I", content, start + class_size * total)
    votes_by_row: list[dict[int, int]] = []
    begin = 0
    for size in sizes:
        end = begin + size
        votes_by_row.append(dict(zip(class_indices[begin:end], counts[begin:end], strict=True)))
        begin = end
    voted_classes = sorted({index for votes in votes_by_row for index in votes})
    differences = [b - a for a, b in zip([0, *voted_classes], voted_classes, strict=False)]
    listed_classes = [] if len(voted_classes) == classes else differences
    all_votes = [votes.get(index, 0) for votes in votes_by_row for index in voted_classes]
    return b"".join(map(_leb128, [2, rows, classes, len(voted_classes), *listed_classes, *all_votes]))


def _leb128(number: int) -> bytes:
    groups = []
    while number >= 128:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])
