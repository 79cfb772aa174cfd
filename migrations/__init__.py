"""Alembic migrations, the only definition of the schema of a results database."""
