"""Drop the recipe of a run, which repeats its specification and that of the training of its checkpoint."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("certification_run", "recipe")


def downgrade() -> None:
    if op.get_bind().scalar(sa.text("SELECT count(*) FROM certification_run")):
        raise RuntimeError("revision 0003 cannot hold these runs: restore the copy that rsbench db upgrade made")
    op.add_column("certification_run", sa.Column("recipe", sa.Text(), nullable=False, server_default=""))
