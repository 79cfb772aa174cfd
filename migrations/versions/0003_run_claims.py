"""Add claims, which record the process that works on a run."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "run_claim",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["certification_run.id"], name=op.f("fk_run_claim_run_id_certification_run")
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run_claim")),
    )


def downgrade() -> None:
    op.drop_table("run_claim")
