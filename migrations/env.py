"""Runs migrations on the connection that `rsbench.store.revisions.alembic_config` passes to Alembic."""

from alembic import context

from rsbench.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
