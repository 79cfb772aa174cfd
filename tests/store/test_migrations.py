"""The migrations define the schema: they have one head, run up and down, and agree with `rsbench.store.tables`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.config import Config
from pytest_alembic.tests import (
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)
from sqlalchemy import Connection, inspect, text

from rsbench.store import revisions
from rsbench.store.engine import create_store_engine
from rsbench.store.location import parse_location
from rsbench.store.store import Store
from tests.fixtures.results import DIGITS, write_run

__all__ = [
    "test_model_definitions_match_ddl",
    "test_single_head_revision",
    "test_up_down_consistency",
    "test_upgrade",
]


@pytest.fixture
def alembic_config() -> Config:
    return revisions.alembic_config()


@pytest.fixture
def alembic_engine(database: str) -> Iterator[Connection]:
    engine = create_store_engine(parse_location(database))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_new_store_is_at_the_head_revision(database: str) -> None:
    with Store.create_or_open(database) as store, store.engine.connect() as connection:
        assert revisions.current_revision(connection) == revisions.head_revision()


def test_upgrading_a_store_at_the_head_revision_keeps_its_runs(database: str) -> None:
    with Store.create_or_open(database) as store:
        spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50)
        revisions.upgrade_schema(store.engine)
        assert store.run(spec.fingerprint()).curve is not None


def test_large_tables_are_clustered_and_have_no_other_index(tmp_path: Path) -> None:
    with Store.create_or_open(str(tmp_path / "results.db")) as store, store.engine.connect() as connection:
        for table in ("image_result", "curve_block"):
            assert inspect(connection).get_indexes(table) == []
            query = text("SELECT sql FROM sqlite_master WHERE name = :name")
            create_statement = connection.scalar(query, {"name": table})
            assert str(create_statement).rstrip().endswith("WITHOUT ROWID")
