"""Alembic migrations: the only truth of the schema."""
