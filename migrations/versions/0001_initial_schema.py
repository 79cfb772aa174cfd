"""Create the initial schema: datasets, checkpoints, sweeps, training, certification runs, images, votes, curves."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dataset",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("classes", sa.Integer(), nullable=False),
        sa.Column("channels", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("q", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_dataset")),
    )
    op.create_table(
        "sweep",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_sweep")),
    )
    op.create_table(
        "checkpoint",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("dataset_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("sigma", sa.Float(), nullable=False),
        sa.Column("seed", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("header", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_fingerprint"], ["dataset.fingerprint"], name=op.f("fk_checkpoint_dataset_fingerprint_dataset")
        ),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_checkpoint")),
    )
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
    op.create_table(
        "training_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("sweep_fingerprint", sa.String(length=64), nullable=True),
        sa.Column("checkpoint_sha256", sa.String(length=64), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("provenance", sa.Text(), nullable=False),
        sa.Column("finished_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint_sha256"], ["checkpoint.sha256"], name=op.f("fk_training_run_checkpoint_sha256_checkpoint")
        ),
        sa.ForeignKeyConstraint(
            ["sweep_fingerprint"], ["sweep.fingerprint"], name=op.f("fk_training_run_sweep_fingerprint_sweep")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_run")),
        sa.UniqueConstraint(
            "fingerprint", "checkpoint_sha256", name=op.f("uq_training_run_fingerprint_checkpoint_sha256")
        ),
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
        sa.ForeignKeyConstraint(
            ["run_id"], ["certification_run.id"], name=op.f("fk_image_result_run_id_certification_run")
        ),
        sa.PrimaryKeyConstraint("run_id", "image_index", name=op.f("pk_image_result")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "image_votes",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("image_index", sa.Integer(), nullable=False),
        sa.Column("votes", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["certification_run.id"], name=op.f("fk_image_votes_run_id_certification_run")
        ),
        sa.PrimaryKeyConstraint("run_id", "image_index", name=op.f("pk_image_votes")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_provenance",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("provenance", sa.Text(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["certification_run.id"], name=op.f("fk_run_provenance_run_id_certification_run")
        ),
        sa.PrimaryKeyConstraint("run_id", "number", name=op.f("pk_run_provenance")),
    )
    op.create_table(
        "training_epoch",
        sa.Column("training_run_id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("loss", sa.Float(), nullable=False),
        sa.Column("accuracy", sa.Float(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["training_run_id"], ["training_run.id"], name=op.f("fk_training_epoch_training_run_id_training_run")
        ),
        sa.PrimaryKeyConstraint("training_run_id", "epoch", name=op.f("pk_training_epoch")),
    )


def downgrade() -> None:
    op.drop_table("training_epoch")
    op.drop_table("run_provenance")
    op.drop_table("image_votes")
    op.drop_table("image_result")
    op.drop_table("certified_curve")
    op.drop_table("training_run")
    op.drop_table("certification_run")
    op.drop_table("checkpoint")
    op.drop_table("sweep")
    op.drop_table("dataset")
